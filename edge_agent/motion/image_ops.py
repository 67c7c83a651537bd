"""Typed operations on small 8-bit images and masks. Masks are 255 where set and 0 elsewhere.

Each is one OpenCV call that takes a few microseconds at 320x180.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.uint8]
"""``(h, w)``: brightness, or a mask."""
FloatPlane = NDArray[np.float32]
Labels = NDArray[np.uint16]

_SQUARES = {size: np.ones((size, size), np.uint8) for size in (3, 5, 7)}


def _plane(result: object) -> Plane:
    return np.asarray(result, np.uint8)


def both(first: Plane, second: Plane) -> Plane:
    """Return the intersection of two masks."""
    return _plane(cv2.bitwise_and(first, second))


def either(first: Plane, second: Plane) -> Plane:
    """Return the union of two masks."""
    return _plane(cv2.bitwise_or(first, second))


def inverse(mask: Plane) -> Plane:
    """Return the complement of a mask."""
    return _plane(cv2.bitwise_not(mask))


def plus(first: Plane, second: Plane) -> Plane:
    """Return the sum, saturated at 255."""
    return _plane(cv2.add(first, second))


def minus(first: Plane, second: Plane) -> Plane:
    """Return the difference, saturated at 0; for masks, the pixels that are set only in the first."""
    return _plane(cv2.subtract(first, second))


def distance(first: Plane, second: Plane) -> Plane:
    """Return the absolute difference of each pixel."""
    return _plane(cv2.absdiff(first, second))


def larger(first: Plane, second: Plane) -> Plane:
    """Return the maximum of the two at each pixel."""
    return _plane(cv2.max(first, second))


def above(first: Plane, second: Plane) -> Plane:
    """Return the mask of the pixels at which the first is greater than the second."""
    return _plane(cv2.compare(first, second, cv2.CMP_GT))


def relit(plane: Plane, gain: float, offset: float = 0.0) -> Plane:
    """Return ``gain × plane + offset``, rounded and saturated to 0..255."""
    return _plane(cv2.addWeighted(plane, gain, plane, 0.0, offset))


def rounded(plane: FloatPlane) -> Plane:
    """Convert a plane of non-negative floats to 8 bits."""
    return _plane(cv2.convertScaleAbs(plane))


def within(plane: Plane, low: Plane, high: Plane) -> Plane:
    """Return the mask of the pixels at which ``low ≤ plane ≤ high``."""
    return _plane(cv2.inRange(plane, low, high))


def dilated(plane: Plane, size: int = 3) -> Plane:
    """Return the maximum around each pixel, in a square of 3, 5 or 7 pixels."""
    return _plane(cv2.dilate(plane, _SQUARES[size]))


def eroded(plane: Plane, size: int = 3) -> Plane:
    """Return the minimum around each pixel, in a square of 3, 5 or 7 pixels."""
    return _plane(cv2.erode(plane, _SQUARES[size]))


def closed(mask: Plane, size: int = 3) -> Plane:
    """Fill gaps and notches narrower than ``size`` pixels (morphological closing)."""
    return _plane(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, _SQUARES[size]))


def edges(plane: Plane) -> Plane:
    """Return the morphological gradient: the range of brightness within 3x3 pixels."""
    return _plane(cv2.morphologyEx(plane, cv2.MORPH_GRADIENT, _SQUARES[3]))


def count(mask: Plane) -> int:
    """Return the number of pixels that are set."""
    return cv2.countNonZero(mask)


def mask_where(condition: NDArray[np.bool_]) -> Plane:
    """Convert a boolean array to a mask."""
    return condition.view(np.uint8) * np.uint8(255)


def despeckled(mask: Plane) -> Plane:
    """Keep the pixels with at least four set pixels in their 3x3 neighbourhood, which includes themselves."""
    share = cv2.blur(mask, (3, 3), borderType=cv2.BORDER_REPLICATE)
    dense = cv2.threshold(share, 255.0 * 3.5 / 9.0, 255.0, cv2.THRESH_BINARY)[1]
    return both(mask, _plane(dense))
