"""The images of deleted events and snapshots that are still to be deleted from the bucket.

They are recorded in the transaction that deletes the events or snapshots, so that neither a crash nor an unavailable
bucket leaves images behind. An image that its device may still upload is deleted again and again, for ``LATE_FOR``.

A trigger records the images of deleted events in ``released_pictures``; those of them that nothing shows any more are
moved to ``expired_pictures``, whose objects are deleted.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from cloud_functions.db.snapshots.references import (
    DeletedEvent,
    SnapshotPath,
    pictures_of,
    unreferenced_snapshots,
    without_snapshots_of_cameras,
)
from cloud_functions.db.types import Connection

LATE_FOR: Final = timedelta(days=30)
"""How long after the deletion of a snapshot its device may still upload the image from its outbox."""
PENDING_FOR: Final = timedelta(days=2)
"""Age up to which the picture of a deleted event may not have arrived yet."""

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
# A row that has not been tried yet was noted that long before the end of its retries; each retry notes it again.
_OLDEST: Final = """
SELECT device_id, path FROM expired_pictures
WHERE retry_until IS NULL OR retry_until - noted_at >= %s OR noted_at <= %s
ORDER BY noted_at, device_id, path LIMIT %s
"""
_FORGET: Final = """
DELETE FROM camera_snapshots USING unnest(%s::text[], %s::text[]) AS gone (device_id, path)
WHERE storage_path = 'snapshots/' || gone.device_id || '/' || gone.path
"""
# Rows are taken, not only read: a deletion that commits during the check adds a row of its own.
_TAKE: Final = """
DELETE FROM released_pictures WHERE id = ANY (ARRAY(
    SELECT id FROM released_pictures ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED))
RETURNING device_id, camera_id, shown_at, NULL, path
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


def check_released_pictures(connection: Connection, *, limit: int) -> int:
    """Take the pictures that were released first, and record those that nothing shows for deletion.

    Return the number of rows taken (at most ``limit``).
    """
    rows = connection.execute(_TAKE, [limit]).fetchall()
    record_unshown(connection, pictures_of(rows))
    return len(rows)


def record_unshown(connection: Connection, pictures: Sequence[DeletedEvent]) -> None:
    """Record those of the pictures for deletion that no event, plate read or snapshot of a camera shows."""
    unshown = without_snapshots_of_cameras(connection, unreferenced_snapshots(connection, pictures))
    young = _young(connection, pictures)
    for late_for, paths in (
        (LATE_FOR, [path for path in unshown if path in young]),
        (None, [path for path in unshown if path not in young]),
    ):
        if paths:
            connection.execute(_RECORD, [late_for, *_columns(paths)])


def _young(connection: Connection, pictures: Sequence[DeletedEvent]) -> set[SnapshotPath]:
    """Return the pictures of events so young that their devices may not have uploaded them yet."""
    since = database_time(connection) - PENDING_FOR
    return {SnapshotPath(one.device_id, one.path) for one in pictures if one.path is not None and one.timestamp > since}


def forget_deleted_images(connection: Connection, snapshots: Sequence[SnapshotPath]) -> None:
    """Delete the requested snapshots that have these images, because the images are deleted."""
    if snapshots:
        connection.execute(_FORGET, _columns(snapshots))


def oldest_expired_snapshots(
    connection: Connection, *, limit: int, retried_by: datetime | None = None
) -> list[SnapshotPath]:
    """Return the snapshots that were recorded first; with ``retried_by``, also those tried at that time or earlier."""
    return [SnapshotPath(*row) for row in connection.execute(_OLDEST, [LATE_FOR, retried_by, limit])]


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
