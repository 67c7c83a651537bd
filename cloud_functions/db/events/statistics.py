"""Statistics of the events that match: totals by type and by camera, and when the first and the last were captured."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from psycopg import sql

from cloud_functions.db.events.counts import materialized_union, rollup_column, rollup_conditions, rollup_table
from cloud_functions.db.events.filter import EventFilter, Parameters, all_of, event_conditions
from cloud_functions.db.events.time_buckets import DAY, Bucket, TimeSpan, floor_day, nearest_buckets, time_conditions
from cloud_functions.db.types import Connection, Row


@dataclass(frozen=True, slots=True)
class EventStats:
    """Totals of the matching events, and the times of the first and the last."""

    total: int
    by_type: dict[str, int]
    by_camera: dict[str, int]
    first: datetime | None
    last: datetime | None


def event_stats(connection: Connection, wanted: EventFilter) -> EventStats:
    """Return totals by type and by camera, exactly, and when the matching events begin and end."""
    if wanted.span.is_empty:
        return _in_all([], None, None)
    if not wanted.has_rollup:
        rows = _read(connection, wanted)
        return _in_all(rows, min((row[3] for row in rows), default=None), max((row[4] for row in rows), default=None))
    rows = _add_up(connection, wanted)
    return _in_all(rows, *(_first_and_last(connection, wanted, *rows[0][3:]) if rows else (None, None)))


def _in_all(rows: list[Row], first: datetime | None, last: datetime | None) -> EventStats:
    by_type: dict[str, int] = {}
    by_camera: dict[str, int] = {}
    for event_type, camera_id, events, *_ in rows:
        by_type[event_type] = by_type.get(event_type, 0) + events
        by_camera[camera_id] = by_camera.get(camera_id, 0) + events
    return EventStats(
        total=sum(by_type.values()),
        by_type=dict(sorted(by_type.items(), key=lambda item: (-item[1], item[0]))),
        by_camera=dict(sorted(by_camera.items(), key=lambda item: (-item[1], item[0]))),
        first=first,
        last=last,
    )


def _read(connection: Connection, wanted: EventFilter) -> list[Row]:
    """Return (type, camera, events, first, last) from the events themselves."""
    conditions, parameters = event_conditions(wanted)
    conditions += time_conditions(wanted.span, "timestamp", parameters, "span")
    query = sql.SQL(
        'SELECT event_type, camera_id, count(*), min("timestamp"), max("timestamp") FROM events WHERE {} GROUP BY 1, 2'
    )
    return connection.execute(query.format(all_of(conditions)), parameters).fetchall()


def _add_up(connection: Connection, wanted: EventFilter) -> list[Row]:
    """Return (type, camera, events, first day, last day) from the kept counts; the days are the same in all rows.

    They are the first and the last that hold any matching event, be it outside the span.
    """
    parameters: Parameters = {}
    buckets = enumerate(nearest_buckets(wanted.span))
    parts = [_part(wanted, bucket, parameters, f"bucket{number}") for number, bucket in buckets]
    start = None if wanted.start is None else floor_day(wanted.start)
    days = _days(wanted, TimeSpan(start, wanted.end), parameters)
    listed, union = materialized_union(parts)
    query = sql.SQL(
        "WITH {} SELECT event_type, camera_id, sum(events)::bigint, {} FROM ({}) AS parts GROUP BY 1, 2 "
        "HAVING sum(events) > 0"
    ).format(listed, days, union)
    return connection.execute(query, parameters).fetchall()


def _part(wanted: EventFilter, bucket: Bucket, parameters: Parameters, name: str) -> sql.Composed:
    """Return a select of (event_type, camera_id, events) for a bucket, negative where it is taken away.

    Events are counted by a column that is never NULL and in no index: else PostgreSQL 18 skips through the index by
    camera and type, a search for each pair, where reading half an hour in order of time touches a tenth of the pages.
    """
    if bucket.resolution is None:
        conditions, values = event_conditions(wanted)
        parameters |= values
        conditions += time_conditions(bucket.span, "timestamp", parameters, name)
        table, count = sql.SQL("events"), sql.SQL("count(site_id)")
    else:
        conditions = rollup_conditions(wanted, bucket.resolution, bucket.span, parameters, name)
        table, count = rollup_table(wanted, bucket.resolution), sql.SQL("sum({})").format(rollup_column(wanted))
    sign = sql.SQL("" if bucket.is_added else "-")
    return sql.SQL("SELECT event_type, camera_id, {}{} AS events FROM {} WHERE {} GROUP BY 1, 2").format(
        sign, count, table, all_of(conditions)
    )


def _days(wanted: EventFilter, span: TimeSpan, parameters: Parameters) -> sql.Composed:
    """Return two columns: the first and the last day in ``span`` that holds any matching event."""
    conditions = rollup_conditions(wanted, "day", span, parameters, "days")
    return sql.SQL(
        "(SELECT min(day) FROM {0} WHERE {1} > 0 AND {2}), (SELECT max(day) FROM {0} WHERE {1} > 0 AND {2})"
    ).format(rollup_table(wanted, "day"), rollup_column(wanted), all_of(conditions))


def _first_and_last(
    connection: Connection, wanted: EventFilter, first_day: datetime, last_day: datetime
) -> tuple[datetime | None, datetime | None]:
    """Return the exact times of the first and the last event; there must be any."""
    first, last = _within_days(connection, wanted, first_day, last_day)
    if first is None:  # that day's are all before the span begins
        first_day, _ = _days_with_any(connection, wanted, TimeSpan(first_day + DAY, wanted.end))
    if last is None:  # after it ends
        _, last_day = _days_with_any(connection, wanted, TimeSpan(first_day, last_day))
    return (first, last) if first and last else _within_days(connection, wanted, first_day, last_day)


def _days_with_any(connection: Connection, wanted: EventFilter, span: TimeSpan) -> Row:
    parameters: Parameters = {}
    query = sql.SQL("SELECT {}").format(_days(wanted, span, parameters))
    return connection.execute(query, parameters).fetchall()[0]


def _within_days(connection: Connection, wanted: EventFilter, first_day: datetime, last_day: datetime) -> Row:
    """Return when the first event of one day and the last of another were captured, None where the span holds none."""
    conditions, parameters = event_conditions(wanted)
    ends: list[sql.Composable] = []
    for name, aggregate, day in (("first", sql.SQL("min"), first_day), ("last", sql.SQL("max"), last_day)):
        span = TimeSpan(day, day + DAY).intersection(wanted.span)
        within = [*conditions, *time_conditions(span, "timestamp", parameters, name)]
        ends.append(sql.SQL('(SELECT {}("timestamp") FROM events WHERE {})').format(aggregate, all_of(within)))
    return connection.execute(sql.SQL("SELECT {}, {}").format(*ends), parameters).fetchall()[0]
