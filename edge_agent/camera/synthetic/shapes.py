"""Shapes of the vehicle types: roof lines and dimensions, in metres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment of the roof line, from the previous point to ``(u, y)``; u is the distance from the front bumper."""

    u: float
    y: float
    glass: bool = False
    half_width: float | None = None


@dataclass(frozen=True, slots=True)
class Shape:
    """Dimensions of one vehicle type."""

    class_name: Literal["car", "truck", "motorcycle"]
    width: float
    length: float
    deck: Sequence[Segment]
    """The lower body from the front to the rear bumper."""
    cabin: Sequence[Segment] = field(default_factory=tuple)
    """The cabin from the base of the windscreen to the base of the rear window; empty if the deck includes it."""
    axles: tuple[float, float] = (0.9, 3.6)
    wheel_radius: float = 0.33
    plate_y: tuple[float, float] = (0.48, 0.72)
    """Height of the centre of the plate, front and rear."""
    lamp_y: tuple[float, float] = (0.62, 0.86)


_S = Segment
SHAPES: dict[str, Shape] = {
    "sedan": Shape(
        "car",
        1.82,
        4.6,
        (
            _S(0, 0.24), _S(0, 0.58), _S(0.10, 0.72), _S(0.55, 0.86), _S(1.25, 0.95),
            _S(4.0, 1.0), _S(4.5, 0.96), _S(4.6, 0.84), _S(4.6, 0.28),
        ),
        (
            _S(1.2, 0.94, half_width=0.84), _S(1.95, 1.40, True, 0.62),
            _S(3.2, 1.42, half_width=0.62), _S(3.95, 0.99, True, 0.82),
        ),
    ),
    "hatchback": Shape(
        "car",
        1.76,
        3.95,
        (
            _S(0, 0.24), _S(0, 0.62), _S(0.10, 0.76), _S(0.5, 0.90), _S(1.0, 0.98),
            _S(3.6, 1.02), _S(3.9, 0.98), _S(3.95, 0.8), _S(3.95, 0.28),
        ),
        (
            _S(0.95, 0.97, half_width=0.82), _S(1.65, 1.48, True, 0.64),
            _S(3.1, 1.50, half_width=0.64), _S(3.75, 1.0, True, 0.80),
        ),
        axles=(0.8, 3.25),
    ),
    "suv": Shape(
        "car",
        1.92,
        4.65,
        (
            _S(0, 0.32), _S(0, 0.74), _S(0.10, 0.92), _S(0.5, 1.06), _S(1.2, 1.14),
            _S(4.2, 1.16), _S(4.6, 1.12), _S(4.65, 0.9), _S(4.65, 0.34),
        ),
        (
            _S(1.15, 1.13, half_width=0.90), _S(1.8, 1.70, True, 0.72),
            _S(3.9, 1.72, half_width=0.72), _S(4.45, 1.15, True, 0.88),
        ),
        wheel_radius=0.38,
        plate_y=(0.58, 0.86),
        lamp_y=(0.78, 1.02),
    ),
    "van": Shape(
        "truck",
        2.0,
        5.6,
        (
            _S(0, 0.32), _S(0, 0.86), _S(0.12, 1.05), _S(0.55, 1.22), _S(1.05, 1.98, True, 0.92),
            _S(1.4, 2.30, half_width=0.92), _S(5.4, 2.34, half_width=0.92), _S(5.6, 2.2), _S(5.6, 0.36),
        ),
        axles=(0.95, 4.4),
        wheel_radius=0.36,
        plate_y=(0.55, 0.72),
        lamp_y=(0.86, 1.15),
    ),
    "pickup": Shape(
        "truck",
        1.9,
        5.2,
        (
            _S(0, 0.36), _S(0, 0.82), _S(0.10, 0.98), _S(0.5, 1.08), _S(1.3, 1.14),
            _S(3.3, 1.16), _S(5.15, 1.14), _S(5.2, 1.0), _S(5.2, 0.40),
        ),
        (
            _S(1.25, 1.13, half_width=0.88), _S(1.85, 1.74, True, 0.70),
            _S(3.0, 1.76, half_width=0.70), _S(3.35, 1.15, True, 0.86),
        ),
        axles=(0.95, 4.2),
        wheel_radius=0.39,
        plate_y=(0.58, 0.66),
        lamp_y=(0.84, 0.98),
    ),
}  # fmt: skip
