"""Normalised boxes, zones and lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.geometry import BoundingBox, Point, cut_points, meets, polygon_contains, polygon_distance, signed_distance

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
    assert cut_points(SQUARE, Point(0.0, 0.5), Point(1.0, 0.5)) == pytest.approx([0.2, 0.8])
    assert cut_points(SQUARE, Point(0.5, 0.5), Point(0.5, 1.0)) == pytest.approx([0.6])
    assert cut_points(SQUARE, Point(0.4, 0.5), Point(0.6, 0.5)) == []


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
        ((0.5, 0.2), (0.6, 0.8), True),
    ],
)
def test_a_step_meets_a_line_or_passes_it(before: tuple[float, float], after: tuple[float, float], met: bool) -> None:
    """Its ends count; beside it and short of it do not."""
    assert meets(DOWNWARDS, Point(*before), Point(*after)) is met
