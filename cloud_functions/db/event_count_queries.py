"""How many events there are, exactly and in milliseconds: whole days and hours from the kept counts, the rest by hand.

The counts know camera, type, site, time, one label (class or zone), and the confidence in steps of 0.05. Any other
condition (a confidence between two steps, a plate, class and zone together) is counted from the table itself: exact as
well, as fast as its index is narrow.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, LiteralString

from psycopg import Connection, sql

from cloud_functions.db.event_filter import (
    EventFilter,
    Parameters,
    all_of,
    count_conditions,
    event_conditions,
    kept_count,
)
from cloud_functions.db.time_split import DAY, HOUR, TimeSpan, split_span, time_conditions

Row = tuple[Any, ...]
Grain = Literal["hour", "day"]

_TABLES: dict[tuple[Grain, bool], LiteralString] = {
    ("hour", False): "event_counts",
    ("day", False): "event_counts_daily",
    ("hour", True): "event_label_counts",
    ("day", True): "event_label_counts_daily",
}
_WIDTHS: dict[Grain, timedelta] = {"hour": HOUR, "day": DAY}


@dataclass(frozen=True, slots=True)
class Bucket:
    """So many matching events lie in ``span``."""

    span: TimeSpan
    events: int

    @property
    def is_whole_day(self) -> bool:
        return self.span.start is not None and self.span.end is not None and self.span.end - self.span.start == DAY


@dataclass(frozen=True, slots=True)
class EventStats:
    """Totals of the matching events, and the times of the first and the last."""

    total: int
    by_type: dict[str, int]
    by_camera: dict[str, int]
    first: datetime | None
    last: datetime | None


def count_events(connection: Connection[Row], wanted: EventFilter) -> int:
    """Return exactly how many events match."""
    if wanted.is_counted:
        return sum(bucket.events for bucket in count_buckets(connection, wanted))
    conditions, parameters = event_conditions(wanted)
    conditions += time_conditions(wanted.span, "timestamp", parameters, "span")
    query = sql.SQL("SELECT count(*) FROM events WHERE {}").format(all_of(conditions))
    return _rows(connection, query, parameters)[0][0]


def count_buckets(connection: Connection[Row], wanted: EventFilter) -> list[Bucket]:
    """Return where in time the matching events lie, newest first: days, hours and edges that hold any.

    Only for a filter that ``is_counted``.
    """
    split = split_span(wanted.span)
    parameters: Parameters = {}
    parts = [_edge_part(wanted, edge, parameters, f"edge{n}") for n, edge in enumerate(split.edges)]
    parts += [_grain_part(wanted, "hour", span, parameters, f"hours{n}") for n, span in enumerate(split.hours)]
    if split.days is not None:
        parts.append(_grain_part(wanted, "day", split.days, parameters, "days"))
    if not parts:
        return []
    query = sql.SQL("WITH {} {}").format(*_one_by_one(parts))
    buckets = list(_as_buckets(_rows(connection, query, parameters), split.edges))
    return sorted(buckets, key=lambda bucket: _start_key(bucket.span), reverse=True)


def hours_of_day(connection: Connection[Row], wanted: EventFilter, day: datetime) -> list[Bucket]:
    """Return the hours of one whole day that hold matching events, newest first."""
    parameters: Parameters = {}
    part = _grain_part(wanted, "hour", TimeSpan(day, day + DAY), parameters, "hours0")
    buckets = _as_buckets(_rows(connection, part, parameters), ())
    return sorted(buckets, key=lambda bucket: _start_key(bucket.span), reverse=True)


def event_stats(connection: Connection[Row], wanted: EventFilter) -> EventStats:
    """Return totals by type and by camera, exactly, and when the matching events begin and end."""
    if wanted.span.is_empty:
        return EventStats(total=0, by_type={}, by_camera={}, first=None, last=None)
    parts, parameters = _stats_parts(wanted)
    query = sql.SQL(
        "WITH {} SELECT event_type, camera_id, sum(events)::bigint, min(first), max(last) "
        "FROM ({}) AS parts GROUP BY 1, 2"
    )
    rows = _rows(connection, query.format(*_one_by_one(parts)), parameters)
    by_type: dict[str, int] = {}
    by_camera: dict[str, int] = {}
    for event_type, camera_id, events, _, _ in rows:
        by_type[event_type] = by_type.get(event_type, 0) + events
        by_camera[camera_id] = by_camera.get(camera_id, 0) + events
    first, last = _date_range(connection, wanted, rows)
    return EventStats(
        total=sum(by_type.values()),
        by_type=dict(sorted(by_type.items(), key=lambda item: (-item[1], item[0]))),
        by_camera=dict(sorted(by_camera.items(), key=lambda item: (-item[1], item[0]))),
        first=first,
        last=last,
    )


def _one_by_one(parts: list[sql.Composed]) -> tuple[sql.Composed, sql.Composed]:
    """Return the WITH list and the union of ``parts``, each materialized: together the planner would start parallel
    workers for them, which takes longer than the counting. So a part gives few rows, summed up already: keeping ten
    thousand takes several times as long as adding them up."""
    names = [sql.Identifier(f"part{number}") for number in range(len(parts))]
    listed = [sql.SQL("{} AS MATERIALIZED ({})").format(name, part) for name, part in zip(names, parts, strict=True)]
    union = sql.SQL(" UNION ALL ").join(sql.SQL("SELECT * FROM {}").format(name) for name in names)
    return sql.SQL(", ").join(listed), union


def _stats_parts(wanted: EventFilter) -> tuple[list[sql.Composed], Parameters]:
    """Return selects of (event_type, camera_id, events, first, last); first and last may be a bucket's beginning."""
    if not wanted.is_counted:
        parameters: Parameters = {}
        return [_read_stats(wanted, wanted.span, parameters, "span")], parameters
    split = split_span(wanted.span)
    parameters = {}
    parts = [_read_stats(wanted, edge, parameters, f"edge{n}") for n, edge in enumerate(split.edges)]
    parts += [_kept_stats(wanted, "hour", span, parameters, f"hours{n}") for n, span in enumerate(split.hours)]
    if split.days is not None:
        parts.append(_kept_stats(wanted, "day", split.days, parameters, "days"))
    return parts, parameters


def _read_stats(wanted: EventFilter, span: TimeSpan, parameters: Parameters, name: str) -> sql.Composed:
    conditions, values = event_conditions(wanted)
    parameters |= values
    conditions += time_conditions(span, "timestamp", parameters, name)
    return sql.SQL(
        'SELECT event_type, camera_id, count(*) AS events, min("timestamp") AS first, max("timestamp") AS last '
        "FROM events WHERE {} GROUP BY 1, 2"
    ).format(all_of(conditions))


def _kept_stats(wanted: EventFilter, grain: Grain, span: TimeSpan, parameters: Parameters, name: str) -> sql.Composed:
    return sql.SQL(
        "SELECT event_type, camera_id, sum({0})::bigint AS events, min({1}) AS first, max({1}) AS last FROM {2} "
        "WHERE {0} > 0 AND {3} GROUP BY 1, 2"
    ).format(
        kept_count(wanted),
        sql.SQL(grain),
        sql.SQL(_TABLES[grain, wanted.label is not None]),
        _kept(wanted, grain, span, parameters, name),
    )


def _date_range(
    connection: Connection[Row], wanted: EventFilter, rows: list[Row]
) -> tuple[datetime | None, datetime | None]:
    """Return the exact times of the first and last event, given where the counts say that they lie to a day."""
    if not rows:
        return None, None
    earliest, latest = min(row[3] for row in rows), max(row[4] for row in rows)
    if not wanted.is_counted:
        return earliest, latest
    conditions, parameters = event_conditions(wanted)
    ends: list[sql.Composable] = []
    for name, aggregate, begin in (("low", sql.SQL("min"), earliest), ("high", sql.SQL("max"), latest)):
        span = TimeSpan(begin, begin + DAY).cut_to(wanted.span)
        within = [*conditions, *time_conditions(span, "timestamp", parameters, name)]
        ends.append(sql.SQL('(SELECT {}("timestamp") FROM events WHERE {})').format(aggregate, all_of(within)))
    first, last = _rows(connection, sql.SQL("SELECT {}, {}").format(*ends), parameters)[0]
    return first, last


def _edge_part(wanted: EventFilter, span: TimeSpan, parameters: Parameters, name: str) -> sql.Composed:
    """Return a select of (which, beginning, events) for a part of an hour: read from the events themselves."""
    conditions, values = event_conditions(wanted)
    parameters |= values
    conditions += time_conditions(span, "timestamp", parameters, name)
    return sql.SQL("SELECT {}, NULL::timestamptz, count(*) FROM events WHERE {}").format(
        sql.Literal(name), all_of(conditions)
    )


def _grain_part(wanted: EventFilter, grain: Grain, span: TimeSpan, parameters: Parameters, name: str) -> sql.Composed:
    """Return a select of (which, beginning, events) per hour or day from the kept counts."""
    return sql.SQL("SELECT {0}, {1}, sum({2})::bigint FROM {3} WHERE {4} GROUP BY {1}").format(
        sql.Literal(name),
        sql.SQL(grain),
        kept_count(wanted),
        sql.SQL(_TABLES[grain, wanted.label is not None]),
        _kept(wanted, grain, span, parameters, name),
    )


def _kept(wanted: EventFilter, grain: Grain, span: TimeSpan, parameters: Parameters, name: str) -> sql.Composable:
    conditions, values = count_conditions(wanted)
    parameters |= values
    return all_of([*conditions, *time_conditions(span, grain, parameters, name)])


def _as_buckets(rows: list[Row], edges: tuple[TimeSpan, ...]) -> Iterator[Bucket]:
    for name, begin, events in rows:
        if not events:
            continue
        if name.startswith("edge"):
            yield Bucket(span=edges[int(name.removeprefix("edge"))], events=events)
        else:
            width = _WIDTHS["day" if name == "days" else "hour"]
            yield Bucket(span=TimeSpan(begin, begin + width), events=events)


def _start_key(span: TimeSpan) -> datetime:
    assert span.start is not None  # noqa: S101 - only whole days reach back without end, and those are cut into days
    return span.start


def _rows(connection: Connection[Row], query: sql.Composed, parameters: Parameters) -> list[Row]:
    return connection.execute(query, parameters).fetchall()
