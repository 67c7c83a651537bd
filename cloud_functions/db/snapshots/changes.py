"""Requests, completes, fails, deletes and expires snapshots of cameras. Every change may be repeated."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, LiteralString, NamedTuple
from uuid import UUID

from cloud_functions.db.cameras.scope import SNAPSHOT_IN_SCOPE, CameraScope, limited, scope_parameters
from cloud_functions.db.retention.protection import SNAPSHOT_NOT_HELD, lock_holds
from cloud_functions.db.snapshots.expired import LATE_FOR, record_expired_snapshots
from cloud_functions.db.snapshots.record import COLUMNS, CameraSnapshot, DeviceSnapshot
from cloud_functions.db.snapshots.references import SnapshotPath
from cloud_functions.db.types import Connection
from shared.ids import is_uuid

_REQUEST: Final = """
INSERT INTO camera_snapshots (id, camera_id, camera_slug, device_id, command_id)
VALUES (%(id)s, %(camera_id)s, %(camera_slug)s, %(device_id)s, %(command_id)s)
"""

# The image of a stored snapshot never changes, but its time does when the clock of its device is set.
_DESCRIBE: Final = """
UPDATE camera_snapshots AS s SET
    status = CASE WHEN s.status = 'stored' OR %(stored)s THEN 'stored' ELSE 'pending' END,
    error = CASE WHEN s.status = 'stored' OR %(stored)s THEN NULL ELSE %(error)s END,
    filename = %(filename)s, storage_path = %(storage_path)s, thumbnail_path = %(thumbnail_path)s,
    content_type = %(content_type)s, file_size = %(file_size)s, width = %(width)s, height = %(height)s,
    captured_at = %(captured_at)s,
    expiry_date = LEAST(%(captured_at)s, now()) + make_interval(days =>
        (SELECT retention_days FROM cameras WHERE slug = %(camera_slug)s))
WHERE s.id = %(id)s AND s.device_id = %(device_id)s AND s.camera_slug = %(camera_slug)s
  AND (s.status <> 'stored' OR s.storage_path = %(storage_path)s)
"""
# A snapshot that the API requested has a row. If it has none any more, it was deleted in the meantime.
_ADD: Final = """
INSERT INTO camera_snapshots (
    id, camera_id, camera_slug, device_id, command_id, status, error, filename, storage_path, thumbnail_path,
    content_type, file_size, width, height, captured_at, expiry_date)
SELECT %(id)s, camera.id, %(camera_slug)s, %(device_id)s, %(command_id)s,
       CASE WHEN %(stored)s THEN 'stored' ELSE 'pending' END, %(error)s, %(filename)s, %(storage_path)s,
       %(thumbnail_path)s, %(content_type)s, %(file_size)s, %(width)s, %(height)s, %(captured_at)s,
       LEAST(%(captured_at)s, now()) + make_interval(days => camera.retention_days)
FROM (SELECT 1) AS one LEFT JOIN cameras AS camera ON camera.slug = %(camera_slug)s
WHERE NOT EXISTS (SELECT 1 FROM commands WHERE commands.id = %(sent_command)s)
ON CONFLICT (id) DO NOTHING
"""
# Only of a snapshot that was requested from this device, and has no row any more: it was deleted in the meantime.
_EXPIRE_LATE: Final = """
INSERT INTO expired_pictures (device_id, path, retry_until)
SELECT %(device_id)s, %(path)s, now() + %(late_for)s::interval
WHERE EXISTS (SELECT 1 FROM commands WHERE commands.id = %(sent_command)s AND commands.device_id = %(device_id)s)
  AND NOT EXISTS (SELECT 1 FROM camera_snapshots WHERE id = %(id)s)
ON CONFLICT (device_id, path) DO NOTHING
"""
_FAIL: Final = """
UPDATE camera_snapshots SET status = 'failed', error = %(error)s
WHERE device_id = %(device_id)s AND (id = %(id)s OR command_id = %(command_id)s)
  AND status = 'pending' AND storage_path IS NULL
"""
_MAX_ERROR: Final = 1000

_STORED: Final = "UPDATE camera_snapshots SET status = 'stored', error = NULL WHERE id = %s AND storage_path = %s"
_GIVE_UP: Final = """
UPDATE camera_snapshots SET status = 'failed', error = %s WHERE id = ANY (ARRAY(
    SELECT id FROM camera_snapshots WHERE status = 'pending' AND created_at < %s LIMIT %s FOR UPDATE SKIP LOCKED))
"""
_DELETE: Final[LiteralString] = "DELETE FROM camera_snapshots AS s WHERE s.id = %(id)s AND " + SNAPSHOT_NOT_HELD  # noqa: S608
_EXPIRED: Final[LiteralString] = (
    """
DELETE FROM camera_snapshots AS s WHERE id = ANY (ARRAY(
    SELECT id FROM camera_snapshots AS s
    WHERE (expiry_date <= %(now)s OR captured_at < %(oldest)s
           OR (status = 'failed' AND created_at < %(oldest_failed)s)) AND """  # noqa: S608
    + SNAPSHOT_NOT_HELD
    + """
    LIMIT %(limit)s FOR UPDATE OF s SKIP LOCKED))
RETURNING
"""
)


class SnapshotRequest(NamedTuple):
    """A snapshot that the API is about to request."""

    id: UUID
    camera_id: UUID
    camera_slug: str
    device_id: str
    command_id: str


def add_request(connection: Connection, request: SnapshotRequest) -> None:
    """Store a pending snapshot, before its command is sent."""
    connection.execute(_REQUEST, request._asdict())


def withdraw_request(connection: Connection, snapshot_id: UUID) -> None:
    """Delete a pending snapshot whose command was not sent."""
    connection.execute("DELETE FROM camera_snapshots WHERE id = %s AND storage_path IS NULL", [snapshot_id])


def describe_snapshot(connection: Connection, snapshot: DeviceSnapshot) -> bool:
    """Complete the row of a snapshot with its device's description; return False if there is none to complete.

    Only the device and the camera that were asked can complete it.
    """
    return connection.execute(_DESCRIBE, _parameters(snapshot)).rowcount > 0


def describe_or_add_snapshot(connection: Connection, snapshot: DeviceSnapshot) -> None:
    """Complete the row of a snapshot, or add one if the snapshot was not requested through the API.

    The image of one that was deleted before its device described it is recorded for deletion.
    """
    if describe_or_expire_snapshot(connection, snapshot):
        return
    connection.execute(_ADD, _parameters(snapshot) | {"sent_command": _sent_command(snapshot)})


def describe_or_expire_snapshot(connection: Connection, snapshot: DeviceSnapshot) -> bool:
    """Complete the row of a snapshot, or record its image for deletion if it was deleted; return False for neither."""
    if describe_snapshot(connection, snapshot):
        return True
    path = snapshot.storage_path.removeprefix(f"snapshots/{snapshot.device_id}/")
    late = {"path": path, "late_for": LATE_FOR, "sent_command": _sent_command(snapshot)}
    return connection.execute(_EXPIRE_LATE, _parameters(snapshot) | late).rowcount > 0


def fail_snapshot(
    connection: Connection, *, device_id: str, snapshot_id: UUID | None, command_id: str | None, error: str
) -> None:
    """Record why a requested snapshot could not be taken; it is found by its own id or by that of its command."""
    parameters = {"device_id": device_id, "id": snapshot_id, "command_id": command_id, "error": error[:_MAX_ERROR]}
    connection.execute(_FAIL, parameters)


def mark_stored(connection: Connection, snapshot: CameraSnapshot) -> None:
    """Record that the image of a pending snapshot is in the bucket."""
    connection.execute(_STORED, [snapshot.id, snapshot.storage_path])


def give_up_pending(connection: Connection, *, before: datetime, error: str, limit: int) -> int:
    """Mark snapshots that are pending since ``before`` as failed; return how many (at most ``limit``)."""
    return connection.execute(_GIVE_UP, [error, before, limit]).rowcount


def delete_snapshot(
    connection: Connection, snapshot_id: UUID, *, scope: CameraScope | None = None
) -> CameraSnapshot | None:
    """Delete a snapshot and record its image for deletion from the bucket.

    None if the scope does not have it, or if a legal hold protects it.
    """
    lock_holds(connection)
    query = _DELETE + limited(SNAPSHOT_IN_SCOPE, scope) + " RETURNING" + COLUMNS
    row = connection.execute(query, {"id": snapshot_id} | scope_parameters(scope)).fetchone()
    if row is None:
        return None
    deleted = CameraSnapshot.from_row(row)
    _record_images(connection, [deleted])
    return deleted


def expire_snapshots(
    connection: Connection, *, now: datetime, captured_before: datetime | None, failed_for: timedelta, limit: int
) -> int:
    """Delete expired snapshots and record their images for deletion; return how many (at most ``limit``).

    ``captured_before``: the end of the deployment's retention. ``failed_for``: how long failed ones are kept.
    """
    lock_holds(connection)
    rows = connection.execute(
        _EXPIRED + COLUMNS,
        {"now": now, "oldest": captured_before, "oldest_failed": now - failed_for, "limit": limit},
    ).fetchall()
    _record_images(connection, [CameraSnapshot.from_row(row) for row in rows])
    return len(rows)


def image_path(snapshot: CameraSnapshot) -> SnapshotPath | None:
    """Return the snapshot's key below the prefix of its device; None if it has no image."""
    if snapshot.storage_path is None:
        return None
    return SnapshotPath(snapshot.device_id, snapshot.storage_path.removeprefix(f"snapshots/{snapshot.device_id}/"))


def _record_images(connection: Connection, deleted: Sequence[CameraSnapshot]) -> None:
    """Record the images of deleted snapshots for deletion. Those that are not stored yet may still arrive."""
    for is_stored in (True, False):
        paths = (image_path(one) for one in deleted if (one.status == "stored") is is_stored)
        known = [path for path in paths if path is not None]
        record_expired_snapshots(connection, known, may_arrive=not is_stored)


def _sent_command(snapshot: DeviceSnapshot) -> UUID | None:
    """Return the command's id, if it can be one that the API sent."""
    command_id = snapshot.command_id
    return UUID(command_id) if command_id is not None and is_uuid(command_id) else None


def _parameters(snapshot: DeviceSnapshot) -> dict[str, Any]:
    return snapshot._asdict() | {"error": None if snapshot.error is None else snapshot.error[:_MAX_ERROR]}
