"""Finds out which pictures nothing shows any more: no event, no plate read, no snapshot of a camera."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, LiteralString, NamedTuple

from cloud_functions.db.retention.protection import EVENT_NOT_HELD, SNAPSHOT_NOT_HELD
from cloud_functions.db.types import Connection
from shared.storage_keys import device_image_key, parse_snapshot_key

_SHOWN_BY_EVENTS: Final = """
SELECT DISTINCT events.device_id, events.snapshot_path
FROM events JOIN unnest(%(devices)s::text[], %(cameras)s::text[], %(times)s::timestamptz[], %(paths)s::text[])
     AS shown (device_id, camera_id, at, path)
  ON events.camera_id = shown.camera_id AND events."timestamp" = shown.at
 AND events.device_id = shown.device_id AND events.snapshot_path = shown.path
WHERE events."timestamp" BETWEEN %(first)s AND %(last)s
UNION
SELECT reads.device_id, reads.vehicle_image_key
FROM plate_events AS reads
JOIN unnest(%(devices)s::text[], %(cameras)s::text[], %(times)s::timestamptz[], %(paths)s::text[])
     AS shown (device_id, camera_id, at, path)
  ON reads.camera_id = shown.camera_id AND reads.captured_at = shown.at
 AND reads.device_id = shown.device_id AND reads.vehicle_image_key = shown.path
WHERE reads.captured_at BETWEEN %(first)s AND %(last)s
"""
_SHOWN_BY_UNUSUAL_EVENTS: Final = """
SELECT DISTINCT odd.device_id, odd.snapshot_path
FROM unnest(%s::text[], %s::text[]) AS shown (device_id, path)
JOIN event_odd_times AS odd ON odd.snapshot_path = shown.path AND odd.device_id = shown.device_id
JOIN events ON events.event_id = odd.event_id AND events."timestamp" = odd."timestamp"
"""
# A plate's image is named by its key below the prefix of the device, or by the whole key.
_SHOWN_AS_PLATES: Final = """
SELECT DISTINCT shown.device_id, shown.path
FROM unnest(%s::text[], %s::text[]) AS shown (device_id, path)
JOIN plate_events AS reads ON reads.device_id = shown.device_id
 AND reads.plate_image_key IN (shown.path, 'snapshots/' || shown.device_id || '/' || shown.path)
"""
_SHOWN_BY_SNAPSHOTS: Final = """
SELECT DISTINCT shown.device_id, shown.path
FROM unnest(%s::text[], %s::text[]) AS shown (device_id, path)
JOIN camera_snapshots ON storage_path = 'snapshots/' || shown.device_id || '/' || shown.path
"""
# The folder's prefix ends with a slash, and the next character after the slash is a zero.
_SHOWN_SINCE: Final = """
SELECT odd.snapshot_path FROM event_odd_times AS odd
JOIN events ON events.event_id = odd.event_id AND events."timestamp" = odd."timestamp"
WHERE odd.snapshot_path >= %(folder)s || '/' AND odd.snapshot_path < %(folder)s || '0'
  AND odd.device_id = %(device_id)s AND odd."timestamp" >= %(since)s
UNION
SELECT substr(storage_path, length(%(prefix)s::text) + 1) FROM camera_snapshots
WHERE storage_path >= %(prefix)s || %(folder)s || '/' AND storage_path < %(prefix)s || %(folder)s || '0'
  AND captured_at >= %(since)s
"""
_KEPT: Final[LiteralString] = (
    """
SELECT events.snapshot_path, CASE events.event_type WHEN 'anpr' THEN events.event_data ->> 'plate_image_key' END
FROM events WHERE events.device_id = %(device_id)s AND events.camera_id = %(camera_id)s
 AND events."timestamp" >= %(day)s AND events."timestamp" < %(end)s
 AND (NOT %(held_only)s OR NOT """
    + EVENT_NOT_HELD
    + """)
UNION
SELECT odd.snapshot_path, NULL FROM event_odd_times AS odd
JOIN events ON events.event_id = odd.event_id AND events."timestamp" = odd."timestamp"
WHERE odd.snapshot_path >= %(folder)s || '/' AND odd.snapshot_path < %(folder)s || '0'
  AND odd.device_id = %(device_id)s AND (NOT %(held_only)s OR NOT """
    + EVENT_NOT_HELD
    + """)
"""
)
_HELD_SNAPSHOTS: Final[LiteralString] = (
    """
SELECT substr(storage_path, length(%(prefix)s::text) + 1) FROM camera_snapshots AS s
WHERE storage_path >= %(prefix)s || %(folder)s || '/' AND storage_path < %(prefix)s || %(folder)s || '0'
  AND NOT """
    + SNAPSHOT_NOT_HELD
)


class SnapshotPath(NamedTuple):
    """The object key of a snapshot, below the prefix of its device."""

    device_id: str
    path: str


class DeletedEvent(NamedTuple):
    """The columns of a deleted event that identify one of its pictures."""

    device_id: str
    camera_id: str
    timestamp: datetime
    path: str | None


def pictures_of(rows: Iterable[Sequence[Any]]) -> list[DeletedEvent]:
    """Return the pictures in rows of device, camera, time, snapshot path and key of the plate's image."""
    found: list[DeletedEvent] = []
    for device_id, camera_id, timestamp, path, plate_image in rows:
        if path is not None:
            found.append(DeletedEvent(device_id, camera_id, timestamp, path))
        crop = None if plate_image is None else device_image_key(device_id, plate_image)
        if crop is not None:
            found.append(DeletedEvent(device_id, camera_id, timestamp, crop))
    return found


def unreferenced_snapshots(connection: Connection, deleted: Sequence[DeletedEvent]) -> list[SnapshotPath]:
    """Return the pictures of ``deleted`` that no other event and no plate read shows.

    An event that shows a picture has the camera and the time in the picture's key, or is recorded in
    ``event_odd_times``. An event of an earlier release may instead share camera and time with the deleted event.
    """
    shown = [(SnapshotPath(event.device_id, event.path), event) for event in deleted if event.path is not None]
    left = {snapshot for snapshot, _ in shown}
    if not left:
        return []
    candidates = {(snapshot, event.camera_id, event.timestamp) for snapshot, event in shown}
    candidates |= {(snapshot, *key) for snapshot in left if (key := parse_snapshot_key(snapshot.path)) is not None}
    times = [at for _, _, at in candidates]
    rows = connection.execute(
        _SHOWN_BY_EVENTS,
        {
            "devices": [snapshot.device_id for snapshot, _, _ in candidates],
            "cameras": [camera_id for _, camera_id, _ in candidates],
            "times": times,
            "paths": [snapshot.path for snapshot, _, _ in candidates],
            "first": min(times),
            "last": max(times),
        },
    )
    left -= {SnapshotPath(*row) for row in rows}
    left -= _found(connection, _SHOWN_BY_UNUSUAL_EVENTS, left)
    return sorted(left - _found(connection, _SHOWN_AS_PLATES, left))


def without_snapshots_of_cameras(connection: Connection, pictures: Collection[SnapshotPath]) -> list[SnapshotPath]:
    """Return those of the pictures that are not the image of a requested snapshot, which expires by itself."""
    return sorted(set(pictures) - _found(connection, _SHOWN_BY_SNAPSHOTS, pictures))


def shown_since(connection: Connection, device_id: str, folder: str, since: datetime) -> list[str]:
    """Return the keys in ``folder`` (``camera/YYYY-MM-DD``) that an event or a snapshot since then shows.

    The clock of a device may have been set after it had named a picture.
    """
    parameters = {"device_id": device_id, "folder": folder, "since": since, "prefix": f"snapshots/{device_id}/"}
    return [path for (path,) in connection.execute(_SHOWN_SINCE, parameters)]


def kept_in(connection: Connection, device_id: str, folder: str, *, held_only: bool) -> list[str]:
    """Return the keys in ``folder`` (``camera/YYYY-MM-DD``) that stored events show, and held snapshots of cameras.

    ``held_only``: only those of events under legal hold.
    """
    camera_id, _, day = folder.partition("/")
    start = datetime.fromisoformat(day).replace(tzinfo=UTC)
    parameters = {
        "device_id": device_id,
        "camera_id": camera_id,
        "folder": folder,
        "prefix": f"snapshots/{device_id}/",
        "day": start,
        "end": start + timedelta(days=1),
        "held_only": held_only,
    }
    kept = [path for (path,) in connection.execute(_HELD_SNAPSHOTS, parameters)]
    for path, plate_image in connection.execute(_KEPT, parameters):
        kept += [path] if path is not None else []
        crop = None if plate_image is None else device_image_key(device_id, plate_image)
        kept += [crop] if crop is not None else []
    return kept


def _found(connection: Connection, query: Any, pictures: Collection[SnapshotPath]) -> set[SnapshotPath]:
    if not pictures:
        return set()
    columns = [[picture.device_id for picture in pictures], [picture.path for picture in pictures]]
    return {SnapshotPath(*row) for row in connection.execute(query, columns)}
