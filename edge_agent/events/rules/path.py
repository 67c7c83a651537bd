"""The path of one object through the picture, simplified to a few points with their times.

The simplification is that of Douglas and Peucker with the synchronized Euclidean distance (Meratnia and de By,
"Spatiotemporal compression techniques for moving point objects", 2004). It preserves stops as well as turns.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush

from edge_agent.events.rule_types import PathPoint

MAX_POINTS = 32
_BUFFER_POINTS = 256
"""Number of buffered points above which the path is simplified to half as many."""
_MIN_DEVIATION = 0.005
"""Minimum distance of a point from the simplified path at its time, as a fraction of the picture's size."""


class TrackPath:
    """Collects the points of one object; at most ``_BUFFER_POINTS`` are held."""

    def __init__(self) -> None:
        self._points: list[PathPoint] = []

    def add(self, point: PathPoint) -> None:
        """Add the next point, at a later time."""
        self._points.append(point)
        if len(self._points) > _BUFFER_POINTS:
            self._points = simplify(self._points, max_points=_BUFFER_POINTS // 2, min_deviation=0.0)

    def simplified(self) -> list[PathPoint]:
        """Return at most ``MAX_POINTS`` points, including the first and the last."""
        return simplify(self._points)


def simplify(
    points: Sequence[PathPoint], *, max_points: int = MAX_POINTS, min_deviation: float = _MIN_DEVIATION
) -> list[PathPoint]:
    """Return at most ``max_points`` (two or more) of the points in order of time: those that deviate most."""
    if len(points) <= 2:
        return list(points)
    kept = {0, len(points) - 1}
    spans: list[tuple[float, int, int, int]] = []
    _push(spans, points, 0, len(points) - 1)
    while spans and len(kept) < max_points:
        negative_deviation, first, worst, last = heappop(spans)
        if -negative_deviation <= min_deviation:
            break
        kept.add(worst)
        _push(spans, points, first, worst)
        _push(spans, points, worst, last)
    return [points[number] for number in sorted(kept)]


def _push(spans: list[tuple[float, int, int, int]], points: Sequence[PathPoint], first: int, last: int) -> None:
    """Add the point between two kept points that deviates most from the straight line between them."""
    if last - first < 2:
        return
    begin, end = points[first], points[last]
    length_s = end.time_s - begin.time_s
    deviation, worst = -1.0, first
    for number in range(first + 1, last):
        point = points[number]
        share = (point.time_s - begin.time_s) / length_s if length_s > 0.0 else 0.0
        away_x = point.x - begin.x - share * (end.x - begin.x)
        away_y = point.y - begin.y - share * (end.y - begin.y)
        away = (away_x * away_x + away_y * away_y) ** 0.5
        if away > deviation:
            deviation, worst = away, number
    heappush(spans, (-deviation, first, worst, last))
