"""Where in time a page of events lies, by the kept counts: so that reading it touches little else."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection

from cloud_functions.db.event_count_queries import Bucket, hours_of_day
from cloud_functions.db.event_filter import EventFilter
from cloud_functions.db.time_split import TimeSpan

Row = tuple[Any, ...]

SKIP_WITHIN_A_DAY = 200
"""How many events a page may step over before the hours of its day are asked for."""


@dataclass(frozen=True, slots=True)
class Window:
    """The page's events lie in ``span``, after stepping over ``skip`` of those in it."""

    span: TimeSpan
    skip: int


def window_of_page(
    connection: Connection[Row], wanted: EventFilter, buckets: list[Bucket], *, offset: int, limit: int
) -> Window:
    """Return where the ``limit`` events after the newest ``offset`` lie; there must be any."""
    skipped, first = _step_over(buckets, offset)
    if _worth_opening(buckets[first], wanted, limit) or offset - skipped > SKIP_WITHIN_A_DAY:
        buckets = _open(connection, wanted, buckets, first)
        skipped, first = _step_over(buckets, offset)
    needed = offset - skipped + limit
    last = _reach(buckets, first, needed)
    if _worth_opening(buckets[last], wanted, limit):
        buckets = _open(connection, wanted, buckets, last)
        last = _reach(buckets, first, needed)
    return Window(TimeSpan(buckets[last].span.start, buckets[first].span.end), offset - skipped)


def window_after(
    connection: Connection[Row], wanted: EventFilter, buckets: list[Bucket], *, moment: datetime, limit: int
) -> Window:
    """Return where the ``limit`` newest events at or before ``moment`` lie, some at that very moment left out."""
    older = _not_after(buckets, moment)
    if not older:
        return Window(TimeSpan(moment, wanted.end), 0)
    if _worth_opening(older[0], wanted, limit):
        older = _not_after(_open(connection, wanted, older, 0), moment) or older
    last = _reach(older, 1, limit)  # how much of the first bucket is left, nobody knows
    if _worth_opening(older[last], wanted, limit):
        older = _open(connection, wanted, older, last)
        last = _reach(older, 1, limit)
    return Window(TimeSpan(older[last].span.start, wanted.end), 0)


def _worth_opening(bucket: Bucket, wanted: EventFilter, limit: int) -> bool:
    """Whether to cut a day into hours: a label has no index in order of time, so width costs."""
    return wanted.label is not None and bucket.is_whole_day and bucket.events > limit


def _open(connection: Connection[Row], wanted: EventFilter, buckets: list[Bucket], index: int) -> list[Bucket]:
    bucket = buckets[index]
    if not bucket.is_whole_day or bucket.span.start is None:
        return buckets
    hours = hours_of_day(connection, wanted, bucket.span.start) or [bucket]
    return [*buckets[:index], *hours, *buckets[index + 1 :]]


def _step_over(buckets: list[Bucket], offset: int) -> tuple[int, int]:
    """Return how many events lie in the buckets wholly before ``offset``, and the index of the next bucket."""
    skipped = 0
    for index, bucket in enumerate(buckets[:-1]):
        if skipped + bucket.events > offset:
            return skipped, index
        skipped += bucket.events
    return skipped, len(buckets) - 1


def _reach(buckets: list[Bucket], first: int, needed: int) -> int:
    """Return the index of the bucket with which, from ``first`` on, there are ``needed`` events, or of the oldest."""
    for index in range(first, len(buckets)):
        needed -= buckets[index].events
        if needed <= 0:
            return index
    return len(buckets) - 1


def _not_after(buckets: list[Bucket], moment: datetime) -> list[Bucket]:
    return [bucket for bucket in buckets if bucket.span.start is not None and bucket.span.start <= moment]
