"""Loads the agent's configuration, and the values that it refers to in files and environment variables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from edge_agent.config.problems import describe, invalid_file, place_of
from edge_agent.config.settings import AgentConfig, CameraSettings
from edge_agent.config.toml_file import read_toml, stray_characters
from edge_agent.detect.models.catalogue import user_cache_dir
from shared.errors import ConfigurationError
from shared.redact import redact_value

_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "off"})


def load_config(path: Path) -> AgentConfig:
    """Read and validate ``path``. Raise ConfigurationError that lists each problem and its place."""
    data = read_toml(path)
    if stray := [f"{place_of(location, data)}: {problem}" for location, problem in stray_characters(data)]:
        raise invalid_file(path, stray)
    try:
        return AgentConfig.model_validate(data)
    except ValidationError as error:
        raise invalid_file(path, describe(error, data, model=AgentConfig)) from error


def source_text(camera: CameraSettings, environment: Mapping[str, str] = os.environ) -> str:
    """Return the camera's source. Raise ConfigurationError where its environment variable or file does not have one."""
    if camera.source is not None:
        return camera.source
    if camera.source_env is not None:
        value = environment.get(camera.source_env, "").strip()
        if not value:
            raise ConfigurationError(
                f"camera {camera.id}: the environment variable {redact_value(camera.source_env)} is not set"
            )
        return value
    path = camera.source_file or Path()
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise ConfigurationError(
            f"camera {camera.id}: source_file {redact_value(str(path))}: {error.strerror}"
        ) from error
    if not lines[0].strip():
        raise ConfigurationError(f"camera {camera.id}: the first line of source_file {path} is empty")
    return lines[0].strip()


def keeps_pictures(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether this device keeps pictures: false if ENABLE_SNAPSHOTS says so, whatever its cameras are set to.

    Raise ConfigurationError for a value that is neither true nor false.
    """
    text = environment.get("ENABLE_SNAPSHOTS", "").strip().lower() or "true"
    if text not in _TRUE | _FALSE:
        raise ConfigurationError("ENABLE_SNAPSHOTS must be true or false")
    return text in _TRUE


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
