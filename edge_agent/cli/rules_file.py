"""Reads the file of ``edge-agent replay --rules``: the settings of one camera.

Three forms are accepted: an agent's configuration (other sections are ignored and not required), the settings of one
camera (``[events]``, ``[[events.zones]]``, ``[detect]`` …), or zones and lines alone (``[[zones]]``, ``[[lines]]``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from edge_agent.config import CameraSettings
from edge_agent.config.problems import describe, invalid_file
from edge_agent.config.toml_file import read_toml, stray_characters
from edge_agent.events.settings import EventSettings
from shared.errors import ConfigurationError

_SOURCES = ("source", "source_env", "source_file")
_EVENT_SETTINGS = frozenset(EventSettings.model_fields) - frozenset(CameraSettings.model_fields)


def load_rules_file(path: Path, *, camera_id: str, source: str) -> CameraSettings:
    """Return the camera settings in ``path``, with this id and source.

    Raise ConfigurationError that lists each problem and its place, as for an agent's configuration.
    """
    data = read_toml(path)
    if stray := [f"{'.'.join(map(str, location))}: {problem}" for location, problem in stray_characters(data)]:
        raise invalid_file(path, stray)
    camera = _camera_in(data, path, camera_id)
    given = {name: value for name, value in camera.items() if name not in _SOURCES}
    try:
        return CameraSettings.model_validate(given | {"id": camera_id, "source": source})
    except ValidationError as error:
        raise invalid_file(path, describe(error, given, model=CameraSettings)) from error


def _camera_in(data: dict[str, Any], path: Path, camera_id: str) -> dict[str, Any]:
    cameras = data.get("cameras")
    if cameras is None:
        return _with_events(data)
    listed = [cast("dict[str, Any]", camera) for camera in cameras if isinstance(camera, dict)]
    chosen = [camera for camera in listed if camera.get("id") == camera_id] or (listed if len(listed) == 1 else [])
    if not chosen:
        known = ", ".join(str(camera.get("id")) for camera in listed) or "none"
        raise ConfigurationError(
            f"{path} has no camera {camera_id}; it has {known} (`edge-agent replay` takes --camera-id)"
        )
    timezone = {"timezone": data["timezone"]} if "timezone" in data else {}
    return {**chosen[0], "events": {**timezone, **chosen[0].get("events", {})}}


def _with_events(data: dict[str, Any]) -> dict[str, Any]:
    """Move event settings from the top level into the table ``events``."""
    events = {name: value for name, value in data.items() if name in _EVENT_SETTINGS}
    if not events:
        return data
    rest = {name: value for name, value in data.items() if name not in _EVENT_SETTINGS}
    return {**rest, "events": {**events, **rest.get("events", {})}}
