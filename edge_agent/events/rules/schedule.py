"""Schedules: at which times of the week a zone or a line counts, in the site's time zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo

ALL_DAYS = frozenset(range(7))


@dataclass(frozen=True, slots=True)
class Window:
    """A time of day on some days of the week. One that ends at or before its beginning goes on past midnight."""

    begin: time
    end: time
    days: frozenset[int] = ALL_DAYS
    """The days on which it begins: 0 is Monday."""

    def holds(self, local: datetime) -> bool:
        """Return whether a moment, in local time, is in the window; its end is not."""
        now, today = local.time(), local.weekday()
        if self.begin < self.end:
            return today in self.days and self.begin <= now < self.end
        yesterday = (today - 1) % 7
        return (today in self.days and now >= self.begin) or (yesterday in self.days and now < self.end)


@dataclass(frozen=True, slots=True)
class Schedule:
    """The windows in which something counts; none at all means always."""

    windows: tuple[Window, ...] = ()
    timezone: tzinfo = UTC

    def active(self, at: datetime) -> bool:
        """Return whether it counts at an aware moment."""
        if not self.windows:
            return True
        local = at.astimezone(self.timezone)
        return any(window.holds(local) for window in self.windows)


ALWAYS = Schedule()


def last_moment_of(times: tuple[time, ...], at: datetime, timezone: tzinfo) -> datetime | None:
    """Return the latest moment up to ``at`` when the local clock stood at one of ``times``; None without any.

    A time that the clock skips in spring counts as so long after the change; one that it repeats in autumn counts the
    first time only.
    """
    today = at.astimezone(timezone).date()
    moments = [
        datetime.combine(today - timedelta(days=back), one, tzinfo=timezone).astimezone(UTC)
        for back in (0, 1, 2)
        for one in times
    ]
    return max((moment for moment in moments if moment <= at), default=None)
