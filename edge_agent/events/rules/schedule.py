"""Schedules: times of the week at which a zone or a line is active, in the site's time zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo

ALL_DAYS = frozenset(range(7))


@dataclass(frozen=True, slots=True)
class Window:
    """A daily time window. A window whose end is at or before its start ends on the next day."""

    begin: time
    end: time
    days: frozenset[int] = ALL_DAYS
    """Days on which the window starts; 0 is Monday."""

    def contains(self, local: datetime) -> bool:
        """Return whether a local time is in the window. The end is exclusive."""
        now, today = local.time(), local.weekday()
        if self.begin < self.end:
            return today in self.days and self.begin <= now < self.end
        yesterday = (today - 1) % 7
        return (today in self.days and now >= self.begin) or (yesterday in self.days and now < self.end)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Windows in which a zone or a line is active. Without windows it is always active."""

    windows: tuple[Window, ...] = ()
    timezone: tzinfo = UTC

    def active(self, at: datetime) -> bool:
        """Return whether the schedule is active at an aware datetime."""
        if not self.windows:
            return True
        local = at.astimezone(self.timezone)
        return any(window.contains(local) for window in self.windows)


ALWAYS = Schedule()


def latest_occurrence(times: tuple[time, ...], at: datetime, timezone: tzinfo) -> datetime | None:
    """Return the latest datetime up to ``at`` at which the local time was one of ``times``; None without any.

    A time that is skipped when daylight saving time starts occurs as much later; a time that is repeated when it ends
    occurs the first time only.
    """
    today = at.astimezone(timezone).date()
    occurrences = [
        datetime.combine(today - timedelta(days=back), time_of_day, tzinfo=timezone).astimezone(UTC)
        for back in (0, 1, 2)
        for time_of_day in times
    ]
    return max((occurrence for occurrence in occurrences if occurrence <= at), default=None)
