"""Lines: who has crossed from one side to the other, in which direction, and when."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from edge_agent.events.rule_types import DEFAULT_BAND_RATIO, MIN_BAND, Anchor, Transition
from edge_agent.events.rules.observation import (
    EDGE_RATIO,
    Observation,
    between,
    check_shape,
    counts,
)
from edge_agent.events.rules.schedule import ALWAYS, Schedule
from shared.geometry import Point, PolylineCrossing, polyline_crossings, polyline_distance, signed_distance

Direction = Literal["any", "right", "left"]

SETTLE_S = 0.2
"""How long an object must be beyond the dead band at least, unless it is far beyond."""
_CLEAR_OF_BAND = 2.0
"""So many half widths away, a side needs ``SETTLE_S`` less to be believed."""
_ON_LINE = 1e-9
"""A place nearer than this to the line, in picture heights, is on it."""
_OWN_STEP = 0.4
"""A step is the object's own where the far end of its box moves at least so far as the anchor, relative to it."""
_RESHAPED_S = 2.0
"""A new shape that lasts for so long is taken as it is."""
_PARTIAL_S = 1.0
"""A smaller shape that was not seen for longer than this before the whole object was only a part of it."""
_LEAVING_STEP = 0.1
"""How far beyond the picture's edge an object that leaves it is looked for, in picture heights."""
_LEAVING_SHARE = 0.5
"""Share of that step by which it must get farther from a line that it leaves behind (1: at a right angle)."""
_TOLERANCE_S = 1e-6


@dataclass(frozen=True, slots=True)
class Line:
    """A named line of two or more points, as shares of the picture's size.

    Right and left are those of somebody who looks from the first point to the last.
    """

    name: str
    points: tuple[Point, ...]
    classes: frozenset[str] = frozenset()
    """Only these count; empty means all."""
    anchor: Anchor = "bottom"
    direction: Direction = "any"
    """Crossings to this side are reported."""
    band_ratio: float = DEFAULT_BAND_RATIO
    """Half width of the dead band in box heights (at least ``MIN_BAND`` of the picture's height); raising it
    tolerates more jitter and needs more room on both sides. 0 takes the band out."""
    settle_s: float = SETTLE_S
    """How long an object must be beyond the dead band to count as on the other side; raising it ignores longer jumps of
    the box. Twice the band away 0.2 s less is needed (none at all by default), unless the box changes its shape."""
    schedule: Schedule = ALWAYS

    def __post_init__(self) -> None:
        check_shape(self.name, self.points, least=2, anchor=self.anchor)
        if any(first == second for first, second in pairwise(self.points)):
            raise ValueError(f"{self.name}: two points in a row are the same, so there is no line between them")

    def distance(self, seen: Observation) -> float:
        """Return how far the object is from the line itself, in picture heights."""
        return polyline_distance(self._stretched(seen.aspect), seen.place(self.anchor))

    def is_own_step(self, before: Observation, after: Observation) -> bool:
        """Return whether the object has moved, rather than only the lower end of its box.

        Where a box becomes much higher or lower, its upper end must have moved as well, either way. A detector
        that sees the upper half of a body moves the lower end alone. A body that the upper edge of the picture cuts
        does so too, and is believed.
        """
        if before.box.is_like(after.box) or min(before.box.top, after.box.top) <= EDGE_RATIO:
            return True
        line = self._stretched(after.aspect)
        step = signed_distance(line, after.place(self.anchor)) - signed_distance(line, before.place(self.anchor))
        top_step = signed_distance(line, after.top()) - signed_distance(line, before.top())
        return abs(top_step) >= _OWN_STEP * abs(step)

    def polyline_crossings(self, before: Observation, after: Observation) -> list[PolylineCrossing]:
        """Return where the straight way from one observation to the other goes through the line, in order."""
        return polyline_crossings(self._stretched(after.aspect), before.place(self.anchor), after.place(self.anchor))

    def is_left_behind(self, seen: Observation) -> bool:
        """Return whether an object that goes on out of the picture, where its edge cuts the box, leaves the line."""
        line, place = self._stretched(seen.aspect), seen.place(self.anchor)
        away = polyline_distance(line, place) + _LEAVING_SHARE * _LEAVING_STEP
        return any(
            polyline_distance(line, Point(place.x + x * _LEAVING_STEP, place.y + y * _LEAVING_STEP)) >= away
            for x, y in seen.box.cutting_edges()
        )

    def band(self, seen: Observation) -> float:
        """Return the half width of the dead band for this object, in picture heights."""
        return max(MIN_BAND, self.band_ratio * seen.box.height) if self.band_ratio > 0.0 else 0.0

    def _stretched(self, aspect: float) -> list[Point]:
        return [Point(point.x * aspect, point.y) for point in self.points]


class LineState:
    """One object and one line.

    An object *settles* by being away from the line, beyond the dead band. It has crossed when it has settled again and
    its way since it last settled went through the line more often to one side than to the other. What lies beyond the
    line's ends is not the line: who walks around them has not crossed, wherever the line leads and however it bends.
    """

    def __init__(self, line: Line) -> None:
        self.line = line
        self._last: Observation | None = None
        self._from: Observation | None = None
        """The last observation that was not exactly on the line: the way goes on from there."""
        self._has_settled = False
        self._passes = 0
        """How often the way has gone through the line since it settled: to the right less to the left."""
        self._crossed_s = 0.0
        self._beyond_since_s: float | None = None
        """Since when it has been beyond the band after going through the line."""
        self._whole: Observation | None = None
        """The last observation whose shape is trusted, to tell a step from a change of shape."""
        self._whole_since_s = 0.0
        self._reshaped_since_s: float | None = None
        """Since when the box has had another shape."""

    def observe(self, seen: Observation, *, active: bool = True) -> list[Transition]:
        """Take in the next observation, at a later time; ``active`` says whether the schedule lets the line count.

        While it does not, crossings are not reported, but the object's way is followed.
        """
        distance, band = self.line.distance(seen), self.line.band(seen)
        is_trusted = self._has_trusted_shape(seen)
        happened = self._follow(seen, distance, is_trusted=is_trusted, active=active)
        # Where the picture's edge cuts the box, the object cannot have come from the other side unseen.
        is_first = self._last is None and seen.box.reaches_edge
        self._last = seen
        if not is_trusted or not (distance > band or is_first):
            self._beyond_since_s = None
        elif not self._has_settled or not self._passes:
            self._settle()
        else:
            if self._beyond_since_s is None:
                self._beyond_since_s = seen.time_s
            if self._is_settled(seen.time_s - self._beyond_since_s, clear=distance > _CLEAR_OF_BAND * band):
                happened += self._cross(seen, active=active)
        return happened

    def interrupt(self) -> None:
        """Forget on which side the object is: what comes next is no step from there."""
        self._last = self._from = self._whole = None
        self._reshaped_since_s = None
        self._unsettle()

    def finish(self, *, active: bool = True) -> list[Transition]:
        """Report that the object is gone: the side on which it was last seen counts without further proof.

        Inside the dead band it does so only where it left the picture across the line: the edge that cut its box lies
        on the far side. An edge beside the line takes parts of the object away, which moves its box and not the object.
        """
        seen = self._last
        if seen is None or not self._has_settled or not self._passes or self._reshaped_since_s is not None:
            return []
        if self.line.distance(seen) <= self.line.band(seen) and not self.line.is_left_behind(seen):
            return []
        return self._cross(seen, active=active)

    def _follow(self, seen: Observation, distance: float, *, is_trusted: bool, active: bool) -> list[Transition]:
        """Note where the way goes through the line; return the crossings that it completes on the way.

        A way that goes through several segments may have been clear of the line in between. A place exactly on the
        line belongs to the side it was reached from.
        """
        if distance <= _ON_LINE:
            return []
        before, self._from = self._from, seen
        if before is None:
            return []
        happened: list[Transition] = []
        elapsed_s = seen.time_s - before.time_s
        last_share: float | None = None
        for share, to_right in self.line.polyline_crossings(before, seen):
            if last_share is not None and is_trusted and self._was_clear(before, seen, last_share, share):
                happened += self._settle_on_the_way(seen, active=active)
            self._passes += 1 if to_right else -1
            self._crossed_s = before.time_s + share * elapsed_s
            last_share = share
        return happened

    def _was_clear(self, before: Observation, after: Observation, start: float, end: float) -> bool:
        """Return whether the object was beyond the band for long enough between two meetings of one step.

        Between them it went away from the line and came back to it, at a steady rate.
        """
        middle = between(before, after, (start + end) / 2.0)
        distance, band = self.line.distance(middle), self.line.band(middle)
        if distance <= band:
            return False
        beyond_s = (end - start) * (after.time_s - before.time_s) * (1.0 - band / distance)
        return self._is_settled(beyond_s, clear=distance > _CLEAR_OF_BAND * band)

    def _settle_on_the_way(self, seen: Observation, *, active: bool) -> list[Transition]:
        if self._has_settled and self._passes:
            return self._cross(seen, active=active)
        self._settle()
        return []

    def _is_settled(self, beyond_s: float, *, clear: bool) -> bool:
        needed_s = self.line.settle_s - (SETTLE_S if clear else 0.0)
        return beyond_s >= needed_s - _TOLERANCE_S

    def _has_trusted_shape(self, seen: Observation) -> bool:
        """Return whether the anchor stands for the object as before.

        Where it does not, because a part of the object is hidden or others are in the same box, the side is not looked
        at; a shape that lasts is taken from then on, and the change to it is no crossing.
        """
        whole = self._whole
        if whole is None or self.line.settle_s <= 0.0 or self.line.is_own_step(whole, seen):
            if whole is None:
                self._whole_since_s = seen.time_s
            self._whole, self._reshaped_since_s = seen, None
            return True
        if self._reshaped_since_s is None:
            self._reshaped_since_s = seen.time_s
        was_part = seen.box.height > whole.box.height and whole.time_s - self._whole_since_s <= _PARTIAL_S
        if not was_part and seen.time_s - self._reshaped_since_s < _RESHAPED_S - _TOLERANCE_S:
            return False
        self._whole, self._whole_since_s, self._reshaped_since_s = seen, seen.time_s, None
        self._unsettle()
        return True

    def _settle(self) -> None:
        self._has_settled, self._passes, self._beyond_since_s = True, 0, None

    def _unsettle(self) -> None:
        self._has_settled, self._passes, self._beyond_since_s = False, 0, None

    def _cross(self, seen: Observation, *, active: bool) -> list[Transition]:
        line = self.line
        direction = "right" if self._passes > 0 else "left"
        self._settle()
        if not active or not counts(line.classes, seen.class_name):
            return []
        if line.direction not in ("any", direction):
            return []
        return [Transition(rule="line_crossed", name=line.name, time_s=self._crossed_s, direction=direction)]
