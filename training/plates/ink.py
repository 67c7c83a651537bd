"""Paints characters, with embossing and wear, and blends masks into a plate."""

from __future__ import annotations

import cv2
import numpy as np

from training.plates.ground import jitter
from training.plates.layouts import Colour


def blend(image: np.ndarray, mask: np.ndarray, colour: np.ndarray | Colour, x: float, y: float) -> None:
    """Paint a mask with its top left corner at (x, y), clipped at the image's borders."""
    x0, y0 = round(x), round(y)
    left, top = max(0, -x0), max(0, -y0)
    right, bottom = min(mask.shape[1], image.shape[1] - x0), min(mask.shape[0], image.shape[0] - y0)
    if right <= left or bottom <= top:
        return
    alpha = mask[top:bottom, left:right, None].astype(np.float32) / 255
    part = image[y0 + top : y0 + bottom, x0 + left : x0 + right]
    part[:] = (part + alpha * (np.asarray(colour, np.float32) - part)).astype(np.uint8)


def paint_text(
    rng: np.random.Generator, image: np.ndarray, mask: np.ndarray, ink: Colour, *, emboss: float, cap_px: float
) -> None:
    """Paint the characters with varied stroke width, rounded corners, and lit edges if embossed."""
    swell = rng.random()
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    if swell < 0.3:
        mask = cv2.dilate(mask, kernel, iterations=1 + int(cap_px > 90))
    elif swell < 0.4:
        mask = cv2.erode(mask, kernel)
    if rng.random() < 0.4:
        soft = cv2.GaussianBlur(mask, (0, 0), cap_px * float(rng.uniform(0.015, 0.04))).astype(np.float32)
        mask = np.clip((soft - 128) * 4 + 128, 0, 255).astype(np.uint8)
    colour = jitter(rng, ink, 10)
    alpha = mask.astype(np.float32) / 255
    if rng.random() < 0.15:  # worn paint
        grain = rng.normal(0, 1, (max(4, mask.shape[0] // 6), max(4, mask.shape[1] // 6))).astype(np.float32)
        grain = cv2.resize(grain, (mask.shape[1], mask.shape[0]), interpolation=cv2.INTER_LINEAR)
        alpha *= np.clip(1.6 - np.maximum(grain, 0) * float(rng.uniform(0.4, 1.0)), 0.25, 1)
    canvas = image.astype(np.float32)
    if rng.random() < 0.1:  # outlined
        rim = cv2.dilate(mask, kernel, iterations=1 + int(cap_px > 70)).astype(np.float32)[..., None] / 255
        canvas += rim * (np.float32(245 if sum(ink) < 330 else 15) - canvas)
    canvas += alpha[..., None] * (colour - canvas)
    if emboss > 0:
        spread = max(1.0, cap_px * float(rng.uniform(0.02, 0.05)))
        raised = cv2.GaussianBlur(cv2.dilate(mask, kernel), (0, 0), spread).astype(np.float32) / 255
        angle = float(rng.uniform(0, 2 * np.pi)) if rng.random() < 0.4 else -np.pi / 2 + float(rng.normal(0, 0.5))
        slope = np.cos(angle) * cv2.Sobel(raised, cv2.CV_32F, 1, 0) + np.sin(angle) * cv2.Sobel(
            raised, cv2.CV_32F, 0, 1
        )
        canvas += slope[..., None] * spread * emboss * float(rng.uniform(15, 60))
    image[:] = np.clip(canvas, 0, 255).astype(np.uint8)


def separator(
    rng: np.random.Generator, mask: np.ndarray, kind: str, cell: tuple[float, float], rows: tuple[float, float]
) -> None:
    """Draw a dash or a dot into the mask; ``cell``: left and width, ``rows``: top and height of capitals."""
    (x, width), (top, cap) = cell, rows
    middle = top + cap * float(rng.uniform(0.45, 0.6))
    if kind == "-":
        half, thick = width * 0.33, max(1.0, cap * float(rng.uniform(0.04, 0.07)))
        cv2.rectangle(
            mask,
            (round(x + width / 2 - half), round(middle - thick)),
            (round(x + width / 2 + half), round(middle + thick)),
            255,
            -1,
        )
    else:
        cv2.circle(
            mask,
            (round(x + width / 2), round(middle)),
            max(1, round(cap * float(rng.uniform(0.04, 0.09)))),
            255,
            -1,
            cv2.LINE_AA,
        )
