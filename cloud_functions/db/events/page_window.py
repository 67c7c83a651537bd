"""Finds the time span of a page of events from rollups, so that reading the page reads few other rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from cloud_functions.db.events.counts import BucketCount, finer_buckets
from cloud_functions.db.events.filter import EventFilter
from cloud_functions.db.events.time_buckets import TimeSpan
from cloud_functions.db.types import Connection

MAX_SKIPPED = 200
"""Maximum number of events that a page skips before its month is split into days, and its day into hours."""


@dataclass(frozen=True, slots=True)
class Window:
    """The page's events are in ``span``, after the first ``skip`` events of it."""

    span: TimeSpan
    skip: int


def window_for_page(
    connection: Connection, event_filter: EventFilter, buckets: list[BucketCount], *, offset: int, limit: int
) -> Window:
    """Return the window of the ``limit`` events after the newest ``offset``; there must be at least one."""
    skipped, first = _skip_buckets(buckets, offset)
    while _should_split(buckets[first], event_filter, limit) or (
        buckets[first].finer and offset - skipped > MAX_SKIPPED
    ):
        buckets = _split(connection, event_filter, buckets, first)
        skipped, first = _skip_buckets(buckets, offset)
    needed = offset - skipped + limit
    buckets, last = _split_last(connection, event_filter, buckets, first=first, needed=needed, limit=limit)
    return Window(TimeSpan(buckets[last].span.start, buckets[first].span.end), offset - skipped)


def window_after(
    connection: Connection, event_filter: EventFilter, buckets: list[BucketCount], *, moment: datetime, limit: int
) -> Window:
    """Return the window of the ``limit`` newest events at or before ``moment``."""
    older = _not_after(buckets, moment)
    if not older:
        return Window(TimeSpan(moment, event_filter.end), 0)
    while _should_split(older[0], event_filter, limit):
        opened = _not_after(_split(connection, event_filter, older, 0), moment)
        if not opened:
            break
        older = opened
    # It is unknown how many events of the first bucket are before the moment, so that bucket is not counted.
    older, last = _split_last(connection, event_filter, older, first=1, needed=limit, limit=limit)
    return Window(TimeSpan(older[last].span.start, event_filter.end), 0)


def _should_split(bucket: BucketCount, event_filter: EventFilter, limit: int) -> bool:
    """Whether to split a month or a day: without an index in time order, the whole window would be read.

    With a label, the rollups name the hours that hold matches, so a bucket is split only if it holds more than a page.
    """
    if event_filter.label is not None:
        return bucket.finer is not None and bucket.events > limit
    return bucket.resolution == "month" and (
        event_filter.site_id is not None or event_filter.min_confidence is not None
    )


def _split(
    connection: Connection, event_filter: EventFilter, buckets: list[BucketCount], index: int
) -> list[BucketCount]:
    """Return the buckets with one of them split; it stays whole if its events have been deleted meanwhile."""
    bucket = buckets[index]
    finer = finer_buckets(connection, event_filter, bucket) or [replace(bucket, resolution=None)]
    return [*buckets[:index], *finer, *buckets[index + 1 :]]


def _split_last(
    connection: Connection,
    event_filter: EventFilter,
    buckets: list[BucketCount],
    *,
    first: int,
    needed: int,
    limit: int,
) -> tuple[list[BucketCount], int]:
    """Return the buckets, and the index of the last one needed for ``needed`` events from ``first`` on."""
    last = _last_needed(buckets, first, needed)
    while _should_split(buckets[last], event_filter, limit):
        buckets = _split(connection, event_filter, buckets, last)
        last = _last_needed(buckets, first, needed)
    return buckets, last


def _skip_buckets(buckets: list[BucketCount], offset: int) -> tuple[int, int]:
    """Return the number of events in the buckets that are completely skipped, and the index of the next bucket."""
    skipped = 0
    for index, bucket in enumerate(buckets[:-1]):
        if skipped + bucket.events > offset:
            return skipped, index
        skipped += bucket.events
    return skipped, len(buckets) - 1


def _last_needed(buckets: list[BucketCount], first: int, needed: int) -> int:
    """Return the index of the bucket that completes ``needed`` events from ``first`` on, or of the oldest bucket."""
    for index in range(first, len(buckets)):
        needed -= buckets[index].events
        if needed <= 0:
            return index
    return len(buckets) - 1


def _not_after(buckets: list[BucketCount], moment: datetime) -> list[BucketCount]:
    return [bucket for bucket in buckets if bucket.span.start is not None and bucket.span.start <= moment]
