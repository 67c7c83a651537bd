"""Where in time a page of events lies, by the kept counts: so that reading it touches little else."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from cloud_functions.db.events.counts import BucketCount, finer_buckets
from cloud_functions.db.events.filter import EventFilter
from cloud_functions.db.events.time_buckets import TimeSpan
from cloud_functions.db.types import Connection

MAX_SKIPPED = 200
"""How many events a page may step over before the days of its month, and the hours of its day, are asked for."""


@dataclass(frozen=True, slots=True)
class Window:
    """The page's events lie in ``span``, after stepping over ``skip`` of those in it."""

    span: TimeSpan
    skip: int


def window_for_page(
    connection: Connection, wanted: EventFilter, buckets: list[BucketCount], *, offset: int, limit: int
) -> Window:
    """Return where the ``limit`` events after the newest ``offset`` lie; there must be any."""
    skipped, first = _step_over(buckets, offset)
    while _worth_opening(buckets[first], wanted, limit) or (buckets[first].finer and offset - skipped > MAX_SKIPPED):
        buckets = _open(connection, wanted, buckets, first)
        skipped, first = _step_over(buckets, offset)
    needed = offset - skipped + limit
    buckets, last = _open_last(connection, wanted, buckets, first=first, needed=needed, limit=limit)
    return Window(TimeSpan(buckets[last].span.start, buckets[first].span.end), offset - skipped)


def window_after(
    connection: Connection, wanted: EventFilter, buckets: list[BucketCount], *, moment: datetime, limit: int
) -> Window:
    """Return where the ``limit`` newest events at or before ``moment`` lie, some at that very moment left out."""
    older = _not_after(buckets, moment)
    if not older:
        return Window(TimeSpan(moment, wanted.end), 0)
    while _worth_opening(older[0], wanted, limit):
        opened = _not_after(_open(connection, wanted, older, 0), moment)
        if not opened:
            break
        older = opened
    # How much of the first bucket is left, nobody knows: it does not count.
    older, last = _open_last(connection, wanted, older, first=1, needed=limit, limit=limit)
    return Window(TimeSpan(older[last].span.start, wanted.end), 0)


def _worth_opening(bucket: BucketCount, wanted: EventFilter, limit: int) -> bool:
    """Whether to cut a month or a day: what no index has in order of time is looked for in all of the window.

    Under a label the counts say in which hours to look, so a bucket is cut only where it holds more than a page.
    """
    if wanted.label is not None:
        return bucket.finer is not None and bucket.events > limit
    return bucket.resolution == "month" and (wanted.site_id is not None or wanted.min_confidence is not None)


def _open(connection: Connection, wanted: EventFilter, buckets: list[BucketCount], index: int) -> list[BucketCount]:
    """Return the buckets with one cut into what it holds; it stays whole where nothing is left of that meanwhile."""
    bucket = buckets[index]
    finer = finer_buckets(connection, wanted, bucket) or [replace(bucket, resolution=None)]
    return [*buckets[:index], *finer, *buckets[index + 1 :]]


def _open_last(
    connection: Connection, wanted: EventFilter, buckets: list[BucketCount], *, first: int, needed: int, limit: int
) -> tuple[list[BucketCount], int]:
    """Return the buckets, and the index of that with which, from ``first`` on, there are ``needed`` events."""
    last = _reach(buckets, first, needed)
    while _worth_opening(buckets[last], wanted, limit):
        buckets = _open(connection, wanted, buckets, last)
        last = _reach(buckets, first, needed)
    return buckets, last


def _step_over(buckets: list[BucketCount], offset: int) -> tuple[int, int]:
    """Return how many events lie in the buckets wholly before ``offset``, and the index of the next bucket."""
    skipped = 0
    for index, bucket in enumerate(buckets[:-1]):
        if skipped + bucket.events > offset:
            return skipped, index
        skipped += bucket.events
    return skipped, len(buckets) - 1


def _reach(buckets: list[BucketCount], first: int, needed: int) -> int:
    """Return the index of the bucket with which, from ``first`` on, there are ``needed`` events, or of the oldest."""
    for index in range(first, len(buckets)):
        needed -= buckets[index].events
        if needed <= 0:
            return index
    return len(buckets) - 1


def _not_after(buckets: list[BucketCount], moment: datetime) -> list[BucketCount]:
    return [bucket for bucket in buckets if bucket.span.start is not None and bucket.span.start <= moment]
