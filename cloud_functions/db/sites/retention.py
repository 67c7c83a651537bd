"""Deletes a site's expired events, found by rollups, so that only expired rows are read."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, LiteralString, NamedTuple

from cloud_functions.db.retention.protection import EVENT_NOT_HELD, lock_holds
from cloud_functions.db.types import Connection

_EXPIRED: Final = """
SELECT day, camera_id, event_type FROM event_counts_daily
WHERE site_id = %(site_id)s AND day < %(before)s AND events > 0
  AND (%(event_type)s::text IS NULL OR event_type = %(event_type)s)
ORDER BY day, camera_id, event_type
"""
# Delete from the parent table, so that its triggers update rollups and plates, and record the pictures.
_DELETE: Final[LiteralString] = (
    """
DELETE FROM events WHERE "timestamp" >= %(start)s AND "timestamp" < %(end)s AND (event_id, "timestamp") IN (
    SELECT event_id, "timestamp" FROM events
    WHERE camera_id = %(camera_id)s AND event_type = %(event_type)s AND site_id = %(site_id)s
      AND "timestamp" >= %(start)s AND "timestamp" < %(end)s AND """  # noqa: S608
    + EVENT_NOT_HELD
    + """
    ORDER BY "timestamp", id LIMIT %(limit)s)
"""
)


class ExpiredDay(NamedTuple):
    """A camera's events of one type on one UTC day, some or all of which have expired."""

    day: datetime
    camera_id: str
    event_type: str


def expired_days(
    connection: Connection, site_id: str, *, before: datetime, event_type: str | None = None
) -> list[ExpiredDay]:
    """Return the days and cameras with events before ``before``, the oldest first."""
    parameters = {"site_id": site_id, "before": before, "event_type": event_type}
    return [ExpiredDay(*row) for row in connection.execute(_EXPIRED, parameters)]


def delete_expired(connection: Connection, site_id: str, expired: ExpiredDay, *, before: datetime, limit: int) -> int:
    """Delete the oldest of these events that are not held; return how many (at most ``limit``)."""
    lock_holds(connection)
    end = min(expired.day + timedelta(days=1), before)
    parameters = expired._asdict() | {"site_id": site_id, "start": expired.day, "end": end, "limit": limit}
    return connection.execute(_DELETE, parameters).rowcount
