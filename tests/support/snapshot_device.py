"""A device that takes snapshots on demand, without a broker and a camera: its images go into a bucket in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from shared.clock import format_utc
from shared.storage_keys import snapshot_key, snapshot_object_key, thumbnail_object_key
from tests.support.api_calls import FakeSnapshots
from tests.support.ingest_harness import open_ingest
from tests.support.wire_events import batch, failures, wire_event

JPEG = b"\xff\xd8 a picture"
THUMBNAIL = b"\xff\xd8 small"


@dataclass
class SnapshotDevice:
    """A device that takes snapshots: its image goes into ``bucket`` unless ``stores`` is false."""

    url: str
    bucket: FakeSnapshots
    device_id: str = "gate-01"
    stores: bool = True
    answers: bool = True
    error: str | None = None
    jpeg: bytes = JPEG
    thumbnail: bytes = THUMBNAIL
    keys: list[str] = field(default_factory=list[str])
    commands: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    described: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def __call__(self, command: dict[str, Any]) -> dict[str, Any] | None:
        self.commands.append(command)
        if not self.answers:
            return None
        if self.error is not None:
            return {"status": "error", "error": self.error}
        return {"snapshot": self.take(command)}

    def take(self, command: dict[str, Any]) -> dict[str, Any]:
        """Take a picture, and return its description for the reply."""
        moment = datetime.now(UTC)
        key = snapshot_key(camera_id=command["camera_id"], event_type="snapshot", timestamp=moment, extension="jpg")
        self.keys.append(key)
        if self.stores:
            self.upload(key)
        described = {
            "snapshot_id": command["snapshot_id"],
            "camera_id": command["camera_id"],
            "captured_at": format_utc(moment),
            "image": snapshot_reference(key),
            "has_thumbnail": True,
            "stored": self.stores,
        } | ({} if self.stores else {"error": "S3 is away"})
        self.described.append(described)
        return described

    def upload(self, key: str) -> None:
        self.bucket.objects[snapshot_object_key(self.device_id, key)] = self.jpeg
        self.bucket.objects[thumbnail_object_key(self.device_id, key)] = self.thumbnail

    def send_event(self, command: dict[str, Any], described: dict[str, Any], **fields: Any) -> None:
        """Let ingest store the event of a picture."""
        data = {
            "snapshot_id": described["snapshot_id"],
            "command_id": command["command_id"],
            "thumbnail_key": described["image"]["key"],
            "stored": described["stored"],
        }
        store_event(
            self.url,
            wire_event(
                "snapshot",
                device_id=self.device_id,
                camera_id=described["camera_id"],
                timestamp=described["captured_at"],
                snapshot=described["image"],
                event_data=data,
            )
            | fields,
        )


def snapshot_reference(key: str) -> dict[str, Any]:
    """Return the description of a picture as a device sends it."""
    return {
        "key": key, "content_type": "image/jpeg", "bytes": len(JPEG), "width": 1280, "height": 720, "sha256": "a" * 64,
    }  # fmt: skip


def store_event(url: str, event: dict[str, Any]) -> None:
    """Let ingest store an event."""
    with open_ingest(url) as ingest:
        assert failures(ingest.handle(batch([event]))) == []
        assert ingest.dead_letters.reasons() == []
