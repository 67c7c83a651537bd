"""Applies all rules of one camera to its tracked objects."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from edge_agent.events.rule_types import Transition
from edge_agent.events.rules.counters import Crossing, CrossingCounters
from edge_agent.events.rules.lines import Line, LineState
from edge_agent.events.rules.observation import Observation
from edge_agent.events.rules.occupancy import OccupancyState
from edge_agent.events.rules.zones import Zone, ZoneState


class _ObjectState:
    """State of one object under all rules."""

    def __init__(self, zones: Sequence[Zone], lines: Sequence[Line]) -> None:
        self.zones = [ZoneState(zone) for zone in zones]
        self.lines = [LineState(line) for line in lines]


class RuleSet:
    """Zones, lines, loitering and occupancy of one camera. ``track_id`` is any integer that identifies an object.

    ``at`` is an aware datetime, used by schedules and counters; all else uses ``time_s`` of the observations.
    """

    def __init__(
        self, *, zones: Sequence[Zone] = (), lines: Sequence[Line] = (), counters: CrossingCounters | None = None
    ) -> None:
        self.zones = tuple(zones)
        self.lines = tuple(lines)
        self._counters = counters or CrossingCounters()
        self._objects: dict[int, _ObjectState] = {}
        self._occupancy = [(zone, OccupancyState(zone.name, zone.occupancy)) for zone in zones if zone.occupancy]

    def observe(self, track_id: int, observation: Observation, *, at: datetime) -> list[Transition]:
        """Process the next observation of an object; return its transitions in order of time."""
        state = self._objects.get(track_id)
        if state is None:
            state = self._objects[track_id] = _ObjectState(self.zones, self.lines)
        transitions: list[Transition] = []
        for zone_state in state.zones:
            transitions += zone_state.observe(observation, active=zone_state.zone.schedule.active(at))
        for line_state in state.lines:
            transitions += line_state.observe(observation, active=line_state.line.schedule.active(at))
        return sorted(transitions, key=_order) if len(transitions) > 1 else transitions

    def end(self, track_id: int, *, at: datetime) -> list[Transition]:
        """Remove an object whose track has ended; return the transitions that this completes."""
        state = self._objects.pop(track_id, None)
        if state is None:
            return []
        transitions: list[Transition] = []
        for line_state in state.lines:
            transitions += line_state.finish(active=line_state.line.schedule.active(at))
        for zone_state in state.zones:
            transitions += zone_state.finish()
        return sorted(transitions, key=_order)

    def interrupt(self) -> None:
        """Ignore the movement of all objects between their last and next observations, because the view has moved."""
        for state in self._objects.values():
            for each in (*state.zones, *state.lines):
                each.interrupt()

    def zones_of(self, track_id: int) -> tuple[str, ...]:
        """Return the names of the zones that an object is in."""
        return tuple(state.zone.name for state in self._zone_states(track_id) if state.entered)

    def is_loitering(self, track_id: int) -> bool:
        """Return whether loitering has been reported for a current stay of the object."""
        return any(state.loitering for state in self._zone_states(track_id))

    def count(self, crossing: Transition, *, class_name: str, at: datetime) -> Transition:
        """Count a ``line_crossed`` transition and return it with the count of its line, direction and class."""
        key = Crossing(crossing.name, class_name, crossing.direction or "")
        return replace(crossing, count=self._counters.add(key, at))

    def occupancy(self, track_ids: Collection[int], *, time_s: float, at: datetime) -> list[Transition]:
        """Return the occupancy reports that are due; ``track_ids`` are the objects to count."""
        transitions: list[Transition] = []
        for zone, state in self._occupancy:
            if zone.schedule.active(at):
                transitions += state.observe(time_s, self.number_in(zone.name, track_ids))
            else:
                state.reset()
        return transitions

    def number_in(self, zone: str, track_ids: Collection[int]) -> int:
        """Return the number of these objects that are in a zone."""
        return sum(zone in self.zones_of(track_id) for track_id in track_ids)

    def _zone_states(self, track_id: int) -> Iterator[ZoneState]:
        state = self._objects.get(track_id)
        return iter(state.zones if state else ())


def _order(transition: Transition) -> tuple[float, bool]:
    """Sort by time; at the same time, ``zone_left`` comes before other transitions."""
    return transition.time_s, transition.rule != "zone_left"
