"""Reading ``event_data`` that only passed through: a field is taken for what it is, never for what it should be.

Devices may add fields of any name and form (``extra="allow"`` in ``shared.events``), so a ``motion`` event may carry an
``anpr_result`` that is the text ``none``. Which fields are typed follows from ``event_type`` alone; whoever reads
stored events looks up by type which fields to read, and reads them through this.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Self, cast


class UntypedData:
    """A JSON object of which nothing is known. Every reader returns None where the field is of another kind."""

    __slots__ = ("_fields",)

    def __init__(self, value: object) -> None:
        """Take any JSON value; what is no object has no fields."""
        self._fields: Mapping[str, Any] = cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Parse JSON text; numbers too long and nesting too deep for Python read as an empty object."""
        try:
            return cls(json.loads(text))
        except (ValueError, RecursionError):
            return cls(None)

    def text(self, name: str) -> str | None:
        """Return a text."""
        value = self._fields.get(name)
        return value if isinstance(value, str) else None

    def number(self, name: str) -> float | None:
        """Return a finite number; true and false are none."""
        value = self._fields.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        try:
            return value if math.isfinite(value) else None
        except OverflowError:  # an integer beyond what a float holds
            return None

    def part(self, name: str) -> UntypedData:
        """Return the object in a field, without fields where there is none."""
        return UntypedData(self._fields.get(name))

    def parts(self, name: str) -> list[UntypedData]:
        """Return the objects in a list, empty where there is none."""
        value = self._fields.get(name)
        return [UntypedData(item) for item in cast("list[object]", value)] if isinstance(value, list) else []
