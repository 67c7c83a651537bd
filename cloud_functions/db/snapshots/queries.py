"""Reads snapshots of cameras: one, the latest, and a page of a list."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, LiteralString, NamedTuple
from uuid import UUID

from cloud_functions.db.cameras.scope import (
    CAMERA_IN_SCOPE,
    SNAPSHOT_IN_SCOPE,
    CameraScope,
    has_camera_on,
    limited,
    scope_parameters,
)
from cloud_functions.db.snapshots.record import COLUMNS, CameraSnapshot
from cloud_functions.db.types import Connection
from shared.ids import is_uuid

_FROM: Final = " FROM camera_snapshots AS s "
_NEWEST_FIRST: Final = " ORDER BY s.captured_at DESC, s.id DESC "
_KNOWN: Final = """
SELECT EXISTS (SELECT 1 FROM cameras WHERE slug = %(ref)s),
       EXISTS (SELECT 1 FROM devices WHERE device_id = %(ref)s)
       OR EXISTS (SELECT 1 FROM cameras WHERE device_id = %(ref)s)
"""
_CAMERA_EXISTS: Final[LiteralString] = "SELECT 1 FROM cameras WHERE slug = %(slug)s"
_CAMERAS_OF_DEVICE: Final[LiteralString] = "SELECT slug FROM cameras WHERE device_id = %(device_id)s AND is_active"


class SnapshotSource(NamedTuple):
    """The camera or device whose snapshots are selected."""

    column: Literal["camera_slug", "camera_id", "device_id"]
    value: str
    is_known: bool
    """Whether there is such a camera or device, or a snapshot of one."""


@dataclass(frozen=True, slots=True)
class SnapshotFilter:
    """Conditions on snapshots; None does not restrict."""

    source: SnapshotSource | None = None
    status: str | None = "stored"
    captured_from: datetime | None = None
    captured_before: datetime | None = None
    scope: CameraScope | None = None


class SnapshotPage(NamedTuple):
    """One page, newest first, and the number of snapshots on all pages."""

    snapshots: list[CameraSnapshot]
    total: int


def find_snapshot(
    connection: Connection, snapshot_id: UUID, *, scope: CameraScope | None = None
) -> CameraSnapshot | None:
    """Return one snapshot, or None if it does not exist in the scope."""
    query = "SELECT " + COLUMNS + _FROM + "WHERE s.id = %(id)s" + limited(SNAPSHOT_IN_SCOPE, scope)
    row = connection.execute(query, {"id": snapshot_id} | scope_parameters(scope)).fetchone()
    return None if row is None else CameraSnapshot.from_row(row)


def list_snapshots(connection: Connection, given: SnapshotFilter, *, limit: int, offset: int = 0) -> SnapshotPage:
    """Return one page of the snapshots that meet the conditions."""
    where, parameters = _conditions(given)
    query = "SELECT " + COLUMNS + _FROM + where + _NEWEST_FIRST + "LIMIT %(limit)s OFFSET %(offset)s"
    rows = connection.execute(query, parameters | {"limit": limit, "offset": offset}).fetchall()
    total = connection.execute("SELECT count(*)" + _FROM + where, parameters).fetchone()
    return SnapshotPage([CameraSnapshot.from_row(row) for row in rows], 0 if total is None else total[0])


def latest_snapshot(
    connection: Connection, source: SnapshotSource, *, scope: CameraScope | None = None
) -> CameraSnapshot | None:
    """Return the newest stored snapshot of a camera or a device, or None."""
    where, parameters = _conditions(SnapshotFilter(source=source, scope=scope))
    query = "SELECT " + COLUMNS + _FROM + where + _NEWEST_FIRST + "LIMIT 1"
    row = connection.execute(query, parameters).fetchone()
    return None if row is None else CameraSnapshot.from_row(row)


def resolve_source(connection: Connection, ref: str, *, scope: CameraScope | None = None) -> SnapshotSource:
    """Return what ``ref`` names: a camera by its id or slug, or a device by its id. A camera comes first.

    The snapshots of a deleted camera are found by its former id or slug. In a scope, a camera must be in it, and a
    device must have a camera that is.
    """
    source = _resolve(connection, ref)
    if scope is None or not source.is_known:
        return source
    return source._replace(is_known=_is_in_scope(connection, source, scope))


def _resolve(connection: Connection, ref: str) -> SnapshotSource:
    if is_uuid(ref):
        row = connection.execute("SELECT slug FROM cameras WHERE id = %s", [ref]).fetchone()
        if row is not None:
            return SnapshotSource("camera_slug", row[0], is_known=True)
        return _unless_unknown(connection, SnapshotSource("camera_id", ref.lower(), is_known=True))
    camera, device = connection.execute(_KNOWN, {"ref": ref}).fetchone() or (False, False)
    if camera or not device:
        source = SnapshotSource("camera_slug", ref, is_known=True)
        return source if camera else _unless_unknown(connection, source)
    return SnapshotSource("device_id", ref, is_known=True)


def _is_in_scope(connection: Connection, source: SnapshotSource, scope: CameraScope) -> bool:
    if source.column == "device_id":
        return has_camera_on(connection, scope, source.value)
    query = _CAMERA_EXISTS + limited(CAMERA_IN_SCOPE, scope)
    return connection.execute(query, {"slug": source.value} | scope.parameters).fetchone() is not None


def _unless_unknown(connection: Connection, source: SnapshotSource) -> SnapshotSource:
    where, parameters = _conditions(SnapshotFilter(source=source, status=None))
    row = connection.execute("SELECT EXISTS (SELECT 1" + _FROM + where + ")", parameters).fetchone()
    return source._replace(is_known=row is not None and row[0])


def cameras_of_device(connection: Connection, device_id: str, *, scope: CameraScope | None = None) -> list[str]:
    """Return the slugs of the device's active cameras in the scope, two at most."""
    query = _CAMERAS_OF_DEVICE + limited(CAMERA_IN_SCOPE, scope) + " ORDER BY slug LIMIT 2"
    return [slug for (slug,) in connection.execute(query, {"device_id": device_id} | scope_parameters(scope))]


def pending_uploads(connection: Connection, *, after: CameraSnapshot | None, limit: int) -> list[CameraSnapshot]:
    """Return described snapshots whose image was not in the bucket yet, oldest first, after the given one."""
    position = "AND (s.created_at, s.id) > (%(created_at)s, %(id)s)" if after is not None else ""
    query = (
        "SELECT " + COLUMNS + _FROM + "WHERE s.status = 'pending' AND s.storage_path IS NOT NULL " + position
    ) + " ORDER BY s.created_at, s.id LIMIT %(limit)s"
    parameters = {"limit": limit} if after is None else {"limit": limit, "created_at": after.created_at, "id": after.id}
    return [CameraSnapshot.from_row(row) for row in connection.execute(query, parameters)]


_SOURCE_CONDITIONS: Final[dict[str, LiteralString]] = {
    "camera_slug": "s.camera_slug = %(source)s",
    "camera_id": "s.camera_id = %(source)s::uuid",
    "device_id": "s.device_id = %(source)s",
}


def _conditions(given: SnapshotFilter) -> tuple[LiteralString, dict[str, Any]]:
    conditions: list[LiteralString] = []
    if given.source is not None:
        conditions.append(_SOURCE_CONDITIONS[given.source.column])
    if given.status is not None:
        conditions.append("s.status = %(status)s")
    if given.captured_from is not None:
        conditions.append("s.captured_at >= %(captured_from)s")
    if given.captured_before is not None:
        conditions.append("s.captured_at < %(captured_before)s")
    if given.scope is not None:
        conditions.append(SNAPSHOT_IN_SCOPE)
    where: LiteralString = " WHERE " + " AND ".join(conditions) if conditions else ""
    parameters = scope_parameters(given.scope) | {
        "source": None if given.source is None else given.source.value,
        "status": given.status,
        "captured_from": given.captured_from,
        "captured_before": given.captured_before,
    }
    return where, parameters
