"""Normalised boxes, zones and lines."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.geometry import (
    BoundingBox,
    Point,
    edge_crossings,
    polygon_contains,
    polygon_distance,
    polyline_crossings,
    polyline_distance,
    signed_distance,
)

COORDINATE = st.floats(-2000, 4000, allow_nan=False)
SQUARE = [Point(0.2, 0.2), Point(0.8, 0.2), Point(0.8, 0.8), Point(0.2, 0.8)]


@given(st.tuples(COORDINATE, COORDINATE, COORDINATE, COORDINATE))
def test_pixel_boxes_become_shares_of_the_picture(xyxy: tuple[float, float, float, float]) -> None:
    """Whatever the tracker extrapolates, the wire gets 0..1 and never a box beyond the picture."""
    box = BoundingBox.from_xyxy(xyxy, width_px=1920, height_px=1080)
    assert 0 <= box.x <= 1
    assert 0 <= box.y <= 1
    assert box.x + box.width <= 1 + 2e-6
    assert box.y + box.height <= 1 + 2e-6


def test_a_box_inside_keeps_its_place() -> None:
    """No clipping where none is due."""
    box = BoundingBox.from_xyxy((192, 108, 960, 540), width_px=1920, height_px=1080)
    assert (box.x, box.y, box.width, box.height) == (0.1, 0.1, 0.4, 0.4)


@pytest.mark.parametrize(
    ("point", "inside"),
    [
        (Point(0.5, 0.5), True),
        (Point(0.21, 0.79), True),
        (Point(0.1, 0.5), False),
        (Point(0.5, 0.9), False),
        (Point(0.9, 0.9), False),
    ],
)
def test_zone_membership(point: Point, inside: bool) -> None:
    """Inside is inside."""
    assert polygon_contains(SQUARE, point) is inside


def test_a_zone_may_be_hollow() -> None:
    """A U-shaped zone does not hold what stands in its notch."""
    horseshoe = [
        Point(*corner) for corner in [(0, 0), (1, 0), (1, 1), (0.7, 1), (0.7, 0.3), (0.3, 0.3), (0.3, 1), (0, 1)]
    ]
    assert not polygon_contains(horseshoe, Point(0.5, 0.6))
    assert polygon_contains(horseshoe, Point(0.15, 0.6))


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_zone_membership_of_a_whole_picture(x: float, y: float) -> None:
    """Every place in the picture, its edges included, is in the zone that covers it."""
    whole = [Point(0, 0), Point(1, 0), Point(1, 1), Point(0, 1)]
    assert polygon_contains(whole, Point(x, y))


@pytest.mark.parametrize(
    ("point", "distance"), [((0.5, 0.5), 0.0), ((0.2, 0.8), 0.0), ((0.9, 0.5), 0.1), ((0.9, 0.9), 0.02**0.5)]
)
def test_distance_to_a_zone(point: tuple[float, float], distance: float) -> None:
    """To the nearest edge or corner; none inside."""
    assert polygon_distance(SQUARE, Point(*point)) == pytest.approx(distance)


def test_a_step_is_cut_where_it_meets_the_edges() -> None:
    """In shares of the step, however many edges it meets."""
    assert edge_crossings(SQUARE, Point(0.0, 0.5), Point(1.0, 0.5)) == pytest.approx([0.2, 0.8])
    assert edge_crossings(SQUARE, Point(0.5, 0.5), Point(0.5, 1.0)) == pytest.approx([0.6])
    assert edge_crossings(SQUARE, Point(0.4, 0.5), Point(0.6, 0.5)) == []


DOWNWARDS = [Point(0.5, 0.0), Point(0.5, 1.0)]
BENT = [Point(0.2, 0.9), Point(0.5, 0.5), Point(0.8, 0.9)]


@pytest.mark.parametrize(
    ("line", "point", "distance"),
    [
        (DOWNWARDS, (0.4, 0.5), 0.1),  # its right is the picture's left
        (DOWNWARDS, (0.7, 0.5), -0.2),
        (DOWNWARDS, (0.4, 3.0), 0.1),  # prolonged without end
        (DOWNWARDS, (0.5, 0.5), 0.0),
        (BENT, (0.5, 0.4), -0.1),
        (BENT, (0.5, 0.9), 0.24),
    ],
)
def test_a_line_has_two_sides(line: list[Point], point: tuple[float, float], distance: float) -> None:
    """Positive on the right of somebody who looks from the first point to the last."""
    assert signed_distance(line, Point(*point)) == pytest.approx(distance)


@given(st.floats(-1, 2), st.floats(-1, 2))
def test_a_line_the_other_way_round_swaps_its_sides(x: float, y: float) -> None:
    """The distance is the same, its sign the opposite."""
    point = Point(x, y)
    assert signed_distance(BENT[::-1], point) == pytest.approx(-signed_distance(BENT, point))


@pytest.mark.parametrize(
    ("before", "after", "met"),
    [
        ((0.4, 0.5), (0.6, 0.5), True),
        ((0.4, 0.5), (0.45, 0.5), False),
        ((0.4, 1.5), (0.6, 1.5), False),
        ((0.4, 1.0), (0.6, 1.0), True),
        ((0.4, 0.2), (0.5, 0.8), True),
    ],
)
def test_a_step_meets_a_line_or_passes_it(before: tuple[float, float], after: tuple[float, float], met: bool) -> None:
    """Its ends count; beside it and short of it do not."""
    assert bool(polyline_crossings(DOWNWARDS, Point(*before), Point(*after))) is met


def test_a_step_through_several_segments_meets_each_in_order() -> None:
    """Into a bend on one arm and out of it on the other."""
    met = polyline_crossings(BENT, Point(0.2, 0.7), Point(0.8, 0.7))
    assert [(round(share, 3), to_right) for share, to_right in met] == [(0.25, True), (0.75, False)]


def test_a_step_through_a_corner_meets_the_line_once_and_a_touch_not_at_all() -> None:
    """Whichever way it goes; a touch may count as two meetings that cancel out."""
    through = Point(0.5, 0.2), Point(0.5, 0.8)
    assert [met.to_right for met in polyline_crossings(BENT, *through)] == [True]
    assert [met.to_right for met in polyline_crossings(BENT, *through[::-1])] == [False]
    for touch in ((Point(0.3, 0.5), Point(0.7, 0.5)), (Point(0.7, 0.5), Point(0.3, 0.5))):
        assert sum(1 if met.to_right else -1 for met in polyline_crossings(BENT, *touch)) == 0


def test_the_distance_to_a_line_ends_at_its_ends() -> None:
    """Beside an end it is the distance from the end."""
    assert polyline_distance(DOWNWARDS, Point(0.4, 0.5)) == pytest.approx(0.1)
    assert polyline_distance(DOWNWARDS, Point(0.5, 1.5)) == pytest.approx(0.5)


PLACES = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=12)


@given(PLACES, st.floats(0.01, 0.99))
def test_a_way_round_meets_a_closed_line_as_often_inwards_as_outwards(
    places: list[tuple[float, float]], share: float
) -> None:
    """An object that returns to its start has left as often as entered, at any number of steps."""
    square = [*SQUARE, SQUARE[0]]
    way = [Point(*place) for place in (*places, places[0])]
    halved = [
        point
        for start, end in pairwise(way)
        for point in (start, Point(start.x + share * (end.x - start.x), start.y + share * (end.y - start.y)))
    ] + [way[-1]]
    for steps in (way, halved):
        met = [one for start, end in pairwise(steps) for one in polyline_crossings(square, start, end)]
        assert sum(1 if one.to_right else -1 for one in met) == 0


@given(st.tuples(*[st.floats(0, 1)] * 4), st.floats(0.1, 2))
def test_a_step_along_a_line_does_not_go_through_it(ends: tuple[float, float, float, float], share: float) -> None:
    """From beyond one end to beyond the other, whatever rounding does."""
    start, end = Point(*ends[:2]), Point(*ends[2:])
    away_x, away_y = share * (end.x - start.x), share * (end.y - start.y)
    if abs(away_x) + abs(away_y) > 1e-3:
        way = Point(start.x - away_x, start.y - away_y), Point(end.x + away_x, end.y + away_y)
        assert polyline_crossings([start, end], *way) == []
