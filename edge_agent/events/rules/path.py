"""The way of one object through the picture, simplified to a few points with their times.

Points are kept by how much they matter in place and time together (the synchronized Euclidean distance of Meratnia and
de By, "Spatiotemporal compression techniques for moving point objects", 2004, in the manner of Douglas and Peucker), so
that stops survive as well as turns.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush

from edge_agent.events.rule_types import PathPoint

MOST_POINTS = 32
_KEPT_POINTS = 256
"""Points remembered before they are thinned out to half as many."""
_LEAST_DEVIATION = 0.005
"""A point nearer than this, in shares of the picture, to where the simplified path has it at that time says nothing."""


class TrackPath:
    """Collects the points of one object, at most ``_KEPT_POINTS`` of them however long it stays."""

    def __init__(self) -> None:
        self._points: list[PathPoint] = []

    def add(self, point: PathPoint) -> None:
        """Take in the next point, at a later time."""
        self._points.append(point)
        if len(self._points) > _KEPT_POINTS:
            self._points = simplify(self._points, most=_KEPT_POINTS // 2, least_deviation=0.0)

    def simplified(self) -> list[PathPoint]:
        """Return the path with at most ``MOST_POINTS`` points; the first and the last are among them."""
        return simplify(self._points)


def simplify(
    points: Sequence[PathPoint], *, most: int = MOST_POINTS, least_deviation: float = _LEAST_DEVIATION
) -> list[PathPoint]:
    """Return at most ``most`` (two or more) of the points, by ascending time: those that matter most."""
    if len(points) <= 2:
        return list(points)
    kept = {0, len(points) - 1}
    spans: list[tuple[float, int, int, int]] = []
    _push(spans, points, 0, len(points) - 1)
    while spans and len(kept) < most:
        negative_deviation, first, worst, last = heappop(spans)
        if -negative_deviation <= least_deviation:
            break
        kept.add(worst)
        _push(spans, points, first, worst)
        _push(spans, points, worst, last)
    return [points[number] for number in sorted(kept)]


def _push(spans: list[tuple[float, int, int, int]], points: Sequence[PathPoint], first: int, last: int) -> None:
    """Add the point between two kept ones that deviates most from the straight way between them."""
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
