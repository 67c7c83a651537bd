"""Reads devices with their state: the latest heartbeat, open gaps, the configuration, and their cameras."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, LiteralString, NamedTuple

from cloud_functions.db.cameras.scope import (
    CAMERA_IN_SCOPE,
    DEVICE_IN_SCOPE,
    ERROR_IN_SCOPE,
    CameraScope,
    limited,
    scope_parameters,
)
from cloud_functions.db.online import IS_ONLINE
from cloud_functions.db.types import Connection

_STATE: Final = """
WITH state AS (
    SELECT device_id, CASE WHEN is_online THEN 'online' ELSE 'offline' END AS status FROM devices{devices}
)
""".replace("is_online", IS_ONLINE)
# Ranges are half-open, so a range has upper - lower numbers.
_DETAILS: Final = """
SELECT page.total, page.status, d.device_id, d.site_id, d.agent_version, d.first_seen_at, d.last_seen_at,
       d.heartbeat_at, {heartbeat},
       (SELECT jsonb_build_object(
            'open', count(*) FILTER (WHERE state = 'open'),
            'missing_events', coalesce(sum((SELECT sum(upper(part) - lower(part)) FROM unnest(missing) AS part)), 0),
            'lost_events', coalesce(sum((SELECT sum(upper(part) - lower(part)) FROM unnest(lost) AS part)), 0))
        FROM sequence_gaps AS gap WHERE gap.device_id = d.device_id AND gap.state <> 'closed'),
       (SELECT {configuration} FROM device_configurations AS c WHERE c.device_id = d.device_id),
       (SELECT coalesce(jsonb_object_agg(c.slug, jsonb_build_object('id', c.id, 'name', c.name)), '{}')
        FROM cameras AS c WHERE c.device_id = d.device_id{cameras})
FROM page JOIN devices AS d USING (device_id) ORDER BY d.device_id
"""
_PAGE: Final = """
, page AS (
    SELECT device_id, status, count(*) OVER () AS total FROM state
    WHERE %(status)s::text IS NULL OR status = %(status)s
    ORDER BY device_id LIMIT %(limit)s OFFSET %(offset)s
)
"""
_ONE: Final = ", page AS (SELECT device_id, status, 1 AS total FROM state WHERE device_id = %(device_id)s)"
_ALL: Final = "SELECT count(*) FROM state WHERE %(status)s::text IS NULL OR status = %(status)s"
_LIST: Final = _STATE + _PAGE + _DETAILS
_COUNT: Final = _STATE + _ALL
_FIND: Final = _STATE + _ONE + _DETAILS

_HEARTBEAT: Final = "coalesce(d.heartbeat, '{}')"
# A heartbeat reports all cameras of the device, also those that the API does not know.
_HEARTBEAT_IN_SCOPE: Final = """
coalesce(d.heartbeat, '{}') || jsonb_build_object('cameras', (
    SELECT coalesce(jsonb_agg(health ORDER BY place), '[]')
    FROM jsonb_array_elements(CASE jsonb_typeof(d.heartbeat -> 'cameras') WHEN 'array' THEN d.heartbeat -> 'cameras'
                              ELSE '[]' END) WITH ORDINALITY AS reported (health, place)
    WHERE health ->> 'camera_id' IN (SELECT slug FROM cameras WHERE cameras.device_id = d.device_id AND in_scope)))
""".replace("in_scope", CAMERA_IN_SCOPE)
_CONFIGURATION: Final = "to_jsonb(c)"
_CONFIGURATION_IN_SCOPE: Final[LiteralString] = (
    "to_jsonb(c) || jsonb_build_object('error', "
    + ERROR_IN_SCOPE.replace("{error}", "c.error")
    + ", 'send_error', "
    + ERROR_IN_SCOPE.replace("{error}", "c.send_error")
    + ")"
)


class Device(NamedTuple):
    """A device and its state."""

    status: str
    """``online`` or ``offline``."""
    device_id: str
    site_id: str
    agent_version: str | None
    first_seen_at: datetime
    last_seen_at: datetime
    heartbeat_at: datetime | None
    """By the device's clock."""
    heartbeat: dict[str, Any]
    """The latest one; empty if there is none."""
    gaps: dict[str, int]
    """``open``, ``missing_events``, ``lost_events``."""
    configuration: dict[str, Any] | None
    """The row of ``device_configurations``; None if the API has never configured the device."""
    cameras: dict[str, dict[str, str]]
    """``id`` and ``name`` of the API's cameras of this device, by slug."""


def list_devices(
    connection: Connection,
    *,
    status: str | None = None,
    limit: int,
    offset: int = 0,
    scope: CameraScope | None = None,
) -> tuple[list[Device], int]:
    """Return one page of the devices, sorted by id, and the number of all of them.

    With ``scope``, only the devices to which a camera of it is assigned, and only these cameras in them.
    """
    parameters = {"status": status, "limit": limit, "offset": offset} | scope_parameters(scope)
    rows = connection.execute(_limited(_LIST, scope), parameters).fetchall()
    if rows or not offset:
        return [Device(*row[1:]) for row in rows], rows[0][0] if rows else 0
    total = connection.execute(_limited(_COUNT, scope), parameters).fetchone()
    return [], 0 if total is None else total[0]


def find_device(connection: Connection, device_id: str, *, scope: CameraScope | None = None) -> Device | None:
    """Return one device; None if there is none with a camera of the scope."""
    row = connection.execute(_limited(_FIND, scope), {"device_id": device_id} | scope_parameters(scope)).fetchone()
    return None if row is None else Device(*row[1:])


def _limited(query: LiteralString, scope: CameraScope | None) -> LiteralString:
    """Return the query with its conditions and columns, which depend on whether there is a limit."""
    return (
        query.replace("{devices}", limited(DEVICE_IN_SCOPE, scope, keyword="WHERE"))
        .replace("{heartbeat}", _HEARTBEAT if scope is None else _HEARTBEAT_IN_SCOPE)
        .replace("{configuration}", _CONFIGURATION if scope is None else _CONFIGURATION_IN_SCOPE)
        .replace("{cameras}", limited(CAMERA_IN_SCOPE, scope))
    )
