"""Reads ``event_data`` that was not validated: each reader checks the type of the field.

Devices may add fields of any name and type (``extra="allow"`` in ``shared.events``): a ``motion`` event may contain an
``anpr_result`` with the text ``none``. Only ``event_type`` decides which fields are typed. Code that reads
stored events selects the fields by type and reads them through this class.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Self, cast


class UntypedData:
    """A JSON object of unknown structure. Every reader returns None if the field has another type."""

    __slots__ = ("_fields",)

    def __init__(self, value: object) -> None:
        """Accept any JSON value. A value that is not an object has no fields."""
        self._fields: Mapping[str, Any] = cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Parse JSON text; numbers or nesting that Python cannot parse give an empty object."""
        try:
            return cls(json.loads(text))
        except (ValueError, RecursionError):
            return cls(None)

    def text(self, name: str) -> str | None:
        """Return a string."""
        value = self._fields.get(name)
        return value if isinstance(value, str) else None

    def number(self, name: str) -> float | None:
        """Return a finite number. Booleans are not numbers."""
        value = self._fields.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        try:
            return value if math.isfinite(value) else None
        except OverflowError:  # an integer beyond the range of a float
            return None

    def part(self, name: str) -> UntypedData:
        """Return the object in a field; an empty one if there is none."""
        return UntypedData(self._fields.get(name))

    def parts(self, name: str) -> list[UntypedData]:
        """Return the objects in a list; empty if there is none."""
        value = self._fields.get(name)
        return [UntypedData(item) for item in cast("list[object]", value)] if isinstance(value, list) else []
