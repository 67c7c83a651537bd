"""Schedule expressions of EventBridge Scheduler, in UTC: the forms that the table of tasks uses.

``rate(5 minutes)`` is due at the multiples of five minutes since 1970. ``cron(0 3 ? * SUN *)`` names minute, hour, day
of the month, month, day of the week and year. Minute and hour are ``*``, or numbers and ``start/step`` separated by
commas. Days of the week are names separated by commas. Day of the month, month and year are always every one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Final

from shared.errors import ConfigurationError

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY: Final = timedelta(days=1)
_DAYS_SEARCHED: Final = 8
_RATE: Final = re.compile(r"rate\(([1-9][0-9]{0,3}) (minute|hour|day)(s?)\)")
_CRON: Final = re.compile(r"cron\((\S+) (\S+) ([?*]) \* (\S+) \*\)", re.ASCII)
_PART: Final = re.compile(r"([0-9]{1,2})(?:/([1-9][0-9]?))?")
_UNITS: Final = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": _DAY}
_WEEKDAYS: Final = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
"""In the order of ``datetime.weekday``."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Due at every multiple of an interval."""

    interval: timedelta

    def next_after(self, moment: datetime) -> datetime:
        """Return the first due time after ``moment``."""
        return self.last_at(moment) + self.interval

    def last_at(self, moment: datetime) -> datetime:
        """Return the last due time that is not after ``moment``."""
        return moment - (moment - _EPOCH) % self.interval


@dataclass(frozen=True, slots=True)
class Cron:
    """Due at every combination of these hours and minutes on these days of the week (0 is Monday)."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    weekdays: frozenset[int]

    def next_after(self, moment: datetime) -> datetime:
        """Return the first due time after ``moment``."""
        return next(due for day in range(_DAYS_SEARCHED) for due in self._on(moment + day * _DAY) if due > moment)

    def last_at(self, moment: datetime) -> datetime:
        """Return the last due time that is not after ``moment``."""
        return next(
            due
            for day in range(_DAYS_SEARCHED)
            for due in reversed(list(self._on(moment - day * _DAY)))
            if due <= moment
        )

    def _on(self, moment: datetime) -> Iterator[datetime]:
        day = moment.astimezone(UTC).date()
        if day.weekday() in self.weekdays:
            for hour in self.hours:
                for minute in self.minutes:
                    yield datetime.combine(day, time(hour, minute), UTC)


Schedule = Rate | Cron


def parse_schedule(expression: str) -> Schedule:
    """Return the schedule of an expression.

    Raises:
        ConfigurationError: EventBridge would refuse the expression, or it has a form that is not supported here.
    """
    rate, cron = _RATE.fullmatch(expression), _CRON.fullmatch(expression)
    if rate is not None and (rate[1] == "1") is not bool(rate[3]):
        return Rate(int(rate[1]) * _UNITS[rate[2]])
    if cron is not None and (cron[3] == "?") is not (cron[4] == "?"):
        days = None if cron[4] in "?*" else cron[4].split(",")
        if days is None or set(days) <= set(_WEEKDAYS):
            weekdays = frozenset(range(7) if days is None else (_WEEKDAYS.index(day) for day in days))
            return Cron(_numbers(cron[1], 60, expression), _numbers(cron[2], 24, expression), weekdays)
    raise _unsupported(expression)


def _numbers(field: str, end: int, expression: str) -> tuple[int, ...]:
    """Return the numbers below ``end`` that a field names, in order."""
    if field == "*":
        return tuple(range(end))
    numbers: set[int] = set()
    for part in field.split(","):
        match = _PART.fullmatch(part)
        if match is None or int(match[1]) >= end:
            raise _unsupported(expression)
        start = int(match[1])
        numbers |= {start} if match[2] is None else set(range(start, end, int(match[2])))
    return tuple(sorted(numbers))


def _unsupported(expression: str) -> ConfigurationError:
    return ConfigurationError(
        f"the schedule {expression[:100]!r} is not supported; use rate(5 minutes), cron(30 2 * * ? *)"
        " or cron(0 3 ? * SUN *)"
    )
