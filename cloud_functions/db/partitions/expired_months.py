"""Months that retention has taken out of ``events``: records their pictures for deletion, then drops their tables.

Taking a month out is short and drops nothing, so a month of any size blocks nobody. Its pictures are recorded in
batches, each with the position up to which the table has been read, so that an interrupted run is continued.
"""

from __future__ import annotations

from typing import Final

from psycopg import sql

from cloud_functions.db.snapshots.expired import record_unshown
from cloud_functions.db.snapshots.references import pictures_of
from cloud_functions.db.types import Connection

# The number of the table makes the name unique: late events may begin a new partition of the same month.
_ADD: Final = """
INSERT INTO expired_months (name) SELECT %(name)s::text || '_expired_' || %(name)s::regclass::oid RETURNING name
"""
_OLDEST: Final = """
SELECT name, recorded_until, recorded_id, to_regclass(name) IS NULL FROM expired_months
ORDER BY expired_at, name LIMIT 1 FOR UPDATE SKIP LOCKED
"""
_PICTURES: Final = """
SELECT device_id, camera_id, "timestamp", snapshot_path,
       CASE event_type WHEN 'anpr' THEN event_data ->> 'plate_image_key' END, id
FROM {table} WHERE ("timestamp", id) > (%s, %s) ORDER BY "timestamp", id LIMIT %s
"""
_DONE: Final = "DELETE FROM expired_months WHERE name = %s"
_RECORDED: Final = "UPDATE expired_months SET recorded_until = %s, recorded_id = %s WHERE name = %s"


def add_expired_month(connection: Connection, table: str) -> str:
    """Record a table that has just been detached from ``events``; return the name that it must get."""
    row = connection.execute(_ADD, {"name": table}).fetchone()
    assert row is not None  # noqa: S101 - RETURNING after a plain INSERT
    return row[0]


def check_expired_month(connection: Connection, *, limit: int) -> int:
    """Record the unshown pictures of the next ``limit`` events of an expired month; drop its table after the last one.

    Return the number of events read, and at least 1 if there was an expired month.
    """
    row = connection.execute(_OLDEST).fetchone()
    if row is None:
        return 0
    name, until, number, dropped = row
    if dropped:  # by an operator
        connection.execute(_DONE, [name])
        return 1
    table = sql.Identifier(name)
    events = connection.execute(sql.SQL(_PICTURES).format(table=table), [until, number, limit]).fetchall()
    record_unshown(connection, pictures_of(event[:5] for event in events))
    if len(events) < limit:
        connection.execute(_DONE, [name])
        connection.execute(sql.SQL("DROP TABLE {}").format(table))
        return max(len(events), 1)
    connection.execute(_RECORDED, [events[-1][2], events[-1][5], name])
    return len(events)
