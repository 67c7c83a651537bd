"""The colour of a vehicle, where daylight lets it be told; otherwise nothing.

Paint is what most of the bodywork's pixels share. Windows, tyres, shadows and lamps are left out by place and by
being darker than paint in the same light; night, dusk and infrared pictures are not judged at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_agent.events.occurrences import Box
from edge_agent.types import Image

Pixels = NDArray[np.float32]

LEAST_SIDE_PX = 40
LEAST_BRIGHT = 150.0
"""The brightest tenth of a daylight picture is at least so bright (0..255)."""
LEAST_WHITE = 190.0
"""In a picture where nothing is white, white would be at least so bright."""
LEAST_COLORFULNESS = 4.0
"""Pictures that differ less between their channels are infrared: there are no colours in them."""
LEAST_SHARE, LEAST_LEAD = 0.42, 0.15
"""How much of the bodywork the colour must have, and how much more than the next."""
_GREY_CHROMA = 22.0
_HUES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"orange": (12, 38), "yellow": (38, 68), "green": (68, 170), "blue": (170, 265), "purple": (265, 325)}
)
"""Degrees; what is left is red."""
_BODY = (0.12, 0.42, 0.88, 0.86)
"""Where on the box bodywork is, as shares: below the windows, above the tyres."""


def vehicle_color(image: Image, vehicle: Box, *, plate: Box | None = None) -> str | None:
    """Return white, silver, grey, black, red, orange, yellow, green, blue, purple or brown; None when not sure."""
    white = _daylight(image)
    body = _bodywork(image, vehicle, plate)
    if white is None or body is None:
        return None
    names, counts = np.unique(_name_pixels(body, white), return_counts=True)
    shares = sorted(((float(n) / len(body), str(name)) for name, n in zip(names, counts, strict=True)), reverse=True)
    best = shares[0]
    second = shares[1] if len(shares) > 1 else (0.0, "")
    if best[0] < LEAST_SHARE or best[0] - second[0] < LEAST_LEAD:
        return None
    return best[1]


def _daylight(image: Image) -> float | None:
    """Return how bright white is in this picture; None where it is no daylight picture."""
    small = np.asarray(cv2.resize(image, (96, 54), interpolation=cv2.INTER_AREA), np.float32)
    bright = float(np.percentile(small.max(axis=2), 92))
    colorful = float(np.mean(small.max(axis=2) - small.min(axis=2)))
    if bright < LEAST_BRIGHT or colorful < LEAST_COLORFULNESS:
        return None
    return min(max(bright * 1.05, LEAST_WHITE), 255.0)


def _bodywork(image: Image, vehicle: Box, plate: Box | None) -> Pixels | None:
    """Return ``(N, 3)`` BGR pixels of the middle of the vehicle without its plate; None for one cut by the edge."""
    height, width = image.shape[:2]
    left, top, right, bottom = vehicle
    cut = left < 2 or top < 2 or right > width - 2 or bottom > height - 2
    if cut or right - left < LEAST_SIDE_PX or bottom - top < LEAST_SIDE_PX:
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
    """Name the colour of each pixel; ``white`` is what white looks like in this light."""
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
