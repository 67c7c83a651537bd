"""Response model of the plate reads at the root path. ``db.plates.alpr_rows`` makes its content."""

from __future__ import annotations

from pydantic import BaseModel, Field

from cloud_functions.api.http.responses import DATE_TIME


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
