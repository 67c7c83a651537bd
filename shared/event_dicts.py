"""The same contract as ``shared.events``, checked into plain dicts: twice as quick, for whoever only passes events on.

Ingest looks at a dozen fields of an event and hands the rest to the database as text. Building the pydantic objects
for that took 15 µs an event; checking into dicts takes 9, and writing ``event_data`` back out of a dict takes half of
what it takes out of an object. The checks are not written twice: pydantic's own schema of the event union is taken, and
only what it *builds* is exchanged. ``tests/contract/test_event_dicts.py`` holds the two to the same verdict.
"""

from __future__ import annotations

from typing import Any, Final, cast

from pydantic import ValidationError
from pydantic_core import SchemaValidator

from shared.errors import ContractError
from shared.events import EVENT_ADAPTER, check_raw_event, contract_error

EventDict = dict[str, Any]
"""An event, defaults filled in: ``event_id`` is a UUID, times are aware datetimes, the rest is as JSON has it."""


def parse_event_dict(payload: bytes) -> EventDict:
    """Parse one wire message; raise ContractError for exactly what ``shared.events.parse_event`` raises it for."""
    check_raw_event(payload)
    try:
        return _VALIDATOR.validate_json(payload)
    except ValidationError as error:
        raise contract_error(error) from error


def _building_dicts(schema: Any) -> Any:
    """Return a core schema that makes a dict wherever ``schema`` makes a model.

    Raises ContractError when made from a schema with something this does not know, rather than checking less.
    """
    if isinstance(schema, list):
        return [_building_dicts(item) for item in cast(list[Any], schema)]
    if not isinstance(schema, dict):
        return schema
    node = cast(dict[str, Any], schema)
    if node.get("type") == "model":
        return _typed_dict(node)
    return {name: _building_dicts(value) for name, value in node.items() if name not in _NOT_FOR_CHECKING}


def _typed_dict(model: dict[str, Any]) -> dict[str, Any]:
    inner = model["schema"]
    if inner["type"] != "model-fields":
        raise ContractError(f"a model with a {inner['type']} inside cannot be checked into a dict")
    fields = {
        name: {
            "type": "typed-dict-field",
            "schema": _building_dicts(field["schema"]),
            "required": field["schema"]["type"] != "default",
        }
        for name, field in inner["fields"].items()
    }
    extra = model.get("config", {}).get("extra_fields_behavior", "ignore")
    reference = {"ref": model["ref"]} if "ref" in model else {}
    return {"type": "typed-dict", "fields": fields, "extra_behavior": extra, **reference}


_NOT_FOR_CHECKING: Final = frozenset({"serialization", "metadata"})
_VALIDATOR: Final = SchemaValidator(_building_dicts(EVENT_ADAPTER.core_schema))
