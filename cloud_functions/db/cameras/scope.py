"""Limits queries to the cameras of some camera groups.

A limit is one SQL condition that reads the groups' cameras inside the statement, so that a camera that moves to another
group is seen there at once. An event belongs to the group that its camera is in now. An event whose camera is not in
the API, or in no group, belongs to no group: only callers without a limit see it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final, LiteralString

from psycopg import sql

from cloud_functions.db.types import Connection

# PostgreSQL reads the array once for each statement, before its first row. Reading it once for all statements of a
# request was measured too (bench_cameras_api): statistics took as long, and the newest events of a group longer.
_CAMERA_IDS: Final[LiteralString] = (
    "ARRAY(SELECT seen.slug FROM cameras AS seen JOIN camera_groups AS visible ON visible.id = seen.group_id"
    " WHERE visible.slug = ANY (%(scope)s::text[]))"
)
CAMERA_ID_IN_SCOPE: Final[LiteralString] = "camera_id = ANY (" + _CAMERA_IDS + ")"
"""Condition on the column ``camera_id`` of events, plate reads and rollups."""
SNAPSHOT_IN_SCOPE: Final[LiteralString] = "s.camera_slug = ANY (" + _CAMERA_IDS + ")"
"""Condition on ``camera_snapshots AS s``."""
CAMERA_IN_SCOPE: Final[LiteralString] = (
    "group_id IN (SELECT visible.id FROM camera_groups AS visible WHERE visible.slug = ANY (%(scope)s::text[]))"
)
"""Condition on the column ``group_id`` of ``cameras``."""
GROUP_IN_SCOPE: Final[LiteralString] = "g.slug = ANY (%(scope)s::text[])"
"""Condition on ``camera_groups AS g``."""
DEVICE_IN_SCOPE: Final[LiteralString] = (
    "device_id IN (SELECT carried.device_id FROM cameras AS carried JOIN camera_groups AS visible"
    " ON visible.id = carried.group_id WHERE visible.slug = ANY (%(scope)s::text[]))"
)
"""Condition on the column ``device_id``: a camera of the scope is assigned to the device."""
ERROR_IN_SCOPE: Final[LiteralString] = (
    "CASE WHEN {error} IS NULL THEN NULL"  # most cameras have none, and the search reads all cameras
    " WHEN EXISTS (SELECT FROM cameras AS named WHERE position(named.slug IN {error}) > 0 AND (named.group_id IN"
    " (SELECT visible.id FROM camera_groups AS visible WHERE visible.slug = ANY (%(scope)s::text[]))) IS NOT TRUE)"
    " THEN 'A camera outside of your camera groups has a problem, or several cameras have.' ELSE {error} END"
)
"""Expression for the text ``{error}`` of a device, which may name any of its cameras: hidden if it names others."""
_ON_DEVICE: Final = sql.SQL("SELECT EXISTS (SELECT FROM cameras WHERE device_id = %(device_id)s AND {})").format(
    sql.SQL(CAMERA_IN_SCOPE)
)


@dataclass(frozen=True, slots=True)
class CameraScope:
    """The camera groups that a caller is limited to, by slug. It may be empty: then no camera is visible."""

    groups: tuple[str, ...]

    @property
    def parameters(self) -> dict[str, object]:
        """The parameters of the conditions in this module."""
        return {"scope": list(self.groups)}

    @property
    def mark(self) -> int:
        """A number from 1 to 2^48 - 1 that is the same for the same groups, in any order."""
        text = "\n".join(sorted(set(self.groups)))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6]) or 1


def camera_id_conditions(scope: CameraScope | None, parameters: dict[str, object]) -> list[sql.Composable]:
    """Return the condition on ``camera_id``, if there is a limit; add its values to ``parameters``."""
    if scope is None:
        return []
    parameters |= scope.parameters
    return [sql.SQL(CAMERA_ID_IN_SCOPE)]


def limited(condition: LiteralString, scope: CameraScope | None, *, keyword: LiteralString = "AND") -> LiteralString:
    """Return the condition after ``keyword``, to append to a query; empty without a limit."""
    return "" if scope is None else " " + keyword + " " + condition


def scope_parameters(scope: CameraScope | None) -> dict[str, object]:
    """Return the parameters of the conditions; none without a limit."""
    return {} if scope is None else scope.parameters


def mark_of(scope: CameraScope | None) -> int:
    """Return the mark of the scope; 0 without a limit."""
    return 0 if scope is None else scope.mark


def has_camera_on(connection: Connection, scope: CameraScope, device_id: str) -> bool:
    """Return whether a camera of the scope is assigned to the device."""
    row = connection.execute(_ON_DEVICE, scope.parameters | {"device_id": device_id}).fetchone()
    return row is not None and row[0]
