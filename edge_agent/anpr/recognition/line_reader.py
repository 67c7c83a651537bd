"""Reads one line of a plate with a network that was trained on text of many kinds.

The network (``training/line``) predicts one of 36 characters or a blank every 8 pixels along the line. Runs of the same
prediction are one character (best-path decoding of connectionist temporal classification, Graves et al. 2006).
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np

from edge_agent.anpr.recognition.character_detection import DetectedCharacter, Floats
from edge_agent.anpr.recognition.crops import crop_line, to_line_input
from edge_agent.anpr.recognition.reader_model import ReaderModel, shipped
from edge_agent.detect.runtimes.base import InferenceModel
from edge_agent.detect.runtimes.table import open_model
from edge_agent.types import Image

MODEL_NAME = "plate_line"


def open_line_reader(path: Path | None = None, *, threads: int = 1) -> LineReader:
    """Open a line reader, by default the shipped one; raise ConfigurationError if its description does not match."""
    path = path or shipped(MODEL_NAME)
    ReaderModel.load_checked(path)
    return LineReader(network=open_model(path, threads=threads, edgetpu=False))


class LineReader:
    """Reads lines of text. Not thread-safe."""

    def __init__(self, *, network: InferenceModel) -> None:
        self._network = network

    def read(self, crop: Image, line: list[DetectedCharacter]) -> list[Floats]:
        """Return the characters from the left, each ``(36,)`` probabilities that sum to at most 1.

        ``line``: the characters of one line detected on the crop. Only their positions are used.
        """
        picture = to_line_input(crop_line(crop, line))
        steps = np.asarray(self._network.run(picture[None])[0][0], np.float32)
        return characters(steps)


def characters(steps: Floats) -> list[Floats]:
    """Decode ``(T, 37)`` probabilities, index 0 for blank: each run yields its step with the highest confidence."""
    names = steps.argmax(axis=1)
    starts = [0, *(np.flatnonzero(np.diff(names)) + 1), len(names)]
    distributions: list[Floats] = []
    for start, end in pairwise(starts):
        if name := int(names[start]):
            surest = start + int(steps[start:end, name].argmax())
            distributions.append(steps[surest, 1:])
    return distributions
