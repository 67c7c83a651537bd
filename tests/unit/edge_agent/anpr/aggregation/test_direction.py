"""The direction of a plate track."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from edge_agent.anpr.aggregation.direction import DirectionEstimator
from edge_agent.anpr.settings import DirectionSettings
from edge_agent.boxes import Box

SIZE = {"width": 1000, "height": 600}
FAR: Box = (480, 100, 520, 110)
NEAR: Box = (400, 400, 520, 430)


def heading(*plates: Box, vehicles: tuple[Box, ...] = (), **settings: object) -> DirectionEstimator:
    made = DirectionEstimator(DirectionSettings.model_validate(settings))
    for plate in plates:
        made.add_plate_box(plate)
    for vehicle in vehicles:
        made.add_vehicle_box(vehicle, **SIZE)
    return made


def test_a_growing_plate_approaches() -> None:
    """Width and height must both grow; the values are configurable."""
    assert heading(FAR, NEAR).label(**SIZE) == "approaching"
    assert heading(NEAR, FAR).label(**SIZE) == "receding"
    assert heading(FAR, NEAR, approaching="in").label(**SIZE) == "in"
    assert heading(FAR, NEAR, FAR, NEAR).label(**SIZE) is None
    assert heading(NEAR, FAR, receding="out").label(**SIZE) == "out"


def test_one_detection_or_no_growth_has_no_direction() -> None:
    """Crossing at a constant distance has no direction."""
    assert heading(FAR).label(**SIZE) is None
    assert heading(FAR, (500, 100, 541, 110)).label(**SIZE) is None
    assert heading().label(**SIZE) is None
    assert heading(FAR, NEAR, by="none").label(**SIZE) is None


def test_the_vehicle_box_counts_unless_it_is_truncated() -> None:
    """The plate is constant, the vehicle grows; truncated boxes are ignored."""
    small, large, cut = (400.0, 100.0, 500.0, 200.0), (300.0, 200.0, 600.0, 500.0), (300.0, 550.0, 600.0, 600.0)
    assert heading(FAR, FAR, vehicles=(small, large)).label(**SIZE) == "approaching"
    assert heading(FAR, NEAR, vehicles=(large, cut)).label(**SIZE) == "approaching"


@pytest.mark.parametrize(
    ("start", "end", "label"),
    [((0, 0.5), (1, 0.5), "in"), ((1, 0.5), (0, 0.5), "out"), ((0.5, 1), (0.5, 0), None), ((0, 0), (1, 1), "in")],
)
def test_a_line_has_two_sides(start: tuple[float, float], end: tuple[float, float], label: str | None) -> None:
    """Downwards in the picture is to the right of a line that runs from left to right, and along a line is neither."""
    moved = heading((480, 100, 520, 110), (480, 300, 520, 310), by="line", start=start, end=end)
    assert moved.label(**SIZE) == label


def test_a_line_needs_two_points() -> None:
    """A line of one point has no sides."""
    with pytest.raises(ValidationError, match="same point"):
        DirectionSettings(by="line", start=(0.5, 0.5), end=(0.5, 0.5))


def test_a_small_movement_has_no_line_direction() -> None:
    """One box, or a step below the minimum."""
    assert heading((480, 100, 520, 110), by="line").label(**SIZE) is None
    assert heading((480, 100, 520, 110), (480, 104, 520, 114), by="line").label(**SIZE) is None


def test_a_direction_is_known_when_determined_or_disabled() -> None:
    """An event does not wait for a direction that is not configured."""
    assert heading(FAR, NEAR).is_known(**SIZE)
    assert not heading(FAR).is_known(**SIZE)
    assert heading(FAR, by="none").is_known(**SIZE)


def test_a_plate_has_moved_by_position_or_size() -> None:
    """By half its width, or in size; detector noise does not count."""
    assert not heading(FAR).plate_moved
    assert not heading(FAR, (483, 101, 523, 111)).plate_moved
    assert heading(FAR, (510, 100, 550, 110)).plate_moved
    assert heading(FAR, (470, 98, 530, 113)).plate_moved
    still = heading(vehicles=((100, 100, 300, 300), (110, 100, 310, 300)))
    assert not still.vehicle_moved
    assert heading(vehicles=((100, 100, 300, 300), (160, 100, 360, 300))).vehicle_moved


def test_a_merged_track_begins_with_the_earlier_one() -> None:
    """The boxes of the earlier track come first."""
    later = heading(NEAR)
    later.prepend(heading(FAR))
    assert later.label(**SIZE) == "approaching"
    assert later.first_plate == FAR
    nothing = heading()
    nothing.prepend(heading(FAR, NEAR))
    assert nothing.label(**SIZE) == "approaching"
    assert heading().first_plate is None
