"""A requested snapshot as the database returns it, and as a device describes it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple
from uuid import NAMESPACE_URL, UUID, uuid5

from cloud_functions.db.types import Row
from shared.ids import is_uuid

COLUMNS: Final = """
s.id, s.camera_id, s.camera_slug, s.device_id, s.command_id, s.status, s.error, s.filename, s.storage_path,
s.thumbnail_path, s.content_type, s.file_size, s.width, s.height, s.captured_at, s.expiry_date, s.created_at
"""
"""The columns of ``CameraSnapshot`` in order, of the table ``camera_snapshots`` under the name ``s``."""


@dataclass(frozen=True, slots=True)
class CameraSnapshot:
    """A stored row. The columns of the image are None until the device has described it."""

    id: UUID
    camera_id: UUID | None
    """None for a camera that was not in the API when the snapshot was taken."""
    camera_slug: str
    device_id: str
    command_id: str | None
    status: str
    """``pending``, ``stored`` or ``failed``."""
    error: str | None
    filename: str | None
    storage_path: str | None
    thumbnail_path: str | None
    content_type: str | None
    file_size: int | None
    width: int | None
    height: int | None
    captured_at: datetime
    """When it was requested, until the device has described it."""
    expiry_date: datetime | None
    created_at: datetime

    @classmethod
    def from_row(cls, row: Row) -> CameraSnapshot:
        """Return the snapshot in a row of ``COLUMNS``."""
        return cls(*row)


class DeviceSnapshot(NamedTuple):
    """A snapshot as the device describes it, in an event or in the reply to a command."""

    id: UUID
    camera_slug: str
    device_id: str
    command_id: str | None
    stored: bool
    """Whether the device says that the image is in the bucket."""
    error: str | None
    filename: str
    storage_path: str
    thumbnail_path: str | None
    content_type: str
    file_size: int
    width: int
    height: int
    captured_at: datetime


def snapshot_row_id(*, device_id: str, snapshot_id: str, key: str) -> UUID:
    """Return the id of a snapshot's row. A command that the API did not send may have named it by any text.

    Such a text is unique at most for one device and one image, so the id is derived from all three.
    """
    return UUID(snapshot_id) if is_uuid(snapshot_id) else uuid5(NAMESPACE_URL, f"{device_id}/{snapshot_id}/{key}")
