"""Selection of a camera's detection model."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from edge_agent.config import CameraSettings, ModelPlaces
from edge_agent.pipeline.build import find_camera_model
from shared.errors import ConfigurationError


@pytest.fixture
def no_models(tmp_path: Path) -> ModelPlaces:
    """Return model places without models: an empty folder and no network."""
    (tmp_path / "models").mkdir()
    return ModelPlaces(location=str(tmp_path / "models"), cache_dir=tmp_path / "cache")


def _camera(**settings: object) -> CameraSettings:
    return CameraSettings.model_validate({"id": "gate", "source": "clip.mp4", **settings})


@pytest.mark.parametrize(
    ("source", "settings", "uses_default"),
    [
        ("clip.mp4", {}, True),
        ("rtsp://camera/1", {}, True),
        ("synthetic:gate", {}, False),
        ("clip.mp4", {"mode": "motion"}, False),
        ("clip.mp4", {"model": {"name": "none"}}, False),
    ],
)
def test_only_cameras_with_real_pictures_use_the_default_model(
    no_models: ModelPlaces,
    caplog: pytest.LogCaptureFixture,
    source: str,
    settings: dict[str, object],
    uses_default: bool,
) -> None:
    """The synthetic scene and the motion mode need no model; for others, a missing default model is logged."""
    caplog.set_level(logging.WARNING)
    assert find_camera_model(_camera(**settings), source=source, places=no_models) is None
    assert ("no detection model" in caplog.text) == uses_default


def test_a_configured_model_must_exist_also_for_the_synthetic_scene(no_models: ModelPlaces) -> None:
    """A configured model that is missing raises a ConfigurationError."""
    with pytest.raises(ConfigurationError, match="mine"):
        find_camera_model(_camera(model={"name": "mine"}), source="synthetic:gate", places=no_models)
