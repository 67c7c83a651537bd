"""Reads the number on a plate's crop with a small TFLite network: ours, or any with the same description beside it.

The network spots characters on a grid (see ``spotting``). Unless the first look is sure of
every character, the crop is cut anew around the characters found, level and close, and read twice more; the surest
reading counts. On misplaced crops that halves the errors (``training/MODEL_CARD_reader.md``).
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

from edge_agent.anpr.serials import settle
from edge_agent.anpr.spotting import ALPHABET, Floats, SpottedCharacter, softmax, spot
from edge_agent.anpr.types import PlateReading
from edge_agent.detect.network import Network
from edge_agent.detect.tflite import open_litert
from edge_agent.types import Image
from shared.errors import ConfigurationError

MODEL_NAME = "plate_reader"
REGION_SURE = 0.9
"""Below this probability no region is told."""
SURE_AT_FIRST = 0.85
"""Where every character of the first look is surer than this there is no second one. Of 3,104 plates, drawn and
photographed, cut by hand and found in scenes, as many are read as with two more looks at each, in 1.7 looks a plate."""
CLOSER_LOOKS = ((1.0, 0.75), (1.3, 1.0))
"""How far around the characters the further looks are cut: widths and heights of a character from the outer middles."""
_SMALLEST_CROP_PX = 4
_FEWEST_TO_STRAIGHTEN = 3


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
        found, regions = self.look(crop)
        if self._looks_again(found):
            first = found
            for margins in CLOSER_LOOKS:
                closer, _ = self.look(straightened(crop, first, margins, self.model.width, self.model.height))
                if certainty(closer) > certainty(found):
                    found = closer
        return _reading(found, regions)

    def _looks_again(self, found: list[SpottedCharacter]) -> bool:
        return (
            self._second_look
            and len(found) >= _FEWEST_TO_STRAIGHTEN
            and min(character.confidence for character in found) < SURE_AT_FIRST
        )

    def look(self, crop: Image) -> tuple[list[SpottedCharacter], dict[str, float]]:
        """Return what one look at a crop shows: characters in the network's pixels, and each region's probability."""
        spec = self._network.input
        picture = as_input(crop, self.model.width, self.model.height)
        if spec.is_quantised:
            stored = np.rint(picture / np.float32(spec.scale)) + spec.zero_point
            limits = np.iinfo(spec.dtype)
            picture = np.clip(stored, limits.min, limits.max).astype(spec.dtype)
        outputs = self._network.run(picture[None])
        real = [s.dequantise(o)[0] for s, o in zip(self._network.outputs, outputs, strict=True)]
        characters = spot(real[self._cells_at], threshold=self.model.threshold)
        return characters, self._regions(real[1 - self._cells_at]) if len(real) == 2 else {"other": 1.0}

    def _regions(self, logits: Floats) -> dict[str, float]:
        return {name: float(chance) for name, chance in zip(self.model.regions, softmax(logits), strict=True)}


def as_input(crop: Image, width: int, height: int) -> Floats:
    """Return the crop as RGB 0..1 in the network's size."""
    return np.asarray(stretched(crop, width, height), np.float32) / np.float32(255)


def stretched(crop: Image, width: int, height: int) -> Image:
    """Return the crop as RGB in the network's size; what shrinks is averaged. Training stretches by the same code."""
    shrinks = crop.shape[1] > width and crop.shape[0] > height
    small = cv2.resize(crop, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2RGB), np.uint8)


def straightened(
    crop: Image, found: list[SpottedCharacter], margins: tuple[float, float], width: int, height: int
) -> Image:
    """Return the crop cut anew around the characters, level, in the network's size.

    ``margins``: how far the cut lies from the outer characters' middles, in widths and heights of a character.
    """
    x, y = np.array([c.middle_x for c in found]), np.array([c.middle_y for c in found])
    wide, tall = (float(np.median([getattr(c, side) for c in found])) for side in ("width", "height"))
    slope = _slope(x, y, tall)
    level = y - slope * x
    left, right = float(x.min()) - margins[0] * wide, float(x.max()) + margins[0] * wide
    top, bottom = float(level.min()) - margins[1] * tall, float(level.max()) + margins[1] * tall
    corners = [(left, top + slope * left), (right, top + slope * right), (right, bottom + slope * right)]
    source = np.array(corners, np.float32) * np.array([crop.shape[1] / width, crop.shape[0] / height], np.float32)
    shrinks = source[1, 0] - source[0, 0] > 2 * width and source[2, 1] - source[1, 1] > 2 * height
    if shrinks:  # averaged first: a warp alone skips pixels
        crop = np.asarray(cv2.resize(crop, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)
        source *= np.float32(0.5)
    target = np.array([(0, 0), (width, 0), (width, height)], np.float32)
    matrix = cv2.getAffineTransform(source, target)
    cut = cv2.warpAffine(crop, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cut, np.uint8)


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


def certainty(found: list[SpottedCharacter]) -> float:
    """Return how sure each character is, as a geometric mean, so that length costs nothing."""
    return float(np.exp(np.mean([math.log(max(c.confidence, 1e-3)) for c in found]))) if found else 0.0


def _reading(found: list[SpottedCharacter], regions: dict[str, float]) -> PlateReading:
    if not found:
        return PlateReading("", 0.0)
    classes, confidences = settle(np.stack([character.distribution for character in found]), regions)
    region = max(regions, key=lambda name: regions[name])
    return PlateReading(
        "".join(ALPHABET[index] for index in classes),
        math.prod(float(confidence) for confidence in confidences),
        tuple(float(confidence) for confidence in confidences),
        region if regions[region] >= REGION_SURE and region != "other" else None,
    )
