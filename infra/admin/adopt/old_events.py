"""Maps a row of the table ``events`` of an analytics service to the wire message of an event.

Fields that Vedette requires and those systems do not have are filled in, and named in ``event_data.adopted.filled``. A
value that is there and invalid refuses the row.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from infra.admin.adopt.mapped_row import (
    MappedRow,
    Places,
    deterministic_event_id,
    moment,
    optional_moment,
    required,
)
from infra.admin.adopt.old_database import OldRow
from shared.clock import format_utc
from shared.errors import ContractError
from shared.plates import normalize_plate

Data = dict[str, Any]
_UNKNOWN_MODEL: Final = {"model_type": "unknown", "version": "unknown"}


def map_event(row: OldRow, places: Places) -> MappedRow:
    """Return the event of a row. Raises ContractError, with the reason, for a row that cannot be taken."""
    event_type, camera = required(row, "event_type").lower(), required(row, "camera_id")
    timestamp, number = moment(row, "timestamp"), int(required(row, "id"))
    complete = _TYPES.get(event_type)
    if complete is None:
        raise ContractError(f"event_type {event_type!r} is none of {', '.join(_TYPES)}", reason="unknown_event_type")
    camera_id = places.camera(camera)
    data = _object(row.get("event_data"))
    given = set(data)
    complete(data, f"{camera_id}-{timestamp:%Y%m%d}")
    adopted: Data = {"id": number}
    if filled := sorted(set(data) - given):
        adopted["filled"] = filled
    path = (row.get("snapshot_path") or "").strip()
    if path:
        adopted["snapshot_path"] = path
    event_id = deterministic_event_id(timestamp, str(number), event_type, camera, format_utc(timestamp))
    wire = {
        "event_id": event_id,
        "event_type": event_type,
        "site_id": places.site_id,
        "device_id": places.device_id,
        "camera_id": camera_id,
        "timestamp": format_utc(timestamp),
        "frame_number": _frame_number(row.get("frame_number")),
        "event_data": data | {"adopted": adopted},
    }
    return MappedRow(
        event_id=event_id,
        timestamp=timestamp,
        wire=wire,
        pictures=(path,) if path else (),
        number=number,
        created_at=optional_moment(row, "created_at"),
    )


def _object(text: str | None) -> Data:
    """Return ``event_data``; an object that was stored as a JSON string is opened."""
    try:
        value: Any = json.loads(text or "null", parse_constant=lambda _: None)
        value = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ContractError("event_data is not a JSON object", reason="invalid")
    return cast("Data", value)


def _frame_number(text: str | None) -> int | None:
    number = int(text) if text is not None and text.lstrip("-").isdecimal() else -1
    return number if number >= 0 else None


def _tracking(data: Data, track_prefix: str) -> None:
    data.setdefault("model_info", dict(_UNKNOWN_MODEL))
    if data["model_info"] is None:
        data["model_info"] = dict(_UNKNOWN_MODEL)
    # Track ids of those systems start again with the process, so the day is part of the unique id.
    data.setdefault("track_uid", f"{track_prefix}-{data.get('track_id')}")


def _motion(data: Data, _: str) -> None:
    data.setdefault("motion_intensity", 0.0)
    data.setdefault("affected_area_percentage", 0.0)


def _detection(data: Data, _: str) -> None:
    if "detections" not in data:
        one = {name: data[name] for name in ("class_name", "confidence", "bounding_box", "track_id") if name in data}
        data["detections"] = [one] if one else []
    if data.get("model_info") is None:
        data["model_info"] = dict(_UNKNOWN_MODEL)


def _anpr(data: Data, _: str) -> None:
    if "anpr_result" not in data and "license_plate" in data:
        data["anpr_result"] = {name: data.get(name) for name in ("license_plate", "confidence", "region")}
    result = data.get("anpr_result")
    plate = cast("Mapping[str, Any]", result).get("license_plate") if isinstance(result, dict) else None
    if "plate_normalized" not in data and isinstance(plate, str):
        data["plate_normalized"] = normalize_plate(plate)


_TYPES: Final[Mapping[str, Callable[[Data, str], None]]] = {
    "tracking": _tracking,
    "motion": _motion,
    "detection": _detection,
    "anpr": _anpr,
}
