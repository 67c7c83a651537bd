"""The way of an object, in at most 32 points."""

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


def test_a_straight_way_is_two_points() -> None:
    """What lies between says nothing."""
    points = [PathPoint(k / 10, k / 100, 0.5) for k in range(100)]
    assert _path(points).simplified() == [points[0], points[-1]]


def test_turns_and_stops_are_kept() -> None:
    """Where the way bends, and where it stood still in the middle of a straight way."""
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


def test_a_day_in_front_of_the_camera_takes_no_more_memory() -> None:
    """Ten thousand wild points are kept as a few hundred and given out as 32; the ends are exact."""
    points = [PathPoint(float(k), (k * 7919 % 1000) / 1000, (k * 104729 % 1000) / 1000) for k in range(10_000)]
    path = _path(points)
    assert len(path._points) <= 256
    kept = path.simplified()
    assert len(kept) == MAX_POINTS
    assert (kept[0], kept[-1]) == (points[0], points[-1])


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=400))
def test_simplified_points_are_true_ones_in_order(places: list[tuple[float, float]]) -> None:
    """None is made up, time ascends, and nobody gets more than 32."""
    points = [PathPoint(k / 10, x, y) for k, (x, y) in enumerate(places)]
    kept = simplify(points)
    assert set(kept) <= set(points)
    assert kept == sorted(kept)
    assert min(len(points), 2) <= len(kept) <= MAX_POINTS
