"""Estimates how legible the crop of a plate is, before reading it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edge_agent.anpr.types import PlateBox
from edge_agent.types import Image

_GLYPH_SHARE, _GLYPH_SHARE_TWO_LINES = 0.62, 0.36
"""Character height as a fraction of the plate's height, with one line and with two."""
TWO_LINES_BELOW = 2.0
"""Plates with a smaller ratio of width to height have two lines."""
_WORKING_HEIGHT_PX = 32
_FLAT_VARIANCE = 120.0
"""Variance that is mostly sensor noise; it keeps the sharpness of flat crops low."""
_HALF_SHARP = 0.12
_EASY_GLYPH_PX = 22.0
"""Character height, in pixels, above which legibility no longer improves."""


@dataclass(frozen=True, slots=True)
class CropQuality:
    """The legibility of a crop."""

    glyph_px: float
    """Estimated height of the characters in the image, in pixels."""
    sharpness: float
    """0..1; at 0.5 edges begin to look soft."""
    detection: float
    """Score of the detector, 0..1."""

    @property
    def overall(self) -> float:
        """Overall quality, 0..1; lower for small, blurred and uncertain plates."""
        size = min(self.glyph_px / _EASY_GLYPH_PX, 1.0)
        return size * min(2.0 * self.sharpness, 1.0) ** 0.5 * self.detection**0.5


def plate_size_px(plate: PlateBox) -> tuple[float, float]:
    """Return width and height of the plate in pixels, along its sides if its corners are known."""
    corners = plate.corners
    if corners is None:
        return plate.right - plate.left, plate.bottom - plate.top
    sides = [float(np.linalg.norm(corners[one] - corners[other])) for one, other in ((0, 1), (3, 2), (0, 3), (1, 2))]
    return (sides[0] + sides[1]) / 2, (sides[2] + sides[3]) / 2


def glyph_height_px(plate: PlateBox) -> float:
    """Estimate the height of the plate's characters from its size and aspect ratio."""
    width_px, height_px = plate_size_px(plate)
    return height_px * (_GLYPH_SHARE if width_px >= TWO_LINES_BELOW * height_px else _GLYPH_SHARE_TWO_LINES)


def sharpness(crop: Image) -> float:
    """Return the sharpness of a crop, 0..1, independent of contrast and, above a height of 32 pixels, of size.

    Variance of the Laplacian (Pech-Pacheco et al. 2000) divided by the variance of the crop.
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
    """Return the quality of a rectified crop of ``plate``."""
    return CropQuality(glyph_px=glyph_height_px(plate), sharpness=sharpness(crop), detection=min(plate.score, 1.0))
