"""What a device says about itself every few seconds, and its retained status."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from shared.ids import Segment

CameraState = Literal["online", "offline", "degraded"]


class CameraHealth(BaseModel):
    """One camera as its agent sees it."""

    model_config = ConfigDict(extra="allow")

    camera_id: Segment
    status: CameraState
    fps_actual: float | None = Field(default=None, ge=0)
    resolution: str | None = None
    codec: str | None = None
    last_frame_at: AwareDatetime | None = None
    error: str | None = None
    cause: str | None = Field(default=None, description="Why it is degraded, as in `camera_status` events.")


class OutboxHealth(BaseModel):
    """How much waits on the device, and what had to be given up."""

    model_config = ConfigDict(extra="allow")

    sequence_epoch: str
    last_sequence: int = Field(ge=0, description="Highest sequence minted so far; 0 before the first event.")
    pending_events: int = Field(ge=0)
    pending_bytes: int = Field(ge=0)
    dropped_events: int = Field(ge=0, description="Events given up since the outbox was made, for want of room or age.")
    dropped_ranges: list[tuple[int, int]] = Field(
        default_factory=list, description="The latest dropped sequences, as inclusive ranges."
    )
    pending_images: int = Field(default=0, ge=0, description="Snapshots and thumbnails not stored yet.")
    dropped_images: int = Field(default=0, ge=0, description="Images given up since the outbox was made.")


class ConnectionHealth(BaseModel):
    """The connection to the broker, as the agent has seen it since it was started."""

    model_config = ConfigDict(extra="allow")

    reconnects: int = Field(default=0, ge=0, description="Connections made after the first.")
    client_id_conflict: bool = Field(
        default=False, description="Another client uses this device's client id, as far as can be told."
    )
    last_error: str | None = Field(
        default=None, description="Why the last attempt failed or the last connection ended."
    )
    last_error_at: AwareDatetime | None = None


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


class DeviceStatus(BaseModel):
    """Published retained on ``…/status``; ``offline`` is the last will."""

    model_config = ConfigDict(extra="allow")

    schema_version: Literal[1] = 1
    device_id: Segment
    status: Literal["online", "offline"]
    timestamp: AwareDatetime | None = None
