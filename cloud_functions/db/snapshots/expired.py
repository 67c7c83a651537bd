"""Pictures of deleted events that are still to be deleted in the bucket.

They are noted in the transaction that deletes the events, so that no crash, and no bucket that is away, leaves one for
ever.
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
    """Note pictures that are to be deleted; one that is noted already stays."""
    if pictures:
        connection.execute(_NOTE, _columns(pictures))


def oldest_expired_snapshots(connection: Connection, *, limit: int) -> list[SnapshotPath]:
    """Return the pictures noted first."""
    rows = connection.execute(
        "SELECT device_id, path FROM expired_pictures ORDER BY noted_at, device_id, path LIMIT %s", [limit]
    )
    return [SnapshotPath(*row) for row in rows]


def remove_expired_snapshots(connection: Connection, pictures: Sequence[SnapshotPath]) -> None:
    """Forget pictures that have been deleted."""
    if pictures:
        connection.execute(_FORGET, _columns(pictures))


def _columns(pictures: Sequence[SnapshotPath]) -> list[list[str]]:
    return [[picture.device_id for picture in pictures], [picture.path for picture in pictures]]
