"""The path of an object, simplified to at most 32 points."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.events.rule_types import PathPoint
from edge_agent.events.rules.path import MAX_POINTS, TrackPath, simplify


def _path(points: list[PathPoint]) -> TrackPath:
    path = TrackPath()
    for point in points:
        path.add(point)
    return path


def test_a_straight_path_is_two_points() -> None:
    """Points on a straight line at constant speed are removed."""
    points = [PathPoint(k / 10, k / 100, 0.5) for k in range(100)]
    assert _path(points).simplified() == [points[0], points[-1]]


def test_turns_and_stops_are_kept() -> None:
    """Points where the direction changes are kept, and the start and the end of a stop on a straight path."""
    there = [PathPoint(k / 10, k / 100, 0.2) for k in range(51)]
    wait = [PathPoint(5 + k / 10, 0.5, 0.2) for k in range(1, 101)]
    on = [PathPoint(15 + k / 10, 0.5 + k / 100, 0.2) for k in range(1, 31)]
    down = [PathPoint(18 + k / 10, 0.8, 0.2 + k / 100) for k in range(1, 51)]
    kept = _path([*there, *wait, *on, *down]).simplified()
    assert [(point.time_s, point.x, point.y) for point in kept] == [
        (0.0, 0.0, 0.2),
        (5.0, 0.5, 0.2),
        (15.0, 0.5, 0.2),
        (18.0, 0.8, 0.2),
        (23.0, 0.8, 0.7),
    ]


def test_a_long_path_uses_bounded_memory() -> None:
    """Of ten thousand random points, at most 256 are stored and 32 returned, with the exact end points."""
    points = [PathPoint(float(k), (k * 7919 % 1000) / 1000, (k * 104729 % 1000) / 1000) for k in range(10_000)]
    path = _path(points)
    assert len(path._points) <= 256
    kept = path.simplified()
    assert len(kept) == MAX_POINTS
    assert (kept[0], kept[-1]) == (points[0], points[-1])


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=400))
def test_simplified_points_are_original_points_in_order(places: list[tuple[float, float]]) -> None:
    """Times ascend, and no path has more than 32 points."""
    points = [PathPoint(k / 10, x, y) for k, (x, y) in enumerate(places)]
    kept = simplify(points)
    assert set(kept) <= set(points)
    assert kept == sorted(kept)
    assert min(len(points), 2) <= len(kept) <= MAX_POINTS
