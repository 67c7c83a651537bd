"""Reads the number on a plate's crop with a small TFLite network: ours, or any with the same description beside it.

The network spots characters on a grid (see ``spotting``). Where the first look shows that the crop sits badly on the
number - much too loose, or slanting - the crop is straightened by the characters found and read once more, and the
surer reading counts.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np

from edge_agent.anpr.spotting import ALPHABET, Floats, SpottedCharacter, softmax, spot
from edge_agent.anpr.types import PlateReading
from edge_agent.detect.network import Network
from edge_agent.detect.tflite import open_litert
from edge_agent.types import Image
from shared.errors import ConfigurationError

MODEL_NAME = "plate_reader"
REGION_SURE = 0.9
"""Below this probability no region is told."""
_SMALLEST_CROP_PX = 4


@dataclass(frozen=True, slots=True)
class ReaderModel:
    """What the JSON beside a reader's ``.tflite`` says of it."""

    name: str
    version: str
    alphabet: str
    width: int
    height: int
    regions: tuple[str, ...]
    sha256: str
    threshold: float

    @staticmethod
    def load(path: Path) -> ReaderModel:
        """Read the description of a model; ``ConfigurationError`` where it is missing, damaged or of another make."""
        beside = path.with_suffix(".json")
        try:
            values = cast("dict[str, Any]", json.loads(beside.read_text("utf-8")))
            model = ReaderModel(
                str(values["name"]), str(values["version"]), str(values["alphabet"]), int(values["input_width"]),
                int(values["input_height"]), tuple(str(region) for region in values["regions"]), str(values["sha256"]),
                float(values["threshold"]),
            )  # fmt: skip
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(f"{beside} does not describe a plate reader: {error!r}") from error
        if model.alphabet != ALPHABET:
            raise ConfigurationError(f"{beside}: this reader's alphabet is {model.alphabet!r}, expected {ALPHABET!r}")
        return model


def shipped_model() -> Path:
    """Return the reader that comes with the package."""
    return Path(str(files("edge_agent.anpr") / "models" / f"{MODEL_NAME}.tflite"))


def open_reader(path: Path | None = None, *, threads: int = 1) -> NetworkPlateReader:
    """Open a reader model, the shipped one by default, after checking that the file is the one described."""
    path = path or shipped_model()
    model = ReaderModel.load(path)
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ConfigurationError(f"cannot read the plate reader {path}: {error.strerror}") from error
    if digest != model.sha256:
        raise ConfigurationError(f"{path} is not the file its description speaks of (sha256 {digest}); fetch it again")
    return NetworkPlateReader(model=model, network=open_litert(path, threads=threads, edgetpu=False))


class NetworkPlateReader:
    """A ``PlateReader`` over a character-spotting network. Not for use by two threads at once."""

    def __init__(self, *, model: ReaderModel, network: Network, second_look: bool = True) -> None:
        self.model = model
        self._network = network
        self._second_look = second_look
        shapes = [spec.shape for spec in network.outputs]
        self._cells_at = max(range(len(shapes)), key=lambda index: len(shapes[index]))

    def read(self, crop: Image) -> PlateReading:
        """Read the plate that fills this crop (BGR, any size); an empty reading where nothing is legible."""
        if min(crop.shape[:2]) < _SMALLEST_CROP_PX:
            return PlateReading("", 0.0)
        found, region = self._look(crop)
        if self._second_look and found:
            again = straightened(crop, found, self.model.width, self.model.height)
            if again is not None:
                better, better_region = self._look(again)
                if len(better) >= len(found) and _certainty(better) > _certainty(found):
                    found, region = better, better_region
        return _reading(found, region)

    def _look(self, crop: Image) -> tuple[list[SpottedCharacter], str | None]:
        spec = self._network.input
        picture = as_input(crop, self.model.width, self.model.height)
        if spec.is_quantised:
            stored = np.rint(picture / np.float32(spec.scale)) + spec.zero_point
            limits = np.iinfo(spec.dtype)
            picture = np.clip(stored, limits.min, limits.max).astype(spec.dtype)
        outputs = self._network.run(picture[None])
        real = [s.dequantise(o)[0] for s, o in zip(self._network.outputs, outputs, strict=True)]
        characters = spot(real[self._cells_at], threshold=self.model.threshold)
        return characters, self._region(real[1 - self._cells_at]) if len(real) == 2 else None

    def _region(self, logits: Floats) -> str | None:
        probabilities = softmax(logits)
        best = int(probabilities.argmax())
        name = self.model.regions[best]
        return name if float(probabilities[best]) >= REGION_SURE and name != "other" else None


def as_input(crop: Image, width: int, height: int) -> Floats:
    """Return the crop as RGB 0..1 in the network's size; what shrinks is averaged, as in training."""
    shrinks = crop.shape[1] > width and crop.shape[0] > height
    small = cv2.resize(crop, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2RGB), np.float32) / np.float32(255)


def straightened(crop: Image, found: list[SpottedCharacter], width: int, height: int) -> Image | None:
    """Return the crop cut anew around the characters and straightened, or None where it sits well enough."""
    if len(found) < 3:
        return None
    x, y = np.array([c.middle_x for c in found]), np.array([c.middle_y for c in found])
    wide, tall = (float(np.median([getattr(c, side) for c in found])) for side in ("width", "height"))
    slope = _slope(x, y, tall)
    level = y - slope * x
    left, right = float(x.min()) - 1.2 * wide, float(x.max()) + 1.2 * wide
    top, bottom = float(level.min()) - 0.95 * tall, float(level.max()) + 0.95 * tall
    fills = (right - left) / width > 0.72 and (bottom - top) / height > 0.62
    if fills and abs(slope) < 0.06:
        return None
    corners = [(left, top + slope * left), (right, top + slope * right), (right, bottom + slope * right)]
    scale = np.array([crop.shape[1] / width, crop.shape[0] / height], np.float32)
    source = np.array(corners, np.float32) * scale
    out_width = max(16, math.ceil(float(np.linalg.norm(source[1] - source[0]))))
    out_height = max(8, math.ceil(float(np.linalg.norm(source[2] - source[1]))))
    target = np.array([(0, 0), (out_width, 0), (out_width, out_height)], np.float32)
    matrix = cv2.getAffineTransform(source, target)
    return np.asarray(
        cv2.warpAffine(crop, matrix, (out_width, out_height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE),
        np.uint8,
    )


def _slope(x: Floats, y: Floats, tall: float) -> float:
    """Return how much the lines of text fall to the right, in the network's pixels; robust to a second line."""
    span = float(x.max() - x.min())
    if span < 2 * tall * 0.5:
        return 0.0
    pairs = [
        (float(y[j] - y[i]) / float(x[j] - x[i]))
        for i in range(len(x))
        for j in range(len(x))
        if x[j] - x[i] > 0.25 * span and abs(y[j] - y[i]) < 0.45 * tall
    ]
    return float(np.median(pairs)) if pairs else 0.0


def _certainty(found: list[SpottedCharacter]) -> float:
    """Return the probability that a character is right, as a geometric mean, so that length costs nothing."""
    return float(np.exp(np.mean([math.log(max(c.confidence, 1e-3)) for c in found]))) if found else 0.0


def _reading(found: list[SpottedCharacter], region: str | None) -> PlateReading:
    if not found:
        return PlateReading("", 0.0)
    return PlateReading(
        "".join(character.char for character in found),
        math.prod(character.confidence for character in found),
        tuple(character.confidence for character in found),
        region,
    )
