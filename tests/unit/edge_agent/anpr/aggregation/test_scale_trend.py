"""Direction by size: only if significant, equal for a mirrored path, and opposite for a reversed one."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.anpr.aggregation.direction import DirectionEstimator
from edge_agent.anpr.settings import DirectionSettings
from edge_agent.boxes import Box

WIDTH, HEIGHT = 1280, 720
SIZE = {"width": WIDTH, "height": HEIGHT}
OPPOSITE = {"approaching": "receding", "receding": "approaching", None: None}

COORDINATES = st.tuples(st.integers(60, 900), st.integers(40, 500), st.integers(20, 300), st.integers(20, 180))
PATHS = st.lists(
    COORDINATES.map(lambda box: (float(box[0]), float(box[1]), float(box[0] + box[2]), float(box[1] + box[3]))),
    min_size=2,
    max_size=30,
)


def label(plates: list[Box], vehicles: list[Box]) -> str | None:
    estimator = DirectionEstimator(DirectionSettings())
    for plate in plates:
        estimator.add_plate_box(plate)
    for vehicle in vehicles:
        estimator.add_vehicle_box(vehicle, **SIZE)
    return estimator.label(**SIZE)


def box_at(x: float, y: float, width: float, height: float) -> Box:
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def mirrored(path: list[Box]) -> list[Box]:
    return [(WIDTH - box[2], box[1], WIDTH - box[0], box[3]) for box in path]


def with_noise(box: Box, chance: random.Random, share: float) -> Box:
    """Return the box with each side moved by up to half of this share of the box's size."""
    wide, tall = (box[2] - box[0]) * share / 2, (box[3] - box[1]) * share / 2
    left, top, right, bottom = (
        side + chance.uniform(-reach, reach) for side, reach in zip(box, (wide, tall) * 2, strict=True)
    )
    return left, top, right, bottom


def approaching_car(times: int, *, far: float = 14.0, near: float = 5.0) -> tuple[list[Box], list[Box]]:
    """Return plate and vehicle boxes of an approaching car, with sizes proportional to 1 / distance."""
    plates: list[Box] = []
    vehicles: list[Box] = []
    for number in range(times):
        z = far + (near - far) * number / (times - 1)
        scale = 1000 / z
        x, ground = 560 + 0.6 * scale, 160 + 1.5 * scale
        vehicles.append((x - 0.9 * scale, ground - 1.4 * scale, x + 0.9 * scale, ground))
        plates.append(box_at(x, ground - 0.5 * scale, 0.52 * scale, 0.11 * scale))
    return plates, vehicles


@settings(max_examples=200, deadline=None)
@given(PATHS, PATHS)
def test_edge_45_a_mirrored_path_has_the_same_direction(plates: list[Box], vehicles: list[Box]) -> None:
    """Left and right are equivalent."""
    assert label(mirrored(plates), mirrored(vehicles)) == label(plates, vehicles)


@settings(max_examples=200, deadline=None)
@given(PATHS, PATHS)
def test_edge_45_a_reversed_path_has_the_opposite_direction(plates: list[Box], vehicles: list[Box]) -> None:
    """If the direction of one is uncertain, so is that of the other."""
    assert label(plates[::-1], vehicles[::-1]) == OPPOSITE[label(plates, vehicles)]


@settings(max_examples=200, deadline=None)
@given(st.integers(2, 40), st.integers(0, 2**32), st.floats(0.0, 0.12), st.floats(-900, 900), st.floats(0.97, 1.03))
def test_edge_45_a_change_below_the_noise_is_none(
    times: int, seed: int, noise: float, across_px: float, growth: float
) -> None:
    """The car is parked or crosses the view, with noisy boxes and a small change of scale."""
    chance = random.Random(seed)
    plates: list[Box] = []
    vehicles: list[Box] = []
    for number in range(times):
        share = number / (times - 1)
        x, scale = 640 + across_px * (share - 0.5), growth**share
        vehicles.append(with_noise(box_at(x, 400, 240 * scale, 130 * scale), chance, noise))
        plates.append(with_noise(box_at(x, 430, 60 * scale, 14 * scale), chance, noise))
    assert label(plates, vehicles) is None


@pytest.mark.parametrize("times", [4, 8, 25, 150])
@pytest.mark.parametrize("noise", [0.0, 0.06])
def test_edge_45_an_approaching_car_is_reported_as_approaching(times: int, noise: float) -> None:
    """The plate, the vehicle's box, or both suffice, for any number of frames; the reversed path recedes."""
    chance = random.Random(7)
    plates, vehicles = ([with_noise(box, chance, noise) for box in path] for path in approaching_car(times))
    for path in ((plates, vehicles), (plates, []), ([], vehicles)):
        assert label(*path) == "approaching"
        assert label(path[0][::-1], path[1][::-1]) == "receding"


@pytest.mark.parametrize("gap_ratio", [0.0, 0.01, 0.02, 0.03])
@pytest.mark.parametrize("y", [90.0, 360.0, 640.0])
def test_edge_45_a_car_that_crosses_sideways_has_no_direction(gap_ratio: float, y: float) -> None:
    """Its box grows as it enters and shrinks as it leaves, and ends slightly before the frame's border."""
    visible: list[Box] = []
    for step in range(60):
        whole = box_at(-100 + step * 26.0, y, 260, 150)
        left, right = max(whole[0], gap_ratio * WIDTH), min(whole[2], (1 - gap_ratio) * WIDTH)
        top, bottom = max(whole[1], gap_ratio * HEIGHT), min(whole[3], (1 - gap_ratio) * HEIGHT)
        if right - left > 40:
            visible.append((left, top, right, bottom))
    for number in range(2, len(visible) + 1):
        assert label([], visible[:number]) is None
        assert label([], visible[-number:]) is None


def test_edge_45_a_parked_car_has_no_direction() -> None:
    """Its box changes once, because of light or a neighbour that leaves, and its plate does not move."""
    small, large = box_at(600, 400, 200, 120), box_at(606, 404, 252, 150)
    plate = box_at(600, 430, 60, 14)
    assert label([plate] * 10, [small] * 10 + [large] * 10) is None
    assert label([plate] * 10, [large] * 10 + [small] * 10) is None


def test_edge_45_plate_and_vehicle_that_disagree_have_no_direction() -> None:
    """It is unknown which one is wrong."""
    plates, vehicles = approaching_car(12)
    assert label(plates, vehicles[::-1]) is None


def test_edge_45_a_path_in_two_parts_is_one() -> None:
    """Merged tracks have the direction of the whole path."""
    plates, _ = approaching_car(12)
    first, second = DirectionEstimator(DirectionSettings()), DirectionEstimator(DirectionSettings())
    for plate in plates[:3]:
        first.add_plate_box(plate)
    for plate in plates[3:5]:
        second.add_plate_box(plate)
    assert second.label(**SIZE) is None
    for plate in plates[5:]:
        second.add_plate_box(plate)
    second.prepend(first)
    assert second.label(**SIZE) == "approaching"
