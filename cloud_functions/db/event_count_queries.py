"""How many events there are, exactly and in milliseconds: whole days and hours from the kept counts, the rest by hand.

The counts know camera, type, site, time, one label (class or zone), and the confidence in steps of 0.05. Any other
condition (a confidence between two steps, a plate, class and zone together) is counted from the table itself: exact as
well, as fast as its index is narrow.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection, sql

from cloud_functions.db.event_filter import EventFilter, Parameters, all_of, event_conditions
from cloud_functions.db.kept_counts import count_conditions, count_table, kept_count, one_by_one
from cloud_functions.db.time_split import DAY, HOUR, Grain, TimeSpan, split_span, time_conditions

Row = tuple[Any, ...]
_WIDTHS = {"hour": HOUR, "day": DAY}


@dataclass(frozen=True, slots=True)
class Bucket:
    """So many matching events lie in ``span``."""

    span: TimeSpan
    events: int

    @property
    def is_whole_day(self) -> bool:
        return self.span.start is not None and self.span.end is not None and self.span.end - self.span.start == DAY


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
    query = sql.SQL("WITH {} {}").format(*one_by_one(parts))
    buckets = list(_as_buckets(_rows(connection, query, parameters), split.edges))
    return sorted(buckets, key=lambda bucket: _start_key(bucket.span), reverse=True)


def hours_of_day(connection: Connection[Row], wanted: EventFilter, day: datetime) -> list[Bucket]:
    """Return the hours of one whole day that hold matching events, newest first."""
    parameters: Parameters = {}
    part = _grain_part(wanted, "hour", TimeSpan(day, day + DAY), parameters, "hours0")
    buckets = _as_buckets(_rows(connection, part, parameters), ())
    return sorted(buckets, key=lambda bucket: _start_key(bucket.span), reverse=True)


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
        count_table(wanted, grain),
        all_of(count_conditions(wanted, grain, span, parameters, name)),
    )


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
