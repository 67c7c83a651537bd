"""Which detection model a camera gets."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from edge_agent.config import CameraSettings, ModelPlaces
from edge_agent.pipeline.build import find_camera_model
from shared.errors import ConfigurationError


@pytest.fixture
def nowhere(tmp_path: Path) -> ModelPlaces:
    """Places that hold no model: an empty folder, and no network."""
    (tmp_path / "models").mkdir()
    return ModelPlaces(location=str(tmp_path / "models"), cache_dir=tmp_path / "cache")


def _camera(**settings: object) -> CameraSettings:
    return CameraSettings.model_validate({"id": "gate", "source": "clip.mp4", **settings})


@pytest.mark.parametrize(
    ("source", "settings", "looks_for_one"),
    [
        ("clip.mp4", {}, True),
        ("rtsp://camera/1", {}, True),
        ("synthetic:gate", {}, False),
        ("clip.mp4", {"mode": "motion"}, False),
        ("clip.mp4", {"model": {"name": "none"}}, False),
    ],
)
def test_the_generated_scene_needs_no_model(
    nowhere: ModelPlaces,
    caplog: pytest.LogCaptureFixture,
    source: str,
    settings: dict[str, object],
    looks_for_one: bool,
) -> None:
    """Only a camera that shows the world looks for the default model, and says so where there is none."""
    caplog.set_level(logging.WARNING)
    assert find_camera_model(_camera(**settings), source=source, places=nowhere) is None
    assert ("no detection model" in caplog.text) == looks_for_one


def test_a_model_that_is_named_is_wanted_for_the_generated_scene_too(nowhere: ModelPlaces) -> None:
    """Naming one is how to try it there."""
    with pytest.raises(ConfigurationError, match="mine"):
        find_camera_model(_camera(model={"name": "mine"}), source="synthetic:gate", places=nowhere)
