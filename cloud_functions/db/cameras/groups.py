"""Groups of cameras. A camera is in one group at most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from psycopg import errors

from cloud_functions.db.cameras.changes import CameraVersion
from cloud_functions.db.cameras.record import CameraGroup
from cloud_functions.db.cameras.scope import GROUP_IN_SCOPE, CameraScope, limited, scope_parameters
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
_LOCK: Final = "SELECT g.id, g.version FROM camera_groups AS g WHERE "
_COUNT: Final = "SELECT count(*) FROM camera_groups AS g"
_PAGE: Final = " ORDER BY lower(name), id LIMIT %(limit)s OFFSET %(offset)s"
_BY_ID: Final = "g.id = %(ref)s::uuid"
_BY_SLUG: Final = "g.slug = %(ref)s"
# Another group may get the slug later, and must not inherit who is limited to it.
_FORGET_IN_USERS: Final = "UPDATE users SET groups = array_remove(groups, %(slug)s) WHERE %(slug)s = ANY (groups)"
_FORGET_IN_KEYS: Final = "UPDATE api_keys SET groups = array_remove(groups, %(slug)s) WHERE %(slug)s = ANY (groups)"
_FORGET_IN_WEBHOOKS: Final = "UPDATE webhooks SET groups = array_remove(groups, %(slug)s) WHERE %(slug)s = ANY (groups)"
_MAX_ATTEMPTS: Final = 20


class GroupNameTakenError(Exception):
    """Another group has this name, or one that differs from it only in case."""


@dataclass(frozen=True, slots=True)
class GroupFields:
    """What a client sets."""

    name: str
    description: str | None = None
    location: str | None = None


def list_groups(
    connection: Connection, *, limit: int | None = None, offset: int = 0, scope: CameraScope | None = None
) -> tuple[list[CameraGroup], int]:
    """Return one page of the groups in the scope, sorted by name, and their number."""
    condition = limited(GROUP_IN_SCOPE, scope, keyword="WHERE")
    parameters = scope_parameters(scope)
    rows = connection.execute(_GROUPS + condition + _PAGE, {"limit": limit, "offset": offset} | parameters)
    total = connection.execute(_COUNT + condition, parameters).fetchone()
    return [CameraGroup(*row) for row in rows], 0 if total is None else total[0]


def find_group(connection: Connection, ref: str, *, scope: CameraScope | None = None) -> CameraGroup | None:
    """Return the group with this id or slug; None if there is none in the scope."""
    query = _GROUPS + " WHERE " + (_BY_ID if is_uuid(ref) else _BY_SLUG) + limited(GROUP_IN_SCOPE, scope)
    row = connection.execute(query, {"ref": ref} | scope_parameters(scope)).fetchone()
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


def lock_group(connection: Connection, ref: str, *, scope: CameraScope | None = None) -> CameraVersion | None:
    """Lock the group with this id or slug against changes and new cameras; None if there is none in the scope."""
    query = _LOCK + (_BY_ID if is_uuid(ref) else _BY_SLUG) + limited(GROUP_IN_SCOPE, scope) + " FOR UPDATE"
    row = connection.execute(query, {"ref": ref} | scope_parameters(scope)).fetchone()
    return None if row is None else CameraVersion(*row)


def replace_group(connection: Connection, group_id: UUID, given: GroupFields) -> None:
    """Replace the fields that a client can set; raise GroupNameTakenError if the name is in use."""
    try:
        with connection.transaction():
            connection.execute(_UPDATE, _values(given) | {"id": group_id})
    except errors.UniqueViolation:
        raise GroupNameTakenError from None


def delete_group(connection: Connection, group_id: UUID) -> int:
    """Delete a locked group and return the number of its cameras, which stay and are then in no group.

    Users, API keys and webhooks that are limited to the group lose it, and stay limited.
    """
    freed = connection.execute(
        "UPDATE cameras SET group_id = NULL, config_version = config_version + 1, updated_at = now()"
        " WHERE group_id = %s",
        [group_id],
    ).rowcount
    for (slug,) in connection.execute("DELETE FROM camera_groups WHERE id = %s RETURNING slug", [group_id]).fetchall():
        connection.execute(_FORGET_IN_USERS, {"slug": slug})
        connection.execute(_FORGET_IN_KEYS, {"slug": slug})
        connection.execute(_FORGET_IN_WEBHOOKS, {"slug": slug})
    return freed


def _values(given: GroupFields) -> dict[str, Any]:
    return {"name": given.name, "description": given.description, "location": given.location}
