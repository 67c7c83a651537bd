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


def estimator_of(*plates: Box, vehicles: tuple[Box, ...] = (), **settings: object) -> DirectionEstimator:
    estimator = DirectionEstimator(DirectionSettings.model_validate(settings))
    for plate in plates:
        estimator.add_plate_box(plate)
    for vehicle in vehicles:
        estimator.add_vehicle_box(vehicle, **SIZE)
    return estimator


def test_a_growing_plate_approaches() -> None:
    """Width and height must both grow; the values are configurable."""
    assert estimator_of(FAR, NEAR).label(**SIZE) == "approaching"
    assert estimator_of(NEAR, FAR).label(**SIZE) == "receding"
    assert estimator_of(FAR, NEAR, approaching="in").label(**SIZE) == "in"
    assert estimator_of(FAR, NEAR, FAR, NEAR).label(**SIZE) is None
    assert estimator_of(NEAR, FAR, receding="out").label(**SIZE) == "out"


def test_one_detection_or_no_growth_has_no_direction() -> None:
    """A vehicle that crosses at a constant distance has no direction."""
    assert estimator_of(FAR).label(**SIZE) is None
    assert estimator_of(FAR, (500, 100, 541, 110)).label(**SIZE) is None
    assert estimator_of().label(**SIZE) is None
    assert estimator_of(FAR, NEAR, by="none").label(**SIZE) is None


def test_the_vehicle_box_counts_unless_it_is_truncated() -> None:
    """The plate's size is constant and the vehicle's grows; truncated boxes are ignored."""
    small, large, cut = (400.0, 100.0, 500.0, 200.0), (300.0, 200.0, 600.0, 500.0), (300.0, 550.0, 600.0, 600.0)
    assert estimator_of(FAR, FAR, vehicles=(small, large)).label(**SIZE) == "approaching"
    assert estimator_of(FAR, NEAR, vehicles=(large, cut)).label(**SIZE) == "approaching"


@pytest.mark.parametrize(
    ("start", "end", "label"),
    [((0, 0.5), (1, 0.5), "in"), ((1, 0.5), (0, 0.5), "out"), ((0.5, 1), (0.5, 0), None), ((0, 0), (1, 1), "in")],
)
def test_a_line_has_two_sides(start: tuple[float, float], end: tuple[float, float], label: str | None) -> None:
    """Downwards is to the right of a line from left to right; a movement along the line has no direction."""
    moved = estimator_of((480, 100, 520, 110), (480, 300, 520, 310), by="line", start=start, end=end)
    assert moved.label(**SIZE) == label


def test_a_line_needs_two_points() -> None:
    """Equal start and end are rejected."""
    with pytest.raises(ValidationError, match="same point"):
        DirectionSettings(by="line", start=(0.5, 0.5), end=(0.5, 0.5))


def test_a_small_movement_has_no_line_direction() -> None:
    """One box has no direction, nor has a step below the minimum."""
    assert estimator_of((480, 100, 520, 110), by="line").label(**SIZE) is None
    assert estimator_of((480, 100, 520, 110), (480, 104, 520, 114), by="line").label(**SIZE) is None


def test_a_direction_is_known_when_determined_or_disabled() -> None:
    """An event does not wait for a direction that is not configured."""
    assert estimator_of(FAR, NEAR).is_known(**SIZE)
    assert not estimator_of(FAR).is_known(**SIZE)
    assert estimator_of(FAR, by="none").is_known(**SIZE)


def test_a_plate_has_moved_by_position_or_size() -> None:
    """It moved by half its width, or changed its size; detector noise does not count."""
    assert not estimator_of(FAR).plate_moved
    assert not estimator_of(FAR, (483, 101, 523, 111)).plate_moved
    assert estimator_of(FAR, (510, 100, 550, 110)).plate_moved
    assert estimator_of(FAR, (470, 98, 530, 113)).plate_moved
    still = estimator_of(vehicles=((100, 100, 300, 300), (110, 100, 310, 300)))
    assert not still.vehicle_moved
    assert estimator_of(vehicles=((100, 100, 300, 300), (160, 100, 360, 300))).vehicle_moved


def test_a_merged_track_begins_with_the_earlier_one() -> None:
    """The boxes of the earlier track come first."""
    later = estimator_of(NEAR)
    later.prepend(estimator_of(FAR))
    assert later.label(**SIZE) == "approaching"
    assert later.first_plate == FAR
    nothing = estimator_of()
    nothing.prepend(estimator_of(FAR, NEAR))
    assert nothing.label(**SIZE) == "approaching"
    assert estimator_of().first_plate is None
