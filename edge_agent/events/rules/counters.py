"""Counters: how many objects of each class have crossed each line in each direction."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, time, tzinfo
from typing import NamedTuple

from edge_agent.events.rules.schedule import last_moment_of


class Crossing(NamedTuple):
    """What crossings are counted by."""

    line: str
    class_name: str
    direction: str


class CrossingCounters:
    """Counts from the last reset. Resets are at local times of day; without any, counts run on."""

    def __init__(self, *, reset_at: tuple[time, ...] = (), timezone: tzinfo = UTC) -> None:
        self._reset_at = reset_at
        self._timezone = timezone
        self._period_began: datetime | None = None
        self._counts: Counter[Crossing] = Counter()

    def add(self, crossing: Crossing, at: datetime) -> int:
        """Count one crossing at an aware moment; return how many of its kind there are now."""
        self._start_period(at)
        self._counts[crossing] += 1
        return self._counts[crossing]

    def counts(self, at: datetime) -> dict[Crossing, int]:
        """Return all counts as they stand at an aware moment."""
        self._start_period(at)
        return dict(self._counts)

    def _start_period(self, at: datetime) -> None:
        began = last_moment_of(self._reset_at, at, self._timezone)
        if began is None or began == self._period_began:
            return
        # A clock that is set back does not bring an old period back.
        if self._period_began is None or began > self._period_began:
            if self._period_began is not None:
                self._counts.clear()
            self._period_began = began
