"""The Postman collection (schema v2.1) of the API: a folder for each tag, a request for each operation."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

SCHEMA: Final = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
_PLACEHOLDER: Final = re.compile(r"{([^}]+)}")
_LOGIN: Final = "login_json"
_KEEP_TOKEN: Final = (
    "const tokens = pm.response.json();",
    "pm.collectionVariables.set('token', tokens.access_token);",
)
"""Runs after a log-in, so that the other requests are sent with the token."""


def postman_collection(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the collection. ``baseUrl`` and ``token`` are its variables; it contains no secret."""
    folders: dict[str, list[dict[str, Any]]] = {tag["name"]: [] for tag in document["tags"]}
    for path, method, operation in _operations(document):
        folders[operation["tags"][0]].append(_item(path, method, operation))
    return {
        "info": {
            "name": document["info"]["title"],
            "description": document["info"]["description"],
            "version": document["info"]["version"],
            "schema": SCHEMA,
        },
        "variable": [
            {"key": "baseUrl", "value": "http://localhost:8069"},
            {"key": "token", "value": ""},
        ],
        "auth": {"type": "bearer", "bearer": [{"key": "token", "value": "{{token}}", "type": "string"}]},
        "item": [
            {"name": tag["name"], "description": tag.get("description", ""), "item": folders[tag["name"]]}
            for tag in document["tags"]
            if folders[tag["name"]]
        ],
    }


def _operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield path, method.upper(), operation


def _item(path: str, method: str, operation: Mapping[str, Any]) -> dict[str, Any]:
    request: dict[str, Any] = {
        "method": method,
        "description": operation["description"],
        "header": [],
        "url": _url(path, operation),
    }
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if body is not None:
        request["header"] = [{"key": "Content-Type", "value": "application/json"}]
        example = json.dumps(_example(body), indent=2, ensure_ascii=False)
        request["body"] = {"mode": "raw", "raw": example, "options": {"raw": {"language": "json"}}}
    if "x-permission" not in operation:
        request["auth"] = {"type": "noauth"}
    item: dict[str, Any] = {"name": operation["summary"], "id": operation["operationId"], "request": request}
    if operation["operationId"] == _LOGIN:
        item["event"] = [{"listen": "test", "script": {"type": "text/javascript", "exec": list(_KEEP_TOKEN)}}]
    return item | {"response": []}


def _url(path: str, operation: Mapping[str, Any]) -> dict[str, Any]:
    """Return the address: path parameters with their examples, query parameters switched off."""
    parameters = operation.get("parameters", ())
    written = _PLACEHOLDER.sub(r":\1", path)
    variables = [
        {"key": one["name"], "value": str(_example(one)), "description": one.get("description", "")}
        for one in parameters
        if one["in"] == "path"
    ]
    query = [
        {
            "key": one["name"],
            "value": _text(one["schema"].get("default")),
            "description": one.get("description", ""),
            "disabled": not one.get("required", False),
        }
        for one in parameters
        if one["in"] == "query"
    ]
    url: dict[str, Any] = {
        "raw": "{{baseUrl}}" + written,
        "host": ["{{baseUrl}}"],
        "path": written.strip("/").split("/"),
    }
    return url | ({"variable": variables} if variables else {}) | ({"query": query} if query else {})


def _example(described: Mapping[str, Any]) -> Any:
    return described["example"] if "example" in described else next(iter(described["examples"].values()))["value"]


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
