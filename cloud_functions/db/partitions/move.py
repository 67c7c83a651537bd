"""Moves events from the default partition into monthly partitions while other sessions read and write.

Rows stay visible: they are copied, in batches, into ``events_moving``, a partitioned table that no query reads, and a
trigger mirrors concurrent writes to the default partition. When all rows are copied, the monthly partitions replace the
default partition in one short transaction that changes no row. The progress is stored in ``event_move``, so that an
interrupted move continues.

Each function is called in a separate transaction. None waits longer than 0.25 s for a lock; a function that cannot get
a lock raises ``psycopg.errors.LockNotAvailable`` and may be called again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from psycopg import sql

from cloud_functions.db.partitions.partitions import LOCK_TIMEOUT, Partition, partition_of
from cloud_functions.db.types import Connection

MAX_DEFAULT_BYTES: Final = 32 * 1024 * 1024
"""Attaching a partition scans the default partition under an exclusive lock, which takes 0.1 s for this size. The SQL
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
# FOR SHARE: a session that deletes one of these rows waits for this batch, or the reverse; no deleted row is copied.
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
    """The progress of a move."""

    copied_until: datetime
    copied_id: int
    complete: bool
    usable: bool
    """False if the schema has changed since the move began, so that it must be restarted."""


def move_state(connection: Connection) -> MoveState | None:
    """Return the progress of the move and lock it for this transaction, or None if no move is in progress.

    Raises:
        psycopg.errors.LockNotAvailable: another process is working on the move.
    """
    row = connection.execute(
        _STATE.replace("copied_until,", "CASE WHEN copied_until = '-infinity' THEN NULL ELSE copied_until END,")
    ).fetchone()
    return None if row is None else MoveState(row[0] or datetime.min.replace(tzinfo=UTC), *row[1:])


def default_size_bytes(connection: Connection) -> int:
    """Return the size of the default partition's file, including dead rows."""
    row = connection.execute("SELECT pg_relation_size('events_default')").fetchone()
    return 0 if row is None else int(row[0])


def prepare_move(connection: Connection, months: Sequence[datetime]) -> None:
    """Create ``events_moving`` with a partition for each of ``months``; drop the tables of an unfinished attempt.

    Autovacuum is disabled until the partitions are attached, because its lock would delay the last step.
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
    """Create the trigger that mirrors writes to the default partition."""
    connection.execute(LOCK_TIMEOUT)
    connection.execute("LOCK TABLE events_default IN SHARE ROW EXCLUSIVE MODE")
    columns = _columns(connection)
    connection.execute(
        sql.SQL(_MIRROR).format(
            columns=_list(columns),
            new_columns=sql.SQL(", ").join(sql.SQL("NEW.{}").format(column) for column in columns),
        )
    )


def copy_batch(connection: Connection, *, limit: int = BATCH) -> int:
    """Copy the next events, oldest first; return how many (0 when all are copied)."""
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
    """Attach the copied months and drop the old default partition; return the number of months.

    No row is changed; other sessions wait some milliseconds per month.
    """
    connection.execute("SET LOCAL lock_timeout = '100ms'")  # other sessions wait for this and the next locks
    months = _moving_months(connection)
    connection.execute("LOCK TABLE ONLY events IN ACCESS EXCLUSIVE MODE")
    # All readers wait from here on. If autovacuum is working on one of these tables, fail now instead of waiting.
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
    """Drop the tables and triggers of a move, finished or not; no event is lost."""
    existing = connection.execute("SELECT to_regclass('events_moving'), to_regproc('events_mirror')").fetchone()
    if existing == (None, None):
        return
    connection.execute(LOCK_TIMEOUT)
    connection.execute(
        "DROP TRIGGER IF EXISTS events_mirror_rows ON events_default;"
        " DROP TRIGGER IF EXISTS events_mirror_truncate ON events_default;"
        " DROP FUNCTION IF EXISTS events_mirror(); DROP TABLE IF EXISTS events_moving; DELETE FROM event_move"
    )


def moving_default_size_bytes(connection: Connection) -> int:
    """Return the size of the table that will replace the default partition."""
    row = connection.execute("SELECT pg_relation_size(to_regclass('events_moving_default'))").fetchone()
    return int(row[0]) if row and row[0] is not None else 0


def _moving_months(connection: Connection) -> list[Partition]:
    names = connection.execute(
        "SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid"
        " WHERE inhparent = 'events_moving'::regclass AND relname ~ '^events_[0-9]{4}_[0-9]{2}$' ORDER BY 1"
    )
    return [partition_of(datetime(int(name[7:11]), int(name[12:14]), 1, tzinfo=UTC)) for (name,) in names]


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
