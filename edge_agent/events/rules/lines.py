"""Lines: who has crossed from one side to the other, in which direction, and when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edge_agent.events.rules.observation import EDGE_RATIO, Anchor, Observation, Transition, counts
from edge_agent.events.rules.schedule import ALWAYS, Schedule
from shared.geometry import Point, meets, signed_distance

Direction = Literal["any", "right", "left"]

LEAST_BAND = 0.01
"""Half width of the dead band at least, in picture heights."""
BAND_RATIO = 0.1
"""Half width of the dead band, as a share of the height of the object's box."""
_CLEAR_OF_BAND = 2.0
"""So many half widths away, a side needs no time to be believed."""
_OWN_STEP = 0.4
"""A step is the object's own where the far end of its box moves at least so far as the anchor, relative to it."""
_RESHAPED_S = 2.0
"""A new shape that lasts for so long is taken as it is."""
_PARTIAL_S = 1.0
"""A smaller shape that was not seen for longer than this before the whole object was only a part of it."""
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
    band_ratio: float = BAND_RATIO
    """Half width of the dead band in box heights (at least ``LEAST_BAND`` of the picture's height); raising it
    tolerates more jitter and needs more room on both sides."""
    settle_s: float = 0.2
    """How long an object must be beyond the dead band to count as on the other side; raising it ignores short jumps of
    the box. Twice the band away no time is needed, unless the box changes its shape."""
    schedule: Schedule = ALWAYS

    def offset(self, seen: Observation) -> float:
        """Return how far the object is from the line (prolonged), in picture heights; positive on its right."""
        return signed_distance(self._stretched(seen.aspect), seen.place(self.anchor))

    def is_own_step(self, before: Observation, after: Observation) -> bool:
        """Return whether the object has moved, rather than only the lower end of its box.

        Where a box becomes much higher or lower, its upper end must have moved as well, either way. A detector
        that sees the upper half of a body moves the lower end alone. A body that the upper edge of the picture cuts
        does so too, and is believed.
        """
        if before.box.is_like(after.box) or min(before.box.top, after.box.top) <= EDGE_RATIO:
            return True
        line = self._stretched(after.aspect)
        step = self.offset(after) - self.offset(before)
        top_step = signed_distance(line, after.top()) - signed_distance(line, before.top())
        return abs(top_step) >= _OWN_STEP * abs(step)

    def is_met(self, before: Observation, after: Observation) -> bool:
        """Return whether the way from one observation to the other meets the line itself."""
        return meets(self._stretched(after.aspect), before.place(self.anchor), after.place(self.anchor))

    def band(self, seen: Observation) -> float:
        """Return the half width of the dead band for this object, in picture heights."""
        return max(LEAST_BAND, self.band_ratio * seen.box.height)

    def _stretched(self, aspect: float) -> list[Point]:
        return [Point(point.x * aspect, point.y) for point in self.points]


class LineState:
    """One object and one line.

    An object *settles* on a side by being there beyond the dead band. It has crossed when it was settled on one side,
    is settled on the other, and the way between met the line itself rather than its prolongation.
    """

    def __init__(self, line: Line) -> None:
        self.line = line
        self._last: tuple[Observation, float] | None = None
        """The last observation and its offset."""
        self._side = 0
        """-1 left, +1 right, of the band beyond which the object has settled; 0 before it has."""
        self._whole: Observation | None = None
        """The last observation whose shape is trusted, to tell a step from a change of shape."""
        self._whole_since_s = 0.0
        self._reshaped_since_s: float | None = None
        """Since when the box has had another shape."""
        self._sign = 0
        """Of the last offset that was not 0."""
        self._met_line = False
        """Whether, since it settled, the way has gone through the line an odd number of times."""
        self._crossed_s = 0.0
        self._beyond_since_s: float | None = None
        """Since when it has been beyond the band on the other side."""

    def observe(self, seen: Observation, *, active: bool = True) -> list[Transition]:
        """Take in the next observation, at a later time; ``active`` says whether the schedule lets the line count.

        While it does not, crossings are not reported, but the object's side is followed.
        """
        offset = self.line.offset(seen)
        self._follow(seen, offset)
        band = self.line.band(seen)
        side = 0 if abs(offset) <= band else self._sign
        happened: list[Transition] = []
        if not self._has_trusted_shape(seen):
            self._beyond_since_s = None
        elif self._side == 0:
            # Where the picture's edge cuts the box, the object cannot have come from the other side unseen.
            self._settle(self._sign if self._last is None and seen.box.reaches_edge else side)
        elif side == self._side:
            self._settle(side)
        elif side == 0:
            self._beyond_since_s = None
        elif self._is_settled(seen, clear=abs(offset) > _CLEAR_OF_BAND * band):
            happened = self._cross(seen, active=active)
        self._last = (seen, offset)
        return happened

    def interrupt(self) -> None:
        """Forget on which side the object is: what comes next is no step from there."""
        self._last, self._sign = None, 0
        self._side, self._met_line, self._beyond_since_s = 0, False, None
        self._whole = self._reshaped_since_s = None

    def finish(self, *, active: bool = True) -> list[Transition]:
        """Report that the object is gone: the side on which it was last seen counts without further proof.

        Inside the dead band it does so only where the picture's edge cut the box.
        """
        if self._last is None or self._side in (0, self._sign) or self._reshaped_since_s is not None:
            return []
        seen, offset = self._last
        if abs(offset) <= self.line.band(seen) and not seen.box.reaches_edge:
            return []
        return self._cross(seen, active=active)

    def _follow(self, seen: Observation, offset: float) -> None:
        """Note where the way changes sides; a place exactly on the line belongs to the side it was reached from."""
        sign = (offset > 0.0) - (offset < 0.0) or self._sign
        if self._last is not None and self._sign and sign != self._sign and self.line.is_met(self._last[0], seen):
            last, last_offset = self._last
            share = abs(last_offset) / (abs(last_offset) + abs(offset))
            self._crossed_s = last.time_s + share * (seen.time_s - last.time_s)
            self._met_line = not self._met_line
        self._sign = sign

    def _is_settled(self, seen: Observation, *, clear: bool) -> bool:
        if self._beyond_since_s is None:
            self._beyond_since_s = seen.time_s
        if seen.time_s - self._beyond_since_s >= self.line.settle_s - _TOLERANCE_S:
            return True
        return clear

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
        self._side = 0
        return True

    def _settle(self, side: int) -> None:
        self._side = side
        self._met_line, self._beyond_since_s = False, None

    def _cross(self, seen: Observation, *, active: bool) -> list[Transition]:
        line, met_line = self.line, self._met_line
        self._settle(self._sign)
        direction = "right" if self._side > 0 else "left"
        if not met_line or not active or not counts(line.classes, seen.class_name):
            return []
        if line.direction not in ("any", direction):
            return []
        return [Transition(rule="line_crossed", name=line.name, time_s=self._crossed_s, direction=direction)]
