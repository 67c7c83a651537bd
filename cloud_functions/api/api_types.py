"""``python -m cloud_functions.api.api_types FILE`` writes the types of responses for the dashboard's type checker.

It writes TypeScript interfaces of the models in ``MODELS`` and of those that they contain, from the OpenAPI document.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from cloud_functions.api.api_reference import api_document

Schema = Mapping[str, Any]

MODELS: Final = (
    "CameraListEnvelope",
    "EventListResponse",
    "EventStatisticsResponse",
    "PlateHistoryResponse",
    "PlateListResponse",
    "SessionResponse",
    "SummaryEnvelope",
)
"""The responses that the dashboard reads."""
OPAQUE: Final = frozenset({"CameraConfig"})
"""Models that the dashboard passes on without reading them."""
_HEADER: Final = "// Written from the OpenAPI document by `make schemas`. Do not edit.\n"
_REFERENCE: Final = "#/components/schemas/"
_PRIMITIVES: Final = {
    "string": "string",
    "integer": "number",
    "number": "number",
    "boolean": "boolean",
    "null": "null",
}


def render() -> str:
    """Return the content of ``static/api_types.d.ts``."""
    schemas: Mapping[str, Schema] = api_document()["components"]["schemas"]
    interfaces = (_interface(name, schemas[name]) for name in sorted(_contained(schemas)))
    return _HEADER + "".join(interfaces)


def _contained(schemas: Mapping[str, Schema]) -> set[str]:
    """Return the names in ``MODELS`` and of all models that they contain."""
    found: set[str] = set()
    waiting: list[str] = list(MODELS)
    while waiting:
        name = waiting.pop()
        if name not in found and name not in OPAQUE:
            found.add(name)
            waiting += _references(schemas[name])
    return found


def _references(schema: object) -> Iterator[str]:
    if isinstance(schema, Mapping):
        reference = schema.get("$ref")
        if isinstance(reference, str):
            yield reference.removeprefix(_REFERENCE)
        for value in schema.values():
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def _interface(name: str, schema: Schema) -> str:
    required = set(schema.get("required", ()))
    fields = (
        f"  {field}{'' if field in required or 'default' in described else '?'}: {_type(described)};\n"
        for field, described in schema.get("properties", {}).items()
    )
    return f"\nexport interface {name} {{\n{''.join(fields)}}}\n"


def _type(schema: Schema) -> str:
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_REFERENCE)
        return "Record<string, unknown>" if name in OPAQUE else name
    if "anyOf" in schema:
        return " | ".join(_type(variant) for variant in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return " | ".join(json.dumps(value) for value in schema.get("enum", [schema.get("const")]))
    kind = schema.get("type")
    if kind == "array":
        item = _type(schema.get("items", {}))
        return f"({item})[]" if " | " in item else f"{item}[]"
    if kind == "object":
        value = schema.get("additionalProperties")
        return f"Record<string, {_type(value) if isinstance(value, Mapping) else 'unknown'}>"
    return _PRIMITIVES.get(str(kind), "unknown")


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(render(), encoding="utf-8")
