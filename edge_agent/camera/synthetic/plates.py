"""Number plates: random texts in the patterns of several countries, and their images.

Letters that look like digits (I, O, Q) are not used, as in many countries. Zero is not used either, because OpenCV's
font draws it with a slash.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edge_agent.types import Image

Bgr = tuple[int, int, int]

LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"
DIGITS = "123456789"
_MARGIN_PX = 14


@dataclass(frozen=True, slots=True)
class PlateStyle:
    """The design of a plate. Sizes are in millimetres, which are also pixels of the plate's image."""

    pattern: str
    """``L`` is a letter, ``D`` a digit; other characters are literal."""
    width: int
    height: int
    glyph_height: int
    scale: float = 1.3
    """Enlargement on the vehicle, so that the plate is legible without a zoom lens."""
    background: Bgr = (242, 244, 246)
    ink: Bgr = (25, 22, 20)
    band: Bgr | None = None
    band_on_top: bool = False
    caption: str = ""


STYLES: dict[str, PlateStyle] = {
    "de": PlateStyle("LL LD DDD", 520, 110, 80, band=(150, 60, 10), caption="D"),
    "ro": PlateStyle("LL DD LLL", 520, 110, 80, band=(150, 60, 10), caption="RO"),
    "gb": PlateStyle("LLDD LLL", 520, 111, 82, background=(60, 205, 250)),
    "us": PlateStyle("DLLLDDD", 305, 152, 70, 1.6, ink=(120, 40, 25), caption="CALIFORNIA"),
    "br": PlateStyle("LLLDLDD", 400, 130, 74, 1.45, band=(140, 50, 10), band_on_top=True, caption="BRASIL"),
    "es": PlateStyle("DDDD LLL", 520, 110, 80, band=(150, 60, 10), caption="E"),
    "moto": PlateStyle("LL DDDD", 340, 110, 80),
}


def plate_text(style: PlateStyle, rng: np.random.Generator) -> str:
    """Return a random text in this style's pattern."""
    alphabets = {"L": LETTERS, "D": DIGITS}
    return "".join(
        alphabets[mark][int(rng.integers(len(alphabets[mark])))] if mark in alphabets else mark
        for mark in style.pattern
    )


def draw_plate(text: str, style: PlateStyle) -> Image:
    """Return a front view of the plate at one pixel per millimetre."""
    plate = np.full((style.height, style.width, 3), style.background, np.uint8)
    left, top = _draw_band(plate, style)
    glyphs = _glyphs(text, style)
    room = style.width - left - 2 * _MARGIN_PX
    width = min(glyphs.shape[1], room)
    mask = cv2.resize(glyphs, (width, style.glyph_height), interpolation=cv2.INTER_AREA)[..., None] / 255.0
    x = left + (style.width - left - width) // 2
    y = top + (style.height - top - style.glyph_height) // 2
    area = plate[y : y + style.glyph_height, x : x + width]
    area[:] = (area * (1 - mask) + np.array(style.ink) * mask).astype(np.uint8)
    cv2.rectangle(plate, (1, 1), (style.width - 2, style.height - 2), style.ink, 3, cv2.LINE_AA)
    return plate


def _draw_band(plate: Image, style: PlateStyle) -> tuple[int, int]:
    """Draw the coloured band and the caption; return the left and top margin (x, y) of the text."""
    if style.band is None:
        if style.caption:
            _caption(plate, style.caption, x=style.width // 2, y=16, height=15, color=style.ink)
            return 0, 26
        return 0, 0
    if style.band_on_top:
        plate[:30] = style.band
        _caption(plate, style.caption, x=style.width // 2, y=15, height=15, color=(250, 250, 250))
        return 0, 30
    plate[:, :44] = style.band
    _caption(plate, style.caption, x=22, y=style.height - 24, height=18, color=(250, 250, 250))
    return 44, 0


def _caption(plate: Image, text: str, *, x: int, y: int, height: int, color: Bgr) -> None:
    """Write small text centred on ``x``, ``y``."""
    scale = height / 22.0
    (width, tall), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 2)
    cv2.putText(plate, text, (x - width // 2, y + tall // 2), cv2.FONT_HERSHEY_SIMPLEX, scale, color, 2, cv2.LINE_AA)


def _glyphs(text: str, style: PlateStyle) -> Image:
    """Return the text as a mask (255 for ink), cropped to the glyphs and scaled to the style's glyph height."""
    scale = style.glyph_height * 3 / 22.0
    canvas = np.zeros((style.glyph_height * 6, style.glyph_height * 4 * len(text)), np.uint8)
    thickness = max(2, round(scale * 2.4))
    origin = (20, style.glyph_height * 5)
    cv2.putText(canvas, text, origin, cv2.FONT_HERSHEY_SIMPLEX, scale, 255, thickness, cv2.LINE_AA)
    rows, columns = np.nonzero(canvas)
    cropped = canvas[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    width = round(cropped.shape[1] * style.glyph_height / cropped.shape[0])
    return np.asarray(cv2.resize(cropped, (width, style.glyph_height), interpolation=cv2.INTER_AREA), np.uint8)
