"""Keeps deletions from what legal holds protect.

A deletion takes ``lock_holds`` in its transaction and has one of the conditions below in its query. Placing a hold
waits for the deletions that are running, so that every later one sees it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, LiteralString
from uuid import UUID

from cloud_functions.db.types import Connection

_LOCK: Final = 8459402174
"""Advisory lock that deletions share; placing a hold takes it exclusively."""
# Two conditions, so that thousands of single events cost one index lookup per row.
_EVENT_HELD_BY: Final[LiteralString] = (
    "(hold.event_id = events.event_id OR (hold.event_id IS NULL"
    " AND (hold.camera_id IS NULL OR hold.camera_id = events.camera_id)"
    ' AND (hold.starts_at IS NULL OR events."timestamp" >= hold.starts_at)'
    ' AND (hold.ends_at IS NULL OR events."timestamp" <= hold.ends_at)))'
)
EVENT_NOT_HELD: Final[LiteralString] = (
    "(NOT EXISTS (SELECT FROM active_holds AS hold WHERE hold.event_id = events.event_id)"
    " AND NOT EXISTS (SELECT FROM active_holds AS hold WHERE hold.event_id IS NULL"
    " AND (hold.camera_id IS NULL OR hold.camera_id = events.camera_id)"
    ' AND (hold.starts_at IS NULL OR events."timestamp" >= hold.starts_at)'
    ' AND (hold.ends_at IS NULL OR events."timestamp" <= hold.ends_at)))'
)
"""Condition on ``events``: no active hold protects the event."""
_SNAPSHOT_HELD_BY: Final[LiteralString] = (
    "(hold.camera_id IS NULL OR hold.camera_id = s.camera_slug)"
    " AND (hold.starts_at IS NULL OR s.captured_at >= hold.starts_at)"
    " AND (hold.ends_at IS NULL OR s.captured_at <= hold.ends_at)"
)
SNAPSHOT_NOT_HELD: Final[LiteralString] = (
    "NOT EXISTS (SELECT FROM active_holds AS hold WHERE s.captured_at IS NOT NULL AND " + _SNAPSHOT_HELD_BY + ")"
)
"""Condition on ``camera_snapshots AS s``: no active hold protects the snapshot.

A hold on the event of a snapshot has its camera and time, so it protects the snapshot too.
"""
_HOLDS_MONTH: Final = """
SELECT EXISTS (
    SELECT FROM active_holds AS hold
    WHERE hold.event_id IS NULL AND (hold.starts_at IS NULL OR hold.starts_at < %(end)s)
      AND (hold.ends_at IS NULL OR hold.ends_at >= %(start)s)
      AND (hold.camera_id IS NULL OR EXISTS (
          SELECT FROM event_counts_monthly AS c
          WHERE c.month = %(start)s AND c.camera_id = hold.camera_id AND c.events > 0))
) OR EXISTS (
    SELECT FROM active_holds AS hold JOIN events ON events.event_id = hold.event_id
    WHERE events."timestamp" >= %(start)s AND events."timestamp" < %(end)s
)
"""
# By day, from the counts: the events of a hold without an end may be millions.
_HOLDS_PLATES: Final = """
SELECT DISTINCT hold.name FROM active_holds AS hold
WHERE EXISTS (
    SELECT FROM events WHERE events.event_id = hold.event_id AND site_id = %(site_id)s AND event_type = 'anpr')
  OR (hold.event_id IS NULL AND EXISTS (
    SELECT FROM event_counts_daily AS c
    WHERE c.site_id = %(site_id)s AND c.event_type = 'anpr' AND c.events > 0
      AND (hold.camera_id IS NULL OR c.camera_id = hold.camera_id)
      AND (hold.starts_at IS NULL OR c.day > hold.starts_at - interval '1 day')
      AND (hold.ends_at IS NULL OR c.day <= hold.ends_at)))
ORDER BY 1
"""


def lock_holds(connection: Connection) -> None:
    """Keep holds from being placed until the end of this transaction, which deletes something."""
    connection.execute("SELECT pg_advisory_xact_lock_shared(%s)", [_LOCK])


def wait_for_deletions(connection: Connection) -> None:
    """Wait until no deletion is running, and keep others from beginning until the end of this transaction."""
    connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])


def has_active_holds(connection: Connection) -> bool:
    """Return whether any hold is active."""
    row = connection.execute("SELECT EXISTS (SELECT FROM active_holds)").fetchone()
    return row is not None and row[0]


def holds_of_event(connection: Connection, event_id: UUID, timestamp: datetime) -> list[str]:
    """Return the names of the active holds that protect an event, sorted."""
    query = (
        "SELECT DISTINCT hold.name FROM active_holds AS hold JOIN events ON "  # noqa: S608
        + _EVENT_HELD_BY
        + ' WHERE events.event_id = %s AND events."timestamp" = %s ORDER BY 1'
    )
    return [name for (name,) in connection.execute(query, [event_id, timestamp])]


def holds_of_snapshot(connection: Connection, snapshot_id: UUID) -> list[str]:
    """Return the names of the active holds that protect a requested snapshot, sorted."""
    query = (
        "SELECT DISTINCT hold.name FROM active_holds AS hold JOIN camera_snapshots AS s ON "  # noqa: S608
        + _SNAPSHOT_HELD_BY
        + " WHERE s.id = %s AND s.captured_at IS NOT NULL ORDER BY 1"
    )
    return [name for (name,) in connection.execute(query, [snapshot_id])]


def month_is_held(connection: Connection, *, start: datetime, end: datetime) -> bool:
    """Return whether a hold protects an event of the month, or may do so: a camera's events are not searched."""
    row = connection.execute(_HOLDS_MONTH, {"start": start, "end": end}).fetchone()
    return row is not None and row[0]


def holds_of_plates(connection: Connection, site_id: str) -> list[str]:
    """Return the names of the active holds that protect plate reads of a site, sorted; a day counts as a whole."""
    return [name for (name,) in connection.execute(_HOLDS_PLATES, {"site_id": site_id})]
