"""Stores the commands that the API sends to devices, and the devices' replies.

A reply is announced on the channel ``vedette_commands`` with the id of its command, for the server that waits for it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final, LiteralString, NamedTuple
from uuid import UUID

from cloud_functions.db.cameras.scope import CAMERA_ID_IN_SCOPE, CameraScope, limited, scope_parameters
from cloud_functions.db.online import IS_ONLINE
from cloud_functions.db.types import Connection

LISTEN: Final[LiteralString] = "LISTEN vedette_commands"
"""Subscribes a connection to the ids of answered commands."""

# A device that is offline does not get the command in time.
_ADD: Final = """
INSERT INTO commands (id, device_id, site_id, kind, camera_id, requested_by, expires_at)
SELECT %(id)s, device_id, site_id, %(kind)s, %(camera_id)s, %(requested_by)s, %(expires_at)s FROM devices
WHERE device_id = %(device_id)s AND heartbeat IS NOT NULL AND is_online
RETURNING site_id
""".replace("is_online", IS_ONLINE)
# MQTT may deliver a reply twice: the first one counts, and only from the device that was asked.
_REPLY: Final = """
WITH answered AS (
    UPDATE commands SET status = %(status)s, reply = %(reply)s::jsonb, replied_at = now()
    WHERE id = %(id)s AND device_id = %(device_id)s AND replied_at IS NULL
    RETURNING id
)
SELECT pg_notify('vedette_commands', id::text) FROM answered
"""
_FAILED: Final = """
UPDATE commands SET status = 'error', reply = jsonb_build_object('error', %s::text)
WHERE id = %s AND replied_at IS NULL
"""
_FIND: Final = """
SELECT id, device_id, site_id, kind, camera_id, requested_by, created_at, expires_at, status, reply, replied_at
FROM commands WHERE id = %(id)s
"""
_OLD: Final = """
DELETE FROM commands WHERE id = ANY (ARRAY(
    SELECT id FROM commands WHERE created_at < now() - %s LIMIT %s FOR UPDATE SKIP LOCKED))
"""


class NewCommand(NamedTuple):
    """A command to store."""

    id: UUID
    device_id: str
    kind: str
    camera_id: str | None
    requested_by: str
    expires_at: datetime


class StoredCommand(NamedTuple):
    """A command and its reply, if that has come."""

    id: UUID
    device_id: str
    site_id: str
    kind: str
    camera_id: str | None
    requested_by: str
    created_at: datetime
    expires_at: datetime
    status: str
    """``sent``, ``ok`` or ``error``."""
    reply: dict[str, Any] | None
    replied_at: datetime | None


def add_command(connection: Connection, command: NewCommand) -> str | None:
    """Store a command; return the site of its device, or None, and store nothing, if the device is offline."""
    row = connection.execute(_ADD, command._asdict()).fetchone()
    return None if row is None else row[0]


def find_command(connection: Connection, command_id: UUID, *, scope: CameraScope | None = None) -> StoredCommand | None:
    """Return one command; None if there is none in the scope, in which each command concerns a camera."""
    query = _FIND + limited(CAMERA_ID_IN_SCOPE, scope)
    row = connection.execute(query, {"id": command_id} | scope_parameters(scope)).fetchone()
    return None if row is None else StoredCommand(*row)


def record_reply(connection: Connection, command_id: UUID, *, device_id: str, status: str, reply_json: str) -> bool:
    """Store a device's reply and announce it; return False if the command has no row, or has a reply already.

    A reply that comes after the command expired is stored too.
    """
    parameters = {"id": command_id, "device_id": device_id, "status": status, "reply": reply_json}
    return connection.execute(_REPLY, parameters).fetchone() is not None


def record_publish_failure(connection: Connection, command_id: UUID, error: str) -> None:
    """Record that the command could not be published. A reply that comes even so replaces it."""
    connection.execute(_FAILED, [error, command_id])


def purge_old_commands(connection: Connection, *, older_than: timedelta, limit: int) -> int:
    """Delete commands older than ``older_than``; return how many (at most ``limit``)."""
    return connection.execute(_OLD, [older_than, limit]).rowcount
