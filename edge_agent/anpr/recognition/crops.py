"""Resizes and crops plates to the inputs of the reader networks. Training uses the same code."""

from __future__ import annotations

import cv2
import numpy as np

from edge_agent.anpr.recognition.character_detection import INPUT_HEIGHT, INPUT_WIDTH, DetectedCharacter, Floats
from edge_agent.types import Image

LINE_WIDTH, LINE_HEIGHT = 192, 48
LINE_MARGINS = (1.0, 0.85)
"""Margins of a line's crop around the centres of its outer characters, in character widths and heights."""


def to_reader_input(crop: Image, width: int, height: int) -> Floats:
    """Return the crop as RGB, 0..1, ``(height, width, 3)``."""
    return np.asarray(resize_to_input(crop, width, height), np.float32) / np.float32(255)


def resize_to_input(crop: Image, width: int, height: int) -> Image:
    """Return the crop as RGB ``(height, width, 3)``, averaged when reduced; the aspect ratio is not kept."""
    shrinks = crop.shape[1] > width and crop.shape[0] > height
    small = cv2.resize(crop, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2RGB), np.uint8)


def crop_around(
    crop: Image, characters: list[DetectedCharacter], margins: tuple[float, float], width: int, height: int
) -> Image:
    """Return a level crop around the characters, ``(height, width, 3)``.

    ``margins``: distance from the centres of the outer characters, in character widths and heights.
    """
    x, y = np.array([c.middle_x for c in characters]), np.array([c.middle_y for c in characters])
    wide, tall = (float(np.median([getattr(c, side) for c in characters])) for side in ("width", "height"))
    slope = _slope(x, y, tall)
    level = y - slope * x
    left, right = float(x.min()) - margins[0] * wide, float(x.max()) + margins[0] * wide
    top, bottom = float(level.min()) - margins[1] * tall, float(level.max()) + margins[1] * tall
    corners = [(left, top + slope * left), (right, top + slope * right), (right, bottom + slope * right)]
    source = np.array(corners, np.float32)
    source *= np.array([crop.shape[1] / INPUT_WIDTH, crop.shape[0] / INPUT_HEIGHT], np.float32)
    shrinks = source[1, 0] - source[0, 0] > 2 * width and source[2, 1] - source[1, 1] > 2 * height
    if shrinks:  # average first, because a warp alone skips pixels
        crop = np.asarray(cv2.resize(crop, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)
        source *= np.float32(0.5)
    target = np.array([(0, 0), (width, 0), (width, height)], np.float32)
    matrix = cv2.getAffineTransform(source, target)
    warped = cv2.warpAffine(crop, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, np.uint8)


def _slope(x: Floats, y: Floats, tall: float) -> float:
    """Return the slope of the text, positive downwards to the right; robust to a second line."""
    span = float(x.max() - x.min())
    if span < tall:
        return 0.0
    pairs = [
        (float(y[j] - y[i]) / float(x[j] - x[i]))
        for i in range(len(x))
        for j in range(len(x))
        if x[j] - x[i] > 0.25 * span and abs(y[j] - y[i]) < 0.45 * tall
    ]
    return float(np.median(pairs)) if pairs else 0.0


def crop_line(crop: Image, line: list[DetectedCharacter], *, margins: tuple[float, float] = LINE_MARGINS) -> Image:
    """Return the part of a plate's crop with the characters of one line, BGR ``(48, 192, 3)``."""
    return crop_around(crop, line, margins, LINE_WIDTH, LINE_HEIGHT)


def to_line_input(line: Image) -> Floats:
    """Return a line as input of the line reader: BGR, -1..1."""
    return np.asarray(line, np.float32) / np.float32(127.5) - np.float32(1)
