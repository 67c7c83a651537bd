"""Tracks which zones and lines are inactive by their schedules during a replay."""

from __future__ import annotations

from datetime import datetime

from edge_agent.events.rules.from_settings import build_rules
from edge_agent.events.settings import EventSettings


class ReplaySchedules:
    """Schedules of one camera's zones and lines."""

    def __init__(self, settings: EventSettings) -> None:
        rules = build_rules(settings)
        self._schedules = [
            *((f"zone {zone.name}", zone.schedule) for zone in rules.zones),
            *((f"line {line.name}", line.schedule) for line in rules.lines),
        ]
        self._never = {name for name, schedule in self._schedules if schedule.windows}

    def note(self, at: datetime) -> frozenset[str]:
        """Return ``zone NAME`` and ``line NAME`` of those that are inactive at the time of a frame."""
        off = frozenset(name for name, schedule in self._schedules if not schedule.active(at))
        self._never &= off
        return off

    @property
    def never_active(self) -> list[str]:
        """Zones and lines that were inactive at all frame times so far."""
        return sorted(self._never)
