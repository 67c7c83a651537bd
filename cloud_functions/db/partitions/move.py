"""Moves events out of the default partition into their months while others read and write.

Rows never leave the reader's sight: they are copied, in batches, into ``events_moving``, a partitioned table that
nobody reads; a trigger mirrors what is written to the default partition meanwhile. When all is copied, the default
partition and the months change places in one short transaction that touches no row. How far it has come is kept in
``event_move``, so a run may end anywhere and the next one goes on.

Each function is called in a transaction of its own. Nobody waits for a lock longer than a quarter of a second; a
function that meets one raises ``psycopg.errors.LockNotAvailable`` and may be called again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from psycopg import sql

from cloud_functions.db.partitions.partitions import LOCK_TIMEOUT, Partition, partition_of
from cloud_functions.db.types import Connection

MAX_DEFAULT_BYTES: Final = 32 * 1024 * 1024
"""Attaching a partition reads the default one through under an exclusive lock: a tenth of a second for this much. The
function ``events_ensure_partition`` has the same limit."""
BATCH: Final = 1000
_EVENT_TIME: Final = '"timestamp"'

_STATE: Final = """
SELECT copied_until, copied_id, complete, revision = (SELECT version_num FROM alembic_version)
       AND to_regclass('events_moving') IS NOT NULL
FROM event_move FOR UPDATE NOWAIT
"""
_COLUMNS: Final = """
SELECT attname FROM pg_attribute
WHERE attrelid = 'events'::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum
"""
_MIRROR: Final = """
CREATE OR REPLACE FUNCTION events_mirror() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        TRUNCATE events_moving;
        RETURN NULL;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        DELETE FROM events_moving WHERE event_id = OLD.event_id AND "timestamp" = OLD."timestamp";
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO events_moving ({columns}) VALUES ({new_columns}) ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER events_mirror_rows AFTER INSERT OR UPDATE OR DELETE ON events_default
    FOR EACH ROW EXECUTE FUNCTION events_mirror();
CREATE TRIGGER events_mirror_truncate AFTER TRUNCATE ON events_default
    FOR EACH STATEMENT EXECUTE FUNCTION events_mirror();
INSERT INTO event_move (revision, copied_until, copied_id)
SELECT version_num, '-infinity', 0 FROM alembic_version
"""
# FOR SHARE: whoever deletes one of these rows waits for this batch, or is waited for; no deleted row is copied.
_COPY: Final = """
WITH batch AS MATERIALIZED (
    SELECT {columns} FROM events_default WHERE ("timestamp", id) > (%(until)s, %(id)s)
    ORDER BY "timestamp", id LIMIT %(limit)s FOR SHARE
), copied AS (
    INSERT INTO events_moving ({columns}) SELECT {columns} FROM batch ON CONFLICT DO NOTHING
)
SELECT "timestamp", id, count(*) OVER () FROM batch ORDER BY "timestamp" DESC, id DESC LIMIT 1
"""


class MoveState(NamedTuple):
    """How far a move has come."""

    copied_until: datetime
    copied_id: int
    complete: bool
    usable: bool
    """False: the schema has changed since it began, so it must begin anew."""


def move_state(connection: Connection) -> MoveState | None:
    """Return how far the move has come, held for this transaction, or None where nothing is being moved.

    Raises:
        psycopg.errors.LockNotAvailable: another process is at it now.
    """
    row = connection.execute(
        _STATE.replace("copied_until,", "CASE WHEN copied_until = '-infinity' THEN NULL ELSE copied_until END,")
    ).fetchone()
    return None if row is None else MoveState(row[0] or datetime.min.replace(tzinfo=UTC), *row[1:])


def default_size_bytes(connection: Connection) -> int:
    """Return the size of the default partition's file, dead rows included."""
    row = connection.execute("SELECT pg_relation_size('events_default')").fetchone()
    return 0 if row is None else int(row[0])


def prepare_move(connection: Connection, months: Sequence[datetime]) -> None:
    """Make ``events_moving`` with a partition for each of ``months``; what an unfinished attempt left is dropped.

    Autovacuum stays away until the months are in place: the lock that it holds would keep the last step waiting.
    """
    connection.execute(LOCK_TIMEOUT)
    discard_move(connection)
    connection.execute(
        'CREATE TABLE events_moving (LIKE events INCLUDING ALL) PARTITION BY RANGE ("timestamp");'
        " CREATE TABLE events_moving_default PARTITION OF events_moving DEFAULT WITH (autovacuum_enabled = false)"
    )
    for month in months:
        part = partition_of(month)
        connection.execute(
            sql.SQL(
                "CREATE TABLE {name} PARTITION OF events_moving"
                " (CONSTRAINT events_month CHECK ({time} >= {start} AND {time} < {end}))"
                " FOR VALUES FROM ({start}) TO ({end}) WITH (autovacuum_enabled = false)"
            ).format(name=sql.Identifier(part.name), time=sql.SQL(_EVENT_TIME), start=part.start, end=part.end)
        )


def begin_move(connection: Connection) -> None:
    """Let the trigger mirror what is written to the default partition from now on."""
    connection.execute(LOCK_TIMEOUT)
    connection.execute("LOCK TABLE events_default IN SHARE ROW EXCLUSIVE MODE")
    columns = _columns(connection)
    connection.execute(
        sql.SQL(_MIRROR).format(
            columns=_list(columns), new_columns=sql.SQL(", ").join(sql.SQL("NEW.{}").format(one) for one in columns)
        )
    )


def copy_batch(connection: Connection, *, limit: int = BATCH) -> int:
    """Copy the next events, oldest first; return how many (0: all are copied)."""
    connection.execute(LOCK_TIMEOUT)
    state = move_state(connection)
    if state is None or state.complete:
        return 0
    until = "-infinity" if state.copied_until.year == 1 else state.copied_until
    parameters = {"until": until, "id": state.copied_id, "limit": limit}
    row = connection.execute(sql.SQL(_COPY).format(columns=_list(_columns(connection))), parameters).fetchone()
    if row is None:
        connection.execute("UPDATE event_move SET complete = true")
        return 0
    connection.execute("UPDATE event_move SET copied_until = %s, copied_id = %s, events = events + %s", row)
    return int(row[2])


def finish_move(connection: Connection) -> int:
    """Let the copied months take their places and drop the old default partition; return how many months there are.

    No row is touched; who reads or writes events waits for some milliseconds a month.
    """
    connection.execute("SET LOCAL lock_timeout = '100ms'")  # others wait for this and for what follows, together
    months = _moving_months(connection)
    connection.execute("LOCK TABLE ONLY events IN ACCESS EXCLUSIVE MODE")
    # All readers wait from here on: where autovacuum is at one of these, give up now rather than let them wait for it.
    connection.execute("LOCK TABLE events_default, events_moving IN ACCESS EXCLUSIVE MODE NOWAIT")
    state = move_state(connection)
    if state is None or not state.complete or not state.usable:
        return 0
    filled = _with_events(connection, months)
    connection.execute("ALTER TABLE events DETACH PARTITION events_default; DROP TABLE events_default")
    for part in filled:
        connection.execute(
            sql.SQL(
                "ALTER TABLE events_moving DETACH PARTITION {name};"
                " ALTER TABLE events ATTACH PARTITION {name} FOR VALUES FROM ({start}) TO ({end});"
                " ALTER TABLE {name} DROP CONSTRAINT events_month, RESET (autovacuum_enabled)"
            ).format(name=sql.Identifier(part.name), start=part.start, end=part.end)
        )
    connection.execute(
        "ALTER TABLE events_moving DETACH PARTITION events_moving_default;"
        " ALTER TABLE events_moving_default RENAME TO events_default;"
        " ALTER TABLE events_default RESET (autovacuum_enabled);"
        " ALTER TABLE events ATTACH PARTITION events_default DEFAULT;"
        " DROP FUNCTION events_mirror(); DELETE FROM event_move"
    )
    return len(filled)


def discard_move(connection: Connection) -> None:
    """Drop what a move has left behind, finished or not; every event stays where readers see it."""
    there = connection.execute("SELECT to_regclass('events_moving'), to_regproc('events_mirror')").fetchone()
    if there == (None, None):
        return
    connection.execute(LOCK_TIMEOUT)
    connection.execute(
        "DROP TRIGGER IF EXISTS events_mirror_rows ON events_default;"
        " DROP TRIGGER IF EXISTS events_mirror_truncate ON events_default;"
        " DROP FUNCTION IF EXISTS events_mirror(); DROP TABLE IF EXISTS events_moving; DELETE FROM event_move"
    )


def moving_default_size_bytes(connection: Connection) -> int:
    """Return the size of what would be the default partition next."""
    row = connection.execute("SELECT pg_relation_size(to_regclass('events_moving_default'))").fetchone()
    return int(row[0]) if row and row[0] is not None else 0


def _moving_months(connection: Connection) -> list[Partition]:
    found = connection.execute(
        "SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid"
        " WHERE inhparent = 'events_moving'::regclass AND relname ~ '^events_[0-9]{4}_[0-9]{2}$' ORDER BY 1"
    )
    return [partition_of(datetime(int(name[7:11]), int(name[12:14]), 1, tzinfo=UTC)) for (name,) in found]


def _with_events(connection: Connection, months: Sequence[Partition]) -> list[Partition]:
    if not months:
        return []
    each = [
        sql.SQL("SELECT {} WHERE EXISTS (SELECT FROM {})").format(part.name, sql.Identifier(part.name))
        for part in months
    ]
    filled = {name for (name,) in connection.execute(sql.SQL(" UNION ALL ").join(each))}
    return [part for part in months if part.name in filled]


def _columns(connection: Connection) -> list[sql.Identifier]:
    return [sql.Identifier(name) for (name,) in connection.execute(_COLUMNS)]


def _list(columns: Sequence[sql.Identifier]) -> sql.Composed:
    return sql.SQL(", ").join(columns)
