"""Makes the monthly partitions of ``events`` and drops old ones, keeping counts and plates exact."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import sql

_LOCK_TIMEOUT: Final = "SET LOCAL lock_timeout = '2s'"
"""Whoever waits for an exclusive lock makes everybody else wait behind it; better to try again in the next run."""

_MONTHS_IN_DEFAULT: Final = """
SELECT DISTINCT date_trunc('month', "timestamp", 'UTC') FROM events_default
WHERE "timestamp" >= %s AND "timestamp" < %s ORDER BY 1
"""

_LIST: Final = """
SELECT child.relname FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid
WHERE inhparent = 'events'::regclass AND child.relname ~ '^events_[0-9]{4}_[0-9]{2}$' ORDER BY 1
"""

_COUNT_TABLES: Final = {
    "event_counts": "hour",
    "event_counts_daily": "day",
    "event_counts_monthly": "month",
    "event_label_counts": "hour",
    "event_label_counts_daily": "day",
    "event_label_counts_monthly": "month",
}
"""The tables of kept counts, and the column of each that says when."""

_DELETE_PLATES: Final = """
DELETE FROM plate_events WHERE (event_id, captured_at) IN (
    SELECT event_id, captured_at FROM plate_events WHERE captured_at >= %s AND captured_at < %s
    ORDER BY captured_at LIMIT %s)
"""

# By way of the parent, so that the counts follow.
_DELETE_FROM_DEFAULT: Final = """
DELETE FROM events WHERE (event_id, "timestamp") IN (
    SELECT event_id, "timestamp" FROM events_default WHERE "timestamp" < %s ORDER BY event_id LIMIT %s)
"""


class Partition(NamedTuple):
    """One month of events: ``start`` is included, ``end`` is not."""

    name: str
    start: datetime
    end: datetime


def month_start(moment: datetime, *, months_later: int = 0) -> datetime:
    """Return the first instant, in UTC, of the month of ``moment`` or of one later."""
    moment = moment.astimezone(UTC)
    months = moment.year * 12 + moment.month - 1 + months_later
    return datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC)


def list_partitions(connection: psycopg.Connection[Any]) -> list[Partition]:
    """Return the monthly partitions, oldest first (not the default one)."""
    partitions: list[Partition] = []
    for (name,) in connection.execute(_LIST):
        start = datetime(int(name[7:11]), int(name[12:14]), 1, tzinfo=UTC)
        partitions.append(Partition(name, start, month_start(start, months_later=1)))
    return partitions


def months_in_default(connection: psycopg.Connection[Any], *, start: datetime, end: datetime) -> list[datetime]:
    """Return the months between ``start`` and ``end`` of which the default partition holds events."""
    return [moment for (moment,) in connection.execute(_MONTHS_IN_DEFAULT, [start, end])]


def ensure_partition(connection: psycopg.Connection[Any], moment: datetime) -> bool:
    """Make the partition of the month of ``moment``, taking over what the default partition holds of it.

    Return whether it was made now. Call inside a transaction of its own.
    """
    connection.execute(_LOCK_TIMEOUT)
    row = connection.execute("SELECT events_ensure_partition(%s)", [moment]).fetchone()
    return bool(row and row[0])


def delete_plates(connection: psycopg.Connection[Any], partition: Partition, *, limit: int) -> int:
    """Delete plate reads of a month that is about to be dropped; return how many (at most ``limit``)."""
    return connection.execute(_DELETE_PLATES, [partition.start, partition.end, limit]).rowcount


def drop_partition(connection: psycopg.Connection[Any], partition: Partition) -> None:
    """Drop a month of events, its counts, and what is left of its plates. Call inside a transaction of its own.

    The lock comes first: no writer of that month is under way while its counts go.
    """
    connection.execute(_LOCK_TIMEOUT)
    connection.execute("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
    connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(partition.name)))
    for table, moment in _COUNT_TABLES.items():
        statement = sql.SQL("DELETE FROM {table} WHERE {moment} >= %s AND {moment} < %s")
        names = {"table": sql.Identifier(table), "moment": sql.Identifier(moment)}
        connection.execute(statement.format(**names), [partition.start, partition.end])
    connection.execute(_DELETE_PLATES, [partition.start, partition.end, None])


def delete_from_default(connection: psycopg.Connection[Any], *, before: datetime, limit: int) -> int:
    """Delete events older than ``before`` that no month took; return how many (at most ``limit``)."""
    return connection.execute(_DELETE_FROM_DEFAULT, [before, limit]).rowcount


def purge_empty_counts(connection: psycopg.Connection[Any]) -> int:
    """Delete count rows that stand at zero and that nobody is changing; return how many."""
    purged = 0
    for table in (*_COUNT_TABLES, "plates", "plate_camera_counts"):
        purged += connection.execute(
            sql.SQL(
                "DELETE FROM {table} WHERE ctid IN (SELECT ctid FROM {table} WHERE events = 0 FOR UPDATE SKIP LOCKED)"
            ).format(table=sql.Identifier(table))
        ).rowcount
    return purged


def purge_old_gaps(connection: psycopg.Connection[Any], *, older_than: timedelta) -> int:
    """Delete gaps that have been closed or lost for so long; return how many."""
    statement = "DELETE FROM sequence_gaps WHERE state <> 'open' AND closed_at < now() - %s"
    return connection.execute(statement, [older_than]).rowcount
