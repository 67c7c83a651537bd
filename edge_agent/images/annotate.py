"""Draws boxes, labels, moving areas and plates on snapshots. Every function returns a new image.

Line widths and text are scaled with the image. Labels stay inside the image and, if there is space, do not overlap.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_agent.types import Image
from shared.clock import format_utc

Color = tuple[int, int, int]
"""Blue, green, red."""
Corners = Sequence[float] | NDArray[np.float32]
"""Left, top, right, bottom in pixels."""

RED: Color = (0, 0, 255)
GREEN: Color = (0, 200, 0)
BLACK: Color = (0, 0, 0)
WHITE: Color = (255, 255, 255)

MOTION_OPACITY = 0.3

_CLASS_COLORS: dict[str, Color] = {
    "person": (60, 180, 255),
    "car": (255, 144, 30),
    "truck": (200, 60, 220),
    "bus": (80, 80, 245),
    "motorcycle": (190, 220, 0),
    "bicycle": (90, 220, 120),
    "object": (0, 230, 230),
}
_OTHER_COLORS: tuple[Color, ...] = (
    (75, 25, 230),
    (75, 180, 60),
    (25, 225, 255),
    (216, 99, 67),
    (49, 130, 245),
    (180, 30, 145),
    (244, 212, 66),
    (230, 50, 240),
    (69, 239, 191),
    (212, 190, 250),
    (144, 153, 70),
    (255, 190, 220),
    (36, 99, 154),
    (200, 250, 255),
    (60, 60, 160),
    (195, 255, 170),
    (0, 140, 150),
    (177, 216, 255),
    (180, 110, 20),
)

_TEXT_SHARE = 1 / 34
"""Height of text as a fraction of the image's shorter side."""
_TEXT_LIMITS_PX = (11, 60)
_HALO = ((-1, -1), (-1, 1), (1, -1), (1, 1))
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_FONT_HEIGHT_PX = 22.0
"""Height of a capital letter at font scale 1."""


@dataclass(frozen=True, slots=True)
class BoxLabel:
    """One object to draw."""

    xyxy: Corners
    class_name: str
    confidence: float
    track_id: int | None = None

    @property
    def text(self) -> str:
        identity = "" if self.track_id is None else f" (ID:{self.track_id})"
        return f"{self.class_name}: {self.confidence:.2f}{identity}"


@dataclass(frozen=True, slots=True)
class PlateLabel:
    """One number plate to draw."""

    xyxy: Corners
    text: str
    confidence: float


class _Style(NamedTuple):
    line_px: int
    font_scale: float
    font_px: int
    text_px: int
    pad_px: int


class _Box(NamedTuple):
    left: int
    top: int
    right: int
    bottom: int


def class_color(class_name: str) -> Color:
    """Return the colour of a class, which never changes and ignores letter case."""
    name = class_name.casefold()
    known = _CLASS_COLORS.get(name)
    return known or _OTHER_COLORS[zlib.crc32(name.encode("utf-8", "replace")) % len(_OTHER_COLORS)]


def draw_boxes(image: Image, labels: Sequence[BoxLabel]) -> Image:
    """Draw a box around each object in the colour of its class, labelled ``class_name: confidence (ID:track_id)``."""
    canvas = image.copy()
    style = _style(image)
    placed: list[tuple[BoxLabel, _Box]] = []
    for label in labels:
        box = _inside(label.xyxy, image)
        if box is not None:
            placed.append((label, box))
            _outline(canvas, box, class_color(label.class_name), style.line_px)
    taken: list[_Box] = []
    for label, box in placed:
        _tag(canvas, box, label.text, fill=class_color(label.class_name), style=style, taken=taken)
    return canvas


def draw_plates(image: Image, plates: Sequence[PlateLabel]) -> Image:
    """Draw a thick green box around each plate, labelled ``Plate: TEXT (confidence)``."""
    canvas = image.copy()
    style = _style(image)
    taken: list[_Box] = []
    for plate in plates:
        box = _inside(plate.xyxy, image)
        if box is not None:
            _outline(canvas, box, GREEN, 2 * style.line_px)
            text = f"Plate: {plate.text} ({plate.confidence:.2f})"
            _tag(canvas, box, text, fill=GREEN, style=style, taken=taken)
    return canvas


def draw_motion(image: Image, mask: NDArray[np.uint8] | None, *, timestamp: datetime) -> Image:
    """Tint moving areas (non-zero in ``mask``, of any size) by 30 % red, and draw the time in red at the top left."""
    canvas = image.copy()
    height, width = image.shape[:2]
    if mask is not None and mask.size:
        smooth = cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR)
        moving = np.asarray(cv2.threshold(smooth, 127, 255, cv2.THRESH_BINARY)[1], np.uint8)
        left, top, wide, high = cv2.boundingRect(moving)
        if wide and high:
            part = slice(top, top + high), slice(left, left + wide)
            under = image[part]
            red = cv2.addWeighted(under, 1.0 - MOTION_OPACITY, np.full_like(under, RED), MOTION_OPACITY, 0.0)
            cv2.copyTo(red, moving[part], canvas[part])
    style = _style(image)
    text, scale = _fitted(format_utc(timestamp)[:-4].replace("T", " ") + " UTC", width - 2 * style.pad_px, style)
    origin = (style.pad_px, style.pad_px + style.text_px)
    for x, y in _HALO:  # makes the red text legible on any background
        cv2.putText(canvas, text, (origin[0] + x, origin[1] + y), _FONT, scale, WHITE, style.font_px, cv2.LINE_AA)
    cv2.putText(canvas, text, origin, _FONT, scale, RED, style.font_px, cv2.LINE_AA)
    return canvas


def _style(image: Image) -> _Style:
    short_px = min(image.shape[:2])
    text_px = round(min(max(short_px * _TEXT_SHARE, _TEXT_LIMITS_PX[0]), _TEXT_LIMITS_PX[1]))
    return _Style(
        line_px=max(2, round(short_px / 320)),
        font_scale=text_px / _FONT_HEIGHT_PX,
        font_px=max(1, round(text_px / 12)),
        text_px=text_px,
        pad_px=max(2, round(text_px * 0.35)),
    )


def _inside(xyxy: Corners, image: Image) -> _Box | None:
    """Return the box in whole pixels, clipped to the image; None if it is outside, empty or not finite."""
    corners = np.asarray(xyxy, np.float64)
    if corners.shape != (4,) or not bool(np.isfinite(corners).all()):
        return None
    height, width = image.shape[:2]
    left, right = (round(min(max(float(x), 0.0), width - 1.0)) for x in corners[[0, 2]])
    top, bottom = (round(min(max(float(y), 0.0), height - 1.0)) for y in corners[[1, 3]])
    return _Box(left, top, right, bottom) if right > left and bottom > top else None


def _outline(canvas: Image, box: _Box, color: Color, line_px: int) -> None:
    """Draw the box with its line inside the box, so that it stays inside the image."""
    for inset in range(line_px):
        corner, opposite = (box.left + inset, box.top + inset), (box.right - inset, box.bottom - inset)
        if opposite[0] < corner[0] or opposite[1] < corner[1]:
            break
        cv2.rectangle(canvas, corner, opposite, color, 1, cv2.LINE_4)


def _tag(canvas: Image, box: _Box, text: str, *, fill: Color, style: _Style, taken: list[_Box]) -> None:
    """Draw ``text`` on a filled tag above the box; without space there, inside a large box or below a small one."""
    height, width = canvas.shape[:2]
    text, scale = _fitted(_printable(text), width - 2 * style.pad_px, style)
    (text_width, _), _ = cv2.getTextSize(text, _FONT, scale, style.font_px)
    tag_width = min(text_width + 2 * style.pad_px, width)
    tag_height = min(style.text_px + 2 * style.pad_px, height)
    left = min(max(box.left, 0), width - tag_width)
    is_large = box.bottom - box.top >= 2 * tag_height
    tops = (box.top - tag_height, box.top, box.bottom) if is_large else (box.top - tag_height, box.bottom, box.top)
    spots = [_Box(left, top, left + tag_width, top + tag_height) for top in tops if 0 <= top <= height - tag_height]
    spots = spots or [_Box(left, 0, left + tag_width, tag_height)]
    spot = next((s for s in spots if not any(_overlap(s, other) for other in taken)), spots[0])
    taken.append(spot)
    cv2.rectangle(canvas, (spot.left, spot.top), (spot.right - 1, spot.bottom - 1), fill, cv2.FILLED)
    origin = (spot.left + style.pad_px, spot.bottom - style.pad_px)
    cv2.putText(canvas, text, origin, _FONT, scale, _readable_on(fill), style.font_px, cv2.LINE_AA)


def _fitted(text: str, max_width_px: int, style: _Style) -> tuple[str, float]:
    """Return text and font scale that fit into ``max_width_px``: scaled down to 60 %, then truncated."""
    scale = style.font_scale
    (text_width, _), _ = cv2.getTextSize(text, _FONT, scale, style.font_px)
    if text_width <= max_width_px:
        return text, scale
    smaller = max(0.6, max_width_px / max(text_width, 1))
    scale *= smaller
    while len(text) > 1 and cv2.getTextSize(text, _FONT, scale, style.font_px)[0][0] > max_width_px:
        text = text[: max(1, len(text) * 9 // 10 if len(text) > 20 else len(text) - 1)]
    return text, scale


def _printable(text: str) -> str:
    """Return a single line that every OpenCV version accepts, without control characters and lone surrogates."""
    return "".join(c if c.isprintable() else " " for c in text.encode("utf-8", "replace").decode("utf-8"))


def _readable_on(fill: Color) -> Color:
    blue, green, red = fill
    return BLACK if 0.114 * blue + 0.587 * green + 0.299 * red > 140 else WHITE


def _overlap(first: _Box, second: _Box) -> bool:
    return (
        first.left < second.right
        and second.left < first.right
        and first.top < second.bottom
        and second.top < first.bottom
    )
