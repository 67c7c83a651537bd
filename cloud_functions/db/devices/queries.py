"""Reads devices with their state: the latest heartbeat, open gaps, the configuration, and their cameras."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, NamedTuple

from cloud_functions.db.devices.status import IS_ONLINE
from cloud_functions.db.types import Connection

_STATE: Final = """
WITH state AS (
    SELECT device_id, CASE WHEN is_online THEN 'online' ELSE 'offline' END AS status FROM devices
)
""".replace("is_online", IS_ONLINE)
# Ranges are half-open, so a range has upper - lower numbers.
_DETAILS: Final = """
SELECT page.total, page.status, d.device_id, d.site_id, d.agent_version, d.first_seen_at, d.last_seen_at,
       d.heartbeat_at, coalesce(d.heartbeat, '{}'),
       (SELECT jsonb_build_object(
            'open', count(*) FILTER (WHERE state = 'open'),
            'missing_events', coalesce(sum((SELECT sum(upper(part) - lower(part)) FROM unnest(missing) AS part)), 0),
            'lost_events', coalesce(sum((SELECT sum(upper(part) - lower(part)) FROM unnest(lost) AS part)), 0))
        FROM sequence_gaps AS gap WHERE gap.device_id = d.device_id AND gap.state <> 'closed'),
       (SELECT to_jsonb(c) FROM device_configurations AS c WHERE c.device_id = d.device_id),
       (SELECT coalesce(jsonb_object_agg(c.slug, jsonb_build_object('id', c.id, 'name', c.name)), '{}')
        FROM cameras AS c WHERE c.device_id = d.device_id)
FROM page JOIN devices AS d USING (device_id) ORDER BY d.device_id
"""
_PAGE: Final = """
, page AS (
    SELECT device_id, status, count(*) OVER () AS total FROM state
    WHERE %(status)s::text IS NULL OR status = %(status)s
    ORDER BY device_id LIMIT %(limit)s OFFSET %(offset)s
)
"""
_ONE: Final = ", page AS (SELECT device_id, status, 1 AS total FROM state WHERE device_id = %s)"
_ALL: Final = "SELECT count(*) FROM state WHERE %s::text IS NULL OR status = %s"
_LIST: Final = _STATE + _PAGE + _DETAILS
_COUNT: Final = _STATE + _ALL
_FIND: Final = _STATE + _ONE + _DETAILS


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
    connection: Connection, *, status: str | None = None, limit: int, offset: int = 0
) -> tuple[list[Device], int]:
    """Return one page of the devices, sorted by id, and the number of all of them."""
    parameters = {"status": status, "limit": limit, "offset": offset}
    rows = connection.execute(_LIST, parameters).fetchall()
    if rows or not offset:
        return [Device(*row[1:]) for row in rows], rows[0][0] if rows else 0
    total = connection.execute(_COUNT, [status, status]).fetchone()
    return [], 0 if total is None else total[0]


def find_device(connection: Connection, device_id: str) -> Device | None:
    """Return one device, or None."""
    row = connection.execute(_FIND, [device_id]).fetchone()
    return None if row is None else Device(*row[1:])
