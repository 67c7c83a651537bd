"""Response models of the events API, for the OpenAPI document. For speed, routes write the JSON without them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from cloud_functions.api.http.limits import Limits, fit_items
from cloud_functions.api.http.responses import DATE_TIME
from cloud_functions.db.events.json_size import short_numbers
from cloud_functions.db.events.record import FlatEvent, truncated_data
from cloud_functions.db.events.statistics import EventStats
from shared.clock import format_utc
from shared.event_types import EventType

_ALWAYS_COUNTED: Final[tuple[EventType, ...]] = ("detection", "motion", "anpr", "tracking")
"""Types that statistics contain even without events, so that a client can read their totals without a check."""
_EVENT: Final[dict[str, Any]] = {
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


class EventResponse(BaseModel):
    """One event. All times are RFC 3339 in UTC with `Z`."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EVENT]})

    id: int = Field(description="Number assigned by the database, in order of arrival.")
    event_id: str = Field(description="UUIDv7 assigned by the device. It identifies the event in all systems.")
    event_type: EventType
    camera_id: str
    site_id: str
    device_id: str
    timestamp: str = Field(description="Capture time of the frame.", json_schema_extra=DATE_TIME)
    frame_number: int | None
    snapshot_path: str | None = Field(description="Key of the annotated snapshot, or null if there is none.")
    event_data: dict[str, Any] = Field(description="Data of the event. Its fields depend on `event_type`.")
    created_at: str = Field(description="Time at which the event was stored.", json_schema_extra=DATE_TIME)


class EventListResponse(BaseModel):
    """One page of the matching events, newest first."""

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

    events: list[EventResponse]
    total: int = Field(description="Exact number of matching events on all pages.")
    page: int | None = Field(description="Page number. Null if the request has a cursor.")
    page_size: int
    has_more: bool
    next_cursor: str | None = Field(description="Value of `cursor` for the next page. Null on the last page.")


class RecentEventsResponse(BaseModel):
    """The newest events."""

    events: list[EventResponse]
    count: int


class DateRange(BaseModel):
    """Capture times of the first and the last matching event. Null if no event matches."""

    first_event: str | None = Field(json_schema_extra=DATE_TIME)
    last_event: str | None = Field(json_schema_extra=DATE_TIME)


class EventStatisticsResponse(BaseModel):
    """Exact totals of the matching events."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "total_events": 18211,
                    "events_by_type": {"tracking": 17000, "motion": 1211, "detection": 0, "anpr": 0},
                    "events_by_camera": {"camera-1": 12211, "camera-2": 6000},
                    "date_range": {
                        "first_event": "2026-09-01T00:00:03.120000Z",
                        "last_event": "2026-11-20T10:30:45.123456Z",
                    },
                }
            ]
        }
    )

    total_events: int
    events_by_type: dict[str, int] = Field(
        description="Total of each type with events, most events first. `detection`, `motion`, `anpr` and `tracking`"
        " are always present."
    )
    events_by_camera: dict[str, int]
    date_range: DateRange


class DeleteEventResponse(BaseModel):
    """Result of deleting one event."""

    message: str
    snapshot_deleted: bool = Field(
        description="Whether this request deleted the snapshot too: `delete_snapshot` was true, and no other event"
        " or plate read shows it."
    )


class DeleteEventsResponse(BaseModel):
    """Result of deleting one batch of events."""

    message: str
    deleted: int
    snapshots_deleted: int
    remaining: int = Field(description="Number of events that are still to be deleted. Repeat the request for them.")
    on_hold: int = Field(description="Number of events that match and are kept, because a legal hold protects them.")


def event_texts(events: Sequence[FlatEvent], limits: Limits) -> list[str]:
    """Return events as JSON texts that fit into one response.

    Long numbers are shortened without changing their values. If that is not enough, the data of the largest events is
    replaced by ``{"truncated": true, "event_data_bytes": ..., "href": ...}``.
    """
    short = [shorten_numbers(event) for event in events]
    return fit_items([event.to_json() for event in short], lambda index: without_data(short[index]).to_json(), limits)


def shorten_numbers(event: FlatEvent) -> FlatEvent:
    """Return the event with long numbers in exponential notation (``1e300``)."""
    text = short_numbers(event.event_data_json)
    return event if text is event.event_data_json else replace(event, event_data_json=text)


def without_data(event: FlatEvent) -> FlatEvent:
    """Return the event with its data replaced by the size of the data and the address of the event."""
    return replace(event, event_data_json=json.dumps(truncated_data(event.event_data_json, event.id)))


def statistics_content(statistics: EventStats) -> dict[str, Any]:
    """Return statistics in the form of ``EventStatisticsResponse``."""
    return {
        "total_events": statistics.total,
        "events_by_type": statistics.by_type | {name: 0 for name in _ALWAYS_COUNTED if name not in statistics.by_type},
        "events_by_camera": statistics.by_camera,
        "date_range": {"first_event": _time(statistics.first), "last_event": _time(statistics.last)},
    }


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else format_utc(moment)
