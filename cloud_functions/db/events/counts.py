"""Counts events, exactly and in milliseconds: whole months, days and hours from rollup tables, the rest from events.

The rollups are kept by camera, type, site, time, one label (class or zone), and confidence in steps of 0.05. A filter
with another condition (a confidence between two steps, a plate, a class together with a zone) is counted in the table
of events: the result is exact too, and the speed depends on the index.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString

from psycopg import sql

from cloud_functions.db.events.filter import EventFilter, Parameters, all_of, event_conditions, name_conditions
from cloud_functions.db.events.time_buckets import (
    Bucket,
    Resolution,
    TimeSpan,
    inner_buckets,
    next_start,
    time_conditions,
)
from cloud_functions.db.types import Connection, Row

_TABLES: dict[tuple[Resolution, bool], LiteralString] = {
    ("hour", False): "event_counts",
    ("day", False): "event_counts_daily",
    ("month", False): "event_counts_monthly",
    ("hour", True): "event_label_counts",
    ("day", True): "event_label_counts_daily",
    ("month", True): "event_label_counts_monthly",
}
"""The rollup tables by resolution, and by whether they count labels."""

_FINER: dict[Resolution | None, Resolution] = {"month": "day", "day": "hour"}


@dataclass(frozen=True, slots=True)
class BucketCount:
    """The number of matching events in ``span``: a month, a day, an hour, or part of an hour (no ``resolution``)."""

    span: TimeSpan
    events: int
    resolution: Resolution | None

    @property
    def finer(self) -> Resolution | None:
        """The resolution that it can be split into: a month into days, a day into hours."""
        return _FINER.get(self.resolution)


def count_events(connection: Connection, event_filter: EventFilter) -> int:
    """Return exactly how many events match."""
    if event_filter.has_rollup:
        return sum(counted.events for counted in count_buckets(connection, event_filter))
    conditions, parameters = event_conditions(event_filter)
    conditions += time_conditions(event_filter.span, "timestamp", parameters, "span")
    query = sql.SQL("SELECT count(*) FROM events WHERE {}").format(all_of(conditions))
    return _rows(connection, query, parameters)[0][0]


def count_buckets(connection: Connection, event_filter: EventFilter) -> list[BucketCount]:
    """Return the months, days, hours and edges that hold matching events, newest first.

    The filter must have a rollup (``EventFilter.has_rollup``).
    """
    return _count(connection, event_filter, inner_buckets(event_filter.span))


def finer_buckets(connection: Connection, event_filter: EventFilter, counted: BucketCount) -> list[BucketCount]:
    """Return the days of a month, or the hours of a day, that hold matching events, newest first."""
    return _count(connection, event_filter, [Bucket(counted.finer, counted.span)])


def _count(connection: Connection, event_filter: EventFilter, buckets: list[Bucket]) -> list[BucketCount]:
    if not buckets:
        return []
    parameters: Parameters = {}
    parts = [_part(event_filter, bucket, parameters, number) for number, bucket in enumerate(buckets)]
    rows = _rows(connection, sql.SQL("WITH {} {}").format(*materialized_union(parts)), parameters)
    counts = [_bucket_count(buckets[number], start, events) for number, start, events in rows if events]
    return sorted(counts, key=lambda counted: _start_key(counted.span), reverse=True)


def _part(event_filter: EventFilter, bucket: Bucket, parameters: Parameters, number: int) -> sql.Composed:
    """Return a select of (number, start, events) with one row for each month, day or hour of the bucket."""
    name = f"bucket{number}"
    if bucket.resolution is None:
        conditions, values = event_conditions(event_filter)
        parameters |= values
        conditions += time_conditions(bucket.span, "timestamp", parameters, name)
        query = sql.SQL("SELECT {}, NULL::timestamptz, count(*) FROM events WHERE {}")
        return query.format(sql.Literal(number), all_of(conditions))
    return sql.SQL("SELECT {0}, {1}, sum({2})::bigint FROM {3} WHERE {4} GROUP BY {1}").format(
        sql.Literal(number),
        sql.SQL(bucket.resolution),
        rollup_column(event_filter),
        rollup_table(event_filter, bucket.resolution),
        all_of(rollup_conditions(event_filter, bucket.resolution, bucket.span, parameters, name)),
    )


def _bucket_count(bucket: Bucket, start: datetime, events: int) -> BucketCount:
    span = bucket.span if bucket.resolution is None else TimeSpan(start, next_start(start, bucket.resolution))
    return BucketCount(span, events, bucket.resolution)


def _start_key(span: TimeSpan) -> datetime:
    assert span.start is not None  # noqa: S101 - only whole months have no start, and those are split into months
    return span.start


def _rows(connection: Connection, query: sql.Composed, parameters: Parameters) -> list[Row]:
    return connection.execute(query, parameters).fetchall()


def rollup_table(event_filter: EventFilter, resolution: Resolution) -> sql.SQL:
    """Return the rollup table with this resolution that answers the filter."""
    return sql.SQL(_TABLES[resolution, event_filter.label is not None])


def rollup_column(event_filter: EventFilter) -> sql.Composable:
    """Return the column that counts events with at least the filter's confidence; it is 0 or NULL where none match."""
    step = event_filter.confidence_step
    return sql.SQL("events") if step is None else sql.SQL("at_least[{}]").format(sql.Literal(1 + step))


def rollup_conditions(
    event_filter: EventFilter, resolution: Resolution, span: TimeSpan, parameters: Parameters, name: str
) -> list[sql.Composable]:
    """Return the conditions on a rollup's rows for the matching events in ``span``; add their values to ``parameters``.

    ``name`` is the prefix of the names of the span's parameters.
    """
    conditions, values = name_conditions(event_filter)
    parameters |= values
    if event_filter.label is not None:
        conditions.append(sql.SQL("kind = %(kind)s AND label = %(label)s"))
        parameters |= {"kind": event_filter.label[0], "label": event_filter.label[1]}
    return [*conditions, *time_conditions(span, resolution, parameters, name)]


def materialized_union(parts: list[sql.Composed]) -> tuple[sql.Composed, sql.Composed]:
    """Return the WITH list and the union of selects, each of them materialized.

    In one plan the planner would start parallel workers, which takes longer than the counting. Each select should
    return few, aggregated rows: materializing ten thousand rows takes several times as long as adding them up.
    """
    names = [sql.Identifier(f"part{number}") for number in range(len(parts))]
    listed = [sql.SQL("{} AS MATERIALIZED ({})").format(name, part) for name, part in zip(names, parts, strict=True)]
    union = sql.SQL(" UNION ALL ").join(sql.SQL("SELECT * FROM {}").format(name) for name in names)
    return sql.SQL(", ").join(listed), union
