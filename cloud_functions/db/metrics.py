"""What the database knows for the metrics: devices, cameras, missing events, deliveries and its own size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cloud_functions.db.cameras.record import WITH_STATES
from cloud_functions.db.online import IS_ONLINE
from cloud_functions.db.types import Connection

_BY_STATUS: Final = "SELECT status, count(*) FROM states GROUP BY status"
_CAMERAS: Final = WITH_STATES + _BY_STATUS
_DEVICES: Final = "SELECT count(*), count(*) FILTER (WHERE is_online) FROM devices".replace("is_online", IS_ONLINE)
_MISSING: Final = """
SELECT coalesce(sum((SELECT sum(upper(part) - lower(part)) FROM unnest(missing) AS part)), 0)::bigint
FROM sequence_gaps WHERE state = 'open'
"""
_PENDING: Final = """
SELECT count(*), coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8
FROM webhook_deliveries WHERE status = 'pending'
"""
_SIZE: Final = """
SELECT pg_database_size(current_database()),
       (SELECT count(*) FROM pg_inherits WHERE inhparent = 'events'::regclass)
"""
CAMERA_STATUSES: Final = ("idle", "live", "degraded", "offline")


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseMetrics:
    """Values of one moment."""

    size_bytes: int
    partitions: int
    devices_online: int
    devices_offline: int
    cameras: dict[str, int]
    """By status."""
    missing_events: int
    webhook_pending: int
    webhook_oldest_s: float
    """Age of the oldest pending delivery; 0 if there is none."""


def read_metrics(connection: Connection) -> DatabaseMetrics:
    """Return the values. Reads no events."""
    [(size_bytes, partitions)] = connection.execute(_SIZE)
    [(devices, online)] = connection.execute(_DEVICES)
    [(missing,)] = connection.execute(_MISSING)
    [(pending, oldest_s)] = connection.execute(_PENDING)
    return DatabaseMetrics(
        size_bytes=size_bytes,
        partitions=partitions,
        devices_online=online,
        devices_offline=devices - online,
        cameras=dict.fromkeys(CAMERA_STATUSES, 0) | dict(connection.execute(_CAMERAS).fetchall()),
        missing_events=missing,
        webhook_pending=pending,
        webhook_oldest_s=oldest_s,
    )
