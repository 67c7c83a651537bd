"""Turns the options of ``edge-agent replay`` into a replay job."""

from __future__ import annotations

import argparse
from pathlib import Path

from edge_agent.anpr.engines import models_available
from edge_agent.cli.replay import ReplayJob
from edge_agent.cli.rules_file import load_rules_file
from edge_agent.config import CameraSettings, load_config
from shared.errors import ConfigurationError
from shared.ids import require_segment


def replay_job(options: argparse.Namespace) -> ReplayJob:
    """Return the job for the parsed options. Raise ConfigurationError for files or options that are not valid."""
    site_id, device_id = "local", "replay"
    camera: CameraSettings | None = None
    if options.config is not None:
        site_id, device_id, camera = _configured_camera(options.config, options.camera_id)
    require_segment(options.camera_id, name="--camera-id")
    if options.rules is not None:
        camera = load_rules_file(options.rules, camera_id=options.camera_id, source=options.source)
    camera = camera or CameraSettings(id=options.camera_id, source=options.source)
    return ReplayJob(
        source=options.source,
        out=options.out,
        camera=_with_options(camera, options),
        site_id=site_id,
        device_id=device_id,
        start_time=options.start_time,
        video=options.video,
    )


def _configured_camera(path: Path, camera_id: str) -> tuple[str, str, CameraSettings]:
    """Return the site, the device and the camera with this id in an agent's configuration."""
    config = load_config(path)
    for camera in config.cameras:
        if camera.id == camera_id:
            return config.site_id, config.device_id, camera
    known = ", ".join(camera.id for camera in config.cameras) or "none"
    raise ConfigurationError(f"{path} has no camera {camera_id}; it has {known} (--camera-id)")


def _with_options(camera: CameraSettings, options: argparse.Namespace) -> CameraSettings:
    """Return the settings with the options that override them."""
    gate = camera.gate.model_copy(
        update={
            "detect_every": options.detect_every or camera.gate.detect_every,
            "motion_gate": camera.gate.motion_gate and not options.no_motion_gate,
        }
    )
    given = {"name": options.model, "labels": options.labels}
    model = camera.model.model_copy(update={name: value for name, value in given.items() if value is not None})
    anpr = camera.anpr.model_copy(update={"enabled": _reads_plates(camera, options)})
    return camera.model_copy(update={"gate": gate, "model": model, "anpr": anpr})


def _reads_plates(camera: CameraSettings, options: argparse.Namespace) -> bool:
    """Return the value of ``--plates``, else that of the file, else whether the models are installed."""
    plates: bool | None = options.plates
    if plates and camera.mode != "tracking":
        raise ConfigurationError(f'--plates needs mode = "tracking"; camera {camera.id} has "{camera.mode}"')
    if plates is not None:
        return plates
    is_set_in_file = options.config is not None or (options.rules is not None and "anpr" in camera.model_fields_set)
    return camera.anpr.enabled if is_set_in_file else models_available() and camera.mode == "tracking"
