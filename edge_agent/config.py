"""The agent's configuration: reads and validates its TOML file.

Secrets are not stored in the file. A setting ``…_env`` names an environment variable, ``…_file`` a file that holds one.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, cast

from pydantic import BaseModel, Field, ValidationError, model_validator

from edge_agent.anpr.settings import AnprSettings
from edge_agent.camera.settings import PictureHealthSettings, SourceSettings
from edge_agent.config_file import read_toml, stray_characters
from edge_agent.detect.gate import GateSettings
from edge_agent.detect.models.catalogue import user_cache_dir
from edge_agent.detect.settings import DetectSettings
from edge_agent.events.settings import EventSettings, Timezone
from edge_agent.images.snapshot import SnapshotSettings
from edge_agent.motion.settings import MotionSettings
from edge_agent.outbox.settings import OutboxSettings
from edge_agent.track.settings import TrackSettings
from edge_agent.transport.sender import SenderSettings
from edge_agent.transport.settings import MqttSettings, S3Settings
from shared.errors import ConfigurationError
from shared.ids import SEGMENT_PATTERN, Segment
from shared.redact import redact
from shared.settings import Settings, duplicate_names

Mode = Literal["tracking", "detection", "motion"]


class ModelSettings(Settings):
    """The detection model."""

    name: str | None = Field(
        default=None,
        description="A catalogue entry, the stem of a .tflite in VEDETTE_MODELS, a file, or `none` for blob detection. "
        "Left out: the catalogue's default model, or blob detection where that is not available.",
    )
    labels: str | None = Field(default=None, description="A file with one class name per line.")


class CameraSettings(Settings):
    """Settings of one camera."""

    id: Segment = Field(description="Id of the camera in topics, storage keys and the API.")
    source: str | None = Field(
        default=None, description="Video source: rtsp://…, a file, usb:0, gst:PIPELINE or synthetic:gate."
    )
    source_env: str | None = Field(default=None, description="Name of an environment variable that holds the source.")
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
    """Settings of the device; the cameras have tables of their own."""

    site_id: Segment = Field(description="Id of the site; part of every topic.")
    device_id: Segment = Field(
        description="Id of this device. In AWS IoT, the name of the thing to which the certificate is attached."
    )
    state_dir: Path = Field(default=Path("/var/lib/vedette"), description="Folder of the outbox. Must be writable.")
    heartbeat_s: float = Field(
        default=30.0,
        ge=1,
        le=3600,
        description="Seconds between heartbeats. Raising it sends fewer messages and reports problems later.",
    )
    models_location: str | None = Field(
        default=None, description="Folder or URL that is searched for models first. Left out: VEDETTE_MODELS."
    )
    timezone: Timezone = Field(
        default="UTC",
        description="IANA name of the site's time zone, used by schedules and counter resets.",
    )
    mqtt: MqttSettings
    s3: S3Settings | None = Field(
        default=None, description="Bucket for pictures. Left out: events are sent without pictures."
    )
    outbox: OutboxSettings = Field(default_factory=OutboxSettings)
    sender: SenderSettings = Field(default_factory=SenderSettings)
    cameras: list[CameraSettings] = Field(min_length=1)

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
        if alike := duplicate_names([camera.id for camera in self.cameras]):
            raise ValueError(f"two cameras have the id {alike}; ids must be unique")
        return self


def _with_timezone(camera: Any, timezone: Any) -> Any:
    events = camera.get("events", {}) if isinstance(camera, dict) else None
    if not isinstance(events, dict):
        return camera
    return {**camera, "events": {"timezone": timezone, **events}}


def load_config(path: Path) -> AgentConfig:
    """Read and validate ``path``. Raise ConfigurationError that lists each problem and its place."""
    data = read_toml(path)
    if stray := [f"{_place(location, data)}: {problem}" for location, problem in stray_characters(data)]:
        raise not_right(path, stray)
    try:
        return AgentConfig.model_validate(data)
    except ValidationError as error:
        raise not_right(path, describe(error, data)) from error


def not_right(path: Path, problems: Sequence[str]) -> ConfigurationError:
    """Return the error for a file with these problems, one per line."""
    lines = "\n".join(f"  - {problem}" for problem in problems)
    return ConfigurationError(f"{path} is not valid:\n{lines}")


def source_text(camera: CameraSettings, environment: Mapping[str, str] = os.environ) -> str:
    """Return the camera's source. Raise ConfigurationError where its environment variable or file does not have one."""
    if camera.source is not None:
        return camera.source
    if camera.source_env is not None:
        value = environment.get(camera.source_env, "").strip()
        if not value:
            raise ConfigurationError(f"camera {camera.id}: the environment variable {camera.source_env} is not set")
        return value
    path = camera.source_file or Path()
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise ConfigurationError(f"camera {camera.id}: source_file {path}: {error.strerror}") from error
    if not lines[0].strip():
        raise ConfigurationError(f"camera {camera.id}: the first line of source_file {path} is empty")
    return lines[0].strip()


@dataclass(frozen=True, slots=True)
class ModelPlaces:
    """Locations of model files."""

    location: str | None
    """Folder or URL that is searched first."""
    cache_dir: Path


def model_places(location: str | None = None, environment: Mapping[str, str] = os.environ) -> ModelPlaces:
    """Return the configured ``location``, else ``VEDETTE_MODELS``, and this user's cache."""
    return ModelPlaces(
        location=location or environment.get("VEDETTE_MODELS") or None,
        cache_dir=user_cache_dir(xdg_cache_home=environment.get("XDG_CACHE_HOME"), home=Path.home()),
    )


def describe(error: ValidationError, data: Mapping[str, Any], *, model: type[BaseModel] = AgentConfig) -> list[str]:
    """Return one line per problem of a pydantic error: its place, the problem, and the nearest valid name of a setting.

    ``data`` is the input that ``model`` rejected.
    """
    return [_problem(item, data, model) for item in error.errors(include_url=False, include_context=False)]


def _problem(item: Any, data: Mapping[str, Any], model: type[BaseModel]) -> str:
    location: Sequence[str | int] = item["loc"]
    where = _place(location, data)
    if item["type"] == "missing":
        return f"{where}: is missing"
    if item["type"] == "extra_forbidden":
        known = _known_names(location[:-1], model)
        near = difflib.get_close_matches(str(location[-1]), known, n=1)
        hint = (
            f"; did you mean {near[0]}?" if near else f"; valid names are {', '.join(sorted(known))}" if known else ""
        )
        return f"{where}: unknown setting{hint}"
    message = str(item["msg"]).removeprefix("Value error, ")
    if SEGMENT_PATTERN in message:
        message = "use 1 to 100 of the letters A-Z and a-z, digits, - and _"
    given = item.get("input")
    shown = (
        f" (it is {redact(repr(given))})"
        if isinstance(given, str | int | float | bool) and not _secret(location)
        else ""
    )
    return f"{where}: {message}{shown}"


def _secret(location: Sequence[str | int]) -> bool:
    return any(word in str(part) for part in location for word in ("password", "secret", "token", "key"))


def _place(location: Sequence[str | int], data: Any) -> str:
    """Return a location as text: ``cameras[1] (front-door).motion.threshold``."""
    parts: list[str] = []
    value: Any = data
    for part in location:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            value = None
        if isinstance(part, int):
            name = value.get("id") or value.get("name") if isinstance(value, dict) else None
            parts.append(f"[{part + 1}]" + (f" ({name})" if isinstance(name, str) else ""))
        else:
            parts.append(("." if parts else "") + part)
    return "".join(parts) or "the file"


def _known_names(location: Sequence[str | int], root: type[BaseModel]) -> list[str]:
    model: Any = root
    for part in location:
        if isinstance(part, int):
            continue
        field = getattr(model, "model_fields", {}).get(part)
        if field is None:
            return []
        model = model_in(field.annotation)
    return list(getattr(model, "model_fields", {}))


def model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the pydantic model in an annotation such as ``X | None`` or ``list[X]``, or None."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        if (found := model_in(inner)) is not None:
            return found
    return None
