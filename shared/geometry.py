"""Boxes and polygons as they travel on the wire: normalised to the picture, 0..1, origin at the top left."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
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


_ON_EDGE = 1e-12
"""Squared-distance tolerance within which a point lies on an edge, whatever rounding did to it."""


def polygon_contains(polygon: Sequence[Point], point: Point) -> bool:
    """Return whether ``point`` lies inside ``polygon`` or on any of its edges or corners (even-odd rule)."""
    inside = False
    previous = polygon[-1]
    for corner in polygon:
        if _squared_distance(previous, corner, point) <= _ON_EDGE:
            return True
        if (corner.y > point.y) != (previous.y > point.y):
            crossing = (previous.x - corner.x) * (point.y - corner.y) / (previous.y - corner.y) + corner.x
            if point.x < crossing:
                inside = not inside
        previous = corner
    return inside


def polygon_distance(polygon: Sequence[Point], point: Point) -> float:
    """Return how far ``point`` is from ``polygon``; 0 inside and on the edge."""
    if polygon_contains(polygon, point):
        return 0.0
    edges = zip((polygon[-1], *polygon), polygon, strict=False)
    return min(_squared_distance(start, end, point) for start, end in edges) ** 0.5


def polygon_area(polygon: Sequence[Point]) -> float:
    """Return the area that the corners enclose; parts run through in the opposite sense count negative."""
    pairs = zip((polygon[-1], *polygon), polygon, strict=False)
    return abs(sum(start.x * end.y - end.x * start.y for start, end in pairs)) / 2.0


def cut_points(polygon: Sequence[Point], start: Point, end: Point) -> list[float]:
    """Return where the step ``start → end`` meets the polygon's edges, as ascending shares (0..1) of the step."""
    step_x, step_y = end.x - start.x, end.y - start.y
    shares: list[float] = []
    previous = polygon[-1]
    for corner in polygon:
        edge_x, edge_y = corner.x - previous.x, corner.y - previous.y
        cross = step_x * edge_y - step_y * edge_x
        if cross != 0.0:
            from_x, from_y = previous.x - start.x, previous.y - start.y
            along_step = (from_x * edge_y - from_y * edge_x) / cross
            along_edge = (from_x * step_y - from_y * step_x) / cross
            if 0.0 <= along_step <= 1.0 and 0.0 <= along_edge <= 1.0:
                shares.append(along_step)
        previous = corner
    return sorted(shares)


def signed_distance(polyline: Sequence[Point], point: Point) -> float:
    """Return how far ``point`` is from ``polyline``: positive on its right, negative on its left, 0 on it.

    Right and left are those of somebody who looks from the first point to the last, in picture coordinates (y grows
    downwards). The first and the last segment are prolonged without end, so that every place has a side; not so where
    the line ends at its beginning.
    """
    closed = polyline[0] == polyline[-1]
    nearest, facing = float("inf"), 0.0
    last = len(polyline) - 2
    for number in range(last + 1):
        start, end = polyline[number], polyline[number + 1]
        step_x, step_y = end.x - start.x, end.y - start.y
        length = (step_x * step_x + step_y * step_y) ** 0.5
        from_x, from_y = point.x - start.x, point.y - start.y
        along = (from_x * step_x + from_y * step_y) / length
        across = (step_x * from_y - step_y * from_x) / length
        before = max(-along, 0.0) if number or closed else 0.0
        beyond = max(along - length, 0.0) if number < last or closed else 0.0
        distance = (across * across + (before + beyond) ** 2) ** 0.5
        # At a corner two segments are equally near: the one that faces the point decides on the side.
        if distance < nearest - 1e-9 or (distance < nearest + 1e-9 and abs(across) > abs(facing)):
            nearest, facing = distance, across
    return nearest if facing > 0.0 else -nearest


def meets(polyline: Sequence[Point], start: Point, end: Point) -> bool:
    """Return whether the step ``start → end`` touches or crosses ``polyline`` itself, its ends included."""
    return any(
        _sides_differ(first, second, start, end) and _sides_differ(start, end, first, second)
        for first, second in pairwise(polyline)
    )


def _sides_differ(start: Point, end: Point, first: Point, second: Point) -> bool:
    """Return whether two points are on different sides of a straight line, or either of them on it."""
    return _side(start, end, first) * _side(start, end, second) <= 0


def _side(start: Point, end: Point, point: Point) -> int:
    """Return -1, 0 or +1: the sign alone, since products of tiny distances vanish."""
    cross = (end.x - start.x) * (point.y - start.y) - (end.y - start.y) * (point.x - start.x)
    return (cross > _ON_EDGE) - (cross < -_ON_EDGE)


def _squared_distance(start: Point, end: Point, point: Point) -> float:
    step_x, step_y = end.x - start.x, end.y - start.y
    squared = step_x * step_x + step_y * step_y
    along = 0.0
    if squared > 0.0:
        along = ((point.x - start.x) * step_x + (point.y - start.y) * step_y) / squared
        along = min(max(along, 0.0), 1.0)
    away_x, away_y = point.x - (start.x + along * step_x), point.y - (start.y + along * step_y)
    return away_x * away_x + away_y * away_y
