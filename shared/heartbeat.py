"""The heartbeat of a device and its retained status."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from shared.ids import Segment

CameraState = Literal["online", "offline", "degraded"]


class CameraHealth(BaseModel):
    """Health of one camera."""

    model_config = ConfigDict(extra="allow")

    camera_id: Segment
    status: CameraState
    fps_actual: float | None = Field(default=None, ge=0)
    resolution: str | None = None
    codec: str | None = None
    last_frame_at: AwareDatetime | None = None
    error: str | None = None
    cause: str | None = Field(default=None, description="Cause of `degraded`, as in `camera_status` events.")


class OutboxHealth(BaseModel):
    """Pending and dropped data on the device."""

    model_config = ConfigDict(extra="allow")

    sequence_epoch: str
    last_sequence: int = Field(ge=0, description="Highest sequence assigned so far; 0 before the first event.")
    pending_events: int = Field(ge=0)
    pending_bytes: int = Field(ge=0)
    dropped_events: int = Field(
        ge=0, description="Events dropped since the outbox was created, because of size or age."
    )
    dropped_ranges: list[tuple[int, int]] = Field(
        default_factory=list, description="The latest dropped sequences, as inclusive ranges."
    )
    pending_images: int = Field(default=0, ge=0, description="Snapshots and thumbnails not uploaded yet.")
    dropped_images: int = Field(default=0, ge=0, description="Images dropped since the outbox was created.")


class ConnectionHealth(BaseModel):
    """The broker connection since the start of the agent."""

    model_config = ConfigDict(extra="allow")

    reconnects: int = Field(default=0, ge=0, description="Number of reconnects.")
    client_id_conflict: bool = Field(default=False, description="Another client probably uses this device's client id.")
    last_error: str | None = Field(
        default=None, description="Why the last attempt failed or the last connection ended."
    )
    last_error_at: AwareDatetime | None = None


class ConfigurationHealth(BaseModel):
    """The configuration that a device has from the API."""

    model_config = ConfigDict(extra="allow")

    version: int = Field(ge=0, description="Version that the device runs; 0 if it has none.")
    rejected_version: int | None = Field(
        default=None, ge=1, description="Latest version that the device refused, until it runs another one."
    )
    error: str | None = Field(
        default=None,
        description="Why `rejected_version` was refused, which cameras of `version` do not run, or why a newer version"
        " cannot be stored now.",
    )


class Canary(BaseModel):
    """The latest canary of a device: a message whose way through all parts, to a subscriber's receipt, is watched."""

    model_config = ConfigDict(extra="allow")

    canary_id: UUID
    sent_at: AwareDatetime
    every_s: float = Field(gt=0, le=86_400, description="Seconds until the next canary.")


class Heartbeat(BaseModel):
    """Published on ``…/heartbeat``."""

    model_config = ConfigDict(extra="allow")

    schema_version: Literal[1] = 1
    site_id: Segment
    device_id: Segment
    timestamp: AwareDatetime
    agent_version: str
    uptime_seconds: float = Field(ge=0)
    outbox: OutboxHealth
    connection: ConnectionHealth | None = None
    cameras: list[CameraHealth] = Field(default_factory=list[CameraHealth])
    configuration: ConfigurationHealth | None = Field(
        default=None, description="Null for a device whose own file alone lists its cameras."
    )
    canary: Canary | None = Field(
        default=None, description="Null where the device sends none. The same one is repeated until the next."
    )
    public_key: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]{43}=$")] | None = Field(
        default=None,
        description="The device's X25519 public key, 32 bytes in base64, to which the passwords of its cameras are "
        "sealed. Null for a device whose own file alone lists its cameras.",
    )


class DeviceStatus(BaseModel):
    """Published retained on ``…/status``; ``offline`` is the last will."""

    model_config = ConfigDict(extra="allow")

    schema_version: Literal[1] = 1
    device_id: Segment
    status: Literal["online", "offline"]
    timestamp: AwareDatetime | None = None
