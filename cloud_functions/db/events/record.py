"""The flat JSON object of an event, as subscribers and the API receive it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from shared.clock import format_utc

FLAT_EVENT_COLUMNS: Final = (
    "id, event_id::text, event_type, camera_id, site_id, device_id, timestamp, frame_number, snapshot_path,"
    " event_data::text, created_at"
)
"""The select list for ``FlatEvent.from_row``."""


@dataclass(frozen=True, slots=True)
class FlatEvent:
    """One stored event. ``event_data_json`` stays text, because it is usually passed on without parsing."""

    id: int
    event_id: str
    event_type: str
    camera_id: str
    site_id: str
    device_id: str
    timestamp: datetime
    frame_number: int | None
    snapshot_path: str | None
    event_data_json: str
    created_at: datetime

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> FlatEvent:
        """Create an event from a row of ``FLAT_EVENT_COLUMNS``."""
        return cls(*row)

    def to_dict(self) -> dict[str, Any]:
        """Return the flat object with ``event_data`` parsed; times are RFC 3339, UTC, with microseconds and ``Z``."""
        return {
            "id": self.id,
            "event_id": self.event_id,
            "event_type": self.event_type,
            "camera_id": self.camera_id,
            "site_id": self.site_id,
            "device_id": self.device_id,
            "timestamp": format_utc(self.timestamp),
            "frame_number": self.frame_number,
            "snapshot_path": self.snapshot_path,
            "event_data": json.loads(self.event_data_json),
            "created_at": format_utc(self.created_at),
        }

    def to_json(self) -> str:
        """Return the same object as compact JSON text."""
        return flat_event_json(
            self, id=self.id, timestamp=format_utc(self.timestamp), created_at=format_utc(self.created_at)
        )


def truncated_data(event_data_json: str, number: int) -> dict[str, Any]:
    """Return the replacement for ``event_data`` that is too large to send."""
    return {
        "truncated": True,
        "event_data_bytes": len(event_data_json.encode()),
        "href": f"/api/events/{number}",
    }


def event_without_data(document: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the flat event of the JSON text, with the replacement for its ``event_data``, and that data."""
    flat: dict[str, Any] = json.loads(document)
    data: dict[str, Any] = flat["event_data"]
    flat["event_data"] = truncated_data(json.dumps(data, ensure_ascii=False), flat["id"])
    return flat, data


class EventContent(Protocol):
    """The columns that a row to insert and a stored event share."""

    @property
    def event_id(self) -> str: ...
    @property
    def event_type(self) -> str: ...
    @property
    def camera_id(self) -> str: ...
    @property
    def site_id(self) -> str: ...
    @property
    def device_id(self) -> str: ...
    @property
    def frame_number(self) -> int | None: ...
    @property
    def snapshot_path(self) -> str | None: ...
    @property
    def event_data_json(self) -> str: ...


def flat_event_json(event: EventContent, *, id: int, timestamp: str, created_at: str) -> str:
    """Return the flat object as compact JSON; the times are formatted already.

    Ids, types and keys contain no characters that JSON must escape (``shared.ids.Segment``, ``SnapshotRef.key``), so
    the text is formatted instead of encoded, because ingest does this for every event.
    """
    frame = "null" if event.frame_number is None else event.frame_number
    path = "null" if event.snapshot_path is None else f'"{event.snapshot_path}"'
    return (
        f'{{"id":{id},"event_id":"{event.event_id}","event_type":"{event.event_type}","camera_id":"{event.camera_id}",'
        f'"site_id":"{event.site_id}","device_id":"{event.device_id}","timestamp":"{timestamp}","frame_number":{frame},'
        f'"snapshot_path":{path},"event_data":{event.event_data_json},"created_at":"{created_at}"}}'
    )
