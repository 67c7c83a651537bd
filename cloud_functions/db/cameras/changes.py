"""Creates, changes and deletes cameras. Each change raises ``config_version``, and a trigger its device's version.

A change of one camera locks the camera, then the configurations of its devices in the order of their ids. An import,
which cannot keep to that order, first takes alone the advisory lock that the other changes share.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Final, NamedTuple
from uuid import UUID

from psycopg import errors
from psycopg.types.json import Jsonb

from cloud_functions.db.cameras.record import CameraFields
from cloud_functions.db.cameras.scope import CAMERA_IN_SCOPE, CameraScope, limited, scope_parameters
from cloud_functions.db.types import Connection
from shared.cameras import free_slug
from shared.ids import is_uuid

_INSERT: Final = """
INSERT INTO cameras (
    id, slug, name, rtsp_url, username, password_sealed, device_id, group_id, location, resolution, fps, codec,
    is_active, enable_detection, detection_sensitivity, retention_days, settings)
VALUES (
    %(id)s, %(slug)s, %(name)s, %(rtsp_url)s, %(username)s, %(password_sealed)s, %(device_id)s, %(group_id)s,
    %(location)s, %(resolution)s, %(fps)s, %(codec)s, %(is_active)s, %(enable_detection)s, %(detection_sensitivity)s,
    %(retention_days)s, %(settings)s)
ON CONFLICT (lower(slug)) DO NOTHING
"""
_UPDATE: Final = """
UPDATE cameras SET
    name = %(name)s, rtsp_url = %(rtsp_url)s, username = %(username)s, password_sealed = %(password_sealed)s,
    device_id = %(device_id)s, group_id = %(group_id)s, location = %(location)s, resolution = %(resolution)s,
    fps = %(fps)s, codec = %(codec)s, is_active = %(is_active)s, enable_detection = %(enable_detection)s,
    detection_sensitivity = %(detection_sensitivity)s, retention_days = %(retention_days)s, settings = %(settings)s,
    config_version = config_version + 1, updated_at = now()
WHERE id = %(id)s
"""
_LOCK: Final = "SELECT id, config_version FROM cameras WHERE "
_BY_ID: Final = "id = %(ref)s::uuid"
_BY_SLUG: Final = "slug = %(ref)s"
_TAKEN: Final = (
    "SELECT lower(slug) FROM cameras WHERE lower(slug) = %(slug)s OR starts_with(lower(slug), %(slug)s || '-')"
)
_REPORTED: Final = """
SELECT DISTINCT lower(camera_id) FROM (
    SELECT camera_id FROM event_counts_monthly WHERE events > 0
    UNION ALL
    SELECT camera_slug FROM camera_snapshots
    UNION ALL
    SELECT health ->> 'camera_id' FROM devices, jsonb_array_elements(
        CASE jsonb_typeof(heartbeat -> 'cameras') WHEN 'array' THEN heartbeat -> 'cameras' ELSE '[]' END) AS health
) AS reported WHERE camera_id IS NOT NULL
"""
_MAX_ATTEMPTS: Final = 20
_CHANGES_LOCK: Final = 8459402180
"""Advisory lock that changes of single cameras share, and that an import takes alone."""


class UnknownGroupError(Exception):
    """There is no group with this id."""


class SlugTakenError(Exception):
    """Another camera has this slug, or one that differs from it only in case."""


class CameraVersion(NamedTuple):
    """A camera's id and version, its row locked until the end of the transaction."""

    id: UUID
    version: int


def create_camera(
    connection: Connection,
    camera_id: UUID,
    given: CameraFields,
    *,
    slug: str,
    exact: bool,
    scope: CameraScope | None = None,
) -> str:
    """Create a camera and return its slug: ``slug`` itself if ``exact``, otherwise the first free one after it.

    In a scope, a slug under which devices have reported already is in use: its events would become visible.

    Raises:
        SlugTakenError: ``exact``, and the slug is in use.
        UnknownGroupError: the group does not exist.
    """
    connection.execute("SELECT pg_advisory_xact_lock_shared(%s)", [_CHANGES_LOCK])
    reported = set[str]() if scope is None else reported_camera_ids(connection)
    if exact and slug.lower() in reported:
        raise SlugTakenError
    for _ in range(_MAX_ATTEMPTS):
        taken = reported if exact else _taken_slugs(connection, slug) | reported
        chosen = slug if exact else free_slug(slug, taken.__contains__)
        values = _values(given) | {"id": camera_id, "slug": chosen}
        try:
            with connection.transaction():  # a savepoint: the caller's transaction stays usable
                if connection.execute(_INSERT, values).rowcount:
                    return chosen
        except errors.ForeignKeyViolation:
            raise UnknownGroupError from None
        if exact:
            break
    raise SlugTakenError


def lock_camera(connection: Connection, ref: str, *, scope: CameraScope | None = None) -> CameraVersion | None:
    """Lock the camera with this id or slug against other changes; None if there is none in the scope."""
    connection.execute("SELECT pg_advisory_xact_lock_shared(%s)", [_CHANGES_LOCK])
    condition = (_BY_ID if is_uuid(ref) else _BY_SLUG) + limited(CAMERA_IN_SCOPE, scope)
    parameters = {"ref": ref} | scope_parameters(scope)
    row = connection.execute(_LOCK + condition + " FOR NO KEY UPDATE", parameters).fetchone()
    return None if row is None else CameraVersion(*row)


def lock_for_import(connection: Connection) -> None:
    """Lock cameras against all other changes until the end of the transaction. Must be its first lock.

    Two imports at once could both create a camera that neither found, or lock their devices in opposite orders.
    """
    connection.execute("SELECT pg_advisory_xact_lock(%s)", [_CHANGES_LOCK])


def replace_camera(connection: Connection, camera_id: UUID, given: CameraFields) -> None:
    """Replace the fields that a client can set; raise UnknownGroupError if the group does not exist."""
    try:
        with connection.transaction():
            connection.execute(_UPDATE, _values(given) | {"id": camera_id})
    except errors.ForeignKeyViolation:
        raise UnknownGroupError from None


def set_state(
    connection: Connection, camera_id: UUID, *, is_active: bool | None, enable_detection: bool | None
) -> None:
    """Switch a camera or its detection on or off; None changes nothing. An unchanged camera keeps its version."""
    connection.execute(
        """
        UPDATE cameras SET is_active = COALESCE(%(active)s, is_active),
               enable_detection = COALESCE(%(detection)s, enable_detection),
               config_version = config_version + 1, updated_at = now()
        WHERE id = %(id)s AND (is_active, enable_detection)
              <> (COALESCE(%(active)s, is_active), COALESCE(%(detection)s, enable_detection))
        """,
        {"id": camera_id, "active": is_active, "detection": enable_detection},
    )


def delete_camera(connection: Connection, camera_id: UUID) -> None:
    """Delete a camera and its health history. Its events stay."""
    connection.execute("DELETE FROM cameras WHERE id = %s", [camera_id])


def reported_camera_ids(connection: Connection) -> set[str]:
    """Return the camera ids, in lower case, of stored events, of snapshots and of the devices' last heartbeats."""
    return {row[0] for row in connection.execute(_REPORTED)}


def _taken_slugs(connection: Connection, slug: str) -> set[str]:
    """Return the slugs in use, in lower case, that are equal to ``slug`` or begin with it and a hyphen."""
    return {row[0] for row in connection.execute(_TAKEN, {"slug": slug})}


def _values(given: CameraFields) -> dict[str, Any]:
    values: dict[str, Any] = {field.name: getattr(given, field.name) for field in fields(given)}
    return values | {"settings": Jsonb(given.settings)}
