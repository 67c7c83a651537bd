"""Boxes, polygons and polylines."""

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
def test_pixel_boxes_are_normalised_and_clipped(xyxy: tuple[float, float, float, float]) -> None:
    """A box on the wire is within 0..1, also if the tracker extrapolates beyond the image."""
    box = BoundingBox.from_xyxy(xyxy, width_px=1920, height_px=1080)
    assert 0 <= box.x <= 1
    assert 0 <= box.y <= 1
    assert box.x + box.width <= 1 + 2e-6
    assert box.y + box.height <= 1 + 2e-6


def test_a_box_inside_the_image_is_not_clipped() -> None:
    """Its coordinates are only divided by the image size."""
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
def test_polygon_contains_points_inside_only(point: Point, inside: bool) -> None:
    """Points inside are contained, points outside are not."""
    assert polygon_contains(SQUARE, point) is inside


def test_a_concave_polygon_does_not_contain_its_notch() -> None:
    """A point in the notch of a U-shaped polygon is outside."""
    horseshoe = [
        Point(*corner) for corner in [(0, 0), (1, 0), (1, 1), (0.7, 1), (0.7, 0.3), (0.3, 0.3), (0.3, 1), (0, 1)]
    ]
    assert not polygon_contains(horseshoe, Point(0.5, 0.6))
    assert polygon_contains(horseshoe, Point(0.15, 0.6))


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_a_full_image_polygon_contains_every_point(x: float, y: float) -> None:
    """Points on the edges of the image are included."""
    whole = [Point(0, 0), Point(1, 0), Point(1, 1), Point(0, 1)]
    assert polygon_contains(whole, Point(x, y))


@pytest.mark.parametrize(
    ("point", "distance"), [((0.5, 0.5), 0.0), ((0.2, 0.8), 0.0), ((0.9, 0.5), 0.1), ((0.9, 0.9), 0.02**0.5)]
)
def test_polygon_distance_is_to_the_nearest_edge(point: tuple[float, float], distance: float) -> None:
    """The distance to the nearest edge or corner; 0 inside."""
    assert polygon_distance(SQUARE, Point(*point)) == pytest.approx(distance)


def test_edge_crossings_returns_fractions_of_the_step() -> None:
    """One ascending fraction for each crossed edge."""
    assert edge_crossings(SQUARE, Point(0.0, 0.5), Point(1.0, 0.5)) == pytest.approx([0.2, 0.8])
    assert edge_crossings(SQUARE, Point(0.5, 0.5), Point(0.5, 1.0)) == pytest.approx([0.6])
    assert edge_crossings(SQUARE, Point(0.4, 0.5), Point(0.6, 0.5)) == []


DOWNWARDS = [Point(0.5, 0.0), Point(0.5, 1.0)]
BENT = [Point(0.2, 0.9), Point(0.5, 0.5), Point(0.8, 0.9)]


@pytest.mark.parametrize(
    ("line", "point", "distance"),
    [
        (DOWNWARDS, (0.4, 0.5), 0.1),  # the right of the line is the left of the image
        (DOWNWARDS, (0.7, 0.5), -0.2),
        (DOWNWARDS, (0.4, 3.0), 0.1),  # the segment extends to infinity
        (DOWNWARDS, (0.5, 0.5), 0.0),
        (BENT, (0.5, 0.4), -0.1),
        (BENT, (0.5, 0.9), 0.24),
    ],
)
def test_signed_distance_is_positive_on_the_right(
    line: list[Point], point: tuple[float, float], distance: float
) -> None:
    """Right and left are as seen from the first point towards the last."""
    assert signed_distance(line, Point(*point)) == pytest.approx(distance)


@given(st.floats(-1, 2), st.floats(-1, 2))
def test_reversing_a_polyline_swaps_its_sides(x: float, y: float) -> None:
    """The distance stays the same, its sign changes."""
    point = Point(x, y)
    assert signed_distance(BENT[::-1], point) == pytest.approx(-signed_distance(BENT, point))


@pytest.mark.parametrize(
    ("before", "after", "crosses"),
    [
        ((0.4, 0.5), (0.6, 0.5), True),
        ((0.4, 0.5), (0.45, 0.5), False),
        ((0.4, 1.5), (0.6, 1.5), False),
        ((0.4, 1.0), (0.6, 1.0), True),
        ((0.4, 0.2), (0.5, 0.8), True),
    ],
)
def test_a_step_crosses_a_polyline_only_between_its_ends(
    before: tuple[float, float], after: tuple[float, float], crosses: bool
) -> None:
    """The ends are included; steps beside and short of the polyline do not cross it."""
    assert bool(polyline_crossings(DOWNWARDS, Point(*before), Point(*after))) is crosses


def test_crossings_of_several_segments_are_in_order() -> None:
    """A step crosses one arm of the bend to the right and the other to the left."""
    crossings = polyline_crossings(BENT, Point(0.2, 0.7), Point(0.8, 0.7))
    assert [(round(share, 3), to_right) for share, to_right in crossings] == [(0.25, True), (0.75, False)]


def test_a_step_through_a_corner_crosses_once() -> None:
    """In both directions. The crossings of a step that only touches the corner cancel out."""
    through = Point(0.5, 0.2), Point(0.5, 0.8)
    assert [crossing.to_right for crossing in polyline_crossings(BENT, *through)] == [True]
    assert [crossing.to_right for crossing in polyline_crossings(BENT, *through[::-1])] == [False]
    for touch in ((Point(0.3, 0.5), Point(0.7, 0.5)), (Point(0.7, 0.5), Point(0.3, 0.5))):
        assert sum(1 if crossing.to_right else -1 for crossing in polyline_crossings(BENT, *touch)) == 0


def test_polyline_distance_beyond_an_end_is_to_the_end_point() -> None:
    """The end segments are not extended."""
    assert polyline_distance(DOWNWARDS, Point(0.4, 0.5)) == pytest.approx(0.1)
    assert polyline_distance(DOWNWARDS, Point(0.5, 1.5)) == pytest.approx(0.5)


POINTS = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=12)


@given(POINTS, st.floats(0.01, 0.99))
def test_a_closed_path_enters_and_leaves_equally_often(points: list[tuple[float, float]], fraction: float) -> None:
    """An object that returns to its start has no net crossing, for any number of steps."""
    square = [*SQUARE, SQUARE[0]]
    path = [Point(*point) for point in (*points, points[0])]
    halved = [
        point
        for start, end in pairwise(path)
        for point in (start, Point(start.x + fraction * (end.x - start.x), start.y + fraction * (end.y - start.y)))
    ] + [path[-1]]
    for steps in (path, halved):
        crossings = [one for start, end in pairwise(steps) for one in polyline_crossings(square, start, end)]
        assert sum(1 if one.to_right else -1 for one in crossings) == 0


@given(st.tuples(*[st.floats(0, 1)] * 4), st.floats(0.1, 2))
def test_a_step_along_a_segment_does_not_cross_it(ends: tuple[float, float, float, float], fraction: float) -> None:
    """From beyond one end to beyond the other, in spite of rounding errors."""
    start, end = Point(*ends[:2]), Point(*ends[2:])
    away_x, away_y = fraction * (end.x - start.x), fraction * (end.y - start.y)
    if abs(away_x) + abs(away_y) > 1e-3:
        step = Point(start.x - away_x, start.y - away_y), Point(end.x + away_x, end.y + away_y)
        assert polyline_crossings([start, end], *step) == []
