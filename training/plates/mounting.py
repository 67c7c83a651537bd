"""Draws stickers, bolts, borders, plate frames and wear."""

from __future__ import annotations

import cv2
import numpy as np

from training.plates.fonts import small_text
from training.plates.ground import jitter
from training.plates.ink import blend
from training.plates.layouts import Colour
from training.plates.states import DEALERS

Box = tuple[float, float, float, float]


def stickers(rng: np.random.Generator, image: np.ndarray, keep: list[Box]) -> None:
    """Draw registration stickers in the corners; they hardly overlap characters."""
    height, width = image.shape[:2]
    for corner in rng.permutation(5)[: int(rng.choice([0, 1, 2, 3], p=[0.25, 0.35, 0.3, 0.1]))]:
        wide, high = width * float(rng.uniform(0.08, 0.16)), height * float(rng.uniform(0.13, 0.24))
        x = (0.02 * width, width * 0.98 - wide, 0.02 * width, width * 0.98 - wide, width * 0.98 - wide)[corner]
        y = (0.02 * height, 0.02 * height, height * 0.98 - high, height * 0.98 - high, height * 0.4)[corner]
        if any(x < b[2] - 3 and x + wide > b[0] + 3 and y < b[3] - 5 and y + high > b[1] + 5 for b in keep):
            continue
        colour = jitter(
            rng,
            [(60, 60, 220), (60, 200, 240), (230, 230, 230), (80, 160, 60), (200, 120, 40), (40, 120, 240)][
                rng.integers(6)
            ],
        )
        x0, y0 = round(x), round(y)
        image[y0 : round(y + high), x0 : round(x + wide)] = colour
        text = str(rng.choice(["09", "10", "JAN", "OCT", "12", "MAR", "2011", "6", "JUL", "07", "DEC", "15"]))
        mask = small_text(rng, text, high * float(rng.uniform(0.35, 0.65)))
        if mask.shape[1] > wide * 0.9:
            mask = cv2.resize(mask, (round(wide * 0.9), mask.shape[0]))
        blend(
            image,
            mask,
            (20, 20, 20) if colour.sum() > 300 else (240, 240, 240),
            x + (wide - mask.shape[1]) / 2,
            y + high * 0.25,
        )


def bolts(rng: np.random.Generator, image: np.ndarray, share: float) -> None:
    """Draw holes, slots and bolt heads."""
    if rng.random() > share:
        return
    height, width = image.shape[:2]
    dx, dy = width * float(rng.uniform(0.06, 0.25)), height * float(rng.uniform(0.05, 0.12))
    places = [(dx, dy), (width - dx, dy), (dx, height - dy), (width - dx, height - dy)]
    if width > 3 * height:
        places = [(dx, height / 2), (width - dx, height / 2)] if rng.random() < 0.4 else places[:2]
        dy = height * 0.06
    radius = height * float(rng.uniform(0.02, 0.05))
    for x, y in places:
        if rng.random() < 0.2:
            continue
        centre, axes = (round(x), round(y)), (max(1, round(radius * float(rng.uniform(1, 1.9)))), max(1, round(radius)))
        shade = float(rng.uniform(20, 200))
        cv2.ellipse(image, centre, axes, 0, 0, 360, (shade, shade, shade), -1, cv2.LINE_AA)
        if rng.random() < 0.5:
            cv2.ellipse(
                image,
                centre,
                (max(1, axes[1] // 2), max(1, axes[1] // 2)),
                0,
                0,
                360,
                (shade * 0.5,) * 3,
                -1,
                cv2.LINE_AA,
            )


def border(rng: np.random.Generator, image: np.ndarray, ink: Colour, share: float) -> None:
    """Draw a painted line just inside the edge."""
    if rng.random() > share:
        return
    height, width = image.shape[:2]
    inset, thick = max(1, round(height * 0.02)), max(1, round(height * float(rng.uniform(0.01, 0.03))))
    cv2.rectangle(image, (inset, inset), (width - 1 - inset, height - 1 - inset), ink, thick)


def frame(
    rng: np.random.Generator, image: np.ndarray, *, keep: tuple[float, float]
) -> tuple[np.ndarray, tuple[int, int]]:
    """Draw a dealer's frame that leaves the rows ``keep`` uncovered; return the image and the plate's shift."""
    if rng.random() > 0.35:
        return image, (0, 0)
    height, width = image.shape[:2]
    cover_top, cover_bottom = (
        keep[0] * float(rng.uniform(0.1, 0.85)),
        (height - keep[1]) * float(rng.uniform(0.1, 0.85)),
    )
    side = round(width * float(rng.uniform(0.005, 0.015)))
    grow = round(height * float(rng.uniform(0.01, 0.06)))
    shade = float(rng.choice([20, 30, 50, 190, 215]))
    out = np.empty((height + 2 * grow, width + 2 * grow, 3), np.uint8)
    out[:] = np.clip(np.full(3, shade) + rng.normal(0, 10, 3), 0, 255)
    top, bottom = round(cover_top), round(height - cover_bottom)
    out[grow + top : grow + bottom, grow + side : grow + width - side] = image[top:bottom, side : width - side]
    ink = (235, 235, 235) if shade < 100 else (30, 30, 30)
    for y, room in ((0.0, grow + cover_top), (grow + bottom, grow + cover_bottom)):
        if room > 9 and rng.random() < 0.7:
            mask = small_text(rng, str(rng.choice(DEALERS)), room * 0.6)
            if mask.shape[1] < width * 0.9:
                blend(out, mask, ink, grow + (width - mask.shape[1]) / 2, y + (room - mask.shape[0]) / 2)
    return out, (grow, grow)


def wear(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Return the plate with dirt, scratches and fading."""
    height, width = image.shape[:2]
    if rng.random() < 0.25:
        coarse = rng.normal(0, 1, (int(rng.integers(4, 24)), int(rng.integers(6, 48)))).astype(np.float32)
        dirt = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        alpha = np.clip(dirt - float(rng.uniform(0.4, 1.6)), 0, 1)[..., None] * float(rng.uniform(0.1, 0.5))
        image = (image + alpha * (rng.uniform(40, 130, 3) - image)).astype(np.uint8)
    if rng.random() < 0.1:
        for _ in range(int(rng.integers(1, 5))):
            ends = [(int(rng.integers(width)), int(rng.integers(height))) for _ in range(2)]
            shade = float(rng.uniform(60, 220))
            cv2.line(image, ends[0], ends[1], (shade, shade, shade), 1, cv2.LINE_AA)
    return image
