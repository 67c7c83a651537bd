"""Boxes, polygons and polylines. On the wire they are normalised to 0..1, with the origin at the top left."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

Ratio = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]


class BoundingBox(BaseModel):
    """``x``, ``y`` of the top left corner, ``width`` and ``height``, normalised to the image size."""

    model_config = ConfigDict(extra="allow")

    x: Ratio
    y: Ratio
    width: Ratio
    height: Ratio

    @classmethod
    def from_xyxy(cls, xyxy: Sequence[float], *, width_px: float, height_px: float) -> BoundingBox:
        """Convert pixel corners ``(x1, y1, x2, y2)``: clipped to the image, normalised, rounded to six digits."""
        left, right = (min(max(float(value) / width_px, 0.0), 1.0) for value in (xyxy[0], xyxy[2]))
        top, bottom = (min(max(float(value) / height_px, 0.0), 1.0) for value in (xyxy[1], xyxy[3]))
        return cls(
            x=round(left, 6),
            y=round(top, 6),
            width=round(max(right - left, 0.0), 6),
            height=round(max(bottom - top, 0.0), 6),
        )


class Point(NamedTuple):
    """A point in the image, in pixels or normalised to 0..1 as the caller chooses."""

    x: float
    y: float


_ON_EDGE = 1e-12
"""A point within this squared distance of an edge counts as on the edge. Absorbs rounding errors."""


def polygon_contains(polygon: Sequence[Point], point: Point) -> bool:
    """Return whether ``point`` is inside ``polygon`` or on any of its edges or corners (even-odd rule)."""
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
    """Return the distance of ``point`` from ``polygon``; 0 inside and on the edge."""
    if polygon_contains(polygon, point):
        return 0.0
    edges = zip((polygon[-1], *polygon), polygon, strict=False)
    return min(_squared_distance(start, end, point) for start, end in edges) ** 0.5


def polygon_area(polygon: Sequence[Point]) -> float:
    """Return the enclosed area. Where edges intersect, parts with the opposite orientation count as negative."""
    pairs = zip((polygon[-1], *polygon), polygon, strict=False)
    return abs(sum(start.x * end.y - end.x * start.y for start, end in pairs)) / 2.0


def edge_crossings(polygon: Sequence[Point], start: Point, end: Point) -> list[float]:
    """Return where the step ``start → end`` crosses the polygon's edges, as ascending fractions (0..1) of the step."""
    step_x, step_y = end.x - start.x, end.y - start.y
    fractions: list[float] = []
    previous = polygon[-1]
    for corner in polygon:
        edge_x, edge_y = corner.x - previous.x, corner.y - previous.y
        cross = step_x * edge_y - step_y * edge_x
        if cross != 0.0:
            from_x, from_y = previous.x - start.x, previous.y - start.y
            along_step = (from_x * edge_y - from_y * edge_x) / cross
            along_edge = (from_x * step_y - from_y * step_x) / cross
            if 0.0 <= along_step <= 1.0 and 0.0 <= along_edge <= 1.0:
                fractions.append(along_step)
        previous = corner
    return sorted(fractions)


def signed_distance(polyline: Sequence[Point], point: Point) -> float:
    """Return the distance of ``point`` from ``polyline``: positive on its right, negative on its left, 0 on it.

    Right and left are as seen from the first point towards the last, in image coordinates (y increases downwards). The
    first and the last segment of an open polyline extend to infinity, so that every point has a side.
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
        # At a corner two segments are equally near. The one with the larger perpendicular distance gives the side.
        if distance < nearest - 1e-9 or (distance < nearest + 1e-9 and abs(across) > abs(facing)):
            nearest, facing = distance, across
    return nearest if facing > 0.0 else -nearest


def polyline_distance(polyline: Sequence[Point], point: Point) -> float:
    """Return the distance of ``point`` from ``polyline``, whose end segments are not extended."""
    return min(_squared_distance(start, end, point) for start, end in pairwise(polyline)) ** 0.5


class PolylineCrossing(NamedTuple):
    """Where a step crosses a polyline."""

    share: float
    """Position of the crossing on the step, as a fraction of its length (0..1)."""
    to_right: bool
    """Whether the step goes from left to right, as seen from the polyline's first point towards its last."""


def polyline_crossings(polyline: Sequence[Point], start: Point, end: Point) -> list[PolylineCrossing]:
    """Return the crossings of ``polyline``, ends included, by the step ``start → end``, in the order of the step.

    A step through a corner counts as one crossing. A step that only touches a corner counts as two opposite crossings
    or as none, so the crossings to the right and to the left cancel out. A point exactly on a segment always counts as
    left of it.
    """
    sides = _corner_sides(polyline, start, end)
    crossings: list[PolylineCrossing] = []
    for number, (first, second) in enumerate(pairwise(polyline)):
        if sides[number] == sides[number + 1]:
            continue
        before, after = _across(first, second, start), _across(first, second, end)
        is_along = max(abs(before), abs(after)) <= _ON_EDGE
        if (before > 0.0) != (after > 0.0) and not is_along:
            crossings.append(PolylineCrossing(share=before / (before - after), to_right=after > 0.0))
    return sorted(crossings)


def _corner_sides(polyline: Sequence[Point], start: Point, end: Point) -> list[int]:
    """Return the side (-1 left, +1 right) of each corner relative to the straight line through the step.

    No corner is on the line: a corner exactly on it counts as right of it, and an end point exactly on it counts as
    opposite to its neighbour. A step through a corner therefore crosses one segment only.
    """
    sides = [_side(start, end, corner) for corner in polyline]
    inner = [side or 1 for side in sides]
    if polyline[0] != polyline[-1]:
        inner[0] = sides[0] or -inner[1]
        inner[-1] = sides[-1] or -inner[-2]
    return inner


def _across(start: Point, end: Point, point: Point) -> float:
    """Return the cross product: positive if ``point`` is right of the line ``start → end``, negative if left of it."""
    return (end.x - start.x) * (point.y - start.y) - (end.y - start.y) * (point.x - start.x)


def _side(start: Point, end: Point, point: Point) -> int:
    """Return -1 if ``point`` is left of the line, +1 if right, 0 if on it (within the rounding tolerance)."""
    cross = _across(start, end, point)
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
