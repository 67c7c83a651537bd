"""How well a plate can be read on a crop, before anybody reads it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edge_agent.anpr.types import PlateBox
from edge_agent.types import Image

_GLYPH_SHARE, _GLYPH_SHARE_TWO_LINES = 0.62, 0.36
"""How much of a plate's height its characters take."""
_TWO_LINES_BELOW = 2.0
"""Plates less wide than so many times their height have two lines."""
_WORKING_HEIGHT_PX = 32
_FLAT_VARIANCE = 120.0
"""Contrast below which there is nothing to be sharp: sensor noise, mostly."""
_HALF_SHARP = 0.12
_EASY_GLYPH_PX = 22.0
"""Characters so tall are as legible as they get."""


@dataclass(frozen=True, slots=True)
class CropQuality:
    """What can be expected of reading a crop."""

    glyph_px: float
    """How tall the characters are, about, in the picture."""
    sharpness: float
    """0..1; 0.5 is a crop whose edges just begin to look soft."""
    detection: float
    """0..1: how sure the detector is"""

    @property
    def overall(self) -> float:
        """0..1; small, blurred and doubtful crops are worth less."""
        size = min(self.glyph_px / _EASY_GLYPH_PX, 1.0)
        return size * min(2.0 * self.sharpness, 1.0) ** 0.5 * self.detection**0.5


def plate_size_px(plate: PlateBox) -> tuple[float, float]:
    """Return width and height of the plate itself, along its sides where its corners are known."""
    corners = plate.corners
    if corners is None:
        return plate.right - plate.left, plate.bottom - plate.top
    sides = [float(np.linalg.norm(corners[one] - corners[other])) for one, other in ((0, 1), (3, 2), (0, 3), (1, 2))]
    return (sides[0] + sides[1]) / 2, (sides[2] + sides[3]) / 2


def glyph_height_px(plate: PlateBox) -> float:
    """Estimate how tall the plate's characters are from its size and shape alone."""
    width_px, height_px = plate_size_px(plate)
    return height_px * (_GLYPH_SHARE if width_px >= _TWO_LINES_BELOW * height_px else _GLYPH_SHARE_TWO_LINES)


def sharpness(crop: Image) -> float:
    """Return how sharp a crop is, 0..1, whatever its contrast and, above 32 pixels of height, its size.

    Variance of the Laplacian (Pech-Pacheco et al., 2000) over the variance of the crop itself.
    """
    if min(crop.shape[:2]) < 3:
        return 0.0
    grey = np.asarray(cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY), np.float32)
    if grey.shape[0] > _WORKING_HEIGHT_PX:
        width = max(3, round(grey.shape[1] * _WORKING_HEIGHT_PX / grey.shape[0]))
        grey = cv2.resize(grey, (width, _WORKING_HEIGHT_PX), interpolation=cv2.INTER_AREA)
    quiet = cv2.GaussianBlur(grey, (3, 3), 0)
    edges = float(cv2.Laplacian(quiet, cv2.CV_32F).var())
    ratio = edges / (float(grey.var()) + _FLAT_VARIANCE)
    return ratio / (ratio + _HALF_SHARP)


def crop_quality(crop: Image, plate: PlateBox) -> CropQuality:
    """Judge a straightened crop of ``plate``."""
    return CropQuality(glyph_px=glyph_height_px(plate), sharpness=sharpness(crop), detection=min(plate.score, 1.0))
