"""Reads what ``edge-agent replay --rules`` takes: a camera's settings without the rest of an agent's file.

Three forms, whichever is at hand: an agent's file (its other sections are not needed and not looked at), the settings
of one camera (``[events]``, ``[[events.zones]]``, ``[detect]`` …), or zones and lines alone (``[[zones]]``,
``[[lines]]``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from edge_agent.config import CameraSettings, describe, not_right
from edge_agent.config_file import read_toml, stray_characters
from edge_agent.events.settings import EventSettings
from shared.errors import ConfigurationError

_SOURCES = ("source", "source_env", "source_file")
_OF_EVENTS = frozenset(EventSettings.model_fields) - frozenset(CameraSettings.model_fields)


def camera_of_rules(path: Path, *, camera_id: str, source: str) -> CameraSettings:
    """Return the settings in ``path`` for a camera that shows ``source``.

    Raise ConfigurationError that names what is wrong where, as for an agent's file.
    """
    data = read_toml(path)
    if stray := [f"{'.'.join(map(str, location))}: {problem}" for location, problem in stray_characters(data)]:
        raise not_right(path, stray)
    camera = _camera_in(data, path, camera_id)
    given = {name: value for name, value in camera.items() if name not in _SOURCES}
    try:
        return CameraSettings.model_validate(given | {"id": camera_id, "source": source})
    except ValidationError as error:
        raise not_right(path, describe(error, given, model=CameraSettings)) from error


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
    """Move settings of events that stand at the top to where a camera has them."""
    events = {name: value for name, value in data.items() if name in _OF_EVENTS}
    if not events:
        return data
    rest = {name: value for name, value in data.items() if name not in _OF_EVENTS}
    return {**rest, "events": {**events, **rest.get("events", {})}}
