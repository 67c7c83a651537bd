"""Examples for the OpenAPI document: of every path parameter, request body and response, made from their schemas.

A field's own ``examples`` come first, then the value of its name in the table, then one of its type. Query parameters
have none, because documentation pages would send them as filters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final

from cloud_functions.api.http.problems import PROBLEM_MEDIA_TYPE, TYPE_PREFIX

Schema = Mapping[str, Any]

_UUID: Final = "0193a5c0-7c1e-7b2a-9f3e-2d4c6b8a1e0f"
_TIME: Final = "2026-11-20T12:00:00.250000Z"
_VALUES: Final[Mapping[str, Any]] = {
    "access_token": "eyJhbGciOiJFZERTQSJ9.e30.c2lnbmF0dXJl",
    "accessToken": "eyJhbGciOiJFZERTQSJ9.e30.c2lnbmF0dXJl",
    "bounding_box": {"x": 0.1, "y": 0.2, "width": 0.3, "height": 0.4},
    "camera": "front-door",
    "camera_id": "front-door",
    "class_name": "person",
    "command": _UUID,
    "current_password": "the password so far",
    "detail": "The camera does not exist.",
    "device": "gate-01",
    "device_id": "gate-01",
    "email": "ana@example.com",
    "event": "42",
    "event_data": {"motion_intensity": 0.75, "affected_area_percentage": 15.5},
    "event_type": "motion",
    "group": "entrance",
    "group_id": _UUID,
    "license_plate": "ABC123",
    "location": "Main entrance",
    "message": "Done.",
    "name": "Front Door",
    "new_password": "a longer password than before",
    "next_cursor": "AQAGJ5kQqkAAAAAAAAAAAip1xw4=",
    "password": "a long password",
    "pattern": "ABC*",
    "plate_normalized_text": "ABC123",
    "plate_text": "ABC 123",
    "refresh_token": "vdr_c2VjcmV0",
    "refreshToken": "vdr_c2VjcmV0",
    "role": "viewer",
    "rtsp_url": "rtsp://192.168.1.100:8554/stream",
    "settings": {},
    "site_id": "site-1",
    "slug": "front-door",
    "snapshot_path": "front-door/2026-11-20/motion_120000_250000.jpg",
    "text": "ABC123",
    "token": "vdr_c2VjcmV0",
    "username": "ana",
}
"""Values by field or parameter, where their type alone would say little."""

_BODIES: Final[Mapping[str, Any]] = {
    "add_patterns": {"patterns": [{"kind": "exact", "pattern": "ABC123", "reason": "reported stolen"}]},
    "create_camera": {"name": "Front Door", "rtsp_url": "rtsp://192.168.1.100:8554/stream", "is_active": True},
    "create_replay": {
        "target": "webhook",
        "webhook": _UUID,
        "start_time": "2026-11-20T00:00:00Z",
        "end_time": "2026-11-20T06:00:00Z",
        "filter": {"event_type": "anpr", "camera_id": "front-door"},
    },
    "create_retention_policy": {"camera_id": "front-door", "max_age_days": 30},
    "replace_retention_policy": {"camera_id": "front-door", "max_age_days": 60},
    "place_legal_hold": {
        "name": "case 2026-117",
        "reason": "ordered by the court of Hamburg",
        "cameras": ["front-door"],
        "start_time": "2026-11-20T08:00:00Z",
        "end_time": "2026-11-20T10:00:00Z",
    },
    "create_webhook": {
        "name": "door controller",
        "url": "https://receiver.example/events",
        "filter": {"event_type": "anpr", "camera_id": "front-door"},
    },
    "delete_events": {"camera_id": "front-door", "end_time": "2026-01-01T00:00:00Z"},
    "import_cameras": {
        "format": "csv",
        "data": "bmFtZSxydHNwX3VybApHYXRlLHJ0c3A6Ly9nYXRlL3MK",
        "skip_duplicates": True,
    },
    "login": {"username": "ana", "password": "a long password"},
    "login_json": {"username": "ana", "password": "a long password"},
    "logout": {"refresh_token": "vdr_c2VjcmV0"},
    "refresh_session": {"refresh_token": "vdr_c2VjcmV0"},
}
"""Bodies whose required fields do not make a useful request."""

_TEXTS: Final[Mapping[str, str]] = {
    "text/csv": "id,event_id,event_type\r\n42,0193a5c0-7c1e-7b2a-9f3e-2d4c6b8a1e0f,motion\r\n",
    "application/x-ndjson": '{"id": 42, "event_type": "motion", "camera_id": "front-door"}\n',
}
_KINDS: Final[Mapping[int, str]] = {
    400: "unreadable-body",
    401: "not-authenticated",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    409: "name-taken",
    412: "changed-meanwhile",
    413: "body-too-large",
    422: "invalid-parameter",
    429: "too-many-attempts",
    503: "unavailable",
}
"""The problem in an example of each status, unless the description of the response names another in brackets."""
_NAMED_KIND: Final = re.compile(r"\(`([a-z]+(?:-[a-z]+)+)`\)")
_ERROR_SCHEMAS: Final = ("/ProblemDocument", "/ErrorEnvelope")
_MAX_DEPTH: Final = 12


def add_examples(document: dict[str, Any]) -> None:
    """Add an example to every path parameter, request body and response of ``document`` that has none."""
    maker = _ExampleMaker(document["components"]["schemas"])
    for path, operations in document["paths"].items():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "path" and not _has_example(parameter):
                    parameter["example"] = maker.value(parameter["schema"], parameter["name"])
            body = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if body is not None and not _has_example(body):
                chosen = _BODIES.get(operation["operationId"])
                body["example"] = maker.request(body["schema"]) if chosen is None else chosen
            for status, response in operation["responses"].items():
                _add_to_response(response, status=int(status), path=path, maker=maker)


def _add_to_response(response: dict[str, Any], *, status: int, path: str, maker: _ExampleMaker) -> None:
    for media_type, content in response.get("content", {}).items():
        if _has_example(content) or media_type.startswith("image/"):
            continue
        if str(content.get("schema", {}).get("$ref", "")).endswith(_ERROR_SCHEMAS):
            content["example"] = _error(
                response["description"], status, path, is_problem=media_type == PROBLEM_MEDIA_TYPE
            )
        elif media_type in _TEXTS:
            content["example"] = _TEXTS[media_type]
        elif "schema" in content:
            content["example"] = maker.value(content["schema"], "")


def _error(description: str, status: int, path: str, *, is_problem: bool) -> dict[str, Any]:
    named = _NAMED_KIND.search(description)
    kind = named[1] if named else _KINDS.get(status, "internal-error")
    detail = _NAMED_KIND.sub("", description).replace(" .", ".").strip()
    if is_problem:
        title = HTTPStatus(status).phrase
        problem = {"type": TYPE_PREFIX + kind, "title": title, "status": status, "detail": detail, "instance": path}
        return problem | {"request_id": _UUID}
    error = {"code": kind, "message": detail, "details": []}
    return {"success": False, "error": error, "meta": {"requestId": _UUID}}


def _has_example(described: Schema) -> bool:
    return "example" in described or "examples" in described


class _ExampleMaker:
    def __init__(self, schemas: Mapping[str, Any]) -> None:
        self._schemas = schemas

    def request(self, schema: Schema) -> Any:
        """Return a body with the required fields, and those whose schema has an example."""
        schema = self._resolved(schema)
        required = schema.get("required", ())
        properties = schema.get("properties", {})
        fields = {
            name: self.value(field, name)
            for name, field in properties.items()
            if name in required or "examples" in self._resolved(field)
        }
        return fields or {name: self.value(field, name) for name, field in list(properties.items())[:1]}

    def value(self, schema: Schema, name: str, depth: int = 0) -> Any:
        """Return a value that the schema allows."""
        schema = self._resolved(schema)
        for given in self._given(schema, name):
            return given
        if depth > _MAX_DEPTH:
            return None
        if schema.get("type") == "array":
            return [self.value(schema["items"], name, depth + 1)] if "items" in schema else []
        if "properties" in schema:
            return {key: self.value(field, key, depth + 1) for key, field in schema["properties"].items()}
        if isinstance(schema.get("additionalProperties"), Mapping):
            return {"front-door": self.value(schema["additionalProperties"], "", depth + 1)}
        return self._scalar(schema)

    def _given(self, schema: Schema, name: str) -> Iterator[Any]:
        """Yield the values that a person chose for this field, the best first."""
        yield from schema.get("examples", ())
        if "const" in schema:
            yield schema["const"]
        yield from schema.get("enum", ())
        value = _VALUES.get(name)
        if value is not None and _fits(value, schema):
            yield value

    def _resolved(self, schema: Schema) -> Schema:
        """Follow references, and take the first alternative that is not null."""
        while True:
            if "$ref" in schema:
                schema = self._schemas[schema["$ref"].rsplit("/", 1)[1]]
                continue
            variants = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
            if not variants:
                return schema
            chosen = next((variant for variant in variants if variant.get("type") != "null"), variants[0])
            kept = {key: value for key, value in schema.items() if key not in ("anyOf", "oneOf", "allOf", "default")}
            schema = {**chosen, **kept}

    @staticmethod
    def _scalar(schema: Schema) -> Any:
        kind = schema.get("type")
        if kind in {"integer", "number"}:
            return _number(schema, whole=kind == "integer")
        if kind == "string":
            known = {"uuid": _UUID, "date-time": _TIME, "date": _TIME[:10]}.get(schema.get("format", ""))
            return known or "text"[: schema.get("maxLength", 4)].ljust(schema.get("minLength", 0), "x")
        return {"boolean": bool(schema.get("default", True)), "object": {}}.get(str(kind))


def _number(schema: Schema, *, whole: bool) -> float:
    lowest, highest = schema.get("minimum", 0), schema.get("maximum", float("inf"))
    if (default := schema.get("default")) is not None:
        return default
    wanted = 1 if whole else 0.9
    return min(max(wanted, lowest), highest)


def _fits(value: Any, schema: Schema) -> bool:
    types = {str: "string", dict: "object"}
    pattern = schema.get("pattern")
    if isinstance(value, str) and schema.get("format") in {"uuid", "date-time"} and value != _UUID:
        return False
    if pattern is not None and isinstance(value, str) and re.search(pattern, value) is None:
        return False
    return schema.get("type", types.get(type(value))) == types.get(type(value))
