"""The settings of an agent and of its cameras.

Secrets are not stored in the file. A setting ``…_env`` names an environment variable, ``…_file`` a file that holds one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self, cast

from pydantic import Field, model_validator

from edge_agent.anpr.settings import AnprSettings
from edge_agent.camera.settings import PictureHealthSettings, SourceSettings
from edge_agent.detect.gate import GateSettings
from edge_agent.detect.settings import DetectSettings
from edge_agent.events.settings import EventSettings, Timezone
from edge_agent.images.snapshot import SnapshotSettings
from edge_agent.motion.settings import MotionSettings
from edge_agent.outbox.settings import OutboxSettings
from edge_agent.track.settings import TrackSettings
from edge_agent.transport.settings import MqttSettings, S3Settings, SenderSettings
from shared.ids import Segment
from shared.metrics.settings import MetricsSettings
from shared.settings import Settings, duplicate_names

Mode = Literal["tracking", "detection", "motion"]


class ModelSettings(Settings):
    """The detection model."""

    name: str | None = Field(
        default=None,
        description="A catalogue entry, the stem of a .tflite in VEDETTE_MODELS, a file, or `none` for blob detection. "
        "Default: the catalogue's default model, or blob detection where that is not available.",
    )
    labels: str | None = Field(default=None, description="A file with one class name per line.")


class CameraSettings(Settings):
    """Settings of one camera."""

    id: Segment = Field(description="Id of the camera in topics, storage keys and the API.")
    source: str | None = Field(
        default=None, description="Video source: rtsp://…, a file, usb:0, gst:PIPELINE or synthetic:gate."
    )
    source_env: str | None = Field(
        default=None, description="Name of an environment variable that contains the source."
    )
    source_file: Path | None = Field(default=None, description="File whose first line is the source.")
    enabled: bool = Field(default=True, description="Run this camera. False keeps its settings and does not open it.")
    mode: Mode = Field(
        default="tracking",
        description="`tracking` tracks objects; `detection` reports detected objects without tracking; `motion` "
        "reports motion only.",
    )
    motion_events: bool = Field(default=True, description="Send an event when motion starts and one when it ends.")
    stream: SourceSettings = Field(default_factory=SourceSettings)
    picture_health: PictureHealthSettings = Field(default_factory=PictureHealthSettings)
    motion: MotionSettings = Field(default_factory=MotionSettings)
    model: ModelSettings = Field(default_factory=ModelSettings)
    detect: DetectSettings = Field(default_factory=DetectSettings)
    gate: GateSettings = Field(default_factory=GateSettings)
    track: TrackSettings = Field(default_factory=TrackSettings)
    events: EventSettings = Field(default_factory=EventSettings)
    snapshots: SnapshotSettings = Field(default_factory=SnapshotSettings)
    anpr: AnprSettings = Field(default_factory=AnprSettings)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [name for name in ("source", "source_env", "source_file") if getattr(self, name) is not None]
        if len(given) != 1:
            problem = "none is set" if not given else f"{' and '.join(given)} are set"
            raise ValueError(f"a camera needs exactly one of source, source_env, source_file; {problem}")
        known = {zone.name for zone in self.events.zones}
        if unknown := [name for name in self.events.required_zones if name not in known]:
            raise ValueError(
                f"events.required_zones names {', '.join(unknown)}, which this camera does not have under events.zones"
            )
        if self.anpr.enabled and self.mode != "tracking":
            raise ValueError(f'anpr needs mode = "tracking"; mode is "{self.mode}"')
        rules = [name for name in ("zones", "lines") if getattr(self.events, name)]
        if rules and self.mode != "tracking":
            raise ValueError(f'events.{rules[0]} needs mode = "tracking"; mode is "{self.mode}"')
        return self


class AgentConfig(Settings):
    """Settings of the device; each camera has its own table."""

    site_id: Segment = Field(description="Id of the site; part of every topic.")
    device_id: Segment = Field(
        description="Id of this device. In AWS IoT, the name of the thing to which the certificate is attached."
    )
    managed: bool | None = Field(
        default=None,
        description="Whether the API may configure cameras of this device. Default: true where the file lists no "
        "cameras. Cameras in the file are pinned: they run beside those of the API, which cannot change them.",
    )
    state_dir: Path = Field(
        default=Path("/var/lib/vedette"),
        description="Folder of the outbox and, on a managed device, of its key and its latest configuration. Must be "
        "writable.",
    )
    heartbeat_s: float = Field(
        default=30.0,
        ge=1,
        le=3600,
        description="Seconds between heartbeats. Raising it sends fewer messages and reports problems later.",
    )
    canary_minutes: int = Field(
        default=0,
        ge=0,
        le=1440,
        description="Minutes between canaries: messages that pass through all parts of the cloud, to a receipt whose "
        "age is a metric. A shorter interval reports a broken delivery earlier. 0: none are sent.",
    )
    models_location: str | None = Field(
        default=None, description="Folder or URL that is searched for models first. Default: VEDETTE_MODELS."
    )
    timezone: Timezone = Field(
        default="UTC",
        description="IANA name of the site's time zone, used by schedules and counter resets.",
    )
    mqtt: MqttSettings
    s3: S3Settings | None = Field(
        default=None, description="Bucket for pictures. If omitted, events are sent without pictures."
    )
    outbox: OutboxSettings = Field(default_factory=OutboxSettings)
    sender: SenderSettings = Field(default_factory=SenderSettings)
    metrics: MetricsSettings = Field(default_factory=MetricsSettings)
    cameras: list[CameraSettings] = Field(default_factory=list[CameraSettings])

    @property
    def is_managed(self) -> bool:
        """Whether the API may configure cameras of this device."""
        return not self.cameras if self.managed is None else self.managed

    @model_validator(mode="before")
    @classmethod
    def _hand_down_timezone(cls, data: Any) -> Any:
        """Apply the file's time zone to the events of each camera that does not set one."""
        if not isinstance(data, dict) or "timezone" not in data or not isinstance(data.get("cameras"), list):
            return data
        given = cast("dict[str, Any]", data)
        return given | {"cameras": [_with_timezone(camera, given["timezone"]) for camera in given["cameras"]]}

    @model_validator(mode="after")
    def _cameras_differ(self) -> Self:
        if not self.cameras and not self.is_managed:
            raise ValueError("no [[cameras]] are listed; list one, or remove managed = false")
        if alike := duplicate_names([camera.id for camera in self.cameras]):
            raise ValueError(f"two cameras have the id {alike}; ids must be unique")
        return self


def _with_timezone(camera: Any, timezone: Any) -> Any:
    events = camera.get("events", {}) if isinstance(camera, dict) else None
    if not isinstance(events, dict):
        return camera
    return {**camera, "events": {"timezone": timezone, **events}}
