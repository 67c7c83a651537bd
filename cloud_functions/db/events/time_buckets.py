"""Cuts a span of time at UTC hours, days and months: kept counts answer for the whole ones, and only the rest is read.

A list must know where in time its events lie, so it takes the whole ones inside its span (``inner_pieces``). A sum need
not: it takes those nearest to its span, and what is too much or too little is at most half of one (``nearest_pieces``).
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
Grain = Literal["hour", "day", "month"]
Column = Literal["timestamp"] | Grain


@dataclass(frozen=True, slots=True)
class TimeSpan:
    """From ``start`` (included) to ``end`` (excluded), in UTC; None is without end."""

    start: datetime | None = None
    end: datetime | None = None

    @property
    def is_empty(self) -> bool:
        return self.start is not None and self.end is not None and self.start >= self.end

    def cut_to(self, other: TimeSpan) -> TimeSpan:
        """Return what lies in both."""
        starts = [start for start in (self.start, other.start) if start is not None]
        ends = [end for end in (self.end, other.end) if end is not None]
        return TimeSpan(max(starts, default=None), min(ends, default=None))


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a span: read from the events (no ``grain``), or from the counts of whole hours, days or months."""

    grain: Grain | None
    span: TimeSpan
    is_added: bool = True
    """Whether it is added; else it is taken away again."""


def inner_pieces(span: TimeSpan) -> list[Piece]:
    """Return disjoint pieces that cover ``span`` exactly: whole months, whole days beside them, and so on."""
    if span.is_empty:
        return []
    pieces: list[Piece] = []
    grain: Grain | None = None
    for coarser, floor, longest in _GRAINS:
        inner = TimeSpan(
            None if span.start is None else _ceiling(span.start, floor, longest),
            None if span.end is None else floor(span.end),
        )
        if inner.is_empty:
            break
        around = (TimeSpan(span.start, inner.start), TimeSpan(inner.end, span.end))
        pieces += [Piece(grain, piece) for piece in around if piece.start != piece.end]
        grain, span = coarser, inner
    return [Piece(grain, span), *pieces]


def nearest_pieces(span: TimeSpan) -> list[Piece]:
    """Return pieces that make up ``span`` when added and taken away, of as few hours, days and months as can be."""
    if span.is_empty:
        return []
    pieces: list[Piece] = []
    grain: Grain | None = None
    for coarser, floor, longest in _GRAINS:
        rounded = TimeSpan(_nearest(span.start, floor, longest), _nearest(span.end, floor, longest))
        if rounded.start is not None and rounded.end is not None and rounded.start >= rounded.end:
            break
        pieces += _difference(grain, rounded.start, span.start, is_added=False)
        pieces += _difference(grain, rounded.end, span.end, is_added=True)
        grain, span = coarser, rounded
    return [Piece(grain, span), *pieces]


def _difference(
    grain: Grain | None, rounded: datetime | None, moment: datetime | None, *, is_added: bool
) -> Iterator[Piece]:
    """Give what lies between an end of a span and what it was rounded to; ``is_added`` if rounding down lost it."""
    if rounded is None or moment is None or rounded == moment:
        return
    yield Piece(grain, TimeSpan(min(rounded, moment), max(rounded, moment)), is_added=is_added == (rounded < moment))


def _nearest(moment: datetime | None, floor: Floor, longest: timedelta) -> datetime | None:
    if moment is None:
        return None
    before, after = floor(moment), _ceiling(moment, floor, longest)
    return before if moment - before <= after - moment else after


def floor_month(moment: datetime) -> datetime:
    """Return the beginning of the month."""
    return moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def floor_hour(moment: datetime) -> datetime:
    """Return the beginning of the hour."""
    return moment.replace(minute=0, second=0, microsecond=0)


def floor_day(moment: datetime) -> datetime:
    """Return the beginning of the day."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


_GRAINS: tuple[tuple[Grain, Floor, timedelta], ...] = (
    ("hour", floor_hour, HOUR),
    ("day", floor_day, DAY),
    ("month", floor_month, timedelta(days=31)),
)
"""From fine to coarse; one of the longest kind after its beginning lies in the next, if not at its beginning."""


def next_after(begin: datetime, grain: Grain) -> datetime:
    """Return the beginning of the hour, day or month after the one that begins at ``begin``."""
    floor, longest = next((floor, longest) for name, floor, longest in _GRAINS if name == grain)
    return floor(begin + longest)


def _ceiling(moment: datetime, floor: Floor, longest: timedelta) -> datetime:
    down = floor(moment)
    return down if down == moment else floor(down + longest)


def time_conditions(span: TimeSpan, column: Column, parameters: dict[str, object], name: str) -> list[sql.Composable]:
    """Return the conditions that keep ``column`` inside ``span``; put their values into ``parameters``."""
    parameters |= {f"{name}_start": span.start, f"{name}_end": span.end}
    conditions: list[sql.Composable] = []
    if span.start is not None:
        conditions.append(sql.SQL("{} >= {}").format(sql.Identifier(column), sql.Placeholder(f"{name}_start")))
    if span.end is not None:
        conditions.append(sql.SQL("{} < {}").format(sql.Identifier(column), sql.Placeholder(f"{name}_end")))
    return conditions
