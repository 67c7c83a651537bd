"""``python -m edge_agent.cli.config_reference FILE``: generates the configuration reference from the settings."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from edge_agent.config import AgentConfig
from edge_agent.config.problems import model_in

INTRODUCTION = """\
# Configuration of the edge agent

The configuration is one TOML file. `edge-agent check --config agent.toml` lists its problems, and
`edge-agent check --example` prints an example. Each camera has a table `[[cameras]]`. Tables with a dot in their name
belong to the camera above them: write `[cameras.motion]` after its `[[cameras]]`. A file without `[[cameras]]` needs
only `site_id`, `device_id`, `[mqtt]` and, for pictures, `[s3]`: its cameras are those of the API
([provisioning](../guide/provisioning.md#4-configure)).

This page is generated from the settings by `make schemas`.
"""


def render() -> str:
    """Return the page as Markdown."""
    return INTRODUCTION + "".join(_section("", AgentConfig))


def _section(path: str, model: type[BaseModel]) -> Iterator[str]:
    fields = model.model_fields
    plain = {name: field for name, field in fields.items() if model_in(field.annotation) is None}
    nested = {name: field for name, field in fields.items() if name not in plain}
    heading = f"`[{path}]`" if path else "Top level"
    yield f"\n## {heading}\n\n{_first_paragraph(model)}\n"
    if plain:
        yield "\n| setting | default | description |\n| --- | --- | --- |\n"
        for name, field in plain.items():
            yield f"| `{name}` | {_default(field)} | {_described(field)} |\n"
    for name, field in nested.items():
        inner = model_in(field.annotation)
        if inner is not None:
            yield from _section(f"{path}.{name}" if path else name, inner)


def _first_paragraph(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split("\n\n")[0].split())


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined or value is None:
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, str | Path):
        return f'`"{value}"`'
    if isinstance(value, tuple | list):
        return f"`{_as_toml(value)}`" if value else "`[]`"
    return f"`{value}`" if not isinstance(value, dict) else "`{}`"


def _as_toml(value: Any) -> str:
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_as_toml(item) for item in value) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _described(field: FieldInfo) -> str:
    text = " ".join((field.description or "").split())
    bounds = _bounds(field)
    return f"{text} {bounds}".strip().replace("|", "\\|")


def _bounds(field: FieldInfo) -> str:
    bounds: list[str] = []
    for limit in field.metadata:
        for name, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<")):
            value = getattr(limit, name, None)
            if value is not None:
                bounds.append(f"{sign} {value:g}" if isinstance(value, int | float) else f"{sign} {value}")
    choices = getattr(field.annotation, "__args__", ()) if "Literal" in str(field.annotation) else ()
    named = [str(choice) for choice in choices if isinstance(choice, str)]
    if named:
        bounds.append("one of " + ", ".join(f"`{choice}`" for choice in named))
    return f"({'; '.join(bounds)})" if bounds else ""


def main() -> int:
    """Write the page to the file given on the command line."""
    Path(sys.argv[1]).write_text(render(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
