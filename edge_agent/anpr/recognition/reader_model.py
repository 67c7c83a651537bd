"""What the JSON beside a reader's ``.tflite`` says of it, and whether the file is the one it speaks of."""

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
    """A model's name, make and measures; pixels."""

    name: str
    version: str
    alphabet: str
    width: int
    height: int
    sha256: str
    regions: tuple[str, ...]
    """what its second output tells apart; nothing where it has none"""
    threshold: float
    """how sure a place must be that a character is there"""

    @staticmethod
    def load(path: Path) -> ReaderModel:
        """Read the description of a model; ``ConfigurationError`` where it is missing, damaged or of another make."""
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
        """Do the same, and raise ``ConfigurationError`` too where the model is not the file described."""
        model = ReaderModel.load(path)
        try:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise ConfigurationError(f"cannot read the plate reader {path}: {error.strerror}") from error
        if digest != model.sha256:
            raise ConfigurationError(
                f"{path} is not the file its description speaks of (sha256 {digest}); fetch it again"
            )
        return model


def shipped(name: str) -> Path:
    """Return where a model of this name comes with the package."""
    return Path(str(files("edge_agent.anpr") / "models" / f"{name}.tflite"))
