"""The schemas of the OpenAPI document as Python ``TypedDict`` classes."""

from __future__ import annotations

import keyword
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

Schema = Mapping[str, Any]

_HEADER: Final = '''\
"""Types of the API's requests and responses. ``make schemas`` writes this file from the OpenAPI document."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict
'''
_SCALARS: Final = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
_WIDTH: Final = 110


def python_types(document: Mapping[str, Any]) -> str:
    """Return the module's text."""
    schemas: Mapping[str, Schema] = document["components"]["schemas"]
    names = _class_names(schemas)
    classes = [
        _class(names[name], schema, names) for name, schema in sorted(schemas.items(), key=lambda i: names[i[0]])
    ]
    return "\n\n".join([_HEADER, *classes])


def _class_names(schemas: Mapping[str, Schema]) -> dict[str, str]:
    """Return a class name for each schema. One that two modules define begins with the name of its resource."""
    short = {name: name.rsplit("__", 1)[-1] for name in schemas}
    uses = Counter(short.values())
    return {
        name: last if uses[last] == 1 or "__" not in name else f"{_resource(name)}{last}"
        for name, last in short.items()
    }


def _resource(name: str) -> str:
    # cloud_functions__api__RESOURCE__responses__Class
    return name.split("__")[-3].title().replace("_", "")


def _class(name: str, schema: Schema, names: Mapping[str, str]) -> str:
    if "properties" not in schema:
        return f"{name} = {_type(schema, names)}\n"
    lines = [f"class {name}(TypedDict):", *_docstring(schema.get("description", ""))]
    required = schema.get("required", ())
    fields = [
        field for field in schema["properties"].items() if field[0].isidentifier() and not keyword.iskeyword(field[0])
    ]
    for field, content in fields:
        kind = _type(content, names)
        lines.append(f"    {field}: {kind if field in required else f'NotRequired[{kind}]'}")
    if not fields and len(lines) == 1:
        lines.append("    pass")
    return "\n".join(lines) + "\n"


def _docstring(description: str) -> Iterator[str]:
    text = " ".join(description.split()).replace('"""', "'''").replace("\\", "\\\\")
    if not text:
        return
    lines = textwrap.wrap(text, _WIDTH)
    if len(lines) == 1:
        yield f'    """{lines[0]}"""'
    else:
        yield f'    """{lines[0]}'
        yield from (f"    {line}" for line in lines[1:])
        yield '    """'
    yield ""


def _literal(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _type(schema: Schema, names: Mapping[str, str]) -> str:
    """Return the annotation for a schema."""
    if "$ref" in schema:
        return names[schema["$ref"].rsplit("/", 1)[1]]
    if allowed := schema.get("enum") or ([schema["const"]] if "const" in schema else []):
        return f"Literal[{', '.join(map(_literal, allowed))}]"
    variants = schema.get("anyOf") or schema.get("oneOf")
    if variants:
        return " | ".join(dict.fromkeys(_type(variant, names) for variant in variants))
    kind = schema.get("type")
    if kind == "array":
        return f"list[{_type(schema['items'], names)}]" if "items" in schema else "list[Any]"
    if kind == "object":
        values = schema.get("additionalProperties")
        return f"dict[str, {_type(cast('Schema', values), names)}]" if isinstance(values, Mapping) else "dict[str, Any]"
    return _SCALARS.get(str(kind), "Any")
