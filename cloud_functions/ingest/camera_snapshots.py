"""Records requested snapshots from their events and from the replies to ``snapshot`` commands, in either order."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from cloud_functions.db.events.insert import EventRow
from cloud_functions.db.snapshots.changes import (
    describe_or_add_snapshot,
    describe_or_expire_snapshot,
    fail_snapshot,
)
from cloud_functions.db.snapshots.record import DeviceSnapshot, snapshot_row_id
from cloud_functions.db.types import Connection
from shared.commands import Reply, TakenSnapshot
from shared.events import SnapshotData, SnapshotRef
from shared.ids import is_uuid
from shared.redact import redact
from shared.storage_keys import snapshot_object_key, thumbnail_object_key

_SNAPSHOT = "snapshot"


def record_event_snapshots(connection: Connection, rows: Iterable[EventRow]) -> None:
    """Record the snapshots of new events; events of other types have none."""
    for row in sorted((row for row in rows if row.event_type == _SNAPSHOT), key=lambda row: row.event_id):
        _record_event(connection, row)


def record_reply_snapshot(connection: Connection, reply: Reply) -> None:
    """Complete the row of the snapshot that a reply describes, or record why it failed.

    The reply of a snapshot that was not requested through the API changes nothing: its event adds the row. If it was
    deleted meanwhile, its image is recorded for deletion.
    """
    if reply.command != _SNAPSHOT:
        return
    if reply.status == "error":
        error = redact(reply.error or "the device gave no reason")
        fail_snapshot(connection, device_id=reply.device_id, snapshot_id=None, command_id=reply.command_id, error=error)
    elif reply.snapshot is not None:
        described = _described(reply.snapshot, device_id=reply.device_id, command_id=reply.command_id)
        describe_or_expire_snapshot(connection, described)


def _record_event(connection: Connection, row: EventRow) -> None:
    data = SnapshotData.model_validate(json.loads(row.event_data_json))
    if row.snapshot_json is not None:
        taken = TakenSnapshot(
            snapshot_id=data.snapshot_id,
            camera_id=row.camera_id,
            captured_at=datetime.fromisoformat(row.timestamp),
            image=SnapshotRef.model_validate(json.loads(row.snapshot_json)),
            has_thumbnail=data.thumbnail_key is not None,
            stored=data.stored is True,
        )
        describe_or_add_snapshot(connection, _described(taken, device_id=row.device_id, command_id=data.command_id))
    elif data.error is not None and is_uuid(data.snapshot_id):
        snapshot_id = UUID(data.snapshot_id)
        fail_snapshot(
            connection,
            device_id=row.device_id,
            snapshot_id=snapshot_id,
            command_id=data.command_id,
            error=redact(data.error),
        )


def _described(taken: TakenSnapshot, *, device_id: str, command_id: str | None) -> DeviceSnapshot:
    image = taken.image
    return DeviceSnapshot(
        id=snapshot_row_id(device_id=device_id, snapshot_id=taken.snapshot_id, key=image.key),
        camera_slug=taken.camera_id,
        device_id=device_id,
        command_id=command_id,
        stored=taken.stored,
        error=None if taken.error is None else redact(taken.error),
        filename=image.key.rsplit("/", 1)[1],
        storage_path=snapshot_object_key(device_id, image.key),
        thumbnail_path=thumbnail_object_key(device_id, image.key) if taken.has_thumbnail else None,
        content_type=image.content_type,
        file_size=image.bytes,
        width=image.width,
        height=image.height,
        captured_at=taken.captured_at,
    )
