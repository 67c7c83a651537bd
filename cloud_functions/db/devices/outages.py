"""Outages: a device that has sent nothing for 90 seconds, from then until its next heartbeat.

A device has at most one open outage. ``cloud_events`` holds the events that say so until they are sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, LiteralString, NamedTuple
from uuid import UUID

from cloud_functions.db.online import SILENT_AFTER
from cloud_functions.db.types import Connection

# A camera in the heartbeat that the API has given to another device since: that device reports it.
_RUNS_ELSEWHERE: Final[LiteralString] = """EXISTS (
    SELECT FROM cameras AS moved
    WHERE lower(moved.slug) = lower(health ->> 'camera_id') AND moved.device_id <> device.device_id)"""
# A device that was silent for a day before the first sweep is not news. The cameras that were offline before have their
# own events. Of two sweeps, one skips the locked devices, or finds the other's outage (ON CONFLICT).
_BEGIN: Final[LiteralString] = """
WITH silent AS (
    SELECT device_id, site_id, last_seen_at, heartbeat_at,
           CASE jsonb_typeof(heartbeat -> 'cameras') WHEN 'array' THEN heartbeat -> 'cameras' ELSE '[]' END AS cameras
    FROM devices AS device
    WHERE last_seen_at BETWEEN now() - interval '1 day' AND now() - %s
      AND NOT EXISTS (SELECT FROM device_outages AS known WHERE known.device_id = device.device_id AND ended_at IS NULL)
    ORDER BY device_id FOR UPDATE SKIP LOCKED
)
INSERT INTO device_outages (device_id, site_id, last_seen_at, heartbeat_at, cameras)
SELECT device_id, site_id, last_seen_at, heartbeat_at,
       ARRAY(SELECT DISTINCT health ->> 'camera_id' FROM jsonb_array_elements(cameras) AS health
             WHERE health ->> 'status' <> 'offline' AND NOT runs_elsewhere ORDER BY 1)
FROM silent AS device
ON CONFLICT DO NOTHING
RETURNING outage_id, device_id, site_id, last_seen_at, cameras
""".replace("runs_elsewhere", _RUNS_ELSEWHERE)
# The next heartbeat ends an outage, because its cameras' states are newer than the outage. One that the broker had
# before (status_at) and that ingest processed late does not: the device may still be away.
_END: Final[LiteralString] = """
WITH back AS (
    SELECT outage_id, device.device_id, device.heartbeat
    FROM device_outages AS outage JOIN devices AS device USING (device_id)
    WHERE ended_at IS NULL AND device.last_seen_at > now() - %(silent_after)s
      AND device.last_seen_at > outage.last_seen_at
      AND device.heartbeat_at IS DISTINCT FROM outage.heartbeat_at
      AND device.status = 'online' AND COALESCE(device.status_at >= outage.last_seen_at + %(silent_after)s, true)
    ORDER BY outage_id FOR UPDATE OF outage SKIP LOCKED
)
UPDATE device_outages AS outage SET ended_at = now() FROM back AS device
WHERE outage.outage_id = device.outage_id AND outage.ended_at IS NULL
RETURNING outage.outage_id, outage.device_id, site_id, last_seen_at, cameras, ended_at,
          ARRAY(SELECT health FROM jsonb_array_elements(
                    CASE jsonb_typeof(heartbeat -> 'cameras') WHEN 'array' THEN heartbeat -> 'cameras' ELSE '[]' END
                ) AS health WHERE NOT runs_elsewhere)
""".replace("runs_elsewhere", _RUNS_ELSEWHERE)
_REPORTED: Final = """
SELECT DISTINCT camera_id FROM events
WHERE event_type = 'camera_status' AND camera_id = ANY (%s) AND device_id = %s AND "timestamp" > %s
  AND sequence IS NOT NULL
"""
# The cameras are locked, so that none of them is deleted before its row is inserted.
_HEALTH: Final = """
WITH gone AS (
    SELECT id FROM cameras AS camera WHERE device_id = ANY (%s) AND EXISTS (
        SELECT FROM (
            SELECT status FROM camera_health AS known
            WHERE known.camera_id = camera.id ORDER BY last_check DESC, id DESC LIMIT 1
        ) AS latest WHERE latest.status <> 'offline')
    ORDER BY id FOR NO KEY UPDATE
)
INSERT INTO camera_health (camera_id, status, is_connected, error) SELECT id, 'offline', false, %s FROM gone
"""
_ADD_EVENT: Final = """
INSERT INTO cloud_events (event_id, topic, event) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING
"""
_TAKE_EVENTS: Final = """
SELECT event_id, topic, event::text FROM cloud_events ORDER BY created_at, event_id LIMIT %s FOR UPDATE SKIP LOCKED
"""
_OLD: Final = """
DELETE FROM device_outages WHERE outage_id = ANY (ARRAY(
    SELECT outage_id FROM device_outages WHERE ended_at < now() - %s LIMIT %s FOR UPDATE SKIP LOCKED))
"""


class Outage(NamedTuple):
    """An outage that began now."""

    outage_id: UUID
    device_id: str
    site_id: str
    last_seen_at: datetime
    cameras: list[str]
    """The cameras that were not offline before, without those that another device runs now."""

    @property
    def began_at(self) -> datetime:
        """When the device had been silent for 90 seconds."""
        return self.last_seen_at + SILENT_AFTER


class EndedOutage(NamedTuple):
    """An outage that ended now."""

    outage_id: UUID
    device_id: str
    site_id: str
    last_seen_at: datetime
    """The last time before the outage."""
    cameras: list[str]
    ended_at: datetime
    states: list[dict[str, Any]]
    """The cameras of the device's newest heartbeat, without those that another device runs now."""


class CloudEvent(NamedTuple):
    """An event of a device that the cloud makes."""

    event_id: UUID
    topic: str
    event: str
    """The event as JSON, as a device would send it."""


def begin_outages(connection: Connection) -> list[Outage]:
    """Record the devices that are silent now, and return them; keep them locked for this transaction."""
    return [Outage(*row) for row in connection.execute(_BEGIN, [SILENT_AFTER])]


def end_outages(connection: Connection) -> list[EndedOutage]:
    """Record the end of the outages of devices that have sent a heartbeat since, and return them."""
    return [EndedOutage(*row) for row in connection.execute(_END, {"silent_after": SILENT_AFTER})]


def cameras_with_own_events(connection: Connection, outage: EndedOutage) -> set[str]:
    """Return the cameras whose device itself has reported a status since before the outage."""
    parameters = [outage.cameras, outage.device_id, outage.last_seen_at]
    return {camera_id for (camera_id,) in connection.execute(_REPORTED, parameters)}


def record_offline_health(connection: Connection, device_ids: Sequence[str], error: str) -> int:
    """Record in the history of the devices' cameras that they are offline, where it says otherwise; return how many."""
    return connection.execute(_HEALTH, [list(device_ids), error]).rowcount


def add_cloud_event(connection: Connection, event: CloudEvent) -> None:
    """Store an event to be sent."""
    connection.execute(_ADD_EVENT, event)


def take_cloud_events(connection: Connection, *, limit: int) -> list[CloudEvent]:
    """Return the oldest events to send, locked for this transaction, without those that another session sends."""
    return [CloudEvent(*row) for row in connection.execute(_TAKE_EVENTS, [limit])]


def delete_cloud_events(connection: Connection, event_ids: Sequence[UUID]) -> None:
    """Delete events that were sent."""
    connection.execute("DELETE FROM cloud_events WHERE event_id = ANY (%s)", [list(event_ids)])


def purge_old_outages(connection: Connection, *, older_than: timedelta, limit: int) -> int:
    """Delete outages that ended longer than ``older_than`` ago; return how many (at most ``limit``)."""
    return connection.execute(_OLD, [older_than, limit]).rowcount
