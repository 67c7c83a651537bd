"""Plate reads as rows under the column names of ALPR storage services: the only list of these columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from cloud_functions.db.plates.record import PlateEvent
from cloud_functions.db.types import Connection
from shared.clock import format_utc
from shared.storage_keys import is_snapshot_key

_COLUMNS: Final = (
    "event_id", "camera_id", "plate_text", "plate_normalized_text", "vehicle_type", "vehicle_make", "vehicle_model",
    "vehicle_color", "quality_score", "frame_number", "site_id", "roi", "direction",
)  # fmt: skip
"""Columns with the same name and value as in ``PlateEvent``."""

_IMAGE_ADDRESSES: Final = """
SELECT event_id::text, event_data ->> 'vehicle_image_url', event_data ->> 'frame_image_url'
FROM unnest(%s::uuid[], %s::timestamptz[]) AS given (given_id, given_time)
JOIN events ON event_id = given_id AND "timestamp" = given_time
WHERE COALESCE(event_data ->> 'vehicle_image_url', event_data ->> 'frame_image_url') IS NOT NULL
"""


class ImageAddresses(NamedTuple):
    """Addresses of images that the producer of a read stores itself."""

    vehicle: str | None = None
    frame: str | None = None


def image_addresses(connection: Connection, reads: Sequence[PlateEvent]) -> dict[str, ImageAddresses]:
    """Return the image addresses in the events of these reads, by ``event_id``. Reads with a snapshot have none."""
    without = [read for read in reads if read.vehicle_image_key is None]
    if not without:
        return {}
    keys = [read.event_id for read in without], [read.captured_at for read in without]
    return {event_id: ImageAddresses(*found) for event_id, *found in connection.execute(_IMAGE_ADDRESSES, keys)}


def alpr_row(read: PlateEvent, images: Mapping[str, ImageAddresses], *, api_url: str | None) -> dict[str, Any]:
    """Return a read as a row; times are RFC 3339, UTC, with microseconds and ``Z``.

    ``images`` is what ``image_addresses`` returned. ``api_url`` is the address of the API, without a slash at its end:
    a snapshot is linked through it, and without it the snapshot has no address.
    """
    found = images.get(read.event_id, ImageAddresses())
    snapshot_url = _address(read, read.vehicle_image_key, api_url)
    return {name: getattr(read, name) for name in _COLUMNS} | {
        "captured_at": format_utc(read.captured_at),
        "track_id": read.track_uid or (None if read.track_id is None else str(read.track_id)),
        "plate_confidence": read.confidence,
        "plate_region": read.region,
        "plate_image_url": _address(read, read.plate_image_key, api_url),
        "vehicle_image_url": _address(read, found.vehicle, api_url) or snapshot_url,
        "frame_image_url": _address(read, found.frame, api_url) or snapshot_url,
        "latency_ms": None if read.latency_ms is None else round(read.latency_ms),
        "host_id": read.host,
        "created_at": format_utc(read.created_at),
    }


def _address(read: PlateEvent, image: str | None, api_url: str | None) -> str | None:
    """Return the address of an image: one that the producer named, or that of the event's snapshot."""
    if image is None:
        return None
    if image.startswith(("https://", "http://")):
        return image
    linked = api_url is not None and is_snapshot_key(image)
    return f"{api_url}/api/events/{quote(read.event_id)}/snapshot" if linked else None
