"""Zones: who is in a named area, since when, and for how long it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from edge_agent.events.rule_types import Anchor, Transition
from edge_agent.events.rules.loitering import Loitering, LoiteringState
from edge_agent.events.rules.observation import EDGE_RATIO, Box, Observation, check_shape, counts
from edge_agent.events.rules.occupancy import Occupancy
from edge_agent.events.rules.schedule import ALWAYS, Schedule
from shared.geometry import Point, edge_crossings, polygon_contains, polygon_distance

LONGEST_STEP_S = 2.0
"""Between two observations farther apart than this, nothing is assumed about the way from one to the other."""
_MOST_MOVED = 0.1
"""A zone's corner is moved to the picture's edge by at most this share of the zone's own extent."""
_EXIT_BAND = 0.02
"""So near to the edge, in box heights, an object that was inside is not outside yet."""
_TOLERANCE_S = 1e-6


@dataclass(frozen=True, slots=True)
class Zone:
    """A named area. ``polygon`` has at least three corners, as shares of the picture's size, in either sense."""

    name: str
    polygon: tuple[Point, ...]
    classes: frozenset[str] = frozenset()
    """Only these count; empty means all."""
    anchor: Anchor = "bottom"
    enter_s: float = 0.3
    """An object has entered once it was inside for so long without a break; raising it ignores short visits."""
    exit_s: float = 1.0
    """It has left once it was outside for so long without a break; raising it bridges longer excursions."""
    exit_ratio: float = 0.15
    """It has left at once when its anchor is farther outside than this share of its box's height."""
    loitering: Loitering | None = None
    occupancy: Occupancy | None = None
    schedule: Schedule = ALWAYS

    def __post_init__(self) -> None:
        check_shape(self.name, self.polygon, least=3, anchor=self.anchor)
        object.__setattr__(self, "polygon", _reaching_edge(self.polygon))

    def contains(self, point: Point) -> bool:
        """Return whether a place (shares of the picture) is in the zone, its edge included.

        A zone that reaches the picture's edge goes on beyond it: an anchor outside the picture counts as on the edge.
        """
        return polygon_contains(self.polygon, _in_picture(point))

    def inside_spans(self, start: Point, end: Point) -> list[tuple[float, float]]:
        """Return the parts of the step ``start → end`` that are in the zone, as shares (0..1) of the step."""
        start, end = _in_picture(start), _in_picture(end)
        if start == end:
            return [(0.0, 1.0)] if polygon_contains(self.polygon, start) else []
        cuts = [0.0, *edge_crossings(self.polygon, start, end), 1.0]
        spans: list[tuple[float, float]] = []
        for begin, stop in pairwise(cuts):
            middle = (begin + stop) / 2.0
            if not polygon_contains(self.polygon, _between(start, end, middle)):
                continue
            if spans and spans[-1][1] == begin:
                spans[-1] = (spans[-1][0], stop)
            else:
                spans.append((begin, stop))
        if polygon_contains(self.polygon, end) and (not spans or spans[-1][1] < 1.0):
            spans.append((1.0, 1.0))
        return spans

    def distance(self, point: Point, aspect: float) -> float:
        """Return how far outside a place is, in picture heights; 0 inside."""
        point = _in_picture(point)
        stretched = [Point(corner.x * aspect, corner.y) for corner in self.polygon]
        return polygon_distance(stretched, Point(point.x * aspect, point.y))


class ZoneState:
    """One object and one zone.

    Time inside is measured along the straight way between observations, so that it hardly depends on how often the
    object is observed.
    """

    def __init__(self, zone: Zone) -> None:
        self.zone = zone
        self._loitering = LoiteringState(zone.name, zone.loitering) if zone.loitering else None
        self._last: Observation | None = None
        self._connected = False
        """Whether the way from the last observation to the next counts."""
        self._inside_since_s: float | None = None
        """Start of the unbroken time inside, while it is inside."""
        self._inside_box: Box | None = None
        """The last box inside, to tell a step from a change of shape."""
        self._entered_s: float | None = None
        self._outside_since_s: float | None = None

    @property
    def entered(self) -> bool:
        """Whether the object counts as in the zone."""
        return self._entered_s is not None

    @property
    def loitering(self) -> bool:
        """Whether loitering has been reported for this stay."""
        return self._loitering is not None and self._loitering.reported

    def observe(self, seen: Observation, *, active: bool = True) -> list[Transition]:
        """Take in the next observation, at a later time; ``active`` says whether the schedule lets the zone count.

        While it does not, nobody is in the zone: those inside leave, and enter when it counts again.
        """
        happened: list[Transition] = []
        spans = self._spans(seen) if active and counts(self.zone.classes, seen.class_name) else []
        last_s = self._last.time_s if self._last else seen.time_s
        if self._inside_since_s is not None and not (spans and spans[0][0] <= last_s):
            self._inside_since_s, self._outside_since_s = None, last_s
        for begin_s, end_s in spans:
            happened += self._inside(begin_s, end_s, now_s=seen.time_s)
        if self._entered_s is not None and self._has_left(seen, active=active):
            happened.append(self._leave(last_s if self._outside_since_s is None else self._outside_since_s))
        if self._loitering is not None:
            inside = self._inside_since_s is not None
            happened += self._loitering.observe(seen.time_s, inside=inside, since_s=self._inside_since_s)
            if not active:
                self._loitering.reset()
        if self._inside_since_s is not None:
            self._inside_box = seen.box
        self._last, self._connected = seen, active
        return happened

    def interrupt(self) -> None:
        """Assume nothing about the way from the last observation to the next."""
        self._connected = False

    def finish(self) -> list[Transition]:
        """Report that the object, last seen at the last observation, is gone."""
        if self._last is None or self._entered_s is None:
            return []
        return [self._leave(self._last.time_s if self._outside_since_s is None else self._outside_since_s)]

    def _spans(self, seen: Observation) -> list[tuple[float, float]]:
        """Return the times since the last observation that were inside, ascending."""
        zone, last = self.zone, self._last
        here = seen.box.anchor(zone.anchor)
        if last is None or not self._connected or not counts(zone.classes, last.class_name):
            return [(seen.time_s, seen.time_s)] if zone.contains(here) else []
        elapsed_s = seen.time_s - last.time_s
        if elapsed_s > LONGEST_STEP_S:
            begin_s = seen.time_s if self._inside_since_s is None else last.time_s
            return [(begin_s, seen.time_s)] if zone.contains(here) else []
        return [
            (last.time_s + elapsed_s * begin, seen.time_s if end == 1.0 else last.time_s + elapsed_s * end)
            for begin, end in zone.inside_spans(last.box.anchor(zone.anchor), here)
        ]

    def _inside(self, begin_s: float, end_s: float, *, now_s: float) -> list[Transition]:
        """Take in a time inside; return the entry if that makes it long enough."""
        if self._inside_since_s is None:
            self._inside_since_s = begin_s
        since_s, name = self._inside_since_s, self.zone.name
        self._inside_since_s, self._outside_since_s = (since_s, None) if end_s >= now_s else (None, end_s)
        if self._entered_s is not None or end_s - since_s < self.zone.enter_s - _TOLERANCE_S:
            return []
        self._entered_s = since_s
        at_s = since_s + self.zone.enter_s
        return [Transition(rule="zone_entered", name=name, zone=name, time_s=at_s, since_s=since_s)]

    def _has_left(self, seen: Observation, *, active: bool) -> bool:
        if self._inside_since_s is not None:
            return False
        distance = self.zone.distance(seen.box.anchor(self.zone.anchor), seen.aspect)
        if 0.0 < distance <= _EXIT_BAND * seen.box.height or self._outside_since_s is None:
            self._outside_since_s = seen.time_s
        if not active or seen.time_s - self._outside_since_s >= self.zone.exit_s - _TOLERANCE_S:
            return True
        far = distance > self.zone.exit_ratio * seen.box.height
        return far and self._inside_box is not None and seen.box.is_like(self._inside_box)

    def _leave(self, time_s: float) -> Transition:
        name, entered_s = self.zone.name, time_s if self._entered_s is None else self._entered_s
        self._entered_s = self._outside_since_s = None
        dwell_s = max(time_s - entered_s, 0.0)
        return Transition(rule="zone_left", name=name, zone=name, time_s=time_s, since_s=entered_s, dwell_s=dwell_s)


def _reaching_edge(polygon: tuple[Point, ...]) -> tuple[Point, ...]:
    """Return the corners, moved onto the picture's edge where they nearly are, unless the zone is that small itself."""
    across = _edge_reach([corner.x for corner in polygon])
    along = _edge_reach([corner.y for corner in polygon])
    return tuple(Point(_to_edge(corner.x, across), _to_edge(corner.y, along)) for corner in polygon)


def _edge_reach(values: Sequence[float]) -> float:
    return min(EDGE_RATIO, _MOST_MOVED * (max(values) - min(values)))


def _to_edge(value: float, reach: float) -> float:
    if value <= reach:
        return 0.0
    return 1.0 if value >= 1.0 - reach else value


def _in_picture(point: Point) -> Point:
    return Point(min(max(point.x, 0.0), 1.0), min(max(point.y, 0.0), 1.0))


def _between(start: Point, end: Point, share: float) -> Point:
    return Point(start.x + share * (end.x - start.x), start.y + share * (end.y - start.y))
