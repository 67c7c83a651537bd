"""Types that the rules, their settings and the occurrences share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

RuleName = Literal["zone_entered", "zone_left", "line_crossed", "loitering", "occupancy"]


@dataclass(frozen=True, slots=True)
class Transition:
    """Result of a rule: a zone entered or left, a line crossed, loitering, or a change of occupancy.

    Times are on the clock of the observations.
    """

    rule: RuleName
    name: str
    """Name of the zone or the line."""
    time_s: float
    """Time of the transition, interpolated between observations where that is more exact."""
    direction: str | None = None
    """``left`` or ``right`` for a line; ``over`` or ``under`` for occupancy."""
    since_s: float | None = None
    """Start of the stay in the zone, or of the occupancy level."""
    dwell_s: float | None = None
    """Duration of the stay in the zone."""
    count: int | None = None
    """Crossings of the line so far, or objects in the zone."""
    zone: str | None = None


class PathPoint(NamedTuple):
    """Position of an object at a time; ``x`` and ``y`` are fractions of the picture's size."""

    time_s: float
    x: float
    y: float
