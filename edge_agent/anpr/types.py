"""Types of plate recognition: boxes, readings, tracked objects, and the protocols of detectors and readers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_agent.boxes import Box
from edge_agent.events.occurrences import TrackedObject
from edge_agent.types import Image

Corners = NDArray[np.float32]
"""``(4, 2)``: top left, top right, bottom right, bottom left, in pixels of the image."""


@dataclass(frozen=True, slots=True)
class PlateBox:
    """A plate detected in an image."""

    left: float
    """In pixels of the searched image, like the other three sides."""
    top: float
    right: float
    bottom: float
    score: float
    """0..1"""
    corners: Corners | None = None
    """The corners of the plate itself, if the detector provides them. The crop is then rectified with them."""

    @property
    def xyxy(self) -> Box:
        """The upright bounding box, in pixels."""
        return self.left, self.top, self.right, self.bottom


@dataclass(frozen=True, slots=True)
class PlateReading:
    """The text of a plate as one reader read it."""

    text: str
    """In normal form (``shared.plates``), the upper line first; empty if nothing is legible. The shipped reader
    distinguishes 0-9 and A-Z: it reads Ö as O, and Cyrillic and Greek letters that look Latin as Latin."""
    confidence: float
    """0..1, that every character is right."""
    character_confidences: tuple[float, ...] = ()
    """0..1, one for each character of ``text``."""
    region: str | None = None
    """Region that the plate looks like: ``us``, ``eu``, ``gb`` or ``br``; None if uncertain."""


class FrameTracks(NamedTuple):
    """The tracked objects of one frame."""

    objects: Sequence[TrackedObject] = ()
    """Objects detected in this frame."""
    present_ids: Collection[int] = frozenset()
    """Track ids of all objects in view, including those not detected in this frame."""
    lost_ids: Collection[int] = frozenset()
    """Track ids of lost objects that may return."""


class PlateDetector(Protocol):
    """Detects plates."""

    def find(self, image: Image) -> list[PlateBox]:
        """Return the plates in an image, highest score first; an empty list if there are none."""
        ...


class PlateReader(Protocol):
    """Reads one plate."""

    def read(self, crop: Image) -> PlateReading:
        """Read a plate that fills the crop (BGR, any size; best rectified and cropped tightly)."""
        ...
