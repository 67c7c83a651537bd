"""Reads cameras: one, a page of a list, and the counts of all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, LiteralString, NamedTuple
from uuid import UUID

from cloud_functions.db.cameras.record import (
    WITH_STATE_OF_ID,
    WITH_STATE_OF_SLUG,
    WITH_STATES,
    Camera,
    CameraConfiguration,
    CameraFields,
    ConfigurationState,
)
from cloud_functions.db.cameras.scope import ERROR_IN_SCOPE, GROUP_IN_SCOPE, CameraScope, limited, scope_parameters
from cloud_functions.db.types import Connection, Row
from shared.ids import is_uuid

_COLUMNS: Final = """
CASE WHEN s.device_id IS NULL THEN 'no_device'
     WHEN NOT known.managed THEN 'unmanaged'
     WHEN known.applied_version = known.version THEN 'applied'
     WHEN known.rejected_version = known.version THEN 'rejected'
     ELSE 'pending' END,
known.version, known.applied_version,
CASE WHEN known.rejected_version IS NULL OR known.rejected_version = known.version THEN {known.error} END,
{known.send_error},
s.id, s.slug, g.name, g.slug, s.config_version, s.last_connected, s.created_at, s.updated_at,
s.name, s.rtsp_url, s.username, s.password_sealed, s.device_id, s.group_id, s.location, s.resolution, s.fps, s.codec,
s.is_active, s.enable_detection, s.detection_sensitivity, s.retention_days, s.settings
"""
_ERRORS: Final[tuple[LiteralString, ...]] = ("known.error", "known.send_error")
"""Texts of the device. In ``_COLUMNS`` they stand in braces, which is no SQL: ``_limited`` must replace them."""
_FROM: Final = "FROM states AS s LEFT JOIN camera_groups AS g ON g.id = s.group_id"
_CONFIGURATION: Final = " LEFT JOIN device_configurations AS known ON known.device_id = s.device_id"
_FIND: Final = "SELECT s.status, " + _COLUMNS + _FROM + _CONFIGURATION
_FIND_BY_ID: Final = WITH_STATE_OF_ID + _FIND + " WHERE s.id = %(ref)s::uuid"
_FIND_BY_SLUG: Final = WITH_STATE_OF_SLUG + _FIND + " WHERE s.slug = %(ref)s"
# Counting and sorting carry each row that they work on: here only ids, and the page's cameras are read afterwards.
_PAGE_START: Final = ", page AS (SELECT row_number() OVER (ORDER BY "
_PAGE_COLUMNS: Final = ") AS place, count(*) OVER () AS total, s.id, s.status " + _FROM
_PAGE_END: Final = (
    " ORDER BY place LIMIT %(limit)s OFFSET %(offset)s) SELECT page.total, page.status, "
    + _COLUMNS
    + "FROM page JOIN cameras AS s ON s.id = page.id LEFT JOIN camera_groups AS g ON g.id = s.group_id"
    + _CONFIGURATION
    + " ORDER BY place"
)
_COUNTS: Final = (
    WITH_STATES
    + """
SELECT g.id, g.slug, g.name, count(s.id), count(s.id) FILTER (WHERE s.is_active),
       count(s.id) FILTER (WHERE s.is_active AND s.enable_detection),
       count(s.id) FILTER (WHERE s.status = 'idle'), count(s.id) FILTER (WHERE s.status = 'live'),
       count(s.id) FILTER (WHERE s.status = 'degraded'), count(s.id) FILTER (WHERE s.status = 'offline')
FROM camera_groups AS g """
)
_COUNTS_OF_ALL: Final = _COUNTS + "FULL JOIN states AS s ON g.id = s.group_id"
_COUNTS_IN_SCOPE: Final = _COUNTS + "LEFT JOIN states AS s ON g.id = s.group_id WHERE " + GROUP_IN_SCOPE
_COUNTS_ORDER: Final = " GROUP BY g.id ORDER BY lower(g.name) NULLS LAST"

SORTS: Final[dict[str, LiteralString]] = {
    "name": "lower(s.name), s.slug",
    "-name": "lower(s.name) DESC, s.slug DESC",
    "created_at": "s.created_at, s.id",
    "-created_at": "s.created_at DESC, s.id DESC",
    "updated_at": "s.updated_at, s.id",
    "-updated_at": "s.updated_at DESC, s.id DESC",
    "status": "s.status, lower(s.name), s.slug",
    "-status": "s.status DESC, lower(s.name), s.slug",
}
"""Each sort order and its SQL. Every order is total, so that pages neither repeat nor skip a camera."""


@dataclass(frozen=True, slots=True)
class CameraFilter:
    """Conditions on cameras; None does not restrict."""

    active_only: bool = False
    group: str | None = None
    """Id or slug of a group."""
    status: str | None = None
    search: str | None = None
    """Text in the name, the slug or the location, in either case."""
    scope: CameraScope | None = None
    """The camera groups that the caller is limited to."""


class CameraPage(NamedTuple):
    """One page, and the number of cameras on all pages."""

    cameras: list[Camera]
    total: int


class GroupCounts(NamedTuple):
    """The cameras of one group, or of no group (id, slug and name are None), by status."""

    group_id: UUID | None
    slug: str | None
    name: str | None
    total: int
    active: int
    detecting: int
    idle: int
    live: int
    degraded: int
    offline: int


def list_cameras(
    connection: Connection, given: CameraFilter, *, sort: str = "name", limit: int | None = None, offset: int = 0
) -> CameraPage:
    """Return one page of the cameras that meet the conditions; all of them without a ``limit``."""
    conditions, parameters = _conditions(given)
    query = _limited(WITH_STATES + _PAGE_START + SORTS[sort] + _PAGE_COLUMNS + conditions + _PAGE_END, given.scope)
    rows = connection.execute(query, parameters | {"limit": limit, "offset": offset}).fetchall()
    if rows or not offset:
        return CameraPage([_camera(row[1:]) for row in rows], rows[0][0] if rows else 0)
    total = connection.execute(WITH_STATES + "SELECT count(*) " + _FROM + conditions, parameters).fetchone()
    return CameraPage([], 0 if total is None else total[0])


def find_camera(connection: Connection, ref: str, *, scope: CameraScope | None = None) -> Camera | None:
    """Return the camera with this id or slug; None if there is none in the scope."""
    query = _limited(_FIND_BY_ID if is_uuid(ref) else _FIND_BY_SLUG, scope) + limited(GROUP_IN_SCOPE, scope)
    row = connection.execute(query, {"ref": ref} | scope_parameters(scope)).fetchone()
    return None if row is None else _camera(row)


def count_by_group(connection: Connection, *, scope: CameraScope | None = None) -> list[GroupCounts]:
    """Return the counts of each group in the scope, sorted by name.

    Without a scope, the counts of the cameras without a group come last.
    """
    query = (_COUNTS_OF_ALL if scope is None else _COUNTS_IN_SCOPE) + _COUNTS_ORDER
    return [GroupCounts(*row) for row in connection.execute(query, scope_parameters(scope))]


def _limited(query: LiteralString, scope: CameraScope | None) -> LiteralString:
    """Return the query with its errors of the device, which do not name cameras outside of the scope."""
    for error in _ERRORS:
        shown = error if scope is None else ERROR_IN_SCOPE.replace("{error}", error)
        query = query.replace("{" + error + "}", shown)
    return query


def _conditions(given: CameraFilter) -> tuple[LiteralString, dict[str, object]]:
    conditions: list[LiteralString] = []
    if given.active_only:
        conditions.append("s.is_active")
    if given.group is not None:
        conditions.append("g.id = %(group)s::uuid" if is_uuid(given.group) else "g.slug = %(group)s")
    if given.status is not None:
        conditions.append("s.status = %(status)s")
    if given.search is not None:
        conditions.append("concat_ws(E'\\n', s.name, s.slug, s.location) ILIKE %(search)s")
    if given.scope is not None:
        conditions.append(GROUP_IN_SCOPE)
    where: LiteralString = " WHERE " + " AND ".join(conditions) if conditions else ""
    search = None if given.search is None else f"%{_escaped(given.search)}%"
    parameters = {"group": given.group, "status": given.status, "search": search}
    return where, parameters | scope_parameters(given.scope)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _camera(row: Row) -> Camera:
    status, *configuration = row[:6]
    number, slug, group_name, group_slug, version, last_connected, created_at, updated_at, *fields = row[6:]
    return Camera(
        id=number,
        slug=slug,
        fields=CameraFields(*fields),
        status=status,
        configuration=_configuration(*configuration),
        group_name=group_name,
        group_slug=group_slug,
        config_version=version,
        last_connected=last_connected,
        created_at=created_at,
        updated_at=updated_at,
    )


def _configuration(
    state: ConfigurationState,
    version: int | None,
    applied_version: int | None,
    error: str | None,
    send_error: str | None,
) -> CameraConfiguration:
    errors = {"pending": send_error or error, "rejected": error, "applied": error}
    return CameraConfiguration(state, version, applied_version, errors.get(state))
