"""Whole-plane operations on small 8-bit pictures and masks (255 where so), with types that say so.

Each is one OpenCV call of a few microseconds on 320x180.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.uint8]
"""``(h, w)``: brightness, or a mask that is 255 where so and 0 elsewhere."""
FloatPlane = NDArray[np.float32]
Labels = NDArray[np.uint16]

_SQUARES = {size: np.ones((size, size), np.uint8) for size in (3, 5, 7)}


def _plane(result: object) -> Plane:
    return np.asarray(result, np.uint8)


def both(first: Plane, second: Plane) -> Plane:
    return _plane(cv2.bitwise_and(first, second))


def either(first: Plane, second: Plane) -> Plane:
    return _plane(cv2.bitwise_or(first, second))


def inverse(mask: Plane) -> Plane:
    return _plane(cv2.bitwise_not(mask))


def plus(first: Plane, second: Plane) -> Plane:
    """Add, up to 255."""
    return _plane(cv2.add(first, second))


def minus(first: Plane, second: Plane) -> Plane:
    """Subtract, down to 0; of two masks, what is in the first alone."""
    return _plane(cv2.subtract(first, second))


def distance(first: Plane, second: Plane) -> Plane:
    return _plane(cv2.absdiff(first, second))


def larger(first: Plane, second: Plane) -> Plane:
    """Return the larger of the two at each pixel."""
    return _plane(cv2.max(first, second))


def above(first: Plane, second: Plane) -> Plane:
    """Return where the first is greater than the second."""
    return _plane(cv2.compare(first, second, cv2.CMP_GT))


def relit(plane: Plane, gain: float, offset: float = 0.0) -> Plane:
    """Return ``gain × plane + offset``, rounded and held within 0..255."""
    return _plane(cv2.addWeighted(plane, gain, plane, 0.0, offset))


def rounded(plane: FloatPlane) -> Plane:
    """Return a plane of floats, none negative, as 8-bit."""
    return _plane(cv2.convertScaleAbs(plane))


def within(plane: Plane, low: Plane, high: Plane) -> Plane:
    """Return where ``low ≤ plane ≤ high``."""
    return _plane(cv2.inRange(plane, low, high))


def grown(plane: Plane, size: int = 3) -> Plane:
    """Return the largest value around each pixel, in a square of 3, 5 or 7."""
    return _plane(cv2.dilate(plane, _SQUARES[size]))


def worn(plane: Plane, size: int = 3) -> Plane:
    """Return the smallest value around each pixel, in a square of 3, 5 or 7."""
    return _plane(cv2.erode(plane, _SQUARES[size]))


def closed(mask: Plane, size: int = 3) -> Plane:
    """Fill gaps and notches narrower than ``size``."""
    return _plane(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, _SQUARES[size]))


def edges(plane: Plane) -> Plane:
    """Return how much brightness varies within 3x3 pixels: the morphological gradient."""
    return _plane(cv2.morphologyEx(plane, cv2.MORPH_GRADIENT, _SQUARES[3]))


def count(mask: Plane) -> int:
    return cv2.countNonZero(mask)


def mask_where(condition: NDArray[np.bool_]) -> Plane:
    """Return a mask from a boolean array."""
    return condition.view(np.uint8) * np.uint8(255)


def despeckled(mask: Plane) -> Plane:
    """Keep the pixels that have at least four of the nine pixels around them (themselves included) set."""
    share = cv2.blur(mask, (3, 3), borderType=cv2.BORDER_REPLICATE)
    crowded = cv2.threshold(share, 255.0 * 3.5 / 9.0, 255.0, cv2.THRESH_BINARY)[1]
    return both(mask, _plane(crowded))
