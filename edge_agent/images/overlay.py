"""Draws zones, lines and their counts on an image, for checking rules visually."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_agent.images.annotate import BLACK, WHITE, Color, Corners
from edge_agent.types import Image

ZONE_COLOR: Color = (220, 170, 40)
OCCUPIED_COLOR: Color = (40, 120, 255)
LINE_COLOR: Color = (40, 220, 255)
OFF_COLOR: Color = (170, 170, 170)
_OFF = " (off schedule)"
ZONE_OPACITY = 0.18
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_TEXT_SHARE = 1 / 30
_ARROW_SHARE = 0.03
_CORNER_SHARE = 0.2
_HALO = ((-1, -1), (-1, 1), (1, -1), (1, 1))


@dataclass(frozen=True, slots=True)
class ZoneOverlay:
    """A zone: its corners as fractions of the image size, and the number of objects in it."""

    name: str
    polygon: Sequence[tuple[float, float]]
    occupancy: int = 0
    active: bool = True
    """False outside of its schedule."""


@dataclass(frozen=True, slots=True)
class LineOverlay:
    """A line: its points as fractions of the image size, and the number of crossings by direction."""

    name: str
    points: Sequence[tuple[float, float]]
    counts: Mapping[str, int]
    active: bool = True
    """False outside of its schedule."""


def draw_overlay(image: Image, *, zones: Sequence[ZoneOverlay], lines: Sequence[LineOverlay], caption: str) -> Image:
    """Return a copy of ``image`` with tinted and labelled zones, lines with counts, and a caption at the bottom."""
    canvas = image.copy()
    for zone in zones:
        _draw_zone(canvas, zone)
    for line in lines:
        _draw_line(canvas, line)
    if caption:
        height, _ = canvas.shape[:2]
        _write(canvas, caption, (_text_px(canvas) // 2, height - _text_px(canvas) // 2), WHITE)
    return canvas


def draw_corners(image: Image, boxes: Sequence[tuple[Corners, Color]]) -> Image:
    """Return a copy of ``image`` with the four corners of each box (pixels), for uncertain objects."""
    canvas = image.copy()
    for (left, top, right, bottom), color in boxes:
        for x, x_inwards in ((left, right), (right, left)):
            for y, y_inwards in ((top, bottom), (bottom, top)):
                corner = np.array([x, y])
                for end in ((x_inwards, y), (x, y_inwards)):
                    tip = corner + (np.array(end) - corner) * _CORNER_SHARE
                    cv2.line(canvas, _rounded(corner), _rounded(tip), color, _line_px(canvas), cv2.LINE_AA)
    return canvas


def _draw_zone(canvas: Image, zone: ZoneOverlay) -> None:
    corners = _pixels(canvas, zone.polygon)
    color = (OCCUPIED_COLOR if zone.occupancy else ZONE_COLOR) if zone.active else OFF_COLOR
    if zone.active:
        tinted = canvas.copy()
        cv2.fillPoly(tinted, [corners], color)
        cv2.addWeighted(tinted, ZONE_OPACITY, canvas, 1.0 - ZONE_OPACITY, 0.0, dst=canvas)
    cv2.polylines(canvas, [corners], isClosed=True, color=color, thickness=_line_px(canvas), lineType=cv2.LINE_AA)
    text = f"{zone.name}: {zone.occupancy}" if zone.active else f"{zone.name}{_OFF}"
    (text_width, _), _ = cv2.getTextSize(text, _FONT, _text_px(canvas) / 22.0, 1)
    center = corners.mean(axis=0)
    _write(canvas, text, (round(float(center[0])) - text_width // 2, round(float(center[1]))), WHITE)


def _draw_line(canvas: Image, line: LineOverlay) -> None:
    points = _pixels(canvas, line.points)
    color = LINE_COLOR if line.active else OFF_COLOR
    cv2.polylines(canvas, [points], isClosed=False, color=color, thickness=_line_px(canvas) + 1, lineType=cv2.LINE_AA)
    middle, to_right = _middle_and_right(points)
    length_px = max(min(canvas.shape[:2]) * _ARROW_SHARE, 6.0)
    tip = middle + to_right * length_px
    cv2.arrowedLine(canvas, _rounded(middle), _rounded(tip), color, _line_px(canvas), cv2.LINE_AA, tipLength=0.4)
    counts = "  ".join(f"{direction} {count}" for direction, count in sorted(line.counts.items()))
    text = f"{line.name}: {counts or 0}{'' if line.active else _OFF}"
    _write(canvas, text, _rounded(middle + np.array([length_px * 0.6, -length_px * 0.6])), color)


def _middle_and_right(points: NDArray[np.int32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the middle of the polyline's middle segment and the unit vector to its right (y grows downwards)."""
    segment = (len(points) - 1) // 2
    start, end = points[segment].astype(np.float64), points[segment + 1].astype(np.float64)
    along = end - start
    right = np.array([-along[1], along[0]]) / max(float(np.hypot(*along)), 1e-9)
    return (start + end) / 2, right


def _pixels(canvas: Image, points: Sequence[tuple[float, float]]) -> NDArray[np.int32]:
    height, width = canvas.shape[:2]
    return np.round(np.asarray(points, np.float64) * (width - 1, height - 1)).astype(np.int32)


def _rounded(point: NDArray[np.float64]) -> tuple[int, int]:
    return round(float(point[0])), round(float(point[1]))


def _write(canvas: Image, text: str, origin: tuple[int, int], color: Color) -> None:
    """Draw text with a dark outline, moved so that it stays inside the image."""
    height, width = canvas.shape[:2]
    scale = _text_px(canvas) / 22.0
    (text_width, text_height), _ = cv2.getTextSize(text, _FONT, scale, 1)
    x = min(max(origin[0], 2), max(width - text_width - 2, 2))
    y = min(max(origin[1], text_height + 2), height - 3)
    thickness = max(1, round(_text_px(canvas) / 14))
    for dx, dy in _HALO:  # an outline of thicker text would be wider
        cv2.putText(canvas, text, (x + dx, y + dy), _FONT, scale, BLACK, thickness, cv2.LINE_AA)
    cv2.putText(canvas, text, (x, y), _FONT, scale, color, thickness, cv2.LINE_AA)


def _text_px(canvas: Image) -> int:
    return round(min(max(min(canvas.shape[:2]) * _TEXT_SHARE, 10), 48))


def _line_px(canvas: Image) -> int:
    return max(1, round(min(canvas.shape[:2]) / 360))
