"""Zones: detects that objects enter, stay in and leave named areas, with hysteresis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from edge_agent.events.rule_types import Transition
from edge_agent.events.rules.loitering import Loitering, LoiteringState
from edge_agent.events.rules.observation import EDGE_RATIO, Box, Observation, check_shape, counts
from edge_agent.events.rules.occupancy import Occupancy
from edge_agent.events.rules.schedule import ALWAYS, Schedule
from shared.geometry import Point, edge_crossings, polygon_contains, polygon_distance
from shared.zones import Anchor

MAX_STEP_S = 2.0
"""Maximum time between two observations for which the path between them is interpolated."""
_MAX_CORNER_SHIFT = 0.1
"""Maximum distance by which a corner is moved to the picture's edge, as a fraction of the zone's extent."""
_EXIT_BAND = 0.02
"""Distance outside the zone, in box heights, within which an object that was inside still counts as inside."""
_TOLERANCE_S = 1e-6


@dataclass(frozen=True, slots=True)
class Zone:
    """A named area. ``polygon`` has three or more corners, as fractions of the picture's size, in any orientation."""

    name: str
    polygon: tuple[Point, ...]
    classes: frozenset[str] = frozenset()
    """Classes the rule applies to; empty means all."""
    anchor: Anchor = "bottom"
    enter_s: float = 0.3
    """Uninterrupted time inside after which an object has entered. Raising it ignores short stays."""
    exit_s: float = 1.0
    """Uninterrupted time outside after which it has left. Raising it ignores longer absences."""
    exit_ratio: float = 0.15
    """Distance outside, in box heights, beyond which it has left at once."""
    loitering: Loitering | None = None
    occupancy: Occupancy | None = None
    schedule: Schedule = ALWAYS

    def __post_init__(self) -> None:
        check_shape(self.name, self.polygon, least=3, anchor=self.anchor)
        object.__setattr__(self, "polygon", _extend_snap_to_edge(self.polygon))

    def contains(self, point: Point) -> bool:
        """Return whether a point, as fractions of the picture, is in the zone or on its edge.

        A zone that reaches the picture's edge continues beyond it: a point outside the picture is moved to the edge.
        """
        return polygon_contains(self.polygon, _in_picture(point))

    def inside_spans(self, start: Point, end: Point) -> list[tuple[float, float]]:
        """Return the parts of the step ``start → end`` inside the zone, as shares (0..1) of the step."""
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
        """Return the distance of a point from the zone, in picture heights; 0 inside."""
        point = _in_picture(point)
        stretched = [Point(corner.x * aspect, corner.y) for corner in self.polygon]
        return polygon_distance(stretched, Point(point.x * aspect, point.y))


class ZoneState:
    """State of one object in one zone.

    Time inside is interpolated along the straight line between observations, so it depends little on the frame rate.
    """

    def __init__(self, zone: Zone) -> None:
        self.zone = zone
        self._loitering = LoiteringState(zone.name, zone.loitering) if zone.loitering else None
        self._last: Observation | None = None
        self._connected = False
        """Whether the path from the last observation to the next is interpolated."""
        self._inside_since_s: float | None = None
        """Start of the uninterrupted time inside; None while outside."""
        self._inside_box: Box | None = None
        """The last box inside, to distinguish movements from changes of shape."""
        self._entered_s: float | None = None
        self._outside_since_s: float | None = None

    @property
    def entered(self) -> bool:
        """Whether the object has entered and not left."""
        return self._entered_s is not None

    @property
    def loitering(self) -> bool:
        """Whether loitering has been reported for the current stay."""
        return self._loitering is not None and self._loitering.reported

    def observe(self, observation: Observation, *, active: bool = True) -> list[Transition]:
        """Process the next observation, at a later time; return its transitions.

        While the zone is not ``active``, no object is in it: objects inside leave, and enter when it is active again.
        """
        transitions: list[Transition] = []
        spans = self._spans(observation) if active and counts(self.zone.classes, observation.class_name) else []
        last_s = self._last.time_s if self._last else observation.time_s
        if self._inside_since_s is not None and not (spans and spans[0][0] <= last_s):
            self._inside_since_s, self._outside_since_s = None, last_s
        for begin_s, end_s in spans:
            transitions += self._inside(begin_s, end_s, now_s=observation.time_s)
        if self._entered_s is not None and self._has_left(observation, active=active):
            transitions.append(self._leave(last_s if self._outside_since_s is None else self._outside_since_s))
        if self._loitering is not None:
            inside = self._inside_since_s is not None
            transitions += self._loitering.observe(observation.time_s, inside=inside, since_s=self._inside_since_s)
            if not active:
                self._loitering.reset()
        if self._inside_since_s is not None:
            self._inside_box = observation.box
        self._last, self._connected = observation, active
        return transitions

    def interrupt(self) -> None:
        """Do not interpolate the path from the last observation to the next."""
        self._connected = False

    def finish(self) -> list[Transition]:
        """End the track at the last observation; return the transition that this completes."""
        if self._last is None or self._entered_s is None:
            return []
        return [self._leave(self._last.time_s if self._outside_since_s is None else self._outside_since_s)]

    def _spans(self, observation: Observation) -> list[tuple[float, float]]:
        """Return the time spans inside since the last observation, in ascending order."""
        zone, last = self.zone, self._last
        position = observation.box.anchor(zone.anchor)
        if last is None or not self._connected or not counts(zone.classes, last.class_name):
            return [(observation.time_s, observation.time_s)] if zone.contains(position) else []
        elapsed_s = observation.time_s - last.time_s
        if elapsed_s > MAX_STEP_S:
            begin_s = observation.time_s if self._inside_since_s is None else last.time_s
            return [(begin_s, observation.time_s)] if zone.contains(position) else []
        return [
            (last.time_s + elapsed_s * begin, observation.time_s if end == 1.0 else last.time_s + elapsed_s * end)
            for begin, end in zone.inside_spans(last.box.anchor(zone.anchor), position)
        ]

    def _inside(self, begin_s: float, end_s: float, *, now_s: float) -> list[Transition]:
        """Process a time span inside; return the entry where the time inside is now long enough."""
        if self._inside_since_s is None:
            self._inside_since_s = begin_s
        since_s, name = self._inside_since_s, self.zone.name
        self._inside_since_s, self._outside_since_s = (since_s, None) if end_s >= now_s else (None, end_s)
        if self._entered_s is not None or end_s - since_s < self.zone.enter_s - _TOLERANCE_S:
            return []
        self._entered_s = since_s
        at_s = since_s + self.zone.enter_s
        return [Transition(rule="zone_entered", name=name, zone=name, time_s=at_s, since_s=since_s)]

    def _has_left(self, observation: Observation, *, active: bool) -> bool:
        if self._inside_since_s is not None:
            return False
        distance = self.zone.distance(observation.box.anchor(self.zone.anchor), observation.aspect)
        if 0.0 < distance <= _EXIT_BAND * observation.box.height or self._outside_since_s is None:
            self._outside_since_s = observation.time_s
        if not active or observation.time_s - self._outside_since_s >= self.zone.exit_s - _TOLERANCE_S:
            return True
        far = distance > self.zone.exit_ratio * observation.box.height
        return far and self._inside_box is not None and observation.box.is_like(self._inside_box)

    def _leave(self, time_s: float) -> Transition:
        name, entered_s = self.zone.name, time_s if self._entered_s is None else self._entered_s
        self._entered_s = self._outside_since_s = None
        dwell_s = max(time_s - entered_s, 0.0)
        return Transition(rule="zone_left", name=name, zone=name, time_s=time_s, since_s=entered_s, dwell_s=dwell_s)


def _extend_snap_to_edge(polygon: tuple[Point, ...]) -> tuple[Point, ...]:
    """Return the corners, with those close to the picture's edge moved onto it."""
    x_reach = _snap_distance([corner.x for corner in polygon])
    y_reach = _snap_distance([corner.y for corner in polygon])
    return tuple(Point(_snap_to_edge(corner.x, x_reach), _snap_to_edge(corner.y, y_reach)) for corner in polygon)


def _snap_distance(values: Sequence[float]) -> float:
    return min(EDGE_RATIO, _MAX_CORNER_SHIFT * (max(values) - min(values)))


def _snap_to_edge(value: float, reach: float) -> float:
    if value <= reach:
        return 0.0
    return 1.0 if value >= 1.0 - reach else value


def _in_picture(point: Point) -> Point:
    return Point(min(max(point.x, 0.0), 1.0), min(max(point.y, 0.0), 1.0))


def _between(start: Point, end: Point, share: float) -> Point:
    return Point(start.x + share * (end.x - start.x), start.y + share * (end.y - start.y))
