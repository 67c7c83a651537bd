"""Associates plates with vehicles whose boxes may overlap."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edge_agent.boxes import Box, box_centre
from edge_agent.events.occurrences import TrackedObject

_MARGIN = 0.08
"""How far outside a vehicle's box its plate may be, as a fraction of the box's size."""
_USUAL_HEIGHT = 1.2
"""Usual height of a plate above the ground, in plate widths. Trucks and motorcycles carry it higher."""
_MAX_WIDTH_SHARE = 0.95
"""Maximum width of a plate as a fraction of its vehicle's width."""
_OFF_CENTRE_WEIGHT = 1.5
"""Weight of the distance from the vehicle's vertical axis."""
_MAX_COST = 3.5


def associate_plates(plates: Sequence[Box], vehicles: Sequence[TrackedObject]) -> list[int | None]:
    """Return the index of each plate's vehicle, None for a plate without a vehicle.

    Pairs are assigned greedily by cost. A vehicle has at most one plate.
    """
    pairs = sorted(
        (cost, row, column)
        for row, plate in enumerate(plates)
        for column, vehicle in enumerate(vehicles)
        if (cost := association_cost(plate, vehicle.xyxy)) < _MAX_COST
    )
    owners: list[int | None] = [None] * len(plates)
    for _, row, column in pairs:
        if owners[row] is None and column not in owners:
            owners[row] = column
    return owners


def association_cost(plate: Box, vehicle: Box) -> float:
    """Return how unusual the plate's position on the vehicle is, from 0; infinite if it cannot be on it."""
    width, height = vehicle[2] - vehicle[0], vehicle[3] - vehicle[1]
    plate_width = plate[2] - plate[0]
    x, y = box_centre(plate)
    off_centre = abs(x - box_centre(vehicle)[0]) / max(width / 2, 1.0)
    if off_centre > 1 + _MARGIN or not vehicle[1] <= y <= vehicle[3] + _MARGIN * height:
        return math.inf
    if plate_width > _MAX_WIDTH_SHARE * width:
        return math.inf
    plate_height = max((vehicle[3] - y) / max(plate_width, 1.0), 0.3)
    return abs(math.log(plate_height / _USUAL_HEIGHT)) + _OFF_CENTRE_WEIGHT * off_centre**2
