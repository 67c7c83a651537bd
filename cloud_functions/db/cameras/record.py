"""A camera and a group as the database returns them, and the SQL of a camera's status."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

DEVICE_SILENT_S: Final = 90
"""Seconds without a message after which a device, and so its cameras, count as offline."""

# The state of every camera that an agent reports, from one pass over the devices. Reading it for each camera would
# parse the heartbeat of a device once for each of its cameras.
REPORTED: Final = """
reported AS MATERIALIZED (
    SELECT devices.device_id, health ->> 'camera_id' AS camera_id, health ->> 'status' AS state
    FROM devices, jsonb_array_elements(
        CASE jsonb_typeof(heartbeat -> 'cameras') WHEN 'array' THEN heartbeat -> 'cameras' ELSE '[]' END) AS health
), reachable AS MATERIALIZED (
    SELECT device_id FROM devices
    WHERE status = 'online' AND last_seen_at > now() - interval '90 seconds'
)
"""
assert f"'{DEVICE_SILENT_S} seconds'" in REPORTED  # noqa: S101 - one truth

# A camera is idle while no agent reports it: its device is unknown, or has not applied the camera yet.
WITH_STATUS: Final = """
states AS (
    SELECT camera.*, CASE
        WHEN NOT camera.is_active OR reported.state IS NULL THEN 'idle'
        WHEN reachable.device_id IS NULL OR reported.state = 'offline' THEN 'offline'
        WHEN reported.state = 'degraded' THEN 'degraded'
        ELSE 'live'
    END AS status
    FROM cameras AS camera
    LEFT JOIN reported ON reported.device_id = camera.device_id AND reported.camera_id = camera.slug
    LEFT JOIN reachable ON reachable.device_id = camera.device_id
)
"""


@dataclass(frozen=True, slots=True)
class CameraFields:
    """What a client sets, with the password sealed."""

    name: str
    rtsp_url: str
    """Without a login."""
    username: str | None
    password_sealed: bytes | None
    device_id: str | None
    group_id: UUID | None
    location: str | None
    resolution: str | None
    fps: float | None
    codec: str | None
    is_active: bool
    enable_detection: bool
    detection_sensitivity: float
    retention_days: int | None
    settings: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Camera:
    """A stored camera and its current status."""

    id: UUID
    slug: str
    fields: CameraFields
    status: str
    group_name: str | None
    config_version: int
    last_connected: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class CameraGroup:
    """A stored group and its number of cameras."""

    id: UUID
    slug: str
    name: str
    description: str | None
    location: str | None
    version: int
    created_at: datetime
    updated_at: datetime
    cameras: int
