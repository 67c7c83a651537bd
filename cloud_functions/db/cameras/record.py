"""A camera and a group as the database returns them, and the SQL of a camera's status."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple
from uuid import UUID

from cloud_functions.db.online import IS_ONLINE

# The state of the cameras that agents report, from one pass over the devices. Reading it for each camera would parse
# the heartbeat of a device once for each of its cameras. Each camera of a device that is offline counts as offline.
_REPORTED: Final = """
reported AS MATERIALIZED (
    SELECT devices.device_id, health ->> 'camera_id' AS camera_id, health ->> 'status' AS state,
           is_online AS is_reachable
    FROM devices, jsonb_array_elements(
        CASE jsonb_typeof(heartbeat -> 'cameras') WHEN 'array' THEN heartbeat -> 'cameras' ELSE '[]' END) AS health
""".replace("is_online", IS_ONLINE)

# A camera is idle while no agent reports it: its device is unknown, or has not applied the camera yet.
_STATES: Final = """
), states AS (
    SELECT camera.*, CASE
        WHEN NOT camera.is_active OR reported.state IS NULL THEN 'idle'
        WHEN NOT reported.is_reachable OR reported.state = 'offline' THEN 'offline'
        WHEN reported.state = 'degraded' THEN 'degraded'
        ELSE 'live'
    END AS status
    FROM cameras AS camera
    LEFT JOIN reported ON reported.device_id = camera.device_id AND reported.camera_id = camera.slug
)
"""
WITH_STATES: Final = "WITH " + _REPORTED + _STATES
"""Begins a query on ``states``: the columns of ``cameras``, and ``status``."""
_DEVICE_OF_ID: Final = "WHERE devices.device_id = (SELECT device_id FROM cameras WHERE id = %(ref)s::uuid)"
_DEVICE_OF_SLUG: Final = "WHERE devices.device_id = (SELECT device_id FROM cameras WHERE slug = %(ref)s)"
WITH_STATE_OF_ID: Final = "WITH " + _REPORTED + _DEVICE_OF_ID + _STATES
"""The same for the camera with the id ``ref`` only: the status of cameras of other devices is not right."""
WITH_STATE_OF_SLUG: Final = "WITH " + _REPORTED + _DEVICE_OF_SLUG + _STATES
"""The same for the camera with the slug ``ref``."""


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


ConfigurationState = Literal["applied", "pending", "rejected", "no_device", "unmanaged"]
"""``no_device``: no agent runs the camera. ``unmanaged``: its device runs the cameras of its own file only."""


class CameraConfiguration(NamedTuple):
    """Whether the device of a camera runs the cameras as they are stored. A device applies all of them or none."""

    state: ConfigurationState
    version: int | None
    """The version that the device should run; None without a device."""
    applied_version: int | None
    """The version that it runs; 0: none yet; None: it has not said."""
    error: str | None
    """Why the version was rejected or cannot be sent, or which of its cameras do not run."""


@dataclass(frozen=True, slots=True)
class Camera:
    """A stored camera, its current status and what its device makes of it."""

    id: UUID
    slug: str
    fields: CameraFields
    status: str
    configuration: CameraConfiguration
    group_name: str | None
    group_slug: str | None
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
