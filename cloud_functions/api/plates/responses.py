"""Response models of the plates API, for the OpenAPI document. For speed, routes write the JSON without them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from cloud_functions.api.http.limits import Limits, fit_items
from cloud_functions.api.http.responses import DATE_TIME
from cloud_functions.db.plates.queries import PlateHistory
from cloud_functions.db.plates.search import SearchResult
from cloud_functions.privacy.plate_store import PlateStats
from shared.clock import format_utc

_MAX_TEXT_LENGTH: Final = 200


class PlateBox(BaseModel):
    """Position of the plate in the image. All values are fractions of the image size, from 0 to 1."""

    x: float
    y: float
    width: float
    height: float


class PlateReadResponse(BaseModel):
    """One read of a plate: one vehicle that passed one camera."""

    id: int = Field(description="`id` of the event.")
    event_id: str = Field(description="`event_id` of the event, a UUID.")
    site_id: str
    device_id: str
    camera_id: str
    host: str | None
    captured_at: str = Field(json_schema_extra=DATE_TIME)
    track_id: int | None
    track_uid: str | None
    plate_text: str | None = Field(description="The plate as read. Null if it is protected and you may not read it.")
    plate_normalized_text: str | None = Field(
        description="The plate in normal form, in which plates are compared. Null if `plate_text` is null."
    )
    confidence: float
    region: str | None
    vehicle_type: str | None
    vehicle_make: str | None
    vehicle_model: str | None
    vehicle_color: str | None
    vehicle_image_key: str | None = Field(description="Key of the snapshot of the event.")
    plate_image_key: str | None
    plate_box: PlateBox | None
    latency_ms: float | None
    quality_score: float | None
    frame_number: int | None
    roi: str | None
    direction: str | None
    reads: int | None = Field(description="Number of frames whose reads were combined.")
    created_at: str = Field(json_schema_extra=DATE_TIME)
    plate_token: str | None = Field(
        description="Token of a protected plate: the same for all its reads at one site. Accepted as `plate`."
    )


class FoundPlateResponse(PlateReadResponse):
    """A read. Similarity and distances are present with `match=fuzzy` only."""

    similarity: float | None = Field(
        default=None, description="Trigram similarity to the requested plate, from 0 to 1."
    )
    edit_distance: int | None = Field(default=None, description="Number of insertions, deletions and replacements.")
    distance: float | None = Field(
        default=None, description="Edit distance in which replacing a character by a similar one counts as a quarter."
    )


class PlateListResponse(BaseModel):
    """One page of the matching reads: newest first, or nearest first with `match=fuzzy`."""

    plates: list[FoundPlateResponse]
    total: int = Field(description="Exact number of matching reads on all pages.")
    limit: int
    offset: int | None = Field(description="Null if the request has a cursor.")
    has_more: bool
    next_cursor: str | None = Field(description="Value of `cursor` for the next page. Null on the last page.")


class PlateCameraResponse(BaseModel):
    """Reads of the plate by one camera."""

    camera_id: str
    site_id: str
    events: int
    first_seen: str = Field(json_schema_extra=DATE_TIME)
    last_seen: str = Field(json_schema_extra=DATE_TIME)


class PlateHistoryResponse(BaseModel):
    """All reads of one plate in summary, and its newest reads."""

    plate_normalized_text: str
    total_events: int
    first_seen: str = Field(json_schema_extra=DATE_TIME)
    last_seen: str = Field(json_schema_extra=DATE_TIME)
    avg_confidence: float
    cameras: list[PlateCameraResponse] = Field(description="Cameras that read the plate, most reads first.")
    plates: list[PlateReadResponse] = Field(description="The newest reads. `GET /plates?plate=` lists all reads.")


class PlateStatisticsResponse(BaseModel):
    """Exact totals of all reads. All fields except `is_connected` are null if the database is unavailable."""

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
    active_cameras: int | None = Field(description="Number of cameras with reads.")
    avg_confidence: float | None
    avg_latency_ms: float | None


def plate_texts(plates: Sequence[dict[str, Any]], limits: Limits) -> list[str]:
    """Return plate reads as JSON texts that fit into one response. The largest ones are truncated if necessary."""
    texts = [json.dumps(plate, ensure_ascii=False, separators=(",", ":")) for plate in plates]
    return fit_items(texts, lambda index: json.dumps(_truncated(plates[index]), ensure_ascii=False), limits)


def search_result_content(result: SearchResult) -> dict[str, Any]:
    """Return a search result in the form of ``FoundPlateResponse``."""
    return result.read.to_dict() | {
        "similarity": result.near.similarity,
        "edit_distance": result.near.edit_distance,
        "distance": result.near.distance,
    }


def history_content(plate: str, history: PlateHistory) -> dict[str, Any]:
    """Return a history in the form of ``PlateHistoryResponse``, without ``plates``."""
    return {
        "plate_normalized_text": plate,
        "total_events": history.events,
        "first_seen": format_utc(history.first_seen),
        "last_seen": format_utc(history.last_seen),
        "avg_confidence": history.avg_confidence,
        "cameras": [
            {
                "camera_id": camera.camera_id,
                "site_id": camera.site_id,
                "events": camera.events,
                "first_seen": format_utc(camera.first_seen),
                "last_seen": format_utc(camera.last_seen),
            }
            for camera in history.cameras
        ],
    }


def statistics_content(statistics: PlateStats | None) -> dict[str, Any]:
    """Return statistics in the form of ``PlateStatisticsResponse``. None: the database is unavailable."""
    names = ("total_events", "unique_plates", "active_cameras", "avg_confidence", "avg_latency_ms")
    return {"is_connected": statistics is not None} | {name: getattr(statistics, name, None) for name in names}


def _truncated(plate: dict[str, Any]) -> dict[str, Any]:
    """Return a read with long texts cut and without fields that a device added to the plate box."""
    cut = {name: f"{value[:_MAX_TEXT_LENGTH]}…" if _is_long(value) else value for name, value in plate.items()}
    box = cut.get("plate_box")
    if isinstance(box, dict):
        cut["plate_box"] = {name: box.get(name) for name in ("x", "y", "width", "height")}
    return cut | {"truncated": True}


def _is_long(value: object) -> bool:
    return isinstance(value, str) and len(value) > _MAX_TEXT_LENGTH
