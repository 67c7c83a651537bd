"""Reads one line of a plate whose characters have been found, by a network that has seen all kinds of text.

The network (``training/line``) names, every 8 pixels along the line, one of 36 characters or none; runs of one name are
one character (best path of connectionist temporal classification, Graves et al. 2006).
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
    """Open a line reader's model, the shipped one by default; ``ConfigurationError`` where it is not as described."""
    path = path or shipped(MODEL_NAME)
    ReaderModel.load_checked(path)
    return LineReader(network=open_model(path, threads=threads, edgetpu=False))


class LineReader:
    """Reads lines of text. Not for use by two threads at once."""

    def __init__(self, *, network: InferenceModel) -> None:
        self._network = network

    def read(self, crop: Image, line: list[DetectedCharacter]) -> list[Floats]:
        """Return the characters seen from the left, each ``(36,)`` probabilities that sum to 1 at most.

        ``line``: the characters of one line that were spotted on the crop; they say where it is, not what it says.
        """
        picture = to_line_input(crop_line(crop, line))
        steps = np.asarray(self._network.run(picture[None])[0][0], np.float32)
        return characters(steps)


def characters(steps: Floats) -> list[Floats]:
    """Return what ``(T, 37)`` probabilities, 0 for none, say: for each run of one name its surest step."""
    names = steps.argmax(axis=1)
    starts = [0, *(np.flatnonzero(np.diff(names)) + 1), len(names)]
    found: list[Floats] = []
    for start, end in pairwise(starts):
        if name := int(names[start]):
            surest = start + int(steps[start:end, name].argmax())
            found.append(steps[surest, 1:])
    return found
