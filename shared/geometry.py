"""Boxes and polygons as they travel on the wire: normalised to the picture, 0..1, origin at the top left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

Ratio = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]


class BoundingBox(BaseModel):
    """``x``, ``y`` of the top left corner, ``width`` and ``height``, all as shares of the picture's size."""

    model_config = ConfigDict(extra="allow")

    x: Ratio
    y: Ratio
    width: Ratio
    height: Ratio

    @classmethod
    def from_xyxy(cls, xyxy: Sequence[float], *, width_px: float, height_px: float) -> BoundingBox:
        """Make one from pixel corners, clipped to the picture and rounded to six digits."""
        left, right = (min(max(float(value) / width_px, 0.0), 1.0) for value in (xyxy[0], xyxy[2]))
        top, bottom = (min(max(float(value) / height_px, 0.0), 1.0) for value in (xyxy[1], xyxy[3]))
        return cls(
            x=round(left, 6),
            y=round(top, 6),
            width=round(max(right - left, 0.0), 6),
            height=round(max(bottom - top, 0.0), 6),
        )


class Point(NamedTuple):
    """A place in the picture, in the unit of whoever made it."""

    x: float
    y: float


def polygon_contains(polygon: Sequence[Point], point: Point) -> bool:
    """Tell whether ``point`` lies inside ``polygon`` (even-odd rule; the edge itself may fall either way)."""
    inside = False
    previous = polygon[-1]
    for corner in polygon:
        if (corner.y > point.y) != (previous.y > point.y):
            crossing = (previous.x - corner.x) * (point.y - corner.y) / (previous.y - corner.y) + corner.x
            if point.x < crossing:
                inside = not inside
        previous = corner
    return inside


def crossing_side(start: Point, end: Point, before: Point, after: Point) -> int:
    """Return +1 or -1 when the step ``before → after`` crosses the segment ``start → end``, else 0.

    +1 is a crossing from the left of the line to its right, looking from ``start`` to ``end`` in picture
    coordinates (y grows downwards).
    """
    side_before = _side(start, end, before)
    if side_before == 0 or _side(start, end, after) == side_before:
        return 0
    if _side(before, after, start) * _side(before, after, end) > 0:
        return 0
    return 1 if side_before < 0 else -1


def _side(start: Point, end: Point, point: Point) -> int:
    """Return -1, 0 or +1: the sign alone, since products of tiny distances vanish."""
    cross = (end.x - start.x) * (point.y - start.y) - (end.y - start.y) * (point.x - start.x)
    return (cross > 0) - (cross < 0)
