"""The images of deleted events and snapshots that are still to be deleted from the bucket.

They are recorded in the transaction that deletes the events or snapshots, so that neither a crash nor an unavailable
bucket leaves images behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cloud_functions.db.events.delete import SnapshotPath
from cloud_functions.db.types import Connection

_RECORD: Final = """
INSERT INTO expired_pictures (device_id, path) SELECT * FROM unnest(%s::text[], %s::text[])
ON CONFLICT (device_id, path) DO NOTHING
"""
_REMOVE: Final = """
DELETE FROM expired_pictures USING unnest(%s::text[], %s::text[]) AS gone (device_id, path)
WHERE expired_pictures.device_id = gone.device_id AND expired_pictures.path = gone.path
"""


_FORGET: Final = """
DELETE FROM camera_snapshots USING unnest(%s::text[], %s::text[]) AS gone (device_id, path)
WHERE storage_path = 'snapshots/' || gone.device_id || '/' || gone.path
"""


def record_expired_snapshots(connection: Connection, snapshots: Sequence[SnapshotPath]) -> None:
    """Record images that are to be deleted; already recorded ones keep their row. Snapshots with them are deleted."""
    if snapshots:
        connection.execute(_RECORD, _columns(snapshots))
        forget_deleted_images(connection, snapshots)


def forget_deleted_images(connection: Connection, snapshots: Sequence[SnapshotPath]) -> None:
    """Delete the requested snapshots that have these images, because the images are deleted."""
    if snapshots:
        connection.execute(_FORGET, _columns(snapshots))


def oldest_expired_snapshots(connection: Connection, *, limit: int) -> list[SnapshotPath]:
    """Return the snapshots that were recorded first."""
    rows = connection.execute(
        "SELECT device_id, path FROM expired_pictures ORDER BY noted_at, device_id, path LIMIT %s", [limit]
    )
    return [SnapshotPath(*row) for row in rows]


def remove_expired_snapshots(connection: Connection, snapshots: Sequence[SnapshotPath]) -> None:
    """Remove the records of snapshots that have been deleted."""
    if snapshots:
        connection.execute(_REMOVE, _columns(snapshots))


def _columns(snapshots: Sequence[SnapshotPath]) -> list[list[str]]:
    return [[snapshot.device_id for snapshot in snapshots], [snapshot.path for snapshot in snapshots]]
