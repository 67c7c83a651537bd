"""Determines the colour of a vehicle in daylight images.

The colour is the one that most bodywork pixels have. Windows, tyres, shadows and lamps are excluded by their position
and because they are darker than paint in the same light. Night, dusk and infrared images yield no colour.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_agent.boxes import Box
from edge_agent.types import Image

Pixels = NDArray[np.float32]

MIN_SIDE_PX = 40
MIN_BRIGHT = 150.0
"""Minimum 92nd percentile of the brightness of a daylight image, 0..255."""
MIN_WHITE = 190.0
"""Minimum brightness of white, 0..255, for images that contain nothing white."""
MIN_COLORFULNESS = 4.0
"""Minimum mean difference between the channels. Images below it are infrared."""
MIN_SHARE, MIN_LEAD = 0.42, 0.15
"""Minimum share of bodywork pixels of the colour, and minimum lead over the second colour."""
_GREY_CHROMA = 22.0
_HUES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"orange": (12, 38), "yellow": (38, 68), "green": (68, 170), "blue": (170, 265), "purple": (265, 325)}
)
"""Hue ranges in degrees; all other hues are red."""
_BODY = (0.12, 0.42, 0.88, 0.86)
"""Bodywork area as fractions of the vehicle box: below the windows, above the tyres."""


def vehicle_color(image: Image, vehicle: Box, *, plate: Box | None = None) -> str | None:
    """Return white, silver, grey, black, red, orange, yellow, green, blue, purple or brown; None if uncertain."""
    white = _daylight(image)
    body = _bodywork(image, vehicle, plate)
    if white is None or body is None:
        return None
    names, counts = np.unique(_name_pixels(body, white), return_counts=True)
    shares = sorted(((float(n) / len(body), str(name)) for name, n in zip(names, counts, strict=True)), reverse=True)
    best = shares[0]
    second = shares[1] if len(shares) > 1 else (0.0, "")
    if best[0] < MIN_SHARE or best[0] - second[0] < MIN_LEAD:
        return None
    return best[1]


def _daylight(image: Image) -> float | None:
    """Return the brightness of white in this image, 0..255; None if it is not a daylight image."""
    small = np.asarray(cv2.resize(image, (96, 54), interpolation=cv2.INTER_AREA), np.float32)
    bright = float(np.percentile(small.max(axis=2), 92))
    colorful = float(np.mean(small.max(axis=2) - small.min(axis=2)))
    if bright < MIN_BRIGHT or colorful < MIN_COLORFULNESS:
        return None
    return min(max(bright * 1.05, MIN_WHITE), 255.0)


def _bodywork(image: Image, vehicle: Box, plate: Box | None) -> Pixels | None:
    """Return ``(N, 3)`` BGR bodywork pixels without the plate; None if the vehicle is truncated or too small."""
    height, width = image.shape[:2]
    left, top, right, bottom = vehicle
    cut = left < 2 or top < 2 or right > width - 2 or bottom > height - 2
    if cut or right - left < MIN_SIDE_PX or bottom - top < MIN_SIDE_PX:
        return None
    shares = ((left, right, _BODY[0]), (top, bottom, _BODY[1]), (left, right, _BODY[2]), (top, bottom, _BODY[3]))
    x0, y0, x1, y1 = (round(low + (high - low) * share) for low, high, share in shares)
    x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
    if x1 - x0 < 8 or y1 - y0 < 8:
        return None
    part = image[y0:y1, x0:x1]
    use = np.ones(part.shape[:2], np.bool_)
    if plate is not None:
        edge = (plate[3] - plate[1]) * 0.3
        rows = slice(max(0, int(plate[1] - edge) - y0), max(0, int(plate[3] + edge) - y0))
        use[rows, max(0, int(plate[0] - edge) - x0) : max(0, int(plate[2] + edge) - x0)] = False
    pixels = np.asarray(part[use], np.float32)
    return pixels if len(pixels) >= 64 else None


def _name_pixels(pixels: Pixels, white: float) -> NDArray[np.str_]:
    """Return the colour name of each pixel; ``white``: brightness of white in this image."""
    high, low = pixels.max(axis=1), pixels.min(axis=1)
    chroma, value = high - low, high / white
    blue, green, red = pixels[:, 0], pixels[:, 1], pixels[:, 2]
    spread = np.maximum(chroma, 1e-6)
    hue = np.where(
        high == red,
        (green - blue) / spread % 6,
        np.where(high == green, (blue - red) / spread + 2, (red - green) / spread + 4),
    )
    hue = hue * 60
    names = np.full(len(pixels), "red", dtype="<U8")
    for name, (start, end) in _HUES.items():
        names[(hue >= start) & (hue < end)] = name
    names[(names == "orange") & (value < 0.55)] = "brown"
    grey = (chroma < _GREY_CHROMA) | (chroma < 0.22 * high) | (value < 0.16)
    names[grey] = "grey"
    names[grey & (value < 0.28)] = "black"
    names[grey & (value > 0.66)] = "silver"
    names[grey & (value > 0.85)] = "white"
    return names
