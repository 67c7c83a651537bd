"""``edge-agent check``: validates a configuration without connecting to cameras or services.

A detection model that is not on this machine is downloaded, as by ``edge-agent run``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from edge_agent.anpr.engines import open_engine
from edge_agent.camera.source import check_source
from edge_agent.config import AgentConfig, CameraSettings, ModelPlaces, load_config, source_text
from edge_agent.device.configuration_store import ConfigurationStore
from edge_agent.device.device_key import NEEDS_CRYPTOGRAPHY
from edge_agent.pipeline.build import build_detector, class_problems, find_camera_model
from shared.clock import SystemClock
from shared.errors import ConfigurationError, VedetteError
from shared.stream_address import redact_source

EXAMPLE = """\
# The agent's configuration. `edge-agent check --config agent.toml` lists its problems.
# Settings, bounds and defaults: docs/reference/configuration.md

site_id = "hq"
device_id = "gate-01"            # name of the AWS IoT thing to which the certificate is attached
state_dir = "/var/lib/vedette"   # folder of the outbox

[mqtt]
host = "example-ats.iot.eu-central-1.amazonaws.com"
certificate_file = "/etc/vedette/device.pem.crt"
private_key_file = "/etc/vedette/device.private.key"
ca_file = "/etc/vedette/AmazonRootCA1.pem"

[s3]
bucket = "my-vedette-snapshots"
region = "eu-central-1"

[s3.iot_credentials]
endpoint = "example.credentials.iot.eu-central-1.amazonaws.com"
role_alias = "vedette-device"
certificate_file = "/etc/vedette/device.pem.crt"
private_key_file = "/etc/vedette/device.private.key"

# Without [[cameras]], the cameras of this device are those of the API. Cameras that are listed here are pinned:
# the API cannot change them, and with `managed = true` above it adds others beside them.
[[cameras]]
id = "camera-1"
source_file = "/etc/vedette/camera-1.url"   # first line: rtsp://user:password@camera/stream

[[cameras.events.zones]]
name = "driveway"
polygon = [[0.1, 0.5], [0.9, 0.5], [0.9, 1.0], [0.1, 1.0]]
loitering = { after_s = 60 }
"""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Result of one check."""

    ok: bool
    text: str


def check_config(path: Path, *, places: ModelPlaces) -> list[CheckResult]:
    """Check all that a configuration refers to. Raise ConfigurationError where the file itself is not valid."""
    config = load_config(path)
    if config.models_location is not None:
        places = ModelPlaces(location=config.models_location, cache_dir=places.cache_dir)
    return list(_results(config, places))


def _results(config: AgentConfig, places: ModelPlaces) -> Iterator[CheckResult]:
    yield CheckResult(
        ok=True, text=f"device {config.device_id} of site {config.site_id}, {len(config.cameras)} camera(s)"
    )
    if config.is_managed:
        yield _attempted("managed", lambda: _managed(config))
    yield _state_dir(config.state_dir)
    yield _attempted("mqtt", lambda: _mqtt(config))
    if config.s3 is None:
        yield CheckResult(ok=True, text="s3: not configured; events are sent without pictures")
    else:
        for name, file in _credential_files(config):
            yield _readable(name, file)
    for camera in config.cameras:
        if not camera.enabled:
            yield CheckResult(ok=True, text=f"camera {camera.id}: disabled")
            continue
        yield _attempted(f"camera {camera.id}", lambda camera=camera: _source(camera))
        if camera.mode != "motion":
            yield _attempted(f"camera {camera.id}: model", lambda camera=camera: _model(camera, places))
        if camera.anpr.enabled:
            yield _attempted(f"camera {camera.id}: plates", lambda camera=camera: _plates(camera))


def _managed(config: AgentConfig) -> str:
    if find_spec("cryptography") is None:
        raise ConfigurationError(NEEDS_CRYPTOGRAPHY)
    stored = ConfigurationStore(config.state_dir).load()
    pinned = f"; pinned by this file: {', '.join(camera.id for camera in config.cameras)}" if config.cameras else ""
    if stored is None:
        return f"the API configures this device; none stored yet{pinned}"
    return f"the API configures this device; version {stored.version}, {len(stored.cameras)} camera(s) stored{pinned}"


def _attempted(what: str, attempt: Callable[[], str]) -> CheckResult:
    try:
        return CheckResult(ok=True, text=f"{what}: {attempt()}")
    except VedetteError as error:
        return CheckResult(ok=False, text=f"{what}: {str(error).removeprefix(f'{what}: ')}")


def _state_dir(folder: Path) -> CheckResult:
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if existing == folder and not folder.is_dir():
        return CheckResult(ok=False, text=f"state_dir: {folder} is not a folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        return CheckResult(ok=False, text=f"state_dir: {existing} is not writable for this user")
    return CheckResult(ok=True, text=f"state_dir: {folder}" + ("" if folder.exists() else " (will be created)"))


def _mqtt(config: AgentConfig) -> str:
    mqtt = config.mqtt
    mqtt.read_password()
    mqtt.tls_context()
    return f"{mqtt.host}:{mqtt.effective_port}, {'TLS' if mqtt.uses_tls else 'no TLS'}"


def _credential_files(config: AgentConfig) -> Iterator[tuple[str, Path]]:
    provider = config.s3.iot_credentials if config.s3 else None
    if provider is not None:
        yield "s3.iot_credentials.certificate_file", provider.certificate_file
        yield "s3.iot_credentials.private_key_file", provider.private_key_file
        if provider.ca_file is not None:
            yield "s3.iot_credentials.ca_file", provider.ca_file


def _readable(name: str, path: Path) -> CheckResult:
    try:
        with path.open("rb"):
            return CheckResult(ok=True, text=f"{name}: {path}")
    except OSError as error:
        return CheckResult(ok=False, text=f"{name}: cannot read {path}: {error.strerror}")


def _source(camera: CameraSettings) -> str:
    text = source_text(camera)
    check_source(text, settings=camera.stream, clock=SystemClock())
    return f"source {redact_source(text)}"


def _known_source(camera: CameraSettings) -> str:
    """Return the source, or an empty string where it cannot be read; ``_source`` reports that."""
    try:
        return source_text(camera)
    except VedetteError:
        return ""


def _model(camera: CameraSettings, places: ModelPlaces) -> str:
    model = find_camera_model(camera, source=_known_source(camera), places=places)
    detector = build_detector(camera, model)
    try:
        if problems := class_problems(camera, detector.labels):
            raise ConfigurationError("; ".join(problems))
        return (
            "none; moving objects are reported as `object`"
            if model is None
            else f"{model.name}, {len(detector.labels)} classes"
        )
    finally:
        detector.close()


def _plates(camera: CameraSettings) -> str:
    open_engine(camera.anpr.engine, threads=camera.anpr.threads)
    return f"read by {camera.anpr.engine}"
