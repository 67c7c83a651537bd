"""Shrinks pictures and single planes: halved by averaging as often as that fits, then one linear step."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
_ALONE = 2.5
"""Halving one side only costs as much as the last step does, so a little skipping is borne before."""


def scaled(image: Pixels, width_px: int, height_px: int) -> Pixels:
    """Return the picture at this size: ``(H, W)`` a plane, ``(H, W, C)`` channels. The same array if it fits already.

    Halving averages and is OpenCV's fastest step. One linear step over more than that would skip pixels, and what is
    small with them: the bus in clips/bus.jpg is then a truck to YOLO11n (0.42), and a bus again (0.9) when averaged.
    """
    while (halves := _halves(image.shape[1] / width_px, image.shape[0] / height_px)) != (1, 1):
        across, down = halves
        size = (image.shape[1] // across, image.shape[0] // down)
        # An odd last row or column would cost the fast step; it is half a pixel of the smaller picture.
        even = image[: size[1] * down, : size[0] * across]
        # At exactly half, a linear step lands between two pixels: it averages too, and faster if only one side halves.
        image = np.asarray(cv2.resize(even, size, interpolation=cv2.INTER_LINEAR), np.uint8)
    if image.shape[:2] == (height_px, width_px):
        return image
    return np.asarray(cv2.resize(image, (width_px, height_px), interpolation=cv2.INTER_LINEAR), np.uint8)


def _halves(across: float, down: float) -> tuple[int, int]:
    if across >= 2.0 and down >= 2.0:
        return 2, 2
    return 2 if across >= _ALONE else 1, 2 if down >= _ALONE else 1
