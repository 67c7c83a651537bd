"""The monthly partitions of ``events``: lists, creates and drops them.

No function waits longer than 0.25 s for a lock, because other sessions would queue behind it. A function that cannot
get a lock raises ``psycopg.errors.LockNotAvailable`` and may be called again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, LiteralString, NamedTuple

from psycopg import sql

from cloud_functions.db.partitions.expired_months import add_expired_month
from cloud_functions.db.retention.protection import EVENT_NOT_HELD, lock_holds
from cloud_functions.db.types import Connection

LOCK_TIMEOUT: Final = "SET LOCAL lock_timeout = '250ms'"
_EXCLUSIVE_LOCK_TIMEOUT: Final = "SET LOCAL lock_timeout = '100ms'"
"""For the lock that all readers and writers of events wait for, as long as it is waited for and held."""
RECENT_MONTHS: Final = 60
"""Months up to this age get a partition for their first event."""
MIN_EVENTS_OF_OLD_MONTH: Final = 50
"""Minimum events for a partition of an older month: a device with a wrong clock must not create one for each month."""

# Skips from month to month by the index on time, so the cost does not depend on the number of events.
_MONTHS_IN_DEFAULT: Final = """
WITH RECURSIVE months (month) AS (
    (SELECT date_trunc('month', "timestamp", 'UTC') FROM events_default ORDER BY "timestamp" LIMIT 1)
    UNION ALL
    SELECT (SELECT date_trunc('month', "timestamp", 'UTC') FROM events_default
            WHERE "timestamp" >= date_trunc('month', months.month + interval '32 days', 'UTC')
            ORDER BY "timestamp" LIMIT 1)
    FROM months WHERE months.month IS NOT NULL
)
SELECT month, (SELECT count(*) FROM (
    SELECT FROM events_default WHERE "timestamp" >= month
       AND "timestamp" < date_trunc('month', month + interval '32 days', 'UTC') LIMIT %s) AS counted)
FROM months WHERE month IS NOT NULL ORDER BY month
"""

_LIST: Final = """
SELECT child.relname FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid
WHERE inhparent = 'events'::regclass AND child.relname ~ '^events_[0-9]{4}_[0-9]{2}$' ORDER BY 1
"""

ROLLUP_TABLES: Final = {
    "event_counts": "hour",
    "event_counts_daily": "day",
    "event_counts_monthly": "month",
    "event_label_counts": "hour",
    "event_label_counts_daily": "day",
    "event_label_counts_monthly": "month",
}
"""The rollup tables, and the time column of each."""

_PLATE_EVENTS: Final[LiteralString] = (
    "SELECT event_id, captured_at FROM plate_events AS p WHERE captured_at >= %s AND captured_at < %s AND NOT EXISTS ("  # noqa: S608
    'SELECT FROM events WHERE events.event_id = p.event_id AND events."timestamp" = p.captured_at AND NOT '
    + EVENT_NOT_HELD
    + ") ORDER BY captured_at, id LIMIT %s"
)
# Delete from the parent table, so that its triggers update rollups and plates.
_DELETE_EVENTS: Final = """
DELETE FROM events USING unnest(%(event_ids)s::uuid[], %(times)s::timestamptz[]) AS doomed (doomed_id, at)
WHERE event_id = doomed_id AND "timestamp" = at AND "timestamp" BETWEEN %(first)s AND %(last)s
"""
_DELETE_LEFT_PLATES: Final = """
DELETE FROM plate_events USING unnest(%(event_ids)s::uuid[], %(times)s::timestamptz[]) AS doomed (doomed_id, at)
WHERE event_id = doomed_id AND captured_at = at
"""
_OLD_IN_DEFAULT: Final[LiteralString] = (
    'SELECT event_id, "timestamp" FROM events_default AS events WHERE "timestamp" < %s'  # noqa: S608
    " AND retention_policy(camera_id, event_type, site_id, false) IS NULL AND "
    + EVENT_NOT_HELD
    + ' ORDER BY "timestamp", id LIMIT %s'
)


class Partition(NamedTuple):
    """One month of events; ``start`` is inclusive, ``end`` exclusive."""

    name: str
    start: datetime
    end: datetime


class DefaultMonth(NamedTuple):
    """A month with events in the default partition, and their number, counted up to a limit."""

    start: datetime
    events: int


def month_start(moment: datetime, *, months_later: int = 0) -> datetime:
    """Return the first instant, in UTC, of the month of ``moment`` or of a later one."""
    moment = moment.astimezone(UTC)
    months = moment.year * 12 + moment.month - 1 + months_later
    return datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC)


def retention_start(now: datetime, *, retention_days: int | None) -> datetime | None:
    """Return the time before which events have expired that no policy limits: they do so by whole months."""
    return None if retention_days is None else month_start(now - timedelta(days=retention_days))


def partition_of(moment: datetime) -> Partition:
    """Return the partition of the month of ``moment``, whether or not it exists."""
    start = month_start(moment)
    return Partition(f"events_{start:%Y_%m}", start, month_start(start, months_later=1))


def list_partitions(connection: Connection) -> list[Partition]:
    """Return the monthly partitions, oldest first (not the default one)."""
    names = [name for (name,) in connection.execute(_LIST)]
    return [partition_of(datetime(int(name[7:11]), int(name[12:14]), 1, tzinfo=UTC)) for name in names]


def months_in_default(connection: Connection, *, limit: int) -> list[DefaultMonth]:
    """Return the months with events in the default partition, each counted up to ``limit``."""
    return [DefaultMonth(*row) for row in connection.execute(_MONTHS_IN_DEFAULT, [limit])]


def ensure_partition(connection: Connection, moment: datetime) -> bool:
    """Create the partition of the month of ``moment`` and move the few events of the default partition into it.

    Return whether it was created. It is not created if it exists, or if the default partition has so many events that
    moving them would take long (``move`` does that). Call in a separate transaction.
    """
    connection.execute(LOCK_TIMEOUT)
    row = connection.execute("SELECT events_ensure_partition(%s)", [moment]).fetchone()
    return bool(row and row[0])


def delete_plate_reads(connection: Connection, partition: Partition, *, limit: int) -> int:
    """Delete the oldest plate reads of a month, with their events; return how many (at most ``limit``).

    Events, reads and rollups change in the same transaction, so they stay consistent for readers. Held reads stay.
    """
    lock_holds(connection)
    reads = connection.execute(_PLATE_EVENTS, [partition.start, partition.end, limit]).fetchall()
    return _delete(connection, reads)


def lock_partition(connection: Connection, partition: Partition) -> None:
    """Keep others from writing to a month until the end of the transaction; readers do not wait."""
    connection.execute(LOCK_TIMEOUT)
    connection.execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(sql.Identifier(partition.name)))


def drop_partition(connection: Connection, partition: Partition) -> None:
    """Take a month of events with its rollups and its plates out of ``events``. Call in a separate transaction.

    Its table stays until ``expired_months`` has recorded its pictures. Rollups are deleted first, while only writers
    of that month are blocked; readers of events wait only while the partition is detached.
    """
    name = sql.Identifier(partition.name)
    lock_partition(connection, partition)
    while delete_plate_reads(connection, partition, limit=10_000):
        pass  # the few that arrived after the caller deleted the others
    for table, moment in ROLLUP_TABLES.items():
        statement = sql.SQL("DELETE FROM {table} WHERE {moment} >= %s AND {moment} < %s")
        names = {"table": sql.Identifier(table), "moment": sql.Identifier(moment)}
        connection.execute(statement.format(**names), [partition.start, partition.end])
    connection.execute(_EXCLUSIVE_LOCK_TIMEOUT)
    connection.execute("LOCK TABLE ONLY events IN ACCESS EXCLUSIVE MODE")
    connection.execute(sql.SQL("ALTER TABLE events DETACH PARTITION {}").format(name))
    expired = add_expired_month(connection, partition.name)
    connection.execute(sql.SQL("ALTER TABLE {} RENAME TO {}").format(name, sql.Identifier(expired)))


def delete_from_default(connection: Connection, *, before: datetime, limit: int) -> int:
    """Delete events older than ``before`` from the default partition; return how many (at most ``limit``).

    Held events are kept, and those whose age a retention policy limits are left to it.
    """
    lock_holds(connection)
    return _delete(connection, connection.execute(_OLD_IN_DEFAULT, [before, limit]).fetchall())


def _delete(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> int:
    """Delete the events with these ids and times, and their reads."""
    if not rows:
        return 0
    times = [row[1] for row in rows]
    keys = {"event_ids": [row[0] for row in rows], "times": times, "first": min(times), "last": max(times)}
    connection.execute(_DELETE_EVENTS, keys)
    connection.execute(_DELETE_LEFT_PLATES, keys)  # reads of events that were deleted without their triggers
    return len(rows)
