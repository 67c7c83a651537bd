"""Reads the number on a plate's crop with two small networks, of which the second is asked where the first doubts.

The first spots characters on a grid (see ``spotting``). Unless that look is certain, the crop is cut anew around the
characters found, level and close, and looked at once more (twice where the first network is alone); the surest look
counts. On misplaced crops that halves the errors (``training/MODEL_CARD_reader.md``). Then the second network reads
each line by itself (``line_reader``), and what the two say is joined (``agreement``).
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
REGION_SURE = 0.9
"""Below this probability no region is told."""
SURE_AT_FIRST = 0.925
"""Where the ``certainty`` of the first look is more than this nothing more is asked. Two of five are doubtful so,
and asking of more finds few more errors (``training/MODEL_CARD_line.md``)."""
CLOSER_LOOKS = ((1.0, 0.75), (1.3, 1.0))
"""How far around the characters the further looks are cut: widths and heights of a character from the outer middles.
Where there is a line reader the first does: with it the other one's gain is nothing."""
_SMALLEST_CROP_PX = 4
_FEWEST_TO_STRAIGHTEN = 3


def open_reader(path: Path | None = None, *, threads: int = 1) -> NetworkPlateReader:
    """Open a reader model after checking that the file is the one described.

    By default it is the shipped one, and the shipped line reader with it; any other model reads alone.
    """
    line_reader = open_line_reader(threads=threads) if path is None else None
    path = path or shipped(MODEL_NAME)
    model = ReaderModel.load_checked(path)
    network = open_model(path, threads=threads, edgetpu=False)
    return NetworkPlateReader(model=model, network=network, line_reader=line_reader)


class NetworkPlateReader:
    """A ``PlateReader`` over a character-spotting network. Not for use by two threads at once."""

    def __init__(
        self,
        *,
        model: ReaderModel,
        network: InferenceModel,
        line_reader: LineReader | None = None,
        second_look: bool = True,
    ) -> None:
        self.model = model
        self._network = network
        self._line_reader = line_reader
        self._second_look = second_look
        shapes = [spec.shape for spec in network.outputs]
        self._cells_at = max(range(len(shapes)), key=lambda index: len(shapes[index]))

    def read(self, crop: Image) -> PlateReading:
        """Read the plate that fills this crop (BGR, any size); an empty reading where nothing is legible."""
        if min(crop.shape[:2]) < _SMALLEST_CROP_PX:
            return PlateReading("", 0.0)
        first, regions = self.look(crop)
        if not self._is_doubtful(first):
            return _reading([character.distribution for character in first], regions)
        closer = [
            self.look(crop_around(crop, first, margins, self.model.width, self.model.height))[0]
            for margins in (CLOSER_LOOKS if self._line_reader is None else CLOSER_LOOKS[:1])
        ]
        surest = max([first, *closer], key=certainty)
        if self._line_reader is None:
            return _reading([character.distribution for character in surest], regions)
        lines, places = split_lines(surest), split_lines(first)
        if len(lines) != len(places):
            lines = places
        seen: list[Floats] = []
        for line, place in zip(lines, places, strict=True):
            seen += fuse([character.distribution for character in line], self._line_reader.read(crop, place))
        return _reading(seen, regions)

    def _is_doubtful(self, found: list[DetectedCharacter]) -> bool:
        return self._second_look and len(found) >= _FEWEST_TO_STRAIGHTEN and certainty(found) < SURE_AT_FIRST

    def look(self, crop: Image) -> tuple[list[DetectedCharacter], dict[str, float]]:
        """Return what one look at a crop shows: characters in the network's pixels, and each region's probability."""
        spec = self._network.input
        picture = to_reader_input(crop, self.model.width, self.model.height)
        if spec.is_quantised:
            stored = np.rint(picture / np.float32(spec.scale)) + spec.zero_point
            limits = np.iinfo(spec.dtype)
            picture = np.clip(stored, limits.min, limits.max).astype(spec.dtype)
        outputs = self._network.run(picture[None])
        real = [s.dequantise(o)[0] for s, o in zip(self._network.outputs, outputs, strict=True)]
        characters = detect_characters(real[self._cells_at], threshold=self.model.threshold)
        return characters, self._regions(real[1 - self._cells_at]) if len(real) == 2 else {"other": 1.0}

    def _regions(self, logits: Floats) -> dict[str, float]:
        return {name: float(chance) for name, chance in zip(self.model.regions, softmax(logits), strict=True)}


def certainty(found: list[DetectedCharacter]) -> float:
    """Return how sure each character is, as a geometric mean, so that length costs nothing."""
    return float(np.exp(np.mean([math.log(max(c.confidence, 1e-3)) for c in found]))) if found else 0.0


def _reading(seen: list[Floats], regions: dict[str, float]) -> PlateReading:
    if not seen:
        return PlateReading("", 0.0)
    classes, confidences = disambiguate(np.stack(seen), regions)
    region = max(regions, key=lambda name: regions[name])
    return PlateReading(
        "".join(ALPHABET[index] for index in classes),
        math.prod(float(confidence) for confidence in confidences),
        tuple(float(confidence) for confidence in confidences),
        region if regions[region] >= REGION_SURE and region != "other" else None,
    )
