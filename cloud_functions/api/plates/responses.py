"""What the plate API answers with, for the OpenAPI description; routes write the JSON themselves."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

_TIME: dict[str, Any] = {"format": "date-time"}


class PlateBox(BaseModel):
    """Where the plate is in the picture; every number 0 to 1."""

    x: float
    y: float
    width: float
    height: float


class PlateRead(BaseModel):
    """One read of a plate: one passage of one vehicle."""

    id: int = Field(description="The event's number.")
    event_id: str = Field(description="The event's UUID.")
    site_id: str
    device_id: str
    camera_id: str
    host: str | None
    captured_at: str = Field(json_schema_extra=_TIME)
    track_id: int | None
    track_uid: str | None
    plate_text: str | None = Field(description="As read; null where it is protected and you may not read it.")
    plate_normalized_text: str | None = Field(description="The form in which plates are compared; null likewise.")
    confidence: float
    region: str | None
    vehicle_type: str | None
    vehicle_make: str | None
    vehicle_model: str | None
    vehicle_color: str | None
    vehicle_image_key: str | None = Field(description="Key of the event's snapshot.")
    plate_image_key: str | None
    plate_box: PlateBox | None
    latency_ms: float | None
    quality_score: float | None
    frame_number: int | None
    roi: str | None
    direction: str | None
    reads: int | None = Field(description="How many frames voted.")
    created_at: str = Field(json_schema_extra=_TIME)
    plate_token: str | None = Field(
        description="Of a protected plate: the same for all its reads at one site. Ask for them by it as `plate`."
    )


class FoundPlate(PlateRead):
    """A read; how near its plate is stands there with `match=fuzzy` only."""

    similarity: float | None = Field(default=None, description="Of trigrams with the plate asked for, 0 to 1.")
    edit_distance: int | None = Field(default=None, description="Characters put in, taken out or replaced.")
    distance: float | None = Field(
        default=None, description="The same, a character taken for one that looks alike counting a quarter."
    )


class PlateList(BaseModel):
    """A slice of the matching reads: newest first, with `match=fuzzy` nearest first."""

    plates: list[FoundPlate]
    total: int = Field(description="Exactly how many reads match, in all.")
    limit: int
    offset: int | None = Field(description="Null where a cursor was given.")
    has_more: bool
    next_cursor: str | None = Field(description="Give this as `cursor` for what follows; null at the end.")


class PlateCamera(BaseModel):
    """One camera that read the plate."""

    camera_id: str
    site_id: str
    events: int
    first_seen: str = Field(json_schema_extra=_TIME)
    last_seen: str = Field(json_schema_extra=_TIME)


class PlateHistoryAnswer(BaseModel):
    """What is known of one plate."""

    plate_normalized_text: str
    total_events: int
    first_seen: str = Field(json_schema_extra=_TIME)
    last_seen: str = Field(json_schema_extra=_TIME)
    avg_confidence: float
    cameras: list[PlateCamera] = Field(description="The busiest first.")
    plates: list[PlateRead] = Field(description="The newest reads; all of them: `GET /plates?plate=`.")


class PlateStatistics(BaseModel):
    """Exact totals over every read; all but `is_connected` null while the database is away."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "is_connected": True,
                    "total_events": 18211,
                    "unique_plates": 4711,
                    "active_cameras": 6,
                    "avg_confidence": 0.94,
                    "avg_latency_ms": 412.5,
                }
            ]
        }
    )

    is_connected: bool
    total_events: int | None
    unique_plates: int | None
    active_cameras: int | None = Field(description="Cameras that have reads.")
    avg_confidence: float | None
    avg_latency_ms: float | None
