"""The base of all settings: what pydantic would quietly make the best of is refused here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

from shared.geometry import Point, polygon_area

_SMALLEST_AREA = 1e-6
Corners = TypeVar("Corners", bound=Sequence[Sequence[float]])


class Settings(BaseModel):
    """Settings that a person writes: unknown names, ``true`` for a number, infinity and NaN are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse ``true`` and ``false``, which are 1 and 0 to Python, where the setting is not one of yes or no."""
        annotation = cls.model_fields[info.field_name].annotation if info.field_name else None
        if any(isinstance(part, bool) for part in _parts(value)) and not _takes_truth(annotation):
            raise ValueError(f"true and false are no values of {info.field_name}; write a number or a text")
        return value


def require_area(corners: Corners) -> Corners:
    """Return the corners of a polygon, shares of the picture; raise ValueError where they enclose no area."""
    if polygon_area([Point(*corner) for corner in corners]) < _SMALLEST_AREA:
        raise ValueError("the polygon has no area; give at least three corners, in order along its edge")
    return corners


def duplicate_names(names: Sequence[str]) -> str:
    """Return the names that occur twice, or differ only in capital letters, as a text; "" where none do.

    Such names are the same to a person, in a folder of some systems and in many a search.
    """
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(name.casefold(), []).append(name)
    return ", ".join(" and ".join(dict.fromkeys(group)) for _, group in sorted(alike.items()) if len(group) > 1)


def _parts(value: Any) -> Iterator[Any]:
    """Yield a value and everything in its lists; a table is looked at by the settings that it becomes."""
    yield value
    if isinstance(value, list | tuple):
        for part in value:
            yield from _parts(part)
    elif isinstance(value, Mapping):
        yield from value.values()


def _takes_truth(annotation: Any) -> bool:
    """Return whether yes or no may stand somewhere in a value of this type; settings inside it check their own."""
    if annotation is bool or annotation is Any:
        return True
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return True
    return any(_takes_truth(inner) for inner in getattr(annotation, "__args__", ()))
