"""All rules of one camera over all of its objects."""

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
    """One object and every rule."""

    def __init__(self, zones: Sequence[Zone], lines: Sequence[Line]) -> None:
        self.zones = [ZoneState(zone) for zone in zones]
        self.lines = [LineState(line) for line in lines]


class RuleSet:
    """Zones, lines, loitering and occupancy. Objects are told apart by any integer that stays the same for each.

    Moments (``at``) are aware and serve schedules and counters; ``time_s`` of the observations serves everything else.
    """

    def __init__(
        self, *, zones: Sequence[Zone] = (), lines: Sequence[Line] = (), counters: CrossingCounters | None = None
    ) -> None:
        self.zones = tuple(zones)
        self.lines = tuple(lines)
        self._counters = counters or CrossingCounters()
        self._objects: dict[int, _ObjectState] = {}
        self._occupancy = [(zone, OccupancyState(zone.name, zone.occupancy)) for zone in zones if zone.occupancy]

    def observe(self, track_id: int, seen: Observation, *, at: datetime) -> list[Transition]:
        """Take in one object's next observation; return what it did, in the order in which it happened."""
        state = self._objects.get(track_id)
        if state is None:
            state = self._objects[track_id] = _ObjectState(self.zones, self.lines)
        happened: list[Transition] = []
        for zone_state in state.zones:
            happened += zone_state.observe(seen, active=zone_state.zone.schedule.active(at))
        for line_state in state.lines:
            happened += line_state.observe(seen, active=line_state.line.schedule.active(at))
        return sorted(happened, key=_when) if len(happened) > 1 else happened

    def end(self, track_id: int, *, at: datetime) -> list[Transition]:
        """Forget an object that is gone; return what that completes."""
        state = self._objects.pop(track_id, None)
        if state is None:
            return []
        happened: list[Transition] = []
        for line_state in state.lines:
            happened += line_state.finish(active=line_state.line.schedule.active(at))
        for zone_state in state.zones:
            happened += zone_state.finish()
        return sorted(happened, key=_when)

    def interrupt(self) -> None:
        """Take no step of any object from its last observation to the next: the view has moved in between."""
        for state in self._objects.values():
            for each in (*state.zones, *state.lines):
                each.interrupt()

    def zones_of(self, track_id: int) -> tuple[str, ...]:
        """Return the names of the zones that an object is in."""
        return tuple(state.zone.name for state in self._zone_states(track_id) if state.entered)

    def is_loitering(self, track_id: int) -> bool:
        """Return whether loitering has been reported for a stay that goes on."""
        return any(state.loitering for state in self._zone_states(track_id))

    def count(self, crossing: Transition, *, class_name: str, at: datetime) -> Transition:
        """Count a ``line_crossed`` and return it with its line's count in that direction for that class."""
        key = Crossing(crossing.name, class_name, crossing.direction or "")
        return replace(crossing, count=self._counters.add(key, at))

    def occupancy(self, track_ids: Collection[int], *, time_s: float, at: datetime) -> list[Transition]:
        """Return the reports that are due now; ``track_ids`` are the objects that count."""
        happened: list[Transition] = []
        for zone, state in self._occupancy:
            if zone.schedule.active(at):
                happened += state.observe(time_s, self.number_in(zone.name, track_ids))
            else:
                state.reset()
        return happened

    def number_in(self, zone: str, track_ids: Collection[int]) -> int:
        """Return how many of these objects are in a zone."""
        return sum(zone in self.zones_of(track_id) for track_id in track_ids)

    def _zone_states(self, track_id: int) -> Iterator[ZoneState]:
        state = self._objects.get(track_id)
        return iter(state.zones if state else ())


def _when(happened: Transition) -> tuple[float, bool]:
    """Order by time; at one time, a zone is left before the next one is entered."""
    return happened.time_s, happened.rule != "zone_left"
