"""Writes settings as TOML; the standard library can only read it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any


def toml_lines(settings: Mapping[str, Any], *, table: str) -> Iterator[str]:
    """Yield the lines of ``settings`` for the open ``table``: its plain values, then a sub-table for each mapping.

    Values are JSON values except null, which TOML does not have: leave such settings out.
    """
    yield from (f"{name} = {toml_value(value)}" for name, value in settings.items() if not isinstance(value, Mapping))
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from ("", f"[{table}.{name}]")
            yield from (f"{key} = {toml_value(inner)}" for key, inner in value.items())


def toml_value(value: Any) -> str:
    """Return one value on one line; objects become inline tables."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{toml_value(key)} = {toml_value(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    # JSON strings, numbers and booleans are valid TOML, except that TOML requires DEL to be escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
