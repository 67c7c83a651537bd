"""``vedette.client`` has a method for each route of the OpenAPI document, and sends only what the route takes."""

# pyright: reportPrivateUsage=false
from __future__ import annotations

import inspect
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
import pytest

from infra.api_artifacts.__main__ import openapi_document
from vedette.client import Client

BY_THE_SESSION: Final = "the session of the client logs in, refreshes and logs out by itself"
OF_A_BROWSER: Final = "the cookie of the dashboard, which counts only in its pages"
WITHOUT_A_METHOD: Final = {
    "login": BY_THE_SESSION,
    "login_json": BY_THE_SESSION,
    "refresh_session": BY_THE_SESSION,
    "logout": BY_THE_SESSION,
    "get_session": OF_A_BROWSER,
    "begin_session": OF_A_BROWSER,
    "end_session": OF_A_BROWSER,
    "create_websocket_ticket": "browsers need tickets; a program sends its credentials with the WebSocket",
    "camera_events": "events.list(camera_id=…)",
    "plate_events": "events.list(license_plate=…)",
    "list_cameras_as_devices": "cameras.list, which has more of each camera",
    "list_device_snapshots": "snapshots.list(camera)",
    "capture_snapshot": "snapshots.capture",
    "recent_plate_rows": "plates.search: the routes at the root are those of another system",
    "camera_plate_rows": "plates.search(camera_id=…)",
    "plate_rows": "plates.search(plate=…)",
    "plate_row": "events.get",
    "plate_statistics_at_the_root": "plates.statistics",
}
"""Operations that no method of the client calls, and why, or what does the same."""

_ANSWER: Final[dict[str, Any]] = {
    "data": [],
    "meta": {"totalPages": 0},
    "events": [],
    "plates": [],
    "watchlists": [],
    "patterns": [],
    "snapshots": [],
    "next_cursor": None,
    "has_more": False,
    "total": 0,
}
"""The end of any list."""
_VALUES: Final[dict[str, Any]] = {
    "scopes": ["events:read"],
    "patterns": [],
    "content": {},
    "conditions": {},
    "watchlist_id": 1,
    "pattern_id": 1,
    "event": 1,
    "start_time": datetime(2026, 11, 20, tzinfo=UTC),
    "end_time": datetime(2026, 11, 21, tzinfo=UTC),
}
"""Arguments by the name of their parameter; texts for all others."""


class Call(NamedTuple):
    """One request of one method of the client."""

    method: str
    """Of the client, for example ``events.get``."""
    request: httpx.Request
    operation: str | None
    """Its operation in the document."""


@pytest.fixture(scope="module")
def document() -> Mapping[str, Any]:
    return openapi_document()


@pytest.fixture(scope="module")
def calls(document: Mapping[str, Any], tmp_path_factory: pytest.TempPathFactory) -> list[Call]:
    """The requests of all public methods of the client."""
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        content: Any = _ANSWER
        if request.method != "GET" or re.search(r"/(commands|health)/", request.url.path):
            content = {"data": {"status": "ok"}}
        return httpx.Response(200, json=content, headers={"etag": '"1"'})

    client = Client("http://api.example")
    client._session._http = httpx.Client(transport=httpx.MockTransport(answer))
    file = tmp_path_factory.mktemp("client") / "picture.jpg"
    found: list[Call] = []
    for name, method in _methods(client):
        requests.clear()
        positional, named = _arguments(method, file)
        result = method(*positional, **named)
        if isinstance(result, Iterator):
            list(result)
        assert requests, f"{name} sends nothing"
        found += [Call(name, request, _operation(document, request)) for request in requests]
    return found


def _methods(client: Client) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name, member in inspect.getmembers(client):
        if name.startswith("_") or name in {"close", "request"}:
            continue
        if inspect.ismethod(member):
            yield name, member
            continue
        for inner, method in inspect.getmembers(member, inspect.ismethod):
            if not inner.startswith("_"):
                yield f"{name}.{inner}", method


def _arguments(method: Callable[..., Any], file: Path) -> tuple[list[Any], dict[str, Any]]:
    values = {**_VALUES, "file": file, "out": io.BytesIO()}
    if method.__name__.startswith("create"):  # these name the body
        values |= {"camera": {}, "group": {}, "user": {}}
    if method.__name__ == "import_file":
        values["content"] = b"name,rtsp_url\n"
    required = [one for one in inspect.signature(method).parameters.values() if one.default is one.empty]
    positional = [one for one in required if one.kind not in {one.VAR_KEYWORD, one.KEYWORD_ONLY}]
    named = [one for one in required if one.kind is one.KEYWORD_ONLY]
    return [values.get(one.name, "x") for one in positional], {one.name: values.get(one.name, "x") for one in named}


def _operation(document: Mapping[str, Any], request: httpx.Request) -> str | None:
    """Return the operation of a request. Routes under ``/api`` are under ``/api/v1`` too, and health at the root."""
    path = request.url.path
    for candidate in (path, path.replace("/api/v1/", "/api/", 1), f"/api{path}"):
        matching = [template for template in document["paths"] if _is_of(template, candidate)]
        for template in sorted(matching, key=lambda template: template.count("{")):
            if operation := document["paths"][template].get(request.method.lower()):
                return operation["operationId"]
    return None


def _is_of(template: str, path: str) -> bool:
    return re.fullmatch(re.sub(r"{[^}]+}", "[^/]+", template), path) is not None


def test_each_operation_has_a_method_or_a_reason(document: Mapping[str, Any], calls: list[Call]) -> None:
    """A new route needs a method; a reason for an operation that has one is out of date."""
    operations = {one["operationId"] for path in document["paths"].values() for one in path.values()}
    called = {call.operation for call in calls}
    assert [f"{call.method}: {call.request.url.path}" for call in calls if call.operation is None] == []
    assert operations - called == set(WITHOUT_A_METHOD)


def test_a_method_sends_what_its_operation_takes(document: Mapping[str, Any], calls: list[Call]) -> None:
    """Each query parameter and each field of a body is in the document."""
    by_name = {one["operationId"]: one for path in document["paths"].values() for one in path.values()}
    unknown: list[str] = []
    for call in calls:
        operation = by_name[call.operation or ""]
        query = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"}
        unknown += [f"{call.method}: ?{name}" for name in call.request.url.params if name not in query]
        if call.request.content:
            fields = _fields(document, operation)
            unknown += [f"{call.method}: {name}" for name in json.loads(call.request.content) if name not in fields]
    assert unknown == []


def _fields(document: Mapping[str, Any], operation: Mapping[str, Any]) -> set[str]:
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    found: set[str] = set()
    for one in schema.get("anyOf", [schema]):
        if "$ref" in one:
            found |= set(document["components"]["schemas"][one["$ref"].rpartition("/")[2]]["properties"])
    return found
