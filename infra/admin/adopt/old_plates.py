"""Maps a row of the table ``plate_events`` of an ALPR storage service to the wire message of an ``anpr`` event."""

from __future__ import annotations

import json
from typing import Any, Final

from pydantic_core import to_json

from cloud_functions.ingest.plate_dicts import event_from_plate_dict
from infra.admin.adopt.mapped_row import MappedRow, Places, moment, optional_moment, required
from infra.admin.adopt.old_database import OldRow
from shared.ids import is_segment

_IMAGES: Final = ("frame_image_url", "vehicle_image_url", "plate_image_url")


def map_plate(row: OldRow, places: Places) -> MappedRow:
    """Return the event of a row, with the same ``event_id``. Raises ContractError for a row that cannot be taken."""
    timestamp = moment(row, "captured_at")
    read: dict[str, Any] = {
        **row,
        "captured_at": timestamp.isoformat(),
        "camera_id": places.camera(required(row, "camera_id")),
    }
    site = (row.get("site_id") or "").strip()
    if not is_segment(site):
        read["site_id"] = places.site_id
        if site:
            read["old_site_id"] = site
    wire: dict[str, Any] = json.loads(event_from_plate_dict(to_json(read), None))
    images = [row.get(name) or "" for name in _IMAGES]
    return MappedRow(
        event_id=str(wire["event_id"]),
        timestamp=timestamp,
        wire=wire,
        pictures=tuple(image for image in images if image and "://" not in image),
        number=None,
        created_at=optional_moment(row, "created_at"),
    )
