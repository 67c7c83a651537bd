"""The JSON description of a reader's ``.tflite`` file, and the check that the two match."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

from edge_agent.anpr.recognition.character_detection import ALPHABET
from shared.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class ReaderModel:
    """Name, version and parameters of a reader model; sizes in pixels."""

    name: str
    version: str
    alphabet: str
    width: int
    height: int
    sha256: str
    regions: tuple[str, ...]
    """Classes of the second output; empty if there is none."""
    threshold: float
    """Minimum confidence of a character, 0..1."""

    @staticmethod
    def load(path: Path) -> ReaderModel:
        """Read a model's description; raise ConfigurationError if it is missing, invalid or for another alphabet."""
        beside = path.with_suffix(".json")
        try:
            values = cast("dict[str, Any]", json.loads(beside.read_text("utf-8")))
            model = ReaderModel(
                str(values["name"]), str(values["version"]), str(values["alphabet"]), int(values["input_width"]),
                int(values["input_height"]), str(values["sha256"]),
                tuple(str(region) for region in values["regions"]), float(values["threshold"]),
            )  # fmt: skip
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(f"{beside} does not describe a plate reader: {error!r}") from error
        if model.alphabet != ALPHABET:
            raise ConfigurationError(f"{beside}: this reader's alphabet is {model.alphabet!r}, expected {ALPHABET!r}")
        return model

    @staticmethod
    def load_checked(path: Path) -> ReaderModel:
        """Read the description, and raise ConfigurationError if the model file does not match its hash."""
        model = ReaderModel.load(path)
        try:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise ConfigurationError(f"cannot read the plate reader {path}: {error.strerror}") from error
        if digest != model.sha256:
            raise ConfigurationError(
                f"{path} does not match its description (sha256 {digest}); install the release again"
            )
        return model


def shipped(name: str) -> Path:
    """Return the path of the shipped model of this name."""
    return Path(str(files("edge_agent.anpr") / "models" / f"{name}.tflite"))
