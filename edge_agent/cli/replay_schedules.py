"""Which zones and lines their schedules leave out while a recording is replayed."""

from __future__ import annotations

from datetime import datetime

from edge_agent.events.rules.from_settings import rules_of
from edge_agent.events.settings import EventSettings


class ReplaySchedules:
    """The schedules of one camera's zones and lines, and which of them never applied."""

    def __init__(self, settings: EventSettings) -> None:
        rules = rules_of(settings)
        self._schedules = [
            *((f"zone {zone.name}", zone.schedule) for zone in rules.zones),
            *((f"line {line.name}", line.schedule) for line in rules.lines),
        ]
        self._never = {name for name, schedule in self._schedules if schedule.windows}

    def note(self, at: datetime) -> frozenset[str]:
        """Take in the moment of a frame; return ``zone NAME`` and ``line NAME`` of those that do not count then."""
        off = frozenset(name for name, schedule in self._schedules if not schedule.active(at))
        self._never &= off
        return off

    @property
    def never_active(self) -> list[str]:
        """Those whose schedule applied at none of the moments so far."""
        return sorted(self._never)
