"""The images of deleted events and snapshots that are still to be deleted from the bucket.

They are recorded in the transaction that deletes the events or snapshots, so that neither a crash nor an unavailable
bucket leaves images behind. An image that its device may still upload is deleted again and again, for ``LATE_FOR``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from cloud_functions.db.events.delete import SnapshotPath
from cloud_functions.db.types import Connection

LATE_FOR: Final = timedelta(days=30)
"""How long after the deletion of a snapshot its device may still upload the image from its outbox."""

_RECORD: Final = """
INSERT INTO expired_pictures (device_id, path, retry_until)
SELECT device_id, path, now() + %s::interval FROM unnest(%s::text[], %s::text[]) AS gone (device_id, path)
ON CONFLICT (device_id, path) DO UPDATE SET
    retry_until = greatest(expired_pictures.retry_until, excluded.retry_until)
"""
_REMOVE: Final = """
DELETE FROM expired_pictures USING unnest(%s::text[], %s::text[]) AS gone (device_id, path)
WHERE expired_pictures.device_id = gone.device_id AND expired_pictures.path = gone.path
  AND (retry_until IS NULL OR retry_until <= now())
"""
_RETRY_LATER: Final = """
UPDATE expired_pictures SET noted_at = clock_timestamp()
FROM unnest(%s::text[], %s::text[]) AS gone (device_id, path)
WHERE expired_pictures.device_id = gone.device_id AND expired_pictures.path = gone.path AND retry_until > now()
"""
_OLDEST: Final = """
SELECT device_id, path FROM expired_pictures WHERE noted_at <= coalesce(%s, now())
ORDER BY noted_at, device_id, path LIMIT %s
"""


_FORGET: Final = """
DELETE FROM camera_snapshots USING unnest(%s::text[], %s::text[]) AS gone (device_id, path)
WHERE storage_path = 'snapshots/' || gone.device_id || '/' || gone.path
"""


def record_expired_snapshots(
    connection: Connection, snapshots: Sequence[SnapshotPath], *, may_arrive: bool = False
) -> None:
    """Record images that are to be deleted; already recorded ones keep their row. Snapshots with them are deleted.

    ``may_arrive``: the devices have not uploaded them, so far as is known, and may still do so.
    """
    if snapshots:
        connection.execute(_RECORD, [LATE_FOR if may_arrive else None, *_columns(snapshots)])
        forget_deleted_images(connection, snapshots)


def forget_deleted_images(connection: Connection, snapshots: Sequence[SnapshotPath]) -> None:
    """Delete the requested snapshots that have these images, because the images are deleted."""
    if snapshots:
        connection.execute(_FORGET, _columns(snapshots))


def oldest_expired_snapshots(
    connection: Connection, *, limit: int, noted_by: datetime | None = None
) -> list[SnapshotPath]:
    """Return the snapshots that were recorded or retried first; with ``noted_by``, at that time or earlier."""
    return [SnapshotPath(*row) for row in connection.execute(_OLDEST, [noted_by, limit])]


def remove_expired_snapshots(connection: Connection, snapshots: Sequence[SnapshotPath]) -> None:
    """Remove the records of snapshots that have been deleted; one whose image may still arrive is retried later."""
    if snapshots:
        connection.execute(_REMOVE, _columns(snapshots))
        connection.execute(_RETRY_LATER, _columns(snapshots))


def is_expired(connection: Connection, snapshot: SnapshotPath) -> bool:
    """Return whether the image is to be deleted from the bucket."""
    query = "SELECT 1 FROM expired_pictures WHERE device_id = %s AND path = %s"
    return connection.execute(query, list(snapshot)).fetchone() is not None


def database_time(connection: Connection) -> datetime:
    """Return the time by the database's clock, with which records are compared."""
    row = connection.execute("SELECT now()").fetchone()
    assert row is not None  # noqa: S101 - a query without FROM
    return row[0]


def _columns(snapshots: Sequence[SnapshotPath]) -> list[list[str]]:
    return [[snapshot.device_id for snapshot in snapshots], [snapshot.path for snapshot in snapshots]]
