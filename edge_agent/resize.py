"""Downscales images and planes: repeated halving by averaging, then one linear step."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
_MIN_RATIO_ONE_SIDE = 2.5
"""Minimum scale at which a single side is halved. That costs as much as the final step, which may skip a few pixels."""


def scaled(image: Pixels, width_px: int, height_px: int) -> Pixels:
    """Return the image, ``(H, W)`` or ``(H, W, C)``, at this size; the same array if it already has it.

    Halving averages pixels and is OpenCV's fastest step. A single linear step over a larger factor skips pixels, and
    small objects with them: YOLO11n then detects the bus in clips/bus.jpg as a truck (0.42) instead of a bus (0.9).
    """
    while (halves := _halves(image.shape[1] / width_px, image.shape[0] / height_px)) != (1, 1):
        across, down = halves
        size = (image.shape[1] // across, image.shape[0] // down)
        # An odd last row or column, half a pixel of the result, is dropped, because it would prevent the fast step.
        even = image[: size[1] * down, : size[0] * across]
        # At exactly half the size, linear interpolation averages two pixels; it is faster if one side is halved.
        image = np.asarray(cv2.resize(even, size, interpolation=cv2.INTER_LINEAR), np.uint8)
    if image.shape[:2] == (height_px, width_px):
        return image
    return np.asarray(cv2.resize(image, (width_px, height_px), interpolation=cv2.INTER_LINEAR), np.uint8)


def _halves(across: float, down: float) -> tuple[int, int]:
    if across >= 2.0 and down >= 2.0:
        return 2, 2
    return 2 if across >= _MIN_RATIO_ONE_SIDE else 1, 2 if down >= _MIN_RATIO_ONE_SIDE else 1
