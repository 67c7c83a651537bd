"""Objects that nothing shows (orphaned) and images of rows that are not in the bucket (missing).

A pass over all objects, or over all rows, advances batch by batch. Its position is stored in the transaction that
records what was found, so an interrupted pass continues there. Of two runs at the same time, one stops.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Literal, NamedTuple

from cloud_functions.db.snapshots.expired import record_expired_snapshots
from cloud_functions.db.snapshots.references import (
    DeletedEvent,
    SnapshotPath,
    unreferenced_snapshots,
    without_snapshots_of_cameras,
)
from cloud_functions.db.types import Connection
from shared.clock import format_utc
from shared.storage_keys import device_image_key, parse_snapshot_key

Kind = Literal["orphaned", "missing"]
MAX_FINDINGS: Final = 100_000
"""Findings of each kind that are recorded, so that an empty bucket does not fill the database."""
_NEAR: Final = timedelta(days=3)
"""Distance in which events of earlier releases are searched that show an image with another time in its key."""

_BEGIN: Final = "INSERT INTO object_checks (kind) VALUES (%s) ON CONFLICT (kind) DO NOTHING"
_ADVANCE: Final = """
UPDATE object_checks SET position = %s, checked = checked + %s WHERE kind = %s AND position = %s
"""
_END: Final = """
UPDATE object_checks SET position = '', checked = 0, started_at = now(), finished_at = now()
FROM (SELECT started_at AS began FROM object_checks WHERE kind = %(kind)s FOR UPDATE) AS before
WHERE kind = %(kind)s AND position = %(position)s RETURNING began
"""
_FORGET_UNSEEN: Final = "DELETE FROM object_findings WHERE kind = %s AND seen_at < %s"
_RECORD: Final = """
INSERT INTO object_findings (kind, device_id, path, size_bytes)
SELECT %(kind)s, found.* FROM unnest(%(devices)s::text[], %(paths)s::text[], %(sizes)s::bigint[]) AS found
WHERE (SELECT count(*) FROM (SELECT FROM object_findings WHERE kind = %(kind)s LIMIT %(most)s) AS known) < %(most)s
ON CONFLICT (kind, device_id, path) DO UPDATE SET seen_at = now(), size_bytes = EXCLUDED.size_bytes
"""
_TO_BE_DELETED: Final = """
SELECT queued.device_id, queued.path FROM unnest(%(devices)s::text[], %(paths)s::text[]) AS queued (device_id, path)
WHERE EXISTS (SELECT FROM expired_pictures AS expired
              WHERE expired.device_id = queued.device_id AND expired.path = queued.path)
   OR EXISTS (SELECT FROM released_pictures AS released
              WHERE released.device_id = queued.device_id AND released.path = queued.path)
"""
# The daily counts name the days and cameras of events, without reading the events.
_NEXT_DAY: Final = """
SELECT date_trunc('day', least(
    (SELECT min(day) FROM event_counts_daily WHERE day >= %(since)s),
    (SELECT min(captured_at) FROM camera_snapshots WHERE captured_at >= %(since)s AND status = 'stored')), 'UTC')
"""
_NEXT_CAMERA: Final = """
SELECT least(
    (SELECT min(camera_id) FROM event_counts_daily WHERE day = %(day)s AND camera_id > %(after)s),
    (SELECT min(camera_slug) FROM camera_snapshots
     WHERE captured_at >= %(day)s AND captured_at < %(end)s AND camera_slug > %(after)s AND status = 'stored'))
"""
_IMAGES: Final = """
SELECT device_id, snapshot_path, CASE event_type WHEN 'anpr' THEN event_data ->> 'plate_image_key' END, "timestamp", id
FROM events WHERE camera_id = %(camera)s AND "timestamp" >= %(day)s AND "timestamp" < %(end)s
  AND created_at < %(before)s AND ("timestamp", id) > (%(time)s, %(id)s)
ORDER BY "timestamp", id LIMIT %(limit)s
"""
_REQUESTED: Final = """
SELECT device_id, storage_path FROM camera_snapshots
WHERE camera_slug = %(camera)s AND captured_at >= %(day)s AND captured_at < %(end)s AND status = 'stored'
  AND created_at < %(before)s
"""
# Its device has been heard since the object was found, and has no event left that could show it.
_REMOVABLE: Final = """
SELECT found.device_id, found.path FROM object_findings AS found JOIN devices USING (device_id)
WHERE found.kind = 'orphaned' AND found.found_at <= now() - %(after)s AND found.seen_at > found.found_at
  AND (found.device_id, found.path) > (%(device_id)s, %(path)s)
  AND devices.heartbeat_at > found.found_at
  AND coalesce((devices.heartbeat #>> '{outbox,pending_events}')::numeric, 1) = 0
  AND NOT EXISTS (SELECT FROM sequence_gaps AS gap WHERE gap.device_id = found.device_id AND gap.state = 'open')
ORDER BY found.device_id, found.path LIMIT %(limit)s
"""
_NEAR_EVENTS: Final = """
SELECT DISTINCT shown.device_id, shown.path
FROM unnest(%s::text[], %s::text[], %s::text[], %s::timestamptz[]) AS shown (device_id, path, camera_id, at)
JOIN events ON events.camera_id = shown.camera_id AND events.device_id = shown.device_id
 AND events.snapshot_path = shown.path AND events."timestamp" BETWEEN shown.at - %s AND shown.at + %s
"""
_FORGET: Final = """
DELETE FROM object_findings USING unnest(%s::text[], %s::text[]) AS gone (device_id, path)
WHERE kind = %s AND object_findings.device_id = gone.device_id AND object_findings.path = gone.path
"""
_TOTALS: Final = """
SELECT checks.kind, finished_at, count(found.path), coalesce(sum(found.size_bytes), 0)::bigint, min(found.found_at)
FROM object_checks AS checks LEFT JOIN object_findings AS found USING (kind) GROUP BY checks.kind, finished_at
"""
_LISTED: Final = """
SELECT 'snapshots/' || device_id || '/' || path FROM object_findings
WHERE kind = %s ORDER BY found_at, device_id, path LIMIT %s
"""


class ImageRows(NamedTuple):
    """Images that rows of one camera and one UTC day show, and where the next ones follow."""

    paths: list[SnapshotPath]
    next: tuple[datetime, int] | None
    """Time and id after which the next rows follow; None if there are no more."""


def begin_check(connection: Connection, kind: Kind) -> str:
    """Return the position at which the pass continues; empty for its beginning."""
    connection.execute(_BEGIN, [kind])
    row = connection.execute("SELECT position FROM object_checks WHERE kind = %s", [kind]).fetchone()
    return "" if row is None else row[0]


def advance_check(connection: Connection, kind: Kind, *, position: str, to: str, checked: int) -> bool:
    """Record that the pass has come from ``position`` to ``to``; return False if another run has advanced it."""
    return connection.execute(_ADVANCE, [to, checked, kind, position]).rowcount == 1


def end_check(connection: Connection, kind: Kind, *, position: str) -> None:
    """Begin the next pass, and forget what this one has not found again."""
    row = connection.execute(_END, {"kind": kind, "position": position}).fetchone()
    if row is not None:
        connection.execute(_FORGET_UNSEEN, [kind, row[0]])


def record_findings(connection: Connection, kind: Kind, found: Mapping[SnapshotPath, int]) -> None:
    """Record objects with their sizes in bytes; known ones are noted as seen again. At most ``MAX_FINDINGS``."""
    if found:
        columns = _columns(found) | {"sizes": list(found.values())}
        connection.execute(_RECORD, columns | {"kind": kind, "most": MAX_FINDINGS})


def orphans_among(connection: Connection, images: Collection[SnapshotPath]) -> list[SnapshotPath]:
    """Return the images that no event, plate read or requested snapshot shows, and that are not to be deleted yet."""
    left = without_snapshots_of_cameras(connection, unreferenced_snapshots(connection, _as_deleted(images)))
    return _without_queued(connection, left)


def present_rows(connection: Connection, images: Collection[SnapshotPath]) -> list[SnapshotPath]:
    """Return the images that something still shows and that are not to be deleted."""
    unshown = without_snapshots_of_cameras(connection, unreferenced_snapshots(connection, _as_deleted(images)))
    return _without_queued(connection, sorted(set(images) - set(unshown)))


def next_day(connection: Connection, *, since: datetime) -> datetime | None:
    """Return the first UTC day from ``since`` on that has events or snapshots; None if there is none."""
    row = connection.execute(_NEXT_DAY, {"since": since}).fetchone()
    return None if row is None else row[0]


def next_camera(connection: Connection, day: datetime, *, after: str) -> str | None:
    """Return the camera that follows ``after`` in the events and snapshots of a UTC day; None if there is none."""
    parameters = {"day": day, "end": day + timedelta(days=1), "after": after}
    row = connection.execute(_NEXT_CAMERA, parameters).fetchone()
    return None if row is None else row[0]


def images_of_camera(
    connection: Connection,
    camera_id: str,
    day: datetime,
    *,
    after: tuple[datetime, int] | None,
    before: datetime,
    limit: int,
) -> ImageRows:
    """Return the images of at most ``limit`` events of a camera that were stored before ``before``.

    Without ``after``, also those of the camera's requested snapshots of that day.
    """
    time, last_id = after or (day, 0)
    parameters = {"camera": camera_id, "day": day, "end": day + timedelta(days=1), "before": before}
    rows = connection.execute(_IMAGES, parameters | {"time": time, "id": last_id, "limit": limit}).fetchall()
    keys = [(device_id, key) for device_id, *both, _, _ in rows for key in both]
    if after is None:
        keys += connection.execute(_REQUESTED, parameters).fetchall()
    paths = {
        SnapshotPath(device_id, path)
        for device_id, key in keys
        if key is not None and (path := device_image_key(device_id, key)) is not None
    }
    return ImageRows(sorted(paths), (rows[-1][3], rows[-1][4]) if len(rows) == limit else None)


def expire_orphans(
    connection: Connection, *, after: timedelta, position: SnapshotPath, limit: int
) -> SnapshotPath | None:
    """Record orphaned objects for deletion that were found ``after`` ago or earlier, and again since.

    Those of a device that was not heard since, or may still send events, are kept. Return the last one that was
    looked at; None if there were none.
    """
    parameters = {"after": after, "limit": limit, "device_id": position.device_id, "path": position.path}
    removable = [SnapshotPath(*row) for row in connection.execute(_REMOVABLE, parameters)]
    if not removable:
        return None
    orphans = set(orphans_among(connection, removable))
    times = [(path, key) for path in sorted(orphans) if (key := parse_snapshot_key(path.path)) is not None]
    if times:
        columns = _columns([path for path, _ in times])
        cameras, moments = [key.camera_id for _, key in times], [key.timestamp for _, key in times]
        near = [columns["devices"], columns["paths"], cameras, moments, _NEAR, _NEAR]
        orphans -= {SnapshotPath(*row) for row in connection.execute(_NEAR_EVENTS, near)}
    record_expired_snapshots(connection, sorted(orphans))
    forget_findings(connection, "orphaned", orphans)
    return removable[-1]


def forget_findings(connection: Connection, kind: Kind, paths: Collection[SnapshotPath]) -> None:
    """Remove findings, for example because their objects are deleted."""
    columns = _columns(paths)
    connection.execute(_FORGET, [columns["devices"], columns["paths"], kind])


def object_report(connection: Connection, *, most: int) -> dict[str, Any]:
    """Return the numbers of orphaned and missing objects as JSON values, with the keys of ``most`` of each."""
    report: dict[str, Any] = {kind: _EMPTY | {"keys": []} for kind in ("orphaned", "missing")}
    for kind, finished, count, size_bytes, oldest in connection.execute(_TOTALS).fetchall():
        report[kind] = {
            "objects": count,
            "bytes": size_bytes,
            "oldest": None if oldest is None else format_utc(oldest),
            "checked_at": None if finished is None else format_utc(finished),
            "keys": [key for (key,) in connection.execute(_LISTED, [kind, most])],
        }
    return report


_EMPTY: Final[dict[str, Any]] = {"objects": 0, "bytes": 0, "oldest": None, "checked_at": None}


def _as_deleted(images: Iterable[SnapshotPath]) -> list[DeletedEvent]:
    keys = ((image, parse_snapshot_key(image.path)) for image in images)
    return [
        DeletedEvent(image.device_id, key.camera_id, key.timestamp, image.path)
        for image, key in keys
        if key is not None
    ]


def _without_queued(connection: Connection, images: Sequence[SnapshotPath]) -> list[SnapshotPath]:
    queued = {SnapshotPath(*row) for row in connection.execute(_TO_BE_DELETED, _columns(images))} if images else set()
    return [image for image in images if image not in queued]


def _columns(paths: Iterable[SnapshotPath]) -> dict[str, Any]:
    listed = list(paths)
    return {"devices": [path.device_id for path in listed], "paths": [path.path for path in listed]}
