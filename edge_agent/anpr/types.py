"""What number plate reading speaks: boxes, readings, and the two seams that a model fits into.

Any detector with ``find`` and any reader with ``read`` will do; neither knows of the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_agent.types import Image

Corners = NDArray[np.float32]
"""``(4, 2)``: top left, top right, bottom right, bottom left, in pixels of the picture."""


@dataclass(frozen=True, slots=True)
class PlateBox:
    """A plate found in a picture."""

    left: float
    """Pixels of the picture searched, like the other three."""
    top: float
    right: float
    bottom: float
    score: float
    """0..1"""
    corners: Corners | None = None
    """The plate's own four corners where the detector tells them; the reader's crop is then straightened by them."""


@dataclass(frozen=True, slots=True)
class PlateReading:
    """What is written on a plate."""

    text: str
    """In normal form (``shared.plates``), the upper line first; empty where nothing could be read. The shipped reader
    knows 0-9 and A-Z: it reads Ö as O, and Cyrillic and Greek letters that look Latin as Latin."""
    confidence: float
    """0..1, of the whole text: that every character is right"""
    character_confidences: tuple[float, ...] = ()
    """0..1, one for each character of ``text``"""
    region: str | None = None
    """``us``, ``eu``, ``gb`` or ``br`` from the plate's looks; None when unsure"""


class PlateDetector(Protocol):
    """Finds plates."""

    def find(self, image: Image) -> list[PlateBox]:
        """Return the plates in a picture, best first; an empty list where there are none."""
        ...


class PlateReader(Protocol):
    """Reads one plate."""

    def read(self, crop: Image) -> PlateReading:
        """Read the plate that fills this crop (BGR, any size; best when straightened and cut close to the plate)."""
        ...
