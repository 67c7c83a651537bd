"""Lines: detects that an object has crossed from one side to the other, in which direction, and when."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from edge_agent.events.rule_types import Transition
from edge_agent.events.rules.observation import (
    EDGE_RATIO,
    Observation,
    between,
    check_shape,
    counts,
)
from edge_agent.events.rules.schedule import ALWAYS, Schedule
from shared.geometry import Point, PolylineCrossing, polyline_crossings, polyline_distance, signed_distance
from shared.zones import DEFAULT_BAND_RATIO, MIN_BAND, Anchor

Direction = Literal["any", "right", "left"]

SETTLE_S = 0.2
"""Time beyond the dead band after which an object has settled on a side, unless it is far beyond the band."""
_FAR_BANDS = 2.0
"""Distance from the line, in half widths of the band, beyond which an object settles ``SETTLE_S`` sooner."""
_ON_LINE = 1e-9
"""Distance from the line, in picture heights, within which a position is on the line."""
_MIN_TOP_MOVEMENT = 0.4
"""Minimum movement of the top of a box that changes its shape, relative to the movement of its anchor."""
_NEW_SHAPE_S = 2.0
"""Time after which a new shape of the box is trusted."""
_PARTIAL_S = 1.0
"""Maximum duration of a first, smaller shape that is treated as a partial view of the object."""
_LEAVING_STEP = 0.1
"""Distance beyond the picture's edge to which a leaving object is extrapolated, in picture heights."""
_LEAVING_SHARE = 0.5
"""Minimum increase of the distance from a line that an object leaves behind, as a fraction of ``_LEAVING_STEP``."""
_TOLERANCE_S = 1e-6


@dataclass(frozen=True, slots=True)
class Line:
    """A named line of two or more points, as fractions of the picture's size.

    Right and left are as seen along the line from its first point to its last.
    """

    name: str
    points: tuple[Point, ...]
    classes: frozenset[str] = frozenset()
    """Classes the rule applies to; empty means all."""
    anchor: Anchor = "bottom"
    direction: Direction = "any"
    """Side to which crossings are reported."""
    band_ratio: float = DEFAULT_BAND_RATIO
    """Half width of the dead band in box heights (at least ``MIN_BAND`` of the picture's height; 0: no band). Raising
    it tolerates more jitter and needs more room on both sides."""
    settle_s: float = SETTLE_S
    """Time beyond the dead band after which an object is on the other side. Raising it ignores longer jumps of the box.
    At twice the distance of the band it is 0.2 s less (0 by default), unless the box changes its shape."""
    schedule: Schedule = ALWAYS

    def __post_init__(self) -> None:
        check_shape(self.name, self.points, least=2, anchor=self.anchor)
        if any(first == second for first, second in pairwise(self.points)):
            raise ValueError(f"{self.name}: two consecutive points are the same; remove one of them")

    def distance(self, observation: Observation) -> float:
        """Return the distance of the object from the line, in picture heights."""
        return polyline_distance(self._stretched(observation.aspect), observation.position(self.anchor))

    def is_movement(self, before: Observation, after: Observation) -> bool:
        """Return whether the object has moved, rather than only the lower edge of its box.

        Where the height of a box changes much, its upper edge must have moved as well, up or down. A detection of the
        upper half of a body moves the lower edge alone. A body that is truncated by the upper edge of the picture does
        so too, and counts as moved.
        """
        if before.box.is_like(after.box) or min(before.box.top, after.box.top) <= EDGE_RATIO:
            return True
        line = self._stretched(after.aspect)
        step = signed_distance(line, after.position(self.anchor)) - signed_distance(line, before.position(self.anchor))
        top_step = signed_distance(line, after.top()) - signed_distance(line, before.top())
        return abs(top_step) >= _MIN_TOP_MOVEMENT * abs(step)

    def polyline_crossings(self, before: Observation, after: Observation) -> list[PolylineCrossing]:
        """Return the intersections of the straight line between two observations with this line, in order."""
        return polyline_crossings(
            self._stretched(after.aspect), before.position(self.anchor), after.position(self.anchor)
        )

    def is_left_behind(self, observation: Observation) -> bool:
        """Return whether an object that leaves the picture at a truncating edge moves away from the line."""
        line, place = self._stretched(observation.aspect), observation.position(self.anchor)
        away = polyline_distance(line, place) + _LEAVING_SHARE * _LEAVING_STEP
        return any(
            polyline_distance(line, Point(place.x + x * _LEAVING_STEP, place.y + y * _LEAVING_STEP)) >= away
            for x, y in observation.box.cutting_edges()
        )

    def band(self, observation: Observation) -> float:
        """Return the half width of the dead band for this object, in picture heights."""
        return max(MIN_BAND, self.band_ratio * observation.box.height) if self.band_ratio > 0.0 else 0.0

    def _stretched(self, aspect: float) -> list[Point]:
        return [Point(point.x * aspect, point.y) for point in self.points]


class LineState:
    """State of one object at one line.

    An object *settles* when it stays beyond the dead band. It has crossed when it settles again and its path since it
    last settled passed through the line more often to one side than to the other. The line ends at its end points: an
    object that moves around an end has not crossed.
    """

    def __init__(self, line: Line) -> None:
        self.line = line
        self._last: Observation | None = None
        self._from: Observation | None = None
        """The last observation that was not exactly on the line; the path continues from it."""
        self._has_settled = False
        self._passes = 0
        """Passes through the line since the object settled: those to the right minus those to the left."""
        self._crossed_s = 0.0
        self._beyond_since_s: float | None = None
        """Time since which it has been beyond the band after passing through the line."""
        self._whole: Observation | None = None
        """The last observation with a trusted shape, to distinguish movements from changes of shape."""
        self._whole_since_s = 0.0
        self._reshaped_since_s: float | None = None
        """Time since which the box has had another shape."""

    def observe(self, observation: Observation, *, active: bool = True) -> list[Transition]:
        """Process the next observation, at a later time; return its transitions.

        While the line is not ``active``, crossings are not reported and the object's path is still updated.
        """
        distance, band = self.line.distance(observation), self.line.band(observation)
        is_trusted = self._has_trusted_shape(observation)
        transitions = self._update_passes(observation, distance, is_trusted=is_trusted, active=active)
        # A first box truncated by the picture's edge proves the side: the object came from that edge.
        is_first = self._last is None and observation.box.reaches_edge
        self._last = observation
        if not is_trusted or not (distance > band or is_first):
            self._beyond_since_s = None
        elif not self._has_settled or not self._passes:
            self._settle()
        else:
            if self._beyond_since_s is None:
                self._beyond_since_s = observation.time_s
            if self._is_settled(observation.time_s - self._beyond_since_s, clear=distance > _FAR_BANDS * band):
                transitions += self._cross(observation, active=active)
        return transitions

    def interrupt(self) -> None:
        """Forget the side of the object; the next observation starts a new path."""
        self._last = self._from = self._whole = None
        self._reshaped_since_s = None
        self._unsettle()

    def finish(self, *, active: bool = True) -> list[Transition]:
        """End the track; the object settles at once on the side of its last observation.

        In the dead band it settles only where it left the picture across the line: the edge that truncates its box is
        on the far side. An edge beside the line hides parts of the object, which moves the box and not the object.
        """
        observation = self._last
        if observation is None or not self._has_settled or not self._passes or self._reshaped_since_s is not None:
            return []
        if self.line.distance(observation) <= self.line.band(observation) and not self.line.is_left_behind(observation):
            return []
        return self._cross(observation, active=active)

    def _update_passes(
        self, observation: Observation, distance: float, *, is_trusted: bool, active: bool
    ) -> list[Transition]:
        """Count the passes through the line since the last observation; return the crossings completed in between.

        Between passes through several segments the object may have settled. A position exactly on the line belongs to
        the side from which it was reached.
        """
        if distance <= _ON_LINE:
            return []
        before, self._from = self._from, observation
        if before is None:
            return []
        transitions: list[Transition] = []
        elapsed_s = observation.time_s - before.time_s
        last_share: float | None = None
        for share, to_right in self.line.polyline_crossings(before, observation):
            if last_share is not None and is_trusted and self._settled_between(before, observation, last_share, share):
                transitions += self._settle_in_step(observation, active=active)
            self._passes += 1 if to_right else -1
            self._crossed_s = before.time_s + share * elapsed_s
            last_share = share
        return transitions

    def _settled_between(self, before: Observation, after: Observation, start: float, end: float) -> bool:
        """Return whether the object was beyond the band for long enough between two passes of one step.

        It is assumed to move away from the line and back at a constant speed.
        """
        middle = between(before, after, (start + end) / 2.0)
        distance, band = self.line.distance(middle), self.line.band(middle)
        if distance <= band:
            return False
        beyond_s = (end - start) * (after.time_s - before.time_s) * (1.0 - band / distance)
        return self._is_settled(beyond_s, clear=distance > _FAR_BANDS * band)

    def _settle_in_step(self, observation: Observation, *, active: bool) -> list[Transition]:
        if self._has_settled and self._passes:
            return self._cross(observation, active=active)
        self._settle()
        return []

    def _is_settled(self, beyond_s: float, *, clear: bool) -> bool:
        needed_s = self.line.settle_s - (SETTLE_S if clear else 0.0)
        return beyond_s >= needed_s - _TOLERANCE_S

    def _has_trusted_shape(self, observation: Observation) -> bool:
        """Return whether the anchor represents the object as before.

        Where it does not, because a part of the object is hidden or the box contains several objects, the side is not
        evaluated. A shape that lasts is trusted from then on, and the change to it is not a crossing.
        """
        whole = self._whole
        if whole is None or self.line.settle_s <= 0.0 or self.line.is_movement(whole, observation):
            if whole is None:
                self._whole_since_s = observation.time_s
            self._whole, self._reshaped_since_s = observation, None
            return True
        if self._reshaped_since_s is None:
            self._reshaped_since_s = observation.time_s
        was_part = observation.box.height > whole.box.height and whole.time_s - self._whole_since_s <= _PARTIAL_S
        if not was_part and observation.time_s - self._reshaped_since_s < _NEW_SHAPE_S - _TOLERANCE_S:
            return False
        self._whole, self._whole_since_s, self._reshaped_since_s = observation, observation.time_s, None
        self._unsettle()
        return True

    def _settle(self) -> None:
        self._has_settled, self._passes, self._beyond_since_s = True, 0, None

    def _unsettle(self) -> None:
        self._has_settled, self._passes, self._beyond_since_s = False, 0, None

    def _cross(self, observation: Observation, *, active: bool) -> list[Transition]:
        line = self.line
        direction = "right" if self._passes > 0 else "left"
        self._settle()
        if not active or not counts(line.classes, observation.class_name):
            return []
        if line.direction not in ("any", direction):
            return []
        return [Transition(rule="line_crossed", name=line.name, time_s=self._crossed_s, direction=direction)]
