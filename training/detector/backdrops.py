# ruff: noqa: PLR0917 -- drawing functions take an image, a position and a size
"""Generated surroundings in luma: textures, signs with words, and vehicles from the front or behind, without plates.

They contain objects that are mistaken for plates (grilles, lamps, badges, lettering, reflectors, stickers, fences,
windows), and place the plates where vehicles have them.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Luma = NDArray[np.uint8]
FACES = (
    cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_PLAIN, cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX, cv2.FONT_HERSHEY_SCRIPT_COMPLEX,
)  # fmt: skip
LOWER = "abcdefghijklmnopqrstuvwxyz"
UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def texture(rng: np.random.Generator, height: int, width: int) -> Luma:
    """Return a backdrop without plates: noise of several scales over a gradient, with regular patterns and edges."""
    picture = np.zeros((height, width), np.float32)
    for _ in range(int(rng.integers(2, 5))):
        grain = float(np.exp(rng.uniform(np.log(2), np.log(160))))
        small = rng.standard_normal(
            (max(2, round(height / grain)), max(2, round(width / grain * rng.uniform(0.4, 2.5))))
        )
        mode = cv2.INTER_CUBIC if rng.random() < 0.7 else cv2.INTER_NEAREST
        picture += cv2.resize(small.astype(np.float32), (width, height), interpolation=mode) * float(rng.uniform(2, 22))
    slope = rng.uniform(-60, 60, 2)
    picture += np.linspace(-slope[0], slope[0], height, dtype=np.float32)[:, None]
    picture += np.linspace(-slope[1], slope[1], width, dtype=np.float32)[None]
    image = np.clip(picture + rng.uniform(40, 200), 0, 255).astype(np.uint8)
    for _ in range(int(rng.integers(0, 4))):
        box = _box_in(rng, height, width, 0.15, 0.8)
        _pattern(rng, image, box)
    for _ in range(int(rng.integers(0, 8))):
        _polygon(rng, image)
    return image


def _box_in(rng: np.random.Generator, height: int, width: int, least: float, most: float) -> tuple[int, int, int, int]:
    w, h = max(4, int(width * rng.uniform(least, most))), max(4, int(height * rng.uniform(least, most)))
    x, y = int(rng.integers(-w // 3, max(1, width - w // 2))), int(rng.integers(-h // 3, max(1, height - h // 2)))
    return max(0, x), max(0, y), min(width, x + w), min(height, y + h)


def _shade(rng: np.random.Generator) -> int:
    return int(rng.integers(0, 256))


def _polygon(rng: np.random.Generator, image: Luma) -> None:
    height, width = image.shape
    corners = rng.uniform(-0.2, 1.2, (int(rng.integers(3, 6)), 2)) * (width, height)
    if rng.random() < 0.5:
        centre = rng.uniform(0, 1, 2) * (width, height)
        corners = centre + (corners - centre) * rng.uniform(0.05, 0.4)
    points = corners.astype(np.int32)
    if rng.random() < 0.6:
        cv2.fillPoly(image, [points], _shade(rng), cv2.LINE_AA)
    else:
        cv2.polylines(image, [points], True, _shade(rng), int(rng.integers(1, 5)), cv2.LINE_AA)


def _pattern(rng: np.random.Generator, image: Luma, box: tuple[int, int, int, int]) -> None:
    """Draw bars, mesh, bricks or windows in a box."""
    x0, y0, x1, y1 = box
    if x1 - x0 < 6 or y1 - y0 < 6:
        return
    part = image[y0:y1, x0:x1]
    base, line = _shade(rng), _shade(rng)
    if rng.random() < 0.6:
        part[:] = (part * 0.3 + base * 0.7).astype(np.uint8)
    step = max(3, int(np.exp(rng.uniform(np.log(3), np.log(max(4, (y1 - y0) / 2))))))
    thick = max(1, int(step * rng.uniform(0.15, 0.7)))
    kind = int(rng.integers(4))
    if kind in (0, 2, 3):
        for y in range(0, y1 - y0, step):
            cv2.line(part, (0, y), (x1 - x0, y), line, thick)
    if kind in (1, 2):
        for x in range(0, x1 - x0, step):
            cv2.line(part, (x, 0), (x, y1 - y0), line, thick)
    if kind == 3:
        wide = max(2, int(step * rng.uniform(0.5, 3)))
        for row, y in enumerate(range(0, y1 - y0, step)):
            for x in range((row % 2) * wide // 2, x1 - x0, wide):
                cv2.line(part, (x, y), (x, y + step), line, max(1, thick // 2))


def words(rng: np.random.Generator, *, least: int = 2, most: int = 12) -> str:
    """Return lettering that is not a plate number: words, names, telephone numbers, dates."""
    kind = rng.random()
    if kind < 0.15:
        return "".join(str(int(d)) for d in rng.integers(0, 10, int(rng.integers(7, 12))))
    if kind < 0.25:
        return "{:02d}/{:02d}/{:04d} {:02d}:{:02d}".format(
            *(int(v) for v in rng.integers((1, 1, 1990, 0, 0), (29, 13, 2030, 24, 60)))
        )
    letters = LOWER if kind < 0.6 else UPPER
    word = "".join(letters[int(i)] for i in rng.integers(0, 26, int(rng.integers(least, most))))
    return word.capitalize() if rng.random() < 0.4 else word


def lettering(
    rng: np.random.Generator, image: Luma, at: tuple[int, int], height_px: float, shade: int, text: str | None = None
) -> None:
    """Write text; ``at``: left end of the baseline."""
    scale = height_px / 22
    thick = max(1, round(height_px * rng.uniform(0.06, 0.2)))
    cv2.putText(image, text or words(rng), at, int(rng.choice(FACES)), scale, shade, thick, cv2.LINE_AA)


def sign(rng: np.random.Generator, image: Luma) -> None:
    """Draw a board with lines of words at a random position, or words alone, like a date stamp."""
    height, width = image.shape
    x0, y0, x1, y1 = _box_in(rng, height, width, 0.08, 0.5)
    if x1 - x0 < 12 or y1 - y0 < 10:
        return
    ground = _shade(rng)
    ink = (ground + 128 + int(rng.integers(-40, 40))) % 256
    if rng.random() < 0.75:
        if rng.random() < 0.7:
            cv2.rectangle(image, (x0, y0), (x1, y1), ground, -1)
        else:
            cv2.ellipse(
                image,
                ((x0 + x1) // 2, (y0 + y1) // 2),
                ((x1 - x0) // 2, (y1 - y0) // 2),
                0,
                0,
                360,
                ground,
                -1,
                cv2.LINE_AA,
            )
        if rng.random() < 0.5:
            cv2.rectangle(image, (x0, y0), (x1, y1), ink, int(rng.integers(1, 4)))
    rows = int(rng.integers(1, 5)) if y1 - y0 > 30 else 1
    part = image[y0:y1, x0:x1]
    row_px = (y1 - y0) / rows
    for row in range(rows):
        text = words(rng, least=4 if rows == 1 else 2)
        size = min(row_px * rng.uniform(0.35, 0.7), (x1 - x0) / max(1, len(text)) * 1.2)
        if size >= 4:
            lettering(rng, part, (int((x1 - x0) * rng.uniform(0.02, 0.2)), int(row_px * (row + 0.75))), size, ink, text)


class _Body(NamedTuple):
    """The body of a vehicle, in pixels."""

    centre_x: float
    half_width: float
    top: float
    bottom: float


def vehicle(rng: np.random.Generator, image: Luma, plate: tuple[float, float, float, float], vehicle_px: float) -> None:
    """Draw the front or rear of a vehicle of this width around its future plate (centre x, y, width, height)."""
    cx, cy, _, ph = plate
    cx += float(rng.uniform(-0.03, 0.03) if rng.random() < 0.85 else rng.uniform(-0.3, 0.3)) * vehicle_px
    half = vehicle_px / 2
    top, bottom = cy - vehicle_px * rng.uniform(0.12, 0.55), cy + vehicle_px * rng.uniform(0.06, 0.3)
    paint = int(rng.integers(5, 250))
    body = _Body(cx, half, top, bottom)
    _draw_body(rng, image, body, paint)
    _draw_panels(rng, image, body, paint)
    if rng.random() < 0.6:
        y = cy + (-1 if rng.random() < 0.65 else 1) * (ph * 0.6 + vehicle_px * rng.uniform(0.06, 0.14))
        span = half * rng.uniform(0.25, 0.75)
        tall = vehicle_px * rng.uniform(0.03, 0.12)
        _pattern(rng, image, _clip(image, cx - span, y - tall, cx + span, y + tall))
    _lamps(rng, image, cx, cy, half)
    _recess(rng, image, plate, paint)
    if rng.random() < 0.6:
        _badge(
            rng, image, cx, cy - ph * 0.5 - vehicle_px * rng.uniform(0.05, 0.2), vehicle_px * rng.uniform(0.015, 0.05)
        )
    for _ in range(int(rng.integers(0, 4))):
        x = cx + half * rng.uniform(-0.9, 0.5)
        y = cy - ph - vehicle_px * rng.uniform(0.02, 0.3)
        lettering(rng, image, (int(x), int(y)), max(4, vehicle_px * rng.uniform(0.012, 0.04)), (paint + 120) % 256)
    if rng.random() < 0.35:
        _blank_plate_shapes(rng, image, cx, cy, half, ph)


def _clip(image: Luma, x0: float, y0: float, x1: float, y1: float) -> tuple[int, int, int, int]:
    height, width = image.shape
    return max(0, int(x0)), max(0, int(y0)), min(width, int(x1)), min(height, int(y1))


def _draw_body(rng: np.random.Generator, image: Luma, body: _Body, paint: int) -> None:
    cx, half, top, bottom = body
    x0, y0, x1, y1 = _clip(image, cx - half, top, cx + half, bottom)
    if x1 <= x0 or y1 <= y0:
        return
    slope = np.linspace(rng.uniform(-60, 80), rng.uniform(-80, 40), y1 - y0, dtype=np.float32)[:, None]
    across = np.linspace(rng.uniform(-30, 30), rng.uniform(-30, 30), x1 - x0, dtype=np.float32)[None]
    panel = np.clip(paint + slope + across, 0, 255).astype(np.uint8)
    roof, taper = half * rng.uniform(0.4, 1.0), (bottom - top) * rng.uniform(0.05, 0.5)
    outline = np.array([
        (cx - roof, top), (cx + roof, top), (cx + half, top + taper),
        (cx + half * rng.uniform(0.85, 1), bottom), (cx - half * rng.uniform(0.85, 1), bottom),
        (cx - half, top + taper),
    ])  # fmt: skip
    mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
    cv2.fillPoly(mask, [(outline - (x0, y0)).astype(np.int32)], 255, cv2.LINE_AA)
    weight = mask.astype(np.float32) / 255
    part = image[y0:y1, x0:x1]
    part[:] = (part * (1 - weight) + panel * weight).astype(np.uint8)
    ground = _clip(image, cx - half * 1.05, bottom - 2, cx + half * 1.05, bottom + half * 0.2)
    image[ground[1] : ground[3], ground[0] : ground[2]] //= 3
    if rng.random() < 0.6:  # a window above the body
        height = half * rng.uniform(0.3, 0.8)
        glass = np.array(
            [(cx - roof, top), (cx + roof, top), (cx + roof * 0.8, top - height), (cx - roof * 0.8, top - height)]
        )
        cv2.fillPoly(image, [glass.astype(np.int32)], int(rng.integers(0, 120)), cv2.LINE_AA)


def _draw_panels(rng: np.random.Generator, image: Luma, body: _Body, paint: int) -> None:
    cx, half, top, bottom = body
    for _ in range(int(rng.integers(1, 7))):
        y = top + (bottom - top) * rng.uniform(0, 1)
        shade = int(np.clip(paint + rng.uniform(-120, 120), 0, 255))
        points = np.array(
            [(cx + half * u, y + half * 0.1 * rng.uniform(-1, 1) * u * u) for u in np.linspace(-1, 1, 7)], np.int32
        )
        thick = max(1, int(half * (rng.uniform(0.004, 0.02) if rng.random() < 0.7 else rng.uniform(0.03, 0.12))))
        cv2.polylines(image, [points], False, shade, thick, cv2.LINE_AA)


def _lamps(rng: np.random.Generator, image: Luma, cx: float, cy: float, half: float) -> None:
    y = cy - half * rng.uniform(-0.25, 0.5)
    reach, tall = half * rng.uniform(0.1, 0.3), half * rng.uniform(0.06, 0.25)
    shade = int(rng.integers(20, 256))
    boxy = rng.random() < 0.4
    for side in (-1, 1):
        x = cx + side * half * rng.uniform(0.72, 0.85)
        centre, axes = (int(x), int(y)), (max(1, int(reach)), max(1, int(tall)))
        if boxy:
            cv2.rectangle(
                image, (centre[0] - axes[0], centre[1] - axes[1]), (centre[0] + axes[0], centre[1] + axes[1]), shade, -1
            )
        else:
            cv2.ellipse(image, centre, axes, side * rng.uniform(-25, 25), 0, 360, shade, -1, cv2.LINE_AA)
        for _ in range(int(rng.integers(0, 4))):
            inner = (max(1, int(axes[0] * rng.uniform(0.2, 0.6))), max(1, int(axes[1] * rng.uniform(0.2, 0.8))))
            at = (centre[0] + int(axes[0] * rng.uniform(-0.4, 0.4)), centre[1] + int(axes[1] * rng.uniform(-0.3, 0.3)))
            cv2.ellipse(image, at, inner, 0, 0, 360, _shade(rng), int(rng.choice([-1, 1, 2])), cv2.LINE_AA)
    if rng.random() < 0.2:
        glow = np.zeros_like(image)
        for side in (-1, 1):
            cv2.circle(glow, (int(cx + side * half * 0.78), int(y)), max(2, int(half * 0.25)), 255, -1)
        small = cv2.resize(
            glow, (max(2, image.shape[1] // 8), max(2, image.shape[0] // 8)), interpolation=cv2.INTER_AREA
        )
        small = cv2.GaussianBlur(small, (0, 0), max(1.0, half * 0.03))
        cv2.add(image, cv2.resize(small, (image.shape[1], image.shape[0])), dst=image)


def _recess(rng: np.random.Generator, image: Luma, plate: tuple[float, float, float, float], paint: int) -> None:
    """Draw the recess or holder that most plates are in."""
    cx, cy, pw, ph = plate
    if rng.random() < 0.65:
        w, h = pw * rng.uniform(0.55, 1.0), ph * rng.uniform(0.55, 1.2)
        shade = int(np.clip(paint + rng.uniform(-120, 60), 0, 255))
        cv2.rectangle(image, (int(cx - w), int(cy - h)), (int(cx + w), int(cy + h)), shade, -1)
        if rng.random() < 0.5:
            cv2.rectangle(
                image, (int(cx - w), int(cy - h)), (int(cx + w), int(cy + h)), _shade(rng), max(1, int(ph * 0.05))
            )


def _badge(rng: np.random.Generator, image: Luma, cx: float, cy: float, radius: float) -> None:
    centre, r = (int(cx), int(cy)), max(2, int(radius))
    wide = max(2, int(r * rng.uniform(1.0, 2.0)))
    cv2.ellipse(image, centre, (wide, r), 0, 0, 360, _shade(rng), -1, cv2.LINE_AA)
    cv2.ellipse(image, centre, (wide, r), 0, 0, 360, _shade(rng), max(1, r // 5), cv2.LINE_AA)
    cv2.line(
        image,
        (centre[0] - r // 2, centre[1]),
        (centre[0] + r // 2, centre[1]),
        _shade(rng),
        max(1, r // 5),
        cv2.LINE_AA,
    )


def _blank_plate_shapes(rng: np.random.Generator, image: Luma, cx: float, cy: float, half: float, ph: float) -> None:
    """Draw reflectors and handles, which have the shape of a plate without characters."""
    for _ in range(int(rng.integers(1, 4))):
        x, y = cx + half * rng.uniform(-0.9, 0.9), cy + half * rng.uniform(-0.4, 0.35)
        h = max(1, int(ph * rng.uniform(0.15, 0.6)))
        w = int(h * rng.uniform(2, 5))
        if abs(x - cx) > w + ph * 2 or abs(y - cy) > h + ph:
            cv2.rectangle(
                image, (int(x - w), int(y - h)), (int(x + w), int(y + h)), _shade(rng), int(rng.choice([-1, -1, 1, 2]))
            )
