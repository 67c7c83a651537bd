"""How many events there are, exactly and in milliseconds: whole months, days and hours from the kept counts.

The counts know camera, type, site, time, one label (class or zone), and the confidence in steps of 0.05. Any other
condition (a confidence between two steps, a plate, class and zone together) is counted from the table itself: exact as
well, as fast as its index is narrow.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection, sql

from cloud_functions.db.events.filter import EventFilter, Parameters, all_of, event_conditions
from cloud_functions.db.events.rollups import count_conditions, count_table, kept_count, one_by_one
from cloud_functions.db.events.time_buckets import Grain, Piece, TimeSpan, inner_pieces, next_after, time_conditions

Row = tuple[Any, ...]

_FINER: dict[Grain | None, Grain] = {"month": "day", "day": "hour"}


@dataclass(frozen=True, slots=True)
class Bucket:
    """So many matching events lie in ``span``: a month, a day, an hour, or a part of an hour (no ``grain``)."""

    span: TimeSpan
    events: int
    grain: Grain | None

    @property
    def finer(self) -> Grain | None:
        """What it can be cut into: a month into days, a day into hours."""
        return _FINER.get(self.grain)


def count_events(connection: Connection[Row], wanted: EventFilter) -> int:
    """Return exactly how many events match."""
    if wanted.is_counted:
        return sum(bucket.events for bucket in count_buckets(connection, wanted))
    conditions, parameters = event_conditions(wanted)
    conditions += time_conditions(wanted.span, "timestamp", parameters, "span")
    query = sql.SQL("SELECT count(*) FROM events WHERE {}").format(all_of(conditions))
    return _rows(connection, query, parameters)[0][0]


def count_buckets(connection: Connection[Row], wanted: EventFilter) -> list[Bucket]:
    """Return where in time the matching events lie, newest first: months, days, hours and edges that hold any.

    Only for a filter that ``is_counted``.
    """
    return _buckets(connection, wanted, inner_pieces(wanted.span))


def finer_buckets(connection: Connection[Row], wanted: EventFilter, bucket: Bucket) -> list[Bucket]:
    """Return the days of a month or the hours of a day that hold matching events, newest first."""
    return _buckets(connection, wanted, [Piece(bucket.finer, bucket.span)])


def _buckets(connection: Connection[Row], wanted: EventFilter, pieces: list[Piece]) -> list[Bucket]:
    if not pieces:
        return []
    parameters: Parameters = {}
    parts = [_part(wanted, piece, parameters, number) for number, piece in enumerate(pieces)]
    rows = _rows(connection, sql.SQL("WITH {} {}").format(*one_by_one(parts)), parameters)
    buckets = [_bucket(pieces[number], begin, events) for number, begin, events in rows if events]
    return sorted(buckets, key=lambda bucket: _start_key(bucket.span), reverse=True)


def _part(wanted: EventFilter, piece: Piece, parameters: Parameters, number: int) -> sql.Composed:
    """Return a select of (number, beginning, events): one row for each of the piece's months, days or hours."""
    name = f"piece{number}"
    if piece.grain is None:
        conditions, values = event_conditions(wanted)
        parameters |= values
        conditions += time_conditions(piece.span, "timestamp", parameters, name)
        query = sql.SQL("SELECT {}, NULL::timestamptz, count(*) FROM events WHERE {}")
        return query.format(sql.Literal(number), all_of(conditions))
    return sql.SQL("SELECT {0}, {1}, sum({2})::bigint FROM {3} WHERE {4} GROUP BY {1}").format(
        sql.Literal(number),
        sql.SQL(piece.grain),
        kept_count(wanted),
        count_table(wanted, piece.grain),
        all_of(count_conditions(wanted, piece.grain, piece.span, parameters, name)),
    )


def _bucket(piece: Piece, begin: datetime, events: int) -> Bucket:
    span = piece.span if piece.grain is None else TimeSpan(begin, next_after(begin, piece.grain))
    return Bucket(span, events, piece.grain)


def _start_key(span: TimeSpan) -> datetime:
    assert span.start is not None  # noqa: S101 - only whole months reach back without end, and those are cut up
    return span.start


def _rows(connection: Connection[Row], query: sql.Composed, parameters: Parameters) -> list[Row]:
    return connection.execute(query, parameters).fetchall()
