"""The timetable of the vehicles, and the position of each at any time of a round."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from edge_agent.camera.synthetic.plates import STYLES, plate_text

Bgr = tuple[int, int, int]

FAR_M = 37.0
"""Distance of the start of a trip out of the garage, in the dark."""
NEAR_M = 1.5
"""Distance at which the near end of a vehicle is below the image."""
STOP_LINE_M = 11.6
DRIVE_OFFSET_M = 1.75
TAIL_S = 1.0
"""Idle time after the last trip of a round."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One entry of the timetable."""

    start_s: float
    kind: str
    heading: Literal["in", "out"]
    style: str
    speed_m_s: float = 5.8
    wait_s: float = 0.0


TIMETABLE: tuple[Slot, ...] = (
    Slot(2.0, "sedan", "in", "de"),
    Slot(10.0, "van", "out", "ro"),
    Slot(18.2, "suv", "in", "us", wait_s=4.0),
    Slot(31.6, "motorcycle", "out", "moto", 6.6),
    Slot(39.0, "hatchback", "in", "gb", 5.4),
    Slot(39.8, "sedan", "out", "br", 5.8),
    Slot(47.6, "pickup", "in", "es", 6.2),
    Slot(54.4, "hatchback", "out", "ro", 7.2),
)
"""Eight trips in a minute: one vehicle stops at the barrier, two pass side by side."""
ROUND_S = 60.0

PAINTS: tuple[Bgr, ...] = (
    (58, 46, 178), (196, 198, 202), (150, 92, 38), (64, 62, 60), (232, 234, 236),
    (74, 120, 58), (48, 150, 214), (110, 104, 98), (120, 52, 40),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class VehicleTrip:
    """One vehicle's trip through the image. ``track`` counts from 1 in order of appearance."""

    track: int
    kind: str
    heading: Literal["in", "out"]
    paint: Bgr
    plate: str
    style: str
    start_s: float
    speed_m_s: float
    wait_s: float

    @property
    def offset_x_m(self) -> float:
        """Traffic drives on the right, so incoming vehicles are on the left of the image."""
        return -DRIVE_OFFSET_M if self.heading == "in" else DRIVE_OFFSET_M

    @property
    def end_s(self) -> float:
        return self.start_s + (FAR_M - NEAR_M) / self.speed_m_s + (self.wait_s + _BRAKE_S if self.wait_s else 0.0)

    def distance_m(self, at_s: float) -> float | None:
        """Return the distance of the near end from the camera; None before and after the trip."""
        if not self.start_s <= at_s <= self.end_s:
            return None
        driven_s = at_s - self.start_s
        if self.wait_s:
            driven_s = self._with_stop(driven_s)
        driven_m = driven_s * self.speed_m_s
        return FAR_M - driven_m if self.heading == "in" else NEAR_M + driven_m

    def waits_until_s(self) -> float | None:
        """Return the time at which the signal turns green for the vehicle; None if it does not stop."""
        if not self.wait_s:
            return None
        return self.start_s + (FAR_M - STOP_LINE_M) / self.speed_m_s + _BRAKE_S / 2 + self.wait_s

    def _with_stop(self, elapsed_s: float) -> float:
        """Return the equivalent driving time at full speed, with constant braking, a stop and constant acceleration."""
        stop_s = (FAR_M - STOP_LINE_M) / self.speed_m_s
        brake_from_s = stop_s - _BRAKE_S / 2
        if elapsed_s <= brake_from_s:
            return elapsed_s
        braking_s = elapsed_s - brake_from_s
        if braking_s <= _BRAKE_S:
            return brake_from_s + braking_s - braking_s**2 / (2 * _BRAKE_S)
        starting_s = braking_s - _BRAKE_S - self.wait_s
        if starting_s <= 0:
            return stop_s
        if starting_s <= _BRAKE_S:
            return stop_s + starting_s**2 / (2 * _BRAKE_S)
        return stop_s + _BRAKE_S / 2 + starting_s - _BRAKE_S


_BRAKE_S = 1.6
"""Duration of braking and of accelerating. Together they delay the vehicle by this time."""


def make_schedule(*, seed: int, vehicles: int) -> tuple[list[VehicleTrip], float]:
    """Return the trips of one round, and its duration in seconds.

    The timetable is the same for every seed; colours and plates differ. With more vehicles, the timetable repeats; with
    fewer, the round ends early.
    """
    rng = np.random.default_rng(seed)
    trips: list[VehicleTrip] = []
    paints = _paints(rng)
    for track, slot in zip(range(1, vehicles + 1), _slots(), strict=False):
        trips.append(
            VehicleTrip(
                track=track,
                kind=slot.kind,
                heading=slot.heading,
                paint=next(paints),
                plate=plate_text(STYLES[slot.style], rng),
                style=slot.style,
                start_s=slot.start_s,
                speed_m_s=slot.speed_m_s,
                wait_s=slot.wait_s,
            )
        )
    whole_rounds = -(-vehicles // len(TIMETABLE))
    if vehicles and vehicles % len(TIMETABLE) == 0:
        return trips, whole_rounds * ROUND_S
    return trips, max((trip.end_s for trip in trips), default=ROUND_S - TAIL_S) + TAIL_S


def _paints(rng: np.random.Generator) -> Iterator[Bgr]:
    """Yield all colours in one shuffled order repeatedly, so that consecutive vehicles differ."""
    order = rng.permutation(len(PAINTS))
    while True:
        for index in order:
            yield PAINTS[int(index)]


def _slots() -> Iterator[Slot]:
    offset_s = 0.0
    while True:
        for slot in TIMETABLE:
            yield Slot(
                slot.start_s + offset_s, slot.kind, slot.heading, slot.style, slot.speed_m_s, slot.wait_s
            )  # fmt: skip
        offset_s += ROUND_S
