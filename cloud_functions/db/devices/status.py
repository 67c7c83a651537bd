"""Stores each device's state: when it was last seen, its status, its latest heartbeat."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final, NamedTuple

from cloud_functions.db.types import Connection

_TOUCH: Final = """
INSERT INTO devices AS known (device_id, site_id)
SELECT device_id, site_id FROM unnest(%b::text[], %b::text[]) AS seen (device_id, site_id) ORDER BY 1
ON CONFLICT (device_id) DO UPDATE SET last_seen_at = now(), site_id = EXCLUDED.site_id
WHERE known.last_seen_at < now() - interval '5 seconds' OR known.site_id <> EXCLUDED.site_id
"""

# A heartbeat that is older than the stored one, or repeated, updates only the time when the device was last seen.
_HEARTBEAT: Final = """
INSERT INTO devices AS known (device_id, site_id, agent_version, heartbeat, heartbeat_at, status, status_at)
VALUES (%(device_id)s, %(site_id)s, %(agent_version)s, %(heartbeat)s::jsonb, %(at)s, 'online', %(received_at)s)
ON CONFLICT (device_id) DO UPDATE SET
    last_seen_at = now(),
    site_id = EXCLUDED.site_id,
    agent_version = CASE WHEN newer THEN EXCLUDED.agent_version ELSE known.agent_version END,
    heartbeat = CASE WHEN newer THEN EXCLUDED.heartbeat ELSE known.heartbeat END,
    heartbeat_at = CASE WHEN newer THEN EXCLUDED.heartbeat_at ELSE known.heartbeat_at END,
    status = CASE WHEN EXCLUDED.status_at > COALESCE(known.status_at, '-infinity') THEN 'online' ELSE known.status END,
    status_at = GREATEST(known.status_at, EXCLUDED.status_at)
""".replace(
    "newer",
    # Ignore a time far in the future, which an earlier release stored from a wrong device clock.
    "(EXCLUDED.heartbeat_at > COALESCE(known.heartbeat_at, '-infinity')"
    " OR known.heartbeat_at > now() + interval '1 day')",
)

_STATUS: Final = """
INSERT INTO devices AS known (device_id, site_id, status, status_at)
VALUES (%(device_id)s, %(site_id)s, %(status)s, %(at)s)
ON CONFLICT (device_id) DO UPDATE SET
    last_seen_at = CASE WHEN EXCLUDED.status = 'online' THEN now() ELSE known.last_seen_at END,
    site_id = EXCLUDED.site_id,
    status = CASE WHEN EXCLUDED.status_at >= COALESCE(known.status_at, '-infinity') THEN EXCLUDED.status
                  ELSE known.status END,
    status_at = GREATEST(known.status_at, EXCLUDED.status_at)
"""


def touch_devices(connection: Connection, sites: Mapping[str, str]) -> None:
    """Record that these devices were seen now; ``sites`` maps each device to its site."""
    connection.execute(_TOUCH, [list(sites), list(sites.values())])


class HeartbeatRow(NamedTuple):
    """A heartbeat to store."""

    device_id: str
    site_id: str
    agent_version: str
    heartbeat: str
    """The whole heartbeat as JSON."""
    at: datetime
    """When the device sent it, by the device's clock."""
    received_at: datetime
    """When the cloud received it, by the cloud's clock."""


def record_heartbeat(connection: Connection, heartbeat: HeartbeatRow) -> None:
    """Store a device's heartbeat, unless a later one is stored."""
    connection.execute(_HEARTBEAT, heartbeat._asdict())


def record_status(connection: Connection, *, site_id: str, device_id: str, status: str, at: datetime) -> None:
    """Store a device's status received at ``at``, unless a later one is stored.

    The time is the cloud's, because a device writes its MQTT last will when it connects.
    """
    connection.execute(_STATUS, {"device_id": device_id, "site_id": site_id, "status": status, "at": at})
