"""Reads the crop of a plate with two small networks; the second one runs only if the first is uncertain.

The first network detects characters on a grid (``character_detection``). If the result is uncertain, a level and
tighter crop around the characters is read again (two crops without a line reader), and the most certain result is
kept. On misplaced crops this halves the errors (``training/MODEL_CARD_reader.md``). The second network then reads each
line (``line_reader``), and both results are fused (``fusion``).
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from edge_agent.anpr.recognition.character_detection import (
    ALPHABET,
    DetectedCharacter,
    Floats,
    detect_characters,
    softmax,
    split_lines,
)
from edge_agent.anpr.recognition.crops import crop_around, to_reader_input
from edge_agent.anpr.recognition.fusion import fuse
from edge_agent.anpr.recognition.line_reader import LineReader, open_line_reader
from edge_agent.anpr.recognition.plate_syntax import disambiguate
from edge_agent.anpr.recognition.reader_model import ReaderModel, shipped
from edge_agent.anpr.types import PlateReading
from edge_agent.detect.runtimes.base import InferenceModel
from edge_agent.detect.runtimes.table import open_model
from edge_agent.types import Image

MODEL_NAME = "plate_reader"
MIN_REGION_PROBABILITY = 0.9
"""Minimum probability of a region that is reported."""
MIN_CERTAINTY = 0.925
"""``certainty`` of the first result from which it is final. About two in five plates are below it. Raising it is slower
and corrects few more errors (``training/MODEL_CARD_line.md``)."""
CROP_MARGINS = ((1.0, 0.75), (1.3, 1.0))
"""Margins of the tighter crops, in character widths and heights. With a line reader only the first is used, because the
second one brings no further gain."""
_MIN_CROP_PX = 4
_MIN_CHARACTERS_TO_CROP = 3


def open_reader(path: Path | None = None, *, threads: int = 1) -> NetworkPlateReader:
    """Open a reader model; raise ConfigurationError if the file does not match its description.

    By default the shipped model is opened together with the shipped line reader. Any other model is used alone.
    """
    line_reader = open_line_reader(threads=threads) if path is None else None
    path = path or shipped(MODEL_NAME)
    model = ReaderModel.load_checked(path)
    network = open_model(path, threads=threads, edgetpu=False)
    return NetworkPlateReader(model=model, network=network, line_reader=line_reader)


class NetworkPlateReader:
    """A ``PlateReader`` with a character detection network and an optional line reader. Not thread-safe."""

    def __init__(
        self,
        *,
        model: ReaderModel,
        network: InferenceModel,
        line_reader: LineReader | None = None,
        read_again: bool = True,
    ) -> None:
        self.model = model
        self._network = network
        self._line_reader = line_reader
        self._read_again = read_again
        shapes = [spec.shape for spec in network.outputs]
        self._cells_at = max(range(len(shapes)), key=lambda index: len(shapes[index]))

    def read(self, crop: Image) -> PlateReading:
        """Read a plate that fills the crop (BGR, any size); the text is empty if nothing is legible."""
        if min(crop.shape[:2]) < _MIN_CROP_PX:
            return PlateReading("", 0.0)
        first, regions = self.detect(crop)
        if not self._is_uncertain(first):
            return _reading([character.distribution for character in first], regions)
        closer = [
            self.detect(crop_around(crop, first, margins, self.model.width, self.model.height))[0]
            for margins in (CROP_MARGINS if self._line_reader is None else CROP_MARGINS[:1])
        ]
        surest = max([first, *closer], key=certainty)
        if self._line_reader is None:
            return _reading([character.distribution for character in surest], regions)
        lines, places = split_lines(surest), split_lines(first)
        if len(lines) != len(places):
            lines = places
        distributions: list[Floats] = []
        for line, place in zip(lines, places, strict=True):
            distributions += fuse([character.distribution for character in line], self._line_reader.read(crop, place))
        return _reading(distributions, regions)

    def _is_uncertain(self, characters: list[DetectedCharacter]) -> bool:
        return self._read_again and len(characters) >= _MIN_CHARACTERS_TO_CROP and certainty(characters) < MIN_CERTAINTY

    def detect(self, crop: Image) -> tuple[list[DetectedCharacter], dict[str, float]]:
        """Return the characters on a crop, in pixels of the network's input, and the probability of each region."""
        picture = to_reader_input(crop, self.model.width, self.model.height)
        outputs = self._network.run(self._network.input.quantise(picture)[None])
        real = [s.dequantise(o)[0] for s, o in zip(self._network.outputs, outputs, strict=True)]
        characters = detect_characters(real[self._cells_at], threshold=self.model.threshold)
        return characters, self._regions(real[1 - self._cells_at]) if len(real) == 2 else {"other": 1.0}

    def _regions(self, logits: Floats) -> dict[str, float]:
        return {name: float(chance) for name, chance in zip(self.model.regions, softmax(logits), strict=True)}


def certainty(characters: list[DetectedCharacter]) -> float:
    """Return the geometric mean of the characters' confidences, which does not depend on the length."""
    return float(np.exp(np.mean([math.log(max(c.confidence, 1e-3)) for c in characters]))) if characters else 0.0


def _reading(distributions: list[Floats], regions: dict[str, float]) -> PlateReading:
    if not distributions:
        return PlateReading("", 0.0)
    classes, confidences = disambiguate(np.stack(distributions), regions)
    region = max(regions, key=lambda name: regions[name])
    return PlateReading(
        "".join(ALPHABET[index] for index in classes),
        math.prod(float(confidence) for confidence in confidences),
        tuple(float(confidence) for confidence in confidences),
        region if regions[region] >= MIN_REGION_PROBABILITY and region != "other" else None,
    )
