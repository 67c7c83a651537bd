"""The wrapped data keys that seal camera passwords."""

from __future__ import annotations

from typing import NamedTuple

from cloud_functions.db.types import Connection
from cloud_functions.plates.master_keys import WrappedKey


class StoredCameraKey(NamedTuple):
    """One wrapped data key."""

    key_id: int
    key: WrappedKey


def newest_camera_key(connection: Connection) -> StoredCameraKey | None:
    """Return the key that seals, or None before the first password."""
    query = "SELECT key_id, wrapped_key, wrapped_by FROM camera_keys ORDER BY key_id DESC LIMIT 1"
    row = connection.execute(query).fetchone()
    return None if row is None else StoredCameraKey(row[0], WrappedKey(bytes(row[1]), row[2]))


def find_camera_key(connection: Connection, key_id: int) -> StoredCameraKey | None:
    """Return one key, or None."""
    query = "SELECT key_id, wrapped_key, wrapped_by FROM camera_keys WHERE key_id = %s"
    row = connection.execute(query, [key_id]).fetchone()
    return None if row is None else StoredCameraKey(row[0], WrappedKey(bytes(row[1]), row[2]))


def list_camera_keys(connection: Connection) -> list[StoredCameraKey]:
    """Return all keys, the oldest first."""
    rows = connection.execute("SELECT key_id, wrapped_key, wrapped_by FROM camera_keys ORDER BY key_id")
    return [StoredCameraKey(key_id, WrappedKey(bytes(wrapped), by)) for key_id, wrapped, by in rows]


def add_camera_key(connection: Connection, key: WrappedKey) -> int:
    """Store a new wrapped key, which seals from now on; return its id."""
    row = connection.execute(
        "INSERT INTO camera_keys (wrapped_key, wrapped_by) VALUES (%s, %s) RETURNING key_id",
        [key.wrapped, key.wrapped_by],
    ).fetchone()
    assert row is not None  # noqa: S101 - RETURNING after a plain INSERT
    return row[0]


def rewrap_camera_key(connection: Connection, key_id: int, key: WrappedKey) -> None:
    """Replace the wrapped form of a key; the key itself does not change."""
    connection.execute(
        "UPDATE camera_keys SET wrapped_key = %s, wrapped_by = %s, wrapped_at = now() WHERE key_id = %s",
        [key.wrapped, key.wrapped_by, key_id],
    )
