"""A plate read as stored (a row of ``plate_events``) and as the API returns it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from cloud_functions.plates.site_key import is_token
from shared.clock import format_utc

PLATE_EVENT_COLUMNS: Final = (
    "id, event_id::text, site_id, device_id, camera_id, host, captured_at, track_id, track_uid, plate_text,"
    " plate_normalized_text, confidence, region, vehicle_type, vehicle_make, vehicle_model, vehicle_color,"
    " vehicle_image_key, plate_image_key, plate_box, latency_ms, quality_score, frame_number, roi, direction, reads,"
    " created_at"
)
"""The select list for ``PlateEvent.from_row``."""


class PlateEvent(NamedTuple):
    """One read, with the ``id`` and ``event_id`` of its ``anpr`` event. A protected plate has a token, not a text."""

    id: int
    event_id: str
    site_id: str
    device_id: str
    camera_id: str
    host: str | None
    captured_at: datetime
    track_id: int | None
    track_uid: str | None
    plate_text: str | None
    plate_normalized_text: str | None
    confidence: float
    region: str | None
    vehicle_type: str | None
    vehicle_make: str | None
    vehicle_model: str | None
    vehicle_color: str | None
    vehicle_image_key: str | None
    plate_image_key: str | None
    plate_box: dict[str, float] | None
    latency_ms: float | None
    quality_score: float | None
    frame_number: int | None
    roi: str | None
    direction: str | None
    reads: int | None
    created_at: datetime
    plate_token: str | None = None
    """The token of a protected plate; its texts are None unless it has been decrypted."""

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> PlateEvent:
        """Create a read from a row of ``PLATE_EVENT_COLUMNS``."""
        stored = row[_PLATE]
        if not is_token(stored):
            return cls._make((*row, None))
        masked = [*row, stored]
        masked[_PLATE] = masked[_PLATE - 1] = None
        return cls._make(masked)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON object; times are RFC 3339, UTC, with microseconds and ``Z``."""
        document = self._asdict()
        document["captured_at"] = format_utc(self.captured_at)
        document["created_at"] = format_utc(self.created_at)
        return document


_PLATE: Final = PlateEvent._fields.index("plate_normalized_text")
