"""Builders of events for an outbox, with default values."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

from shared.clock import Clock
from shared.events import Event, ModelInfo, MotionData, MotionEvent, SnapshotRef, TrackingData, TrackingEvent
from shared.geometry import BoundingBox
from shared.ids import Uuid7Generator
from shared.storage_keys import snapshot_key

mint_id = Uuid7Generator()
WHEN = datetime(2026, 1, 1, 10, 30, 45, 123456, tzinfo=UTC)
KEY = "camera-1/2026-01-01/tracking_103045_123456.jpg"


def tracking_event(
    action: Literal["entered", "updated", "left"] = "entered", *, key: str | None = None, class_name: str = "car"
) -> TrackingEvent:
    """Return a tracking event, which eviction keeps longest (``entered``, ``left``) or drops early (``updated``)."""
    snapshot = None if key is None else snapshot_ref(key)
    return TrackingEvent(
        event_id=mint_id(),
        site_id="hq",
        device_id="gate-01",
        camera_id="camera-1",
        timestamp=WHEN,
        frame_number=7,
        snapshot=snapshot,
        event_data=TrackingData(
            track_id=1,
            track_uid="t-1",
            tracking_action=action,
            class_name=class_name,
            confidence=0.9,
            bounding_box=BoundingBox(x=0.1, y=0.1, width=0.2, height=0.2),
            model_info=ModelInfo(model_type="blob", version="1"),
        ),
    )


def motion_event() -> MotionEvent:
    return MotionEvent(
        event_id=mint_id(),
        site_id="hq",
        device_id="gate-01",
        camera_id="camera-1",
        timestamp=WHEN,
        event_data=MotionData(motion_intensity=0.5, affected_area_percentage=3.0),
    )


def snapshot_ref(key: str = KEY, *, size_bytes: int = 3) -> SnapshotRef:
    return SnapshotRef(key=key, content_type="image/jpeg", bytes=size_bytes, width=1280, height=720, sha256="0" * 64)


def with_image(event: Event, key: str = KEY) -> Event:
    return event.model_copy(update={"snapshot": snapshot_ref(key)})


def stamped_event(clock: Clock, *, picture: bool = False) -> TrackingEvent:
    """Return a tracking event with the clock's current time, and a snapshot key derived from it if ``picture``."""
    now = clock.now()
    event = tracking_event().model_copy(update={"timestamp": now})
    data = event.event_data.model_copy(update={"first_seen_at": now - timedelta(seconds=9), "last_seen_at": now})
    key = snapshot_key(camera_id="camera-1", event_type="tracking", timestamp=now, extension="jpg")
    return event.model_copy(update={"event_data": data, "snapshot": snapshot_ref(key) if picture else None})
