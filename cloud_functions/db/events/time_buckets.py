"""Splits a time span at UTC hours, days and months, so that rollups count the whole ones and only the rest is read.

A list needs the exact position of its events, so it uses the whole buckets inside its span (``inner_buckets``). A sum
uses the buckets nearest to its span, and adds or subtracts the difference, which is at most half a bucket at each end
(``nearest_buckets``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from psycopg import sql

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

Floor = Callable[[datetime], datetime]
Resolution = Literal["hour", "day", "month"]
Column = Literal["timestamp"] | Resolution


@dataclass(frozen=True, slots=True)
class TimeSpan:
    """From ``start`` (included) to ``end`` (excluded), in UTC; None means unbounded."""

    start: datetime | None = None
    end: datetime | None = None

    @property
    def is_empty(self) -> bool:
        return self.start is not None and self.end is not None and self.start >= self.end

    def intersection(self, other: TimeSpan) -> TimeSpan:
        """Return the part that both spans contain."""
        starts = [start for start in (self.start, other.start) if start is not None]
        ends = [end for end in (self.end, other.end) if end is not None]
        return TimeSpan(max(starts, default=None), min(ends, default=None))


@dataclass(frozen=True, slots=True)
class Bucket:
    """A part of a span that is counted in one way: whole hours, days or months by their rollup, the rest by its events.

    ``resolution`` names the rollup; None stands for the events themselves.
    """

    resolution: Resolution | None
    span: TimeSpan
    is_added: bool = True
    """True where the count is added to the sum, False where it is subtracted."""


def inner_buckets(span: TimeSpan) -> list[Bucket]:
    """Return disjoint buckets that cover ``span`` exactly: the whole months, the remaining whole days, and so on."""
    if span.is_empty:
        return []
    buckets: list[Bucket] = []
    resolution: Resolution | None = None
    for coarser, floor, longest in _RESOLUTIONS:
        inner = TimeSpan(
            None if span.start is None else _ceiling(span.start, floor, longest),
            None if span.end is None else floor(span.end),
        )
        if inner.is_empty:
            break
        edges = (TimeSpan(span.start, inner.start), TimeSpan(inner.end, span.end))
        buckets += [Bucket(resolution, edge) for edge in edges if edge.start != edge.end]
        resolution, span = coarser, inner
    return [Bucket(resolution, span), *buckets]


def nearest_buckets(span: TimeSpan) -> list[Bucket]:
    """Return buckets whose signed sum is ``span``, with as few hours, days and months as possible."""
    if span.is_empty:
        return []
    buckets: list[Bucket] = []
    resolution: Resolution | None = None
    for coarser, floor, longest in _RESOLUTIONS:
        rounded = TimeSpan(_nearest(span.start, floor, longest), _nearest(span.end, floor, longest))
        if rounded.start is not None and rounded.end is not None and rounded.start >= rounded.end:
            break
        buckets += _difference(resolution, rounded.start, span.start, is_added=False)
        buckets += _difference(resolution, rounded.end, span.end, is_added=True)
        resolution, span = coarser, rounded
    return [Bucket(resolution, span), *buckets]


def _difference(
    resolution: Resolution | None, rounded: datetime | None, moment: datetime | None, *, is_added: bool
) -> Iterator[Bucket]:
    """Yield the bucket between an end of a span and its rounded value; ``is_added`` if rounding down lost it."""
    if rounded is None or moment is None or rounded == moment:
        return
    span = TimeSpan(min(rounded, moment), max(rounded, moment))
    yield Bucket(resolution, span, is_added=is_added == (rounded < moment))


def _nearest(moment: datetime | None, floor: Floor, longest: timedelta) -> datetime | None:
    if moment is None:
        return None
    before, after = floor(moment), _ceiling(moment, floor, longest)
    return before if moment - before <= after - moment else after


def floor_month(moment: datetime) -> datetime:
    """Return the start of the month."""
    return moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def floor_hour(moment: datetime) -> datetime:
    """Return the start of the hour."""
    return moment.replace(minute=0, second=0, microsecond=0)


def floor_day(moment: datetime) -> datetime:
    """Return the start of the day."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


_RESOLUTIONS: tuple[tuple[Resolution, Floor, timedelta], ...] = (
    ("hour", floor_hour, HOUR),
    ("day", floor_day, DAY),
    ("month", floor_month, timedelta(days=31)),
)
"""From fine to coarse, each with its longest duration: a start plus that duration is always in the next one."""


def next_start(start: datetime, resolution: Resolution) -> datetime:
    """Return the start of the hour, day or month that follows the one that starts at ``start``."""
    floor, longest = next((floor, longest) for name, floor, longest in _RESOLUTIONS if name == resolution)
    return floor(start + longest)


def _ceiling(moment: datetime, floor: Floor, longest: timedelta) -> datetime:
    down = floor(moment)
    return down if down == moment else floor(down + longest)


def time_conditions(span: TimeSpan, column: Column, parameters: dict[str, object], name: str) -> list[sql.Composable]:
    """Return the conditions that restrict ``column`` to ``span``; add their values to ``parameters``.

    ``name`` is the prefix of the parameters' names.
    """
    parameters |= {f"{name}_start": span.start, f"{name}_end": span.end}
    conditions: list[sql.Composable] = []
    if span.start is not None:
        conditions.append(sql.SQL("{} >= {}").format(sql.Identifier(column), sql.Placeholder(f"{name}_start")))
    if span.end is not None:
        conditions.append(sql.SQL("{} < {}").format(sql.Identifier(column), sql.Placeholder(f"{name}_end")))
    return conditions
