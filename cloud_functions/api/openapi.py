"""The OpenAPI document of the API, with problem documents in place of FastAPI's own error models.

``python -m cloud_functions.api.openapi`` prints it.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any, Final

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.openapi.utils import get_openapi
from fastapi.routing import iter_route_contexts

from cloud_functions.api.cameras.requests import ImportRequest
from cloud_functions.api.http.envelope import ErrorEnvelope, error_description
from cloud_functions.api.http.problems import ProblemDocument, problem_description
from cloud_functions.api.openapi_examples import add_examples
from cloud_functions.api.security.permissions import (
    conditional_permissions,
    group_limit,
    required_permission,
    revealing_permission,
)
from cloud_functions.api.security.session_cookie import PLAIN_NAME, SECURE_NAME
from cloud_functions.settings import DatabaseSettings

DESCRIPTION: Final = """
Events of cameras, their annotated snapshots, number plates and watch-lists; the cameras themselves.

- Every path under `/api` is also available under `/api/v1`, except `/api/devices`.
- All times are RFC 3339. Responses use UTC with `Z`. In requests, a time without a UTC offset is UTC, and a date is its
  midnight.
- Every error is an RFC 9457 problem document (`application/problem+json`). Its `type` identifies the problem. Errors
  of paths whose responses are in an envelope, such as `/cameras`, are in an envelope instead.
- An unknown or repeated query parameter is an error on every route, so that a misspelled condition cannot widen the
  result. A repeated key in a JSON body is an error too.
- A response has its request's id in `X-Request-ID`, as a problem has in `request_id`. A client may choose the id.
- Large JSON responses are compressed for clients that send `Accept-Encoding: gzip`.
- HEAD is supported wherever GET is. A response with an `ETag` is a 304 if `If-None-Match` names it.
- A trailing slash makes no difference.
"""
TAGS: Final = [
    {"name": "Events", "description": "List, count, export and delete events."},
    {"name": "Pictures", "description": "The annotated snapshot of an event."},
    {
        "name": "Snapshots",
        "description": "Snapshots that were requested from cameras: capture one now, list, read and delete them.",
    },
    {"name": "Plates", "description": "Search and count number plates."},
    {
        "name": "Watch-lists",
        "description": "Plate patterns to watch for. A matching read is published as a `plate_match` message.",
    },
    {
        "name": "Cameras",
        "description": "Cameras, their groups, status and health. Responses are in an envelope: `success`, `data` and"
        " `meta`. Errors too: `success`, `error` (`code`, `message`, `details`) and `meta` (`requestId`).",
    },
    {
        "name": "Devices",
        "description": "Devices, the commands that the API sent to them, and the health report. Responses are in the"
        " envelope of cameras, except that of `GET /api/devices`.",
    },
    {
        "name": "Users",
        "description": "Log in, refresh, log out, and the caller's own account. Without `API_AUTHENTICATION=users`"
        " there are no log-ins: the gateway authorizes callers.",
    },
    {
        "name": "Administration",
        "description": "Users, API keys and the audit log. Responses and errors are in the envelope, as those of"
        " cameras are.",
    },
    {
        "name": "Retention",
        "description": "How long events are kept, by age and by size, and legal holds, which no deletion passes."
        " Responses and errors are in the envelope.",
    },
    {
        "name": "Webhooks",
        "description": "Receivers to which events are sent over HTTP, the log of deliveries, and replays, which send"
        " stored events again. Responses and errors are in the envelope.",
    },
    {
        "name": "WebSocket",
        "description": "Tickets for the WebSocket at `/api/v1/websocket`, which sends events as they are stored (see"
        " the guide). Responses and errors are in the envelope.",
    },
    {"name": "Health", "description": "Status of the API and the services it depends on."},
]

PROBLEM_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    404: problem_description("The resource does not exist."),
    422: problem_description("A parameter is invalid. `errors` lists each invalid parameter."),
    503: problem_description("The database is unavailable, or the query took too long."),
}
ENVELOPED_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    status: error_description(response["description"].replace("`errors`", "`details`"))
    for status, response in PROBLEM_RESPONSES.items()
}
_BODY_PROBLEM_RESPONSES: Final = {
    "400": problem_description("The body is not valid JSON."),
    "413": problem_description("The body is too large. Split it into several requests."),
}


_ACCESS_RESPONSES: Final = {
    "401": problem_description("The credentials are missing or invalid."),
    "403": problem_description("The caller does not have the permission."),
}
_ENVELOPED_ACCESS_RESPONSES: Final = {
    status: error_description(response["description"]) for status, response in _ACCESS_RESPONSES.items()
}
_SECURITY_SCHEMES: Final = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An access token of a user, or an API key."},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key."},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": SECURE_NAME,
        "description": "The session of the dashboard, which `POST /api/session` begins. It counts only in requests from"
        f" pages of this API. Over plain http its name is `{PLAIN_NAME}`.",
    },
}
_SECURITY: Final[list[dict[str, list[str]]]] = [{"bearer": []}, {"apiKey": []}, {"session": []}, {}]
"""``{}``: without credentials, where the deployment allows it."""
_ENVELOPED_BODY_RESPONSES: Final = {
    status: error_description(response["description"]) for status, response in _BODY_PROBLEM_RESPONSES.items()
}


def openapi_document(app: FastAPI, root_path: str) -> dict[str, Any]:
    """Return the OpenAPI document of ``app``. It is created once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            tags=app.openapi_tags,
            routes=app.routes,
            servers=[{"url": root_path}] if root_path else None,
        )
        _replace_error_models(document["components"]["schemas"])
        document["components"]["securitySchemes"] = _SECURITY_SCHEMES
        document["paths"] = dict(sorted(document["paths"].items()))
        dependants = _dependants_by_operation(app)
        for operation in (operation for path in document["paths"].values() for operation in path.values()):
            _complete(operation, dependants)
        add_examples(document)
        app.openapi_schema = document
    return app.openapi_schema


def _replace_error_models(schemas: dict[str, Any]) -> None:
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    for model in (ProblemDocument, ErrorEnvelope, ImportRequest):
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(schema.pop("$defs", {}))
        schemas[model.__name__] = schema


def _complete(operation: dict[str, Any], dependants: dict[str, Dependant]) -> None:
    for parameter in operation.get("parameters", ()):
        parameter["schema"] = _without_null(parameter["schema"])
    enveloped = "application/json" in operation["responses"].get("422", {}).get("content", ())
    if "requestBody" in operation:
        operation["responses"] |= _ENVELOPED_BODY_RESPONSES if enveloped else _BODY_PROBLEM_RESPONSES
    dependant = dependants[operation["operationId"]]
    permission = required_permission(dependant)
    if permission is not None:
        operation["x-permission"] = permission
        operation["security"] = _SECURITY
        operation["x-camera-groups"] = group_limit(dependant)
        access = _ENVELOPED_ACCESS_RESPONSES if enveloped else _ACCESS_RESPONSES
        operation["responses"] = {**access, **operation["responses"]}
    if conditional := conditional_permissions(dependant):
        operation["x-permission-if"] = conditional
    if revealing := revealing_permission(dependant):
        operation["x-permission-plates"] = revealing


def _dependants_by_operation(app: FastAPI) -> dict[str, Dependant]:
    contexts = [context for context in iter_route_contexts(app.routes) if context.name is not None]
    return {str(context.name): context.dependant for context in contexts if hasattr(context, "dependant")}


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a parameter without ``null``, which a query cannot express, and without its title."""
    variants = [variant for variant in schema.get("anyOf", ()) if variant != {"type": "null"}]
    merged = {**schema, **variants[0]} if len(variants) == 1 else schema
    return {key: value for key, value in merged.items() if key not in ("title", "anyOf" if variants else "title")}


def main() -> None:
    """Print the document. No service is needed."""
    # By name: the application imports this module.
    settings = importlib.import_module("cloud_functions.api.settings")
    wiring = importlib.import_module("cloud_functions.api.wiring")
    app = wiring.lambda_app(settings.ApiSettings(database=DatabaseSettings(), bucket="snapshots"))
    sys.stdout.write(json.dumps(app.openapi(), indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
