"""Groups of cameras. A camera is in one group at most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from psycopg import errors

from cloud_functions.db.cameras.changes import CameraVersion
from cloud_functions.db.cameras.record import CameraGroup
from cloud_functions.db.types import Connection
from shared.cameras import free_slug
from shared.ids import is_uuid

_GROUPS: Final = """
SELECT id, slug, name, description, location, version, created_at, updated_at,
       (SELECT count(*) FROM cameras WHERE group_id = g.id)
FROM camera_groups AS g
"""
_INSERT: Final = """
INSERT INTO camera_groups (id, slug, name, description, location)
VALUES (%(id)s, %(slug)s, %(name)s, %(description)s, %(location)s)
"""
_UPDATE: Final = """
UPDATE camera_groups SET name = %(name)s, description = %(description)s, location = %(location)s,
       version = version + 1, updated_at = now()
WHERE id = %(id)s
"""
_LOCK: Final = "SELECT id, version FROM camera_groups WHERE "
_MAX_ATTEMPTS: Final = 20


class GroupNameTakenError(Exception):
    """Another group has this name, or one that differs from it only in case."""


@dataclass(frozen=True, slots=True)
class GroupFields:
    """What a client sets."""

    name: str
    description: str | None = None
    location: str | None = None


def list_groups(connection: Connection, *, limit: int | None = None, offset: int = 0) -> tuple[list[CameraGroup], int]:
    """Return one page of the groups, sorted by name, and the number of all groups."""
    rows = connection.execute(_GROUPS + " ORDER BY lower(name), id LIMIT %s OFFSET %s", [limit, offset])
    total = connection.execute("SELECT count(*) FROM camera_groups").fetchone()
    return [CameraGroup(*row) for row in rows], 0 if total is None else total[0]


def find_group(connection: Connection, ref: str) -> CameraGroup | None:
    """Return the group with this id or slug, or None."""
    condition = "WHERE id = %s::uuid" if is_uuid(ref) else "WHERE slug = %s"
    row = connection.execute(_GROUPS + condition, [ref]).fetchone()
    return None if row is None else CameraGroup(*row)


def create_group(connection: Connection, group_id: UUID, given: GroupFields, *, slug: str) -> None:
    """Create a group under the first free slug from ``slug`` on; raise GroupNameTakenError if the name is in use."""
    for _ in range(_MAX_ATTEMPTS):
        known = "SELECT lower(slug) FROM camera_groups"
        taken = {row[0] for row in connection.execute(known)}
        values = _values(given) | {"id": group_id, "slug": free_slug(slug, taken.__contains__)}
        try:
            with connection.transaction():  # a savepoint: the caller's transaction stays usable
                connection.execute(_INSERT, values)
        except errors.UniqueViolation as error:
            if error.diag.constraint_name != "camera_groups_slug_idx":  # else another session was faster: try again
                raise GroupNameTakenError from None
        else:
            return
    raise GroupNameTakenError


def lock_group(connection: Connection, ref: str) -> CameraVersion | None:
    """Lock the group with this id or slug against changes and new cameras; None if there is none."""
    condition = "id = %s::uuid FOR UPDATE" if is_uuid(ref) else "slug = %s FOR UPDATE"
    row = connection.execute(_LOCK + condition, [ref]).fetchone()
    return None if row is None else CameraVersion(*row)


def replace_group(connection: Connection, group_id: UUID, given: GroupFields) -> None:
    """Replace the fields that a client can set; raise GroupNameTakenError if the name is in use."""
    try:
        with connection.transaction():
            connection.execute(_UPDATE, _values(given) | {"id": group_id})
    except errors.UniqueViolation:
        raise GroupNameTakenError from None


def delete_group(connection: Connection, group_id: UUID) -> int:
    """Delete a locked group and return the number of its cameras, which stay and are then in no group."""
    freed = connection.execute(
        "UPDATE cameras SET group_id = NULL, config_version = config_version + 1, updated_at = now()"
        " WHERE group_id = %s",
        [group_id],
    ).rowcount
    connection.execute("DELETE FROM camera_groups WHERE id = %s", [group_id])
    return freed


def _values(given: GroupFields) -> dict[str, Any]:
    return {"name": given.name, "description": given.description, "location": given.location}
