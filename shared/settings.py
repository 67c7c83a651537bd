"""The base class of settings, and shared setting types. Stricter than pydantic's defaults."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

from shared.geometry import Point, Ratio, polygon_area

PointSetting = tuple[Ratio, Ratio]
"""A point in the image as ``[x, y]``, normalised to 0..1."""

_MIN_AREA = 1e-6
Corners = TypeVar("Corners", bound=Sequence[Sequence[float]])


class Settings(BaseModel):
    """Base class of settings. Unknown names, booleans for numbers, infinity and NaN are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _reject_booleans(cls, value: Any, info: ValidationInfo) -> Any:
        """Reject ``true`` and ``false``, which Python treats as 1 and 0, unless the setting is boolean."""
        annotation = cls.model_fields[info.field_name].annotation if info.field_name else None
        if any(isinstance(part, bool) for part in _parts(value)) and not _accepts_booleans(annotation):
            raise ValueError(f"{info.field_name} cannot be true or false; write a number or a string")
        return value


def require_area(corners: Corners) -> Corners:
    """Return the corners of a polygon, normalised to 0..1. Raises ValueError if they enclose no area."""
    if polygon_area([Point(*corner) for corner in corners]) < _MIN_AREA:
        raise ValueError("the polygon has no area; give at least three corners, in order along its edge")
    return corners


def duplicate_names(names: Sequence[str]) -> str:
    """Return names that occur twice or differ only in case, as text; "" if there are none.

    Users, some file systems and many searches do not distinguish such names.
    """
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(name.casefold(), []).append(name)
    return ", ".join(" and ".join(dict.fromkeys(group)) for _, group in sorted(alike.items()) if len(group) > 1)


def _parts(value: Any) -> Iterator[Any]:
    """Yield a value and all items of its lists. Values of a table are validated by its own settings class."""
    yield value
    if isinstance(value, list | tuple):
        for part in value:
            yield from _parts(part)
    elif isinstance(value, Mapping):
        yield from value.values()


def _accepts_booleans(annotation: Any) -> bool:
    """Return whether a value of this type may contain booleans. Nested settings validate themselves."""
    if annotation is bool or annotation is Any:
        return True
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return True
    return any(_accepts_booleans(inner) for inner in getattr(annotation, "__args__", ()))
