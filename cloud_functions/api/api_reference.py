"""``python -m cloud_functions.api.api_reference FILE`` writes the API reference from the OpenAPI document."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from cloud_functions.api.problem_types import PROBLEM_TYPES
from cloud_functions.api.security.permissions import PERMISSIONS, PUBLIC_OPERATIONS
from cloud_functions.api.security.roles import ROLES
from cloud_functions.api.settings import ApiSettings
from cloud_functions.api.wiring import lambda_app
from cloud_functions.settings import DatabaseSettings

Document = Mapping[str, Any]

INTRODUCTION: Final = """\
# HTTP API

`make schemas` generates this page from the OpenAPI document. The API serves that document at `/openapi.json`, and
interactive documentation at `/docs` and `/redoc`. `/` is the [dashboard](../guide/dashboard.md) in a browser, and
the name and version of the service for other clients. The routes are available under `/api` and
under `/api/v1`, except that `/api/v1/devices` lists devices, and `/api/devices` cameras, as the snapshots API calls
them.
"""

CONVENTIONS: Final = """
## Requests

- An unknown or repeated query parameter is a `422` on every route, including `DELETE` and `/health`. A repeated key in
  a JSON body is a `422` too.
- A body must have the header `Content-Type: application/json`.
- A body larger than 6 MiB is a `413 body-too-large`, on Lambda and on a server.
- All times are RFC 3339. In requests, a time without a UTC offset is UTC, and a date is its midnight.
  Responses use UTC with `Z`.
- `HEAD` is supported wherever `GET` is. A `405` response lists the supported methods of the path in `Allow`.
- A trailing slash makes no difference: `/api/events/` returns the same response as `/api/events`, without a redirect.
- `X-Request-ID` of a response, and `request_id` of a problem, identify the request in the server's log. A client may
  send an id of its own.
- JSON responses of 2 KB and more are compressed for clients that send `Accept-Encoding: gzip`.
- `CORS_ORIGINS` names the origins whose pages may read responses in a browser. There are none by default.
- Images have an `ETag`. If `If-None-Match` names it, the response is a `304`.
- On a server, a `GET` request is cancelled if its client disconnects, and its query is cancelled in the database.
  Requests that change data always run to completion.

## Response size

Lambda returns at most 6 MB. The size is that of the body inside the runtime's JSON, in which a quote takes two bytes
and a character outside ASCII up to twelve.

- Lists and single events: long numbers are written in exponential notation (`1e300`). If that is not enough, the
  largest events have `"event_data": {"truncated": true, "event_data_bytes": ..., "href": "/api/events/42"}`. Plate
  reads have `"truncated": true`, and texts that a device added are cut after 200 characters.
- Exports end before the event that does not fit. `X-Next-Cursor` holds the position from which to continue.
- Adding patterns: `patterns` is null if it would take more than 1 MiB. `pattern_ids`, `count` and `added` are always
  present.
- Any other response that is too large is a `422 answer-too-large`, and the request has changed nothing.

In NDJSON, U+0085, U+2028 and U+2029 are escaped, because many line readers treat them as line ends. In CSV,
`class_name`, `confidence` and `license_plate` are filled for the event types that define them.

## Totals and performance

All totals and statistics are exact. Whole hours, days and months come from rollups that triggers update in the
transaction that stores the event. Only the start and end of a time range are counted in the table of events.

- These conditions take milliseconds at five million rows: camera, type, site, time, one of class or zone,
  `min_confidence` in steps of 0.05, and any combination of them; a plate; any page at any depth.
- A `min_confidence` between two steps (0.87) is counted event by event: about 12 ms for one camera, 0.4 s for all
  events, up to 1 s for a frequent class.
- A query that takes longer than the statement timeout is a `503 too-slow`.

Lists are sorted by capture time, newest first. Numbered pages shift when events arrive; pages after a `cursor` do not.

## Health

`GET /health` (also `/api/health`) is public. It returns `503` if the database is unavailable, its disk is full or its
server is read-only. On a server, health checks have their own threads and database connections, so slow queries do not
delay them.
"""


def render() -> str:
    """Return the API reference as Markdown."""
    document = api_document()
    operations = list(_operations(document))
    return "".join(
        (
            INTRODUCTION,
            CONVENTIONS,
            *_permissions(operations),
            *_problem_types(),
            *_routes(operations, document),
            *_schemas(document),
        )
    )


def api_document() -> Document:
    """Return the OpenAPI document. Needs no service."""
    settings = ApiSettings(database=DatabaseSettings(url="postgresql://unused"), bucket="unused")
    return lambda_app(settings).openapi()


def _operations(document: Document) -> Iterator[tuple[str, Document]]:
    """Yield each route, such as ``GET /api/events``, and its operation object."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield f"{method.upper()} {path}", operation


def _permissions(operations: list[tuple[str, Document]]) -> Iterator[str]:
    public = [f"`{route}`" for route, operation in operations if operation["operationId"] in PUBLIC_OPERATIONS]
    yield f"\n## Permissions\n\nEvery route requires one permission, except the public {', '.join(public)}. Who has a"
    yield " permission: [users and access](../guide/users-and-access.md).\n\n"
    yield "| permission | allows | roles | routes |\n| --- | --- | --- | --- |\n"
    for permission, description in PERMISSIONS.items():
        routes = ", ".join(
            f"`{route}`" for route, operation in operations if operation.get("x-permission") == permission
        ) or ", ".join(
            f"`{route}` with `{parameter}`"
            for route, operation in operations
            for parameter, conditional in operation.get("x-permission-if", {}).items()
            if conditional == permission
        )
        if any(operation.get("x-permission-plates") == permission for _, operation in operations):
            routes = "every route that returns plates or their pictures"
        roles = ", ".join(role for role, permissions in ROLES.items() if permission in permissions)
        yield f"| `{permission}` | {description} | {roles} | {routes} |\n"
    closed = [f"`{route}`" for route, operation in operations if operation.get("x-camera-groups") == "rejected"]
    yield "\nCallers who are limited to camera groups are rejected (`limited-to-groups`) by the routes that concern"
    yield f" more than their cameras: {', '.join(closed)}.\n"


def _problem_types() -> Iterator[str]:
    yield "\n## Problem types\n\nEvery error is a problem document (RFC 9457) with one of these types, prefixed with"
    yield " `urn:vedette:problem:`. On paths whose responses are in an envelope, the type without the prefix is the"
    yield " `code` of an error envelope.\n\n| type | status | meaning |\n| --- | --- | --- |\n"
    for name, problem in PROBLEM_TYPES.items():
        yield f"| `{name}` | {problem.status} | {problem.description} |\n"


def _routes(operations: list[tuple[str, Document]], document: Document) -> Iterator[str]:
    for tag in document["tags"]:
        yield f"\n## {tag['name']}\n\n{tag['description']}\n"
        for route, operation in operations:
            if operation["tags"] == [tag["name"]]:
                yield from _route(route, operation)


def _route(route: str, operation: Document) -> Iterator[str]:
    yield f"\n### `{route}`\n\n**{operation['summary']}.** {operation['description']}\n"
    if "x-permission" in operation:
        conditional = "".join(
            f" With `{parameter}` also `{permission}`."
            for parameter, permission in operation.get("x-permission-if", {}).items()
        )
        yield f"\nPermission: `{operation['x-permission']}`.{conditional}\n"
    if operation.get("parameters"):
        yield "\n| parameter | in | type | default | description |\n| --- | --- | --- | --- | --- |\n"
        for parameter in operation["parameters"]:
            yield from _parameter(parameter)
    if "requestBody" in operation:
        yield f"\nBody: {_type(_json_schema(operation['requestBody']))}\n"
    yield "\n| status | response | body |\n| --- | --- | --- |\n"
    for status, response in sorted(operation["responses"].items()):
        yield f"| {status} | {_response_description(response)} | {_bodies(response)} |\n"


def _parameter(parameter: Document) -> Iterator[str]:
    schema = parameter["schema"]
    default = "**required**" if parameter["required"] else _value(schema.get("default"))
    yield f"| `{parameter['name']}` | {parameter['in']} | {_type(schema)} | {default} | {_cell(parameter)} |\n"


def _response_description(response: Document) -> str:
    return "Success." if response["description"] == "Successful Response" else response["description"]


def _bodies(response: Document) -> str:
    contents: Document = response.get("content", {})
    return ", ".join(
        _type(content["schema"]) if "$ref" in content["schema"] else f"`{media_type}`"
        for media_type, content in contents.items()
    )


def _schemas(document: Document) -> Iterator[str]:
    yield "\n## Schemas\n"
    for name, schema in sorted(document["components"]["schemas"].items()):
        yield f"\n### {name}\n\n{' '.join(schema.get('description', '').split())}\n"
        yield "\n| field | type | required | description |\n| --- | --- | --- | --- |\n"
        required = schema.get("required", ())
        for field, content in schema["properties"].items():
            yield f"| `{field}` | {_type(content)} | {'yes' if field in required else 'no'} | {_cell(content)} |\n"


def _json_schema(body: Document) -> Document:
    return body["content"]["application/json"]["schema"]


def _type(schema: Document) -> str:
    """Return a short name of a JSON Schema type, with its range."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_type(variant) for variant in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return ", ".join(_value(value) for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"array of {_type(schema['items'])}" if "items" in schema else "array"
    name = schema.get("format") or schema.get("type") or "any"
    minimum, maximum = schema.get("minimum"), schema.get("maximum")
    if minimum is None or maximum is None:
        return name
    return f"{name}, {minimum:,} to {maximum:,}"


def _value(value: object) -> str:
    if value is None:
        return ""
    return f"`{str(value).lower()}`" if isinstance(value, bool) else f"`{value}`"


def _cell(described: Document) -> str:
    return " ".join(described.get("description", "").split()).replace("|", "\\|")


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(render(), encoding="utf-8")
