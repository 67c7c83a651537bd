"""Pictures of deleted events that are still to be deleted in the bucket.

They are noted in the transaction that deletes the events, so that no crash, and no bucket that is away, leaves one for
ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from psycopg import Connection

from cloud_functions.db.events.delete import Picture

Row = tuple[Any, ...]

_NOTE: Final = """
INSERT INTO expired_pictures (device_id, path) SELECT * FROM unnest(%s::text[], %s::text[])
ON CONFLICT (device_id, path) DO NOTHING
"""
_FORGET: Final = """
DELETE FROM expired_pictures USING unnest(%s::text[], %s::text[]) AS gone (device_id, path)
WHERE expired_pictures.device_id = gone.device_id AND expired_pictures.path = gone.path
"""


def note_expired_pictures(connection: Connection[Row], pictures: Sequence[Picture]) -> None:
    """Note pictures that are to be deleted; one that is noted already stays."""
    if pictures:
        connection.execute(_NOTE, _columns(pictures))


def oldest_expired_pictures(connection: Connection[Row], *, limit: int) -> list[Picture]:
    """Return the pictures noted first."""
    rows = connection.execute(
        "SELECT device_id, path FROM expired_pictures ORDER BY noted_at, device_id, path LIMIT %s", [limit]
    )
    return [Picture(*row) for row in rows]


def forget_expired_pictures(connection: Connection[Row], pictures: Sequence[Picture]) -> None:
    """Forget pictures that have been deleted."""
    if pictures:
        connection.execute(_FORGET, _columns(pictures))


def _columns(pictures: Sequence[Picture]) -> list[list[str]]:
    return [[picture.device_id for picture in pictures], [picture.path for picture in pictures]]
