"""Describes the problems of a configuration file, with the place of each."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from shared.errors import ConfigurationError
from shared.ids import SEGMENT_PATTERN
from shared.redact import redact_value


def invalid_file(path: Path, problems: Sequence[str]) -> ConfigurationError:
    """Return the error for a file with these problems, one per line."""
    lines = "\n".join(f"  - {problem}" for problem in problems)
    return ConfigurationError(f"{path} is not valid:\n{lines}")


def describe(error: ValidationError, data: Mapping[str, Any], *, model: type[BaseModel]) -> list[str]:
    """Return one line per problem of a pydantic error: its place, the problem, and the nearest valid name of a setting.

    ``data`` is the input that ``model`` rejected.
    """
    return [_problem(item, data, model) for item in error.errors(include_url=False, include_context=False)]


def _problem(item: Any, data: Mapping[str, Any], model: type[BaseModel]) -> str:
    location: Sequence[str | int] = item["loc"]
    where = place_of(location, data)
    if item["type"] == "missing":
        return f"{where}: is missing"
    if item["type"] == "extra_forbidden":
        known = _known_names(location[:-1], model)
        near = difflib.get_close_matches(str(location[-1]), known, n=1)
        hint = (
            f"; did you mean {near[0]}?" if near else f"; valid names are {', '.join(sorted(known))}" if known else ""
        )
        return f"{where}: unknown setting{hint}"
    message = str(item["msg"]).removeprefix("Value error, ")
    if SEGMENT_PATTERN in message:
        message = "use 1 to 100 of the letters A-Z and a-z, digits, - and _"
    given = item.get("input")
    safe = redact_value(given) if isinstance(given, str) else given
    shown = f" (it is {safe!r})" if isinstance(given, str | int | float | bool) and not _secret(location) else ""
    return f"{where}: {message}{shown}"


def _secret(location: Sequence[str | int]) -> bool:
    return any(word in str(part) for part in location for word in ("password", "secret", "token", "key"))


def place_of(location: Sequence[str | int], data: Any) -> str:
    """Return a location as text: ``cameras[1] (front-door).motion.threshold``."""
    parts: list[str] = []
    value: Any = data
    for part in location:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            value = None
        if isinstance(part, int):
            name = value.get("id") or value.get("name") if isinstance(value, dict) else None
            parts.append(f"[{part + 1}]" + (f" ({name})" if isinstance(name, str) else ""))
        else:
            parts.append(("." if parts else "") + part)
    return "".join(parts) or "the file"


def _known_names(location: Sequence[str | int], root: type[BaseModel]) -> list[str]:
    model: Any = root
    for part in location:
        if isinstance(part, int):
            continue
        field = getattr(model, "model_fields", {}).get(part)
        if field is None:
            return []
        model = model_in(field.annotation)
    return list(getattr(model, "model_fields", {}))


def model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the pydantic model in an annotation such as ``X | None`` or ``list[X]``, or None."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        if (found := model_in(inner)) is not None:
            return found
    return None
