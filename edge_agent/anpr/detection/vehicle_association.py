"""Which plate is on which vehicle, where boxes overlap."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edge_agent.events.occurrences import Box, TrackedObject

_ROOM = 0.08
"""How far beside a vehicle's box, in parts of its size, its plate may be."""
_USUAL_DROP = 1.2
"""A plate hangs about so many of its own widths above the ground; trucks and motorcycles have it higher."""
_LARGEST_SHARE = 0.95
"""Of the vehicle's width, at most so much is its plate."""
_OFF_CENTRE = 1.5
"""How much hanging at a vehicle's side counts against a plate; in the middle it costs nothing."""
_WORST = 3.5


def associate_plates(plates: Sequence[Box], vehicles: Sequence[TrackedObject]) -> list[int | None]:
    """Return for each plate the index of its vehicle, None where it is on none; a vehicle has one plate at most."""
    pairs = sorted(
        (cost, row, column)
        for row, plate in enumerate(plates)
        for column, vehicle in enumerate(vehicles)
        if (cost := association_cost(plate, vehicle.xyxy)) < _WORST
    )
    owners: list[int | None] = [None] * len(plates)
    for _, row, column in pairs:
        if owners[row] is None and column not in owners:
            owners[row] = column
    return owners


def association_cost(plate: Box, vehicle: Box) -> float:
    """Return how ill a plate's place on a vehicle is, from 0; infinite where it cannot be on it."""
    width, height = vehicle[2] - vehicle[0], vehicle[3] - vehicle[1]
    plate_width = plate[2] - plate[0]
    x, y = (plate[0] + plate[2]) / 2, (plate[1] + plate[3]) / 2
    beside = abs(x - (vehicle[0] + vehicle[2]) / 2) / max(width / 2, 1.0)
    if beside > 1 + _ROOM or not vehicle[1] <= y <= vehicle[3] + _ROOM * height:
        return math.inf
    if plate_width > _LARGEST_SHARE * width:
        return math.inf
    drop = max((vehicle[3] - y) / max(plate_width, 1.0), 0.3)
    return abs(math.log(drop / _USUAL_DROP)) + _OFF_CENTRE * beside**2
