"""Hypothesis strategies for the JSON Schemas of our OpenAPI document: what they allow, and what they do not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from hypothesis import strategies as st

Schema = Mapping[str, Any]
_MAX_TEXT: Final = 300
_MAX_DEPTH: Final = 4
_TEXT: Final = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
HOSTILE: Final = st.one_of(
    st.sampled_from(
        ["", "0", "-1", "null", "%", "'", '"', "\x00", "..", "ä", "a" * 2000, "1e400", "9" * 30, "\u2028", "{}"]
    ),
    _TEXT,
)
"""Text that few parameters allow."""
_JUNK: Final = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), HOSTILE, st.just([]),
    st.just({}), st.lists(st.integers(), max_size=3), st.just({"a": {"b": []}}),
)  # fmt: skip
_FORMATS: Final = {
    "date-time": st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
    "uuid": st.uuids().map(str),
    "binary": st.just("file"),
}


def parameter_texts(schema: Schema, schemas: Schema) -> st.SearchStrategy[str]:
    """Return texts for a parameter: mostly allowed by its schema, sometimes not."""
    allowed = schema_values(schema, schemas).map(_as_text)
    return st.one_of(allowed, allowed, allowed, HOSTILE)


def bodies(schema: Schema, schemas: Schema) -> st.SearchStrategy[Any]:
    """Return bodies: mostly allowed by the schema, sometimes with one field of another kind, or of another kind."""
    allowed = schema_values(schema, schemas)
    return st.one_of(allowed, allowed, st.builds(_spoilt, allowed, HOSTILE, _JUNK), _JUNK)


def schema_values(schema: Schema, schemas: Schema, depth: int = 0) -> st.SearchStrategy[Any]:
    """Return values that the schema allows. ``schemas`` are the components that it refers to."""
    if "$ref" in schema:
        return st.deferred(lambda: schema_values(schemas[schema["$ref"].rpartition("/")[2]], schemas, depth))
    for combined in ("anyOf", "oneOf"):
        if combined in schema:
            return st.one_of([schema_values(one, schemas, depth) for one in schema[combined]])
    if "enum" in schema or "const" in schema:
        return st.sampled_from(schema.get("enum") or [schema["const"]])
    match schema.get("type"):
        case "string":
            return _strings(schema)
        case "integer":
            return st.integers(_bound(schema, "inimum", +1), _bound(schema, "aximum", -1))
        case "number":
            return st.floats(schema.get("minimum"), schema.get("maximum"), allow_nan=False, allow_infinity=False)
        case "boolean":
            return st.booleans()
        case "null":
            return st.none()
        case "array":
            return _arrays(schema, schemas, depth)
        case "object":
            return _objects(schema, schemas, depth)
        case _:
            return _JUNK


def _strings(schema: Schema) -> st.SearchStrategy[str]:
    examples = [one for one in schema.get("examples", ()) if isinstance(one, str)]
    shortest, longest = schema.get("minLength", 0), min(schema.get("maxLength", _MAX_TEXT), _MAX_TEXT)
    if "pattern" in schema:
        made = st.from_regex(schema["pattern"], fullmatch=True).filter(lambda text: len(text) <= longest)
    elif schema.get("format") in _FORMATS:
        made = _FORMATS[schema["format"]]
    else:
        made = st.text(
            st.characters(exclude_categories=["Cs"]), min_size=shortest, max_size=min(longest, shortest + 30)
        )
    return st.one_of(st.sampled_from(examples), made) if examples else made


def _bound(schema: Schema, name: str, step: int) -> int | None:
    if f"m{name}" in schema:
        return int(schema[f"m{name}"])
    exclusive = schema.get(f"exclusiveM{name}")
    return None if exclusive is None else int(exclusive) + step


def _arrays(schema: Schema, schemas: Schema, depth: int) -> st.SearchStrategy[list[Any]]:
    shortest = schema.get("minItems", 0)
    longest = shortest if depth >= _MAX_DEPTH else min(schema.get("maxItems", 3), shortest + 3)
    if "prefixItems" in schema:
        return st.tuples(*(schema_values(one, schemas, depth + 1) for one in schema["prefixItems"])).map(list)
    return st.lists(schema_values(schema.get("items", {}), schemas, depth + 1), min_size=shortest, max_size=longest)


def _objects(schema: Schema, schemas: Schema, depth: int) -> st.SearchStrategy[dict[str, Any]]:
    properties: Schema = schema.get("properties", {})
    required = set(schema.get("required", ()))
    known = {name: schema_values(one, schemas, depth + 1) for name, one in properties.items()}
    optional = {} if depth >= _MAX_DEPTH else {name: one for name, one in known.items() if name not in required}
    return st.fixed_dictionaries({name: known[name] for name in required if name in known}, optional=optional)


def _spoilt(value: Any, name: str, junk: Any) -> Any:
    """Return the object with one field replaced, or with one that is not defined."""
    if not isinstance(value, dict):
        return junk
    fields: dict[str, Any] = value
    return fields | {sorted(fields)[len(name) % len(fields)] if fields and len(name) % 2 else name: junk}


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)
