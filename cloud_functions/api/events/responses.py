"""What the events API answers with, for the OpenAPI description; routes write the JSON themselves, for speed."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from cloud_functions.api.events.requests import EventType

_EVENT: dict[str, Any] = {
    "id": 4711,
    "event_id": "0192f0c1-7d1e-7c3a-9a2b-3b0e0c5d9f11",
    "event_type": "tracking",
    "camera_id": "camera-1",
    "site_id": "hq",
    "device_id": "gate-01",
    "timestamp": "2026-11-20T10:30:45.123456Z",
    "frame_number": 1234,
    "snapshot_path": "camera-1/2026-11-20/tracking_103045_123456.jpg",
    "event_data": {
        "track_id": 7,
        "track_uid": "camera-1-3f2a-7",
        "tracking_action": "entered",
        "class_name": "person",
        "confidence": 0.87,
        "bounding_box": {"x": 0.41, "y": 0.22, "width": 0.08, "height": 0.31},
        "dwell_time_seconds": None,
        "zones": ["driveway"],
        "model_info": {"model_type": "efficientdet_lite0", "version": "1"},
    },
    "created_at": "2026-11-20T10:30:45.301244Z",
}
_TIME: dict[str, Any] = {"format": "date-time"}


class EventAnswer(BaseModel):
    """One event, flat. All times are RFC 3339 in UTC with `Z`."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EVENT]})

    id: int = Field(description="Number given by the database, in order of arrival.")
    event_id: str = Field(description="UUIDv7 given by the device: the same wherever the event is seen.")
    event_type: EventType
    camera_id: str
    site_id: str
    device_id: str
    timestamp: str = Field(description="When the frame was captured.", json_schema_extra=_TIME)
    frame_number: int | None
    snapshot_path: str | None = Field(description="Key of the annotated picture, or null where there is none.")
    event_data: dict[str, Any] = Field(description="What the event says; its fields follow from `event_type`.")
    created_at: str = Field(description="When the event was stored.", json_schema_extra=_TIME)


class EventList(BaseModel):
    """A slice of the matching events, newest first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "events": [_EVENT],
                    "total": 18211,
                    "page": 1,
                    "page_size": 1,
                    "has_more": True,
                    "next_cursor": "AQAGRAcTz5JAAAAAAAAAEme5_r7d",
                }
            ]
        }
    )

    events: list[EventAnswer]
    total: int = Field(description="Exactly how many events match, on all pages.")
    page: int | None = Field(description="The page number; null where a cursor was given.")
    page_size: int
    has_more: bool
    next_cursor: str | None = Field(description="Give this as `cursor` for what follows; null at the end.")


class RecentEvents(BaseModel):
    """The newest events."""

    events: list[EventAnswer]
    count: int


class DateRange(BaseModel):
    """Times of the first and the last matching event; null where there is none."""

    start: str | None = Field(json_schema_extra=_TIME)
    end: str | None = Field(json_schema_extra=_TIME)


class EventStatistics(BaseModel):
    """Exact totals of the matching events."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "total_events": 18211,
                    "events_by_type": {"tracking": 17000, "motion": 1211},
                    "events_by_camera": {"camera-1": 12211, "camera-2": 6000},
                    "date_range": {"start": "2026-09-01T00:00:03.120000Z", "end": "2026-11-20T10:30:45.123456Z"},
                }
            ]
        }
    )

    total_events: int
    events_by_type: dict[str, int]
    events_by_camera: dict[str, int]
    date_range: DateRange


class SignedUrl(BaseModel):
    """Where to get the picture from without any further permission, for a while."""

    url: str
    expires_in: int = Field(description="Seconds.")
    expires_at: str = Field(json_schema_extra=_TIME)


class EventDeleted(BaseModel):
    """One event is gone."""

    message: str
    snapshot_deleted: bool = Field(
        description="Whether its picture went too: asked for, there, and shown by no other event."
    )


class EventsDeleted(BaseModel):
    """A batch of events is gone."""

    message: str
    deleted: int
    snapshots_deleted: int
    remaining: int = Field(description="Events that still match: ask again for the next batch.")


class HealthCheck(BaseModel):
    """How one thing that the API leans on is doing."""

    model_config = ConfigDict(extra="allow")

    status: Literal["ok", "failed", "not_configured"]


class HealthAnswer(BaseModel):
    """How the API is doing: `degraded` where something not essential fails, `unavailable` where its database is away or
    takes no writes."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "status": "ok",
                    "version": "0.1.0",
                    "checks": {
                        "database": {"status": "ok", "postgresql": "17", "schema": "0001"},
                        "writes": {"status": "ok"},
                        "bucket": {"status": "ok"},
                        "fan_out": {"status": "ok", "subscriptions": "1"},
                    },
                }
            ]
        }
    )

    status: Literal["ok", "degraded", "unavailable"]
    version: str
    checks: dict[str, HealthCheck]
