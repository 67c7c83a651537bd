"""Counters of line crossings by line, class and direction."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, time, tzinfo
from typing import NamedTuple

from edge_agent.events.rules.schedule import latest_occurrence


class Crossing(NamedTuple):
    """Key of a counter."""

    line: str
    class_name: str
    direction: str


class CrossingCounters:
    """Counts crossings since the last reset. ``reset_at`` are local times of day; empty means no resets."""

    def __init__(self, *, reset_at: tuple[time, ...] = (), timezone: tzinfo = UTC) -> None:
        self._reset_at = reset_at
        self._timezone = timezone
        self._period_start: datetime | None = None
        self._counts: Counter[Crossing] = Counter()

    def add(self, crossing: Crossing, at: datetime) -> int:
        """Count one crossing at an aware datetime; return the new count of its key."""
        self._start_period(at)
        self._counts[crossing] += 1
        return self._counts[crossing]

    def counts(self, at: datetime) -> dict[Crossing, int]:
        """Return all counts at an aware datetime."""
        self._start_period(at)
        return dict(self._counts)

    def _start_period(self, at: datetime) -> None:
        start = latest_occurrence(self._reset_at, at, self._timezone)
        if start is None or start == self._period_start:
            return
        # A clock that is set back does not restart an earlier period.
        if self._period_start is None or start > self._period_start:
            if self._period_start is not None:
                self._counts.clear()
            self._period_start = start
