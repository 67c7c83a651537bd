"""From a plate's place in a picture to the upright crop that a reader wants."""

from __future__ import annotations

import cv2
import numpy as np

from edge_agent.anpr.types import Corners, PlateBox
from edge_agent.types import Image

LEAST_HEIGHT_PX = 8
MARGIN_RATIO = (0.05, 0.12)
"""Of the plate's width and height, kept around it: the detector's corners are off by a fifth of its height. Of 1,509
generated plates found in scenes, 1,295 are read with this margin and 1,280 with half of it."""
MOST_SLOPE = 0.45
"""Rise over run beyond which a line of characters is no plate's."""


def rectify_plate(
    image: Image, plate: PlateBox, *, margin_ratio: tuple[float, float] = MARGIN_RATIO, most_height_px: int = 160
) -> Image:
    """Return the plate seen straight on, upright, with a margin (shares of its width and height) around it.

    Corners are estimated where the detector told none. The crop has the plate's own resolution, but is no higher than
    ``most_height_px``; what lies outside the picture repeats its border.
    """
    corners = plate.corners if plate.corners is not None else estimate_corners(image, plate)
    width = (_length(corners[0], corners[1]) + _length(corners[3], corners[2])) / 2
    height = (_length(corners[0], corners[3]) + _length(corners[1], corners[2])) / 2
    scale = min(1.0, most_height_px / max(height, 1.0))
    inner = np.array((max(width * scale, 2.0), max(height * scale, LEAST_HEIGHT_PX)))
    margin = inner * margin_ratio
    size = np.ceil(inner + 2 * margin).astype(int)
    x0, y0 = margin - 0.5
    x1, y1 = margin + inner - 0.5
    upright = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], np.float32)
    source, offset = _around(image, corners)
    if scale < 0.5:  # warping alone would skip pixels
        source = cv2.blur(source, (round(1 / scale),) * 2)
    transform = cv2.getPerspectiveTransform(corners.astype(np.float32) - offset - np.float32(0.5), upright)
    size_px = (int(size[0]), int(size[1]))
    crop = cv2.warpPerspective(source, transform, size_px, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(crop, np.uint8)


def estimate_corners(image: Image, plate: PlateBox) -> Corners:
    """Return the corners of a plate of which only the box is known: a parallelogram in the box, along the characters.

    Falls back to the box's own corners where no slope can be told.
    """
    box = np.array(
        [(plate.left, plate.top), (plate.right, plate.top), (plate.right, plate.bottom), (plate.left, plate.bottom)]
    )
    slope = _slope(image, plate)
    wide, tall = plate.right - plate.left, plate.bottom - plate.top
    rise = abs(slope) * wide
    if rise < 0.04 * tall or rise > 0.7 * tall:
        return box.astype(np.float32)
    # The box is as high as the plate and its rise together.
    if slope > 0:
        box[1, 1] += rise
        box[3, 1] -= rise
    else:
        box[0, 1] += rise
        box[2, 1] -= rise
    return box.astype(np.float32)


def _slope(image: Image, plate: PlateBox) -> float:
    """Return rise over run (down is positive) of the text: that which, undone, makes its rows differ most."""
    source = image[
        max(0, int(plate.top)) : int(np.ceil(plate.bottom)), max(0, int(plate.left)) : int(np.ceil(plate.right))
    ]
    if source.shape[0] < 8 or source.shape[1] < 16:
        return 0.0
    luma = cv2.cvtColor(source, cv2.COLOR_BGR2GRAY)
    zoom = 128 / luma.shape[1]
    luma = cv2.resize(
        luma, (128, max(8, round(luma.shape[0] * zoom))), interpolation=cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
    )
    edges = np.abs(cv2.Sobel(luma, cv2.CV_32F, 0, 1))
    best, best_sharpness = 0.0, -1.0
    for slope in np.linspace(-MOST_SLOPE, MOST_SLOPE, 37):
        shear = np.array([[1, 0, 0], [-slope, 1, slope * 64]], np.float32)
        rows = cv2.warpAffine(edges, shear, (luma.shape[1], luma.shape[0])).mean(axis=1)
        sharpness = float(rows.var())
        if sharpness > best_sharpness:
            best, best_sharpness = float(slope), sharpness
    return best


def _around(image: Image, corners: Corners) -> tuple[Image, Corners]:
    """Return the part of the picture that holds the corners with room for margins, and where it begins."""
    reach = np.ptp(corners, axis=0) * 0.2 + 3
    low = np.floor(corners.min(axis=0) - reach).astype(int)
    high = np.ceil(corners.max(axis=0) + reach).astype(int)
    x0, y0 = np.clip(low, 0, np.array((image.shape[1], image.shape[0])) - 2)
    x1, y1 = np.maximum(high, (x0 + 2, y0 + 2))
    return image[y0:y1, x0:x1], np.array((x0, y0), np.float32)


def _length(one: Corners, other: Corners) -> float:
    return float(np.linalg.norm(np.asarray(one) - np.asarray(other)))
