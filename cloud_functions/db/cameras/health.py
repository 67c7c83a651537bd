"""The health of cameras over time, from the heartbeats of their devices: a row a minute, and one for each change."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from cloud_functions.db.types import Connection

# A camera that is listed several times counts once.
# The cameras are locked, so that none of them is deleted before its row is inserted.
_RECORD: Final = """
WITH reported AS (
    SELECT camera.id, health ->> 'status' AS state, (health ->> 'fps_actual')::double precision AS fps_actual,
           left(health ->> 'error', 500) AS error,
           CASE WHEN jsonb_typeof(health -> 'latency_ms') = 'number'
                 AND (health -> 'latency_ms')::numeric BETWEEN 0 AND 1000000
                THEN (health -> 'latency_ms')::numeric::integer END AS latency_ms
    FROM (
        SELECT DISTINCT ON (listed ->> 'camera_id') listed FROM jsonb_array_elements(
            %(heartbeat)s::jsonb -> 'cameras') WITH ORDINALITY AS given (listed, place)
        ORDER BY listed ->> 'camera_id', place
    ) AS once (health)
    JOIN cameras AS camera ON camera.device_id = %(device_id)s AND camera.slug = health ->> 'camera_id'
    WHERE NOT EXISTS (
        SELECT FROM (
            SELECT last_check, status FROM camera_health AS known
            WHERE known.camera_id = camera.id ORDER BY last_check DESC, id DESC LIMIT 1
        ) AS latest
        WHERE latest.last_check > %(at)s - interval '55 seconds' AND latest.status = health ->> 'status')
      AND NOT EXISTS (
        SELECT FROM camera_health AS known WHERE known.camera_id = camera.id AND known.last_check = %(at)s)
    ORDER BY camera.id
    FOR NO KEY UPDATE OF camera
), connected AS (
    UPDATE cameras SET last_connected = GREATEST(last_connected, %(at)s) FROM reported
    WHERE cameras.id = reported.id AND reported.state <> 'offline'
)
INSERT INTO camera_health (camera_id, status, is_connected, latency_ms, fps_actual, error, last_check)
SELECT id, state, state <> 'offline', latency_ms, fps_actual, error, %(at)s FROM reported
"""
_HISTORY: Final = """
SELECT count(*) OVER (), status, is_connected, latency_ms, fps_actual, error, last_check
FROM camera_health WHERE camera_id = %s ORDER BY last_check DESC, id DESC LIMIT %s OFFSET %s
"""
_OLD: Final = """
DELETE FROM camera_health WHERE id = ANY (ARRAY(
    SELECT id FROM camera_health WHERE last_check < now() - %s LIMIT %s FOR UPDATE SKIP LOCKED))
"""


class HealthRecord(NamedTuple):
    """What an agent reported about a camera."""

    status: str
    """``online``, ``degraded`` or ``offline``."""
    is_connected: bool
    latency_ms: int | None
    fps_actual: float | None
    error: str | None
    last_check: datetime


def record_camera_health(connection: Connection, *, device_id: str, heartbeat_json: str, at: datetime) -> None:
    """Record what a heartbeat received at ``at`` reports about the cameras of its device.

    A camera whose latest record has the same status and is less than a minute old is skipped, and so is one that the
    API does not know. A heartbeat that arrives twice, or after a later one, adds no record twice.
    """
    connection.execute(_RECORD, {"device_id": device_id, "heartbeat": heartbeat_json, "at": at})


def list_health(
    connection: Connection, camera_id: UUID, *, limit: int, offset: int = 0
) -> tuple[list[HealthRecord], int]:
    """Return one page of a camera's history, newest first, and the number of all its records."""
    rows = connection.execute(_HISTORY, [camera_id, limit, offset]).fetchall()
    if rows or not offset:
        return [HealthRecord(*row[1:]) for row in rows], rows[0][0] if rows else 0
    total = connection.execute("SELECT count(*) FROM camera_health WHERE camera_id = %s", [camera_id]).fetchone()
    return [], 0 if total is None else total[0]


def purge_old_health(connection: Connection, *, older_than: timedelta, limit: int) -> int:
    """Delete records older than ``older_than``; return how many (at most ``limit``)."""
    return connection.execute(_OLD, [older_than, limit]).rowcount
