"""Maps plate reads of ALPR storage services, one flat object with a key for each column, to ``anpr`` events.

Columns that ``anpr`` events have no field for are kept: ``host_id`` and ``roi`` as ``host`` and ``roi``, addresses of
images under the names below, and unknown keys in ``other_columns``.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import to_json

from shared.errors import ContractError
from shared.events import Count, Label, Milliseconds
from shared.geometry import Ratio
from shared.ids import Segment
from shared.plates import MAX_PLATE_LENGTH, normalize_plate
from shared.topics import TopicAddress

DEFAULT_SITE: Final = "default"
"""The site of a read without ``site_id``."""

_ASSIGNED_BY_DATABASE: Final = "created_at"
_TYPICAL_COLUMNS: Final = (b'"plate_text"', b'"plate_normalized_text"', b'"plate_confidence"')
_NOT_IN_SEGMENT: Final = re.compile(r"[^A-Za-z0-9_-]")
_MAX_SEGMENT_LENGTH: Final = 100
_WHOLE_NUMBER: Final = re.compile(r"[0-9]{1,18}")


def _empty_as_none(value: object) -> object:
    return None if value == "" else value


def _utc_time(value: object) -> datetime:
    """Return the time in UTC. A time without a zone is in UTC, and a date is its midnight."""
    if not isinstance(value, str):
        raise ValueError("must be an ISO 8601 time")  # noqa: TRY004 - pydantic reports only ValueError
    try:
        moment = datetime.fromisoformat(value.strip())
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("must be an ISO 8601 time") from None


_Text = Annotated[str | None, BeforeValidator(_empty_as_none)]
_OptionalLabel = Annotated[Label | None, BeforeValidator(_empty_as_none)]
_OptionalSegment = Annotated[Segment | None, BeforeValidator(_empty_as_none)]


class PlateDict(BaseModel):
    """A plate read under the column names of ALPR storage services. Unknown keys are kept."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    event_id: UUID
    captured_at: Annotated[datetime, BeforeValidator(_utc_time)]
    camera_id: Segment
    plate_text: Label
    plate_normalized_text: _OptionalLabel = None
    plate_confidence: Ratio
    plate_region: _OptionalLabel = None
    track_id: Annotated[Annotated[int, Field(ge=0)] | Label | None, BeforeValidator(_empty_as_none)] = None
    vehicle_type: _Text = None
    vehicle_make: _Text = None
    vehicle_model: _Text = None
    vehicle_color: _Text = None
    plate_image_url: _Text = None
    vehicle_image_url: _Text = None
    frame_image_url: _Text = None
    latency_ms: Milliseconds | None = None
    quality_score: Ratio | None = None
    frame_number: Count | None = None
    site_id: _OptionalSegment = None
    host_id: _Text = None
    roi: _Text = None
    direction: _Text = None


def is_plate_dict(payload: bytes) -> bool:
    """Return whether a message that is not an event may be a plate read."""
    return b'"event_data"' not in payload and any(name in payload for name in _TYPICAL_COLUMNS)


def event_from_plate_dict(payload: bytes, address: TopicAddress | None) -> bytes:
    """Return the plate read as the wire message of an ``anpr`` event with the same ``event_id``.

    Without ``site_id`` the site is that of the topic, or ``DEFAULT_SITE``. The device is that of the topic, or named
    after ``host_id``, or after the camera; other characters than those of an id become ``-``.

    Raises:
        ContractError: reason ``invalid``; the message names the column.
    """
    try:
        read = PlateDict.model_validate_json(payload)
    except ValidationError as error:
        raise _invalid(error) from error
    site_id, device_id = _origin(read, address)
    event = {
        "event_id": read.event_id,
        "event_type": "anpr",
        "site_id": site_id,
        "device_id": device_id,
        "camera_id": read.camera_id,
        "timestamp": read.captured_at.isoformat(),
        "frame_number": read.frame_number,
        "event_data": _event_data(read),
    }
    return to_json(event, inf_nan_mode="null")


def _origin(read: PlateDict, address: TopicAddress | None) -> tuple[str, str]:
    """Return the site and the device."""
    if address is not None:
        return read.site_id or address.site_id, address.device_id
    name = read.host_id or read.camera_id
    return read.site_id or DEFAULT_SITE, _NOT_IN_SEGMENT.sub("-", name)[:_MAX_SEGMENT_LENGTH]


def _event_data(read: PlateDict) -> dict[str, Any]:
    track = None if read.track_id is None else str(read.track_id)
    optional = {
        "host": read.host_id,
        "roi": read.roi,
        "plate_image_key": read.plate_image_url,
        "vehicle_image_url": read.vehicle_image_url,
        "frame_image_url": read.frame_image_url,
        "other_columns": {
            name: value for name, value in (read.model_extra or {}).items() if name != _ASSIGNED_BY_DATABASE
        },
    }
    return {
        "anpr_result": {
            "license_plate": read.plate_text,
            "confidence": read.plate_confidence,
            "region": read.plate_region,
        },
        "plate_normalized": _normal_form(read),
        "track_id": int(track) if track is not None and _WHOLE_NUMBER.fullmatch(track) else None,
        "track_uid": track,
        "vehicle": {
            "type": read.vehicle_type,
            "make": read.vehicle_make,
            "model": read.vehicle_model,
            "color": read.vehicle_color,
        },
        "direction": read.direction,
        "quality_score": read.quality_score,
        "latency_ms": read.latency_ms,
    } | {name: value for name, value in optional.items() if value}


def _normal_form(read: PlateDict) -> str:
    plate = normalize_plate(read.plate_normalized_text or read.plate_text)
    if len(plate) > MAX_PLATE_LENGTH or not any(map(str.isalnum, plate)):
        name = "plate_normalized_text" if read.plate_normalized_text else "plate_text"
        raise ContractError(
            f"not a plate read: {name}: must have 1 to {MAX_PLATE_LENGTH} letters and digits", reason="invalid"
        )
    return plate


def _invalid(error: ValidationError) -> ContractError:
    """Return one line that names the column and contains no value of the message."""
    first = error.errors(include_url=False, include_input=False)[0]
    column = str(first["loc"][0]) if first["loc"] else "message"
    return ContractError(f"not a plate read: {column}: {first['msg']}", reason="invalid")
