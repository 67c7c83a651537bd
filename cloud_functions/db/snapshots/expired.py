"""The snapshots of deleted events that are still to be deleted from the bucket.

They are recorded in the transaction that deletes the events, so that neither a crash nor an unavailable bucket leaves
snapshots behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cloud_functions.db.events.delete import SnapshotPath
from cloud_functions.db.types import Connection

_NOTE: Final = """
INSERT INTO expired_pictures (device_id, path) SELECT * FROM unnest(%s::text[], %s::text[])
ON CONFLICT (device_id, path) DO NOTHING
"""
_FORGET: Final = """
DELETE FROM expired_pictures USING unnest(%s::text[], %s::text[]) AS gone (device_id, path)
WHERE expired_pictures.device_id = gone.device_id AND expired_pictures.path = gone.path
"""


def record_expired_snapshots(connection: Connection, pictures: Sequence[SnapshotPath]) -> None:
    """Record snapshots that are to be deleted; already recorded ones keep their row."""
    if pictures:
        connection.execute(_NOTE, _columns(pictures))


def oldest_expired_snapshots(connection: Connection, *, limit: int) -> list[SnapshotPath]:
    """Return the snapshots that were recorded first."""
    rows = connection.execute(
        "SELECT device_id, path FROM expired_pictures ORDER BY noted_at, device_id, path LIMIT %s", [limit]
    )
    return [SnapshotPath(*row) for row in rows]


def remove_expired_snapshots(connection: Connection, pictures: Sequence[SnapshotPath]) -> None:
    """Remove the records of snapshots that have been deleted."""
    if pictures:
        connection.execute(_FORGET, _columns(pictures))


def _columns(pictures: Sequence[SnapshotPath]) -> list[list[str]]:
    return [[picture.device_id for picture in pictures], [picture.path for picture in pictures]]
