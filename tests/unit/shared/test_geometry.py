"""Normalised boxes, zones and lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.geometry import BoundingBox, Point, crossing_side, polygon_contains

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


@given(st.floats(0.0, 0.999), st.floats(0.0, 0.999))
def test_zone_membership_of_a_whole_picture(x: float, y: float) -> None:
    """Every place in the picture is in the zone that covers it."""
    whole = [Point(-0.1, -0.1), Point(1.1, -0.1), Point(1.1, 1.1), Point(-0.1, 1.1)]
    assert polygon_contains(whole, Point(x, y))


@pytest.mark.parametrize(
    ("before", "after", "side"),
    [
        (Point(0.4, 0.5), Point(0.6, 0.5), -1),
        (Point(0.6, 0.5), Point(0.4, 0.5), 1),
        (Point(0.4, 0.5), Point(0.45, 0.5), 0),
        (Point(0.4, 1.5), Point(0.6, 1.5), 0),
        (Point(0.5, 0.2), Point(0.5, 0.8), 0),
    ],
)
def test_crossing_a_vertical_line(before: Point, after: Point, side: int) -> None:
    """A line from top to bottom: its left is the picture's right. Beside it, short of it and along it do not count."""
    assert crossing_side(Point(0.5, 0.0), Point(0.5, 1.0), before, after) == side


@given(*[st.tuples(st.floats(0, 1), st.floats(0, 1)) for _ in range(4)])
def test_going_back_is_the_opposite_crossing(
    start: tuple[float, float], end: tuple[float, float], before: tuple[float, float], after: tuple[float, float]
) -> None:
    """Unless a step starts on the line itself, the way back crosses the other way or not at all."""
    there = crossing_side(Point(*start), Point(*end), Point(*before), Point(*after))
    back = crossing_side(Point(*start), Point(*end), Point(*after), Point(*before))
    assert there * back <= 0
