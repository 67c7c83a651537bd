"""Response models of the devices API, for the OpenAPI document, and the JSON of each."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal

from pydantic import BaseModel, Field

from cloud_functions.api.http.envelope import EmptyMeta, PageMeta
from cloud_functions.api.http.responses import DATE_TIME
from cloud_functions.db.cameras.record import Camera
from cloud_functions.db.devices.queries import Device
from shared.clock import format_utc

_OUTBOX: Final = ("pending_events", "pending_bytes", "dropped_events", "pending_images", "dropped_images")
_CONNECTED: Final = ("live", "degraded")


class DeviceOutbox(BaseModel):
    """Data on the device that is not delivered yet, and data that it dropped because of its size or age."""

    pending_events: int
    pending_bytes: int
    dropped_events: int
    pending_images: int
    dropped_images: int


class DeviceGaps(BaseModel):
    """Events of the device that have not arrived."""

    open: int = Field(description="Gaps whose events are requested from the device.")
    missing_events: int = Field(description="Events in open gaps.")
    lost_events: int = Field(description="Events that the device no longer has.")


class DeviceConfigurationState(BaseModel):
    """What the device is to run, and what it runs."""

    managed: bool = Field(description="Whether the device obeys the API. False: its own file lists its cameras.")
    desired_version: int = Field(description="Version of the cameras in the API. 0: it has none.")
    applied_version: int | None
    applied_at: str | None = Field(json_schema_extra=DATE_TIME)
    rejected_version: int | None
    error: str | None = Field(description="Why the device rejected that version, or why the desired one was not sent.")


class DeviceCameraState(BaseModel):
    """A camera as its device reports it."""

    camera_id: str
    id: str | None = Field(
        json_schema_extra={"format": "uuid"}, description="The camera's id in the API; null if only the device has it."
    )
    name: str | None
    status: Literal["online", "degraded", "offline"]
    fps_actual: float | None
    resolution: str | None
    codec: str | None
    last_frame_at: str | None = Field(json_schema_extra=DATE_TIME)
    error: str | None
    cause: str | None


class DeviceResponse(BaseModel):
    """A device and its state."""

    device_id: str
    site_id: str
    status: Literal["online", "offline"] = Field(description="`offline`: it has been silent for 90 s, or said so.")
    version: str | None = Field(description="Release of its agent.")
    last_heartbeat: str | None = Field(json_schema_extra=DATE_TIME, description="By the device's clock.")
    last_seen: str = Field(json_schema_extra=DATE_TIME, description="By the cloud's clock, exact to a few seconds.")
    first_seen: str = Field(json_schema_extra=DATE_TIME)
    uptime_seconds: float | None
    reconnects: int | None = Field(description="Number of reconnects to the broker since the agent started.")
    outbox: DeviceOutbox | None = Field(description="Null before the first heartbeat.")
    gaps: DeviceGaps
    configuration: DeviceConfigurationState | None = Field(description="Null: the API has never configured it.")
    cameras: list[DeviceCameraState]


class DeviceEnvelope(BaseModel):
    """A device in the envelope."""

    success: Literal[True]
    data: DeviceResponse
    meta: EmptyMeta


class DeviceListEnvelope(BaseModel):
    """One page of devices in the envelope."""

    success: Literal[True]
    data: list[DeviceResponse]
    meta: PageMeta


class CameraAsDevice(BaseModel):
    """A camera, in the terms of the snapshots API, which calls it a device."""

    id: str = Field(json_schema_extra={"format": "uuid"})
    device_id: str = Field(description="The camera's slug.")
    name: str
    location: str | None
    status: Literal["ONLINE", "OFFLINE"] = Field(description="`ONLINE`: a snapshot can be captured.")
    resolution: str | None
    fps: float | None
    codec: str | None
    last_seen: str | None = Field(json_schema_extra=DATE_TIME, description="When the camera was last connected.")


def device_content(device: Device) -> dict[str, Any]:
    """Return the JSON of a device."""
    heartbeat = device.heartbeat
    outbox = heartbeat.get("outbox")
    return {
        "device_id": device.device_id,
        "site_id": device.site_id,
        "status": device.status,
        "version": device.agent_version,
        "last_heartbeat": None if device.heartbeat_at is None else format_utc(device.heartbeat_at),
        "last_seen": format_utc(device.last_seen_at),
        "first_seen": format_utc(device.first_seen_at),
        "uptime_seconds": heartbeat.get("uptime_seconds"),
        "reconnects": (heartbeat.get("connection") or {}).get("reconnects"),
        "outbox": None if outbox is None else {name: outbox.get(name, 0) for name in _OUTBOX},
        "gaps": device.gaps,
        "configuration": None if device.configuration is None else _configuration(device.configuration),
        "cameras": [_camera(device, health) for health in heartbeat.get("cameras") or ()],
    }


def camera_as_device(camera: Camera) -> dict[str, Any]:
    """Return the JSON of a camera in the list of devices."""
    return {
        "id": str(camera.id),
        "device_id": camera.slug,
        "name": camera.fields.name,
        "location": camera.fields.location,
        "status": "ONLINE" if camera.status in _CONNECTED else "OFFLINE",
        "resolution": camera.fields.resolution,
        "fps": camera.fields.fps,
        "codec": camera.fields.codec,
        "last_seen": None if camera.last_connected is None else format_utc(camera.last_connected),
    }


def _configuration(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "managed": bool(row["managed"]),
        "desired_version": row["version"],
        "applied_version": row["applied_version"],
        "applied_at": _time(row["applied_at"]),
        "rejected_version": row["rejected_version"],
        "error": row["error"] or row["send_error"],
    }


def _camera(device: Device, health: Mapping[str, Any]) -> dict[str, Any]:
    known = device.cameras.get(health["camera_id"], {})
    return {
        "camera_id": health["camera_id"],
        "id": known.get("id"),
        "name": known.get("name"),
        "status": health["status"] if device.status == "online" else "offline",
        "fps_actual": health.get("fps_actual"),
        "resolution": health.get("resolution"),
        "codec": health.get("codec"),
        "last_frame_at": health.get("last_frame_at"),
        "error": health.get("error"),
        "cause": health.get("cause"),
    }


def _time(text: str | None) -> str | None:
    """Return a time of PostgreSQL's JSON in the form of all other times."""
    return None if text is None else format_utc(datetime.fromisoformat(text))
