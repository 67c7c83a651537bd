"""Response model of the plate reads at the root path, and its content."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from pydantic import BaseModel, Field

from cloud_functions.api.http.responses import DATE_TIME
from cloud_functions.db.plates.record import PlateEvent
from shared.clock import format_utc
from shared.storage_keys import is_snapshot_key

_COLUMNS: Final = (
    "event_id", "camera_id", "plate_text", "plate_normalized_text", "vehicle_type", "vehicle_make", "vehicle_model",
    "vehicle_color", "quality_score", "frame_number", "site_id", "roi", "direction",
)  # fmt: skip
"""Columns with the same name and value as in ``PlateEvent``."""


class PlateRowResponse(BaseModel):
    """One read of a plate."""

    event_id: str = Field(description="UUID of the event.")
    captured_at: str = Field(json_schema_extra=DATE_TIME)
    camera_id: str
    track_id: str | None = Field(description="Track of the vehicle. Null if the plate was read without a vehicle.")
    plate_text: str | None = Field(description="The plate as read. Null if it is protected and you may not read it.")
    plate_normalized_text: str | None = Field(description="The plate in normal form, in which plates are compared.")
    plate_confidence: float = Field(description="From 0 to 1.")
    plate_region: str | None
    vehicle_type: str | None
    vehicle_make: str | None
    vehicle_model: str | None
    vehicle_color: str | None
    plate_image_url: str | None
    vehicle_image_url: str | None
    frame_image_url: str | None = Field(description="The annotated snapshot of the event.")
    latency_ms: int | None
    quality_score: float | None
    frame_number: int | None
    site_id: str
    host_id: str | None
    roi: str | None
    direction: str | None
    created_at: str = Field(json_schema_extra=DATE_TIME)


def plate_row(read: PlateEvent, *, base_url: str) -> dict[str, Any]:
    """Return a read in the form of ``PlateRowResponse``. ``base_url`` is the address of the API, without a slash."""
    snapshot_url = _image_url(read, read.vehicle_image_key, base_url)
    return {name: getattr(read, name) for name in _COLUMNS} | {
        "captured_at": format_utc(read.captured_at),
        "track_id": read.track_uid or (None if read.track_id is None else str(read.track_id)),
        "plate_confidence": read.confidence,
        "plate_region": read.region,
        "plate_image_url": _image_url(read, read.plate_image_key, base_url),
        "vehicle_image_url": snapshot_url,
        "frame_image_url": snapshot_url,
        "latency_ms": None if read.latency_ms is None else round(read.latency_ms),
        "host_id": read.host,
        "created_at": format_utc(read.created_at),
    }


def _image_url(read: PlateEvent, key: str | None, base_url: str) -> str | None:
    """Return the address of an image: that of the event's snapshot, or the one that an imported event names."""
    if key is None:
        return None
    if key.startswith(("https://", "http://")):
        return key
    return f"{base_url}/api/events/{quote(read.event_id)}/snapshot" if is_snapshot_key(key) else None
