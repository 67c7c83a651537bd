# ruff: noqa: PLR0917 -- drawing functions take an image, a position and a size
"""Draws the background of plates: plain paint, gradients, landscapes."""

from __future__ import annotations

import cv2
import numpy as np

from training.plates.fonts import symbol
from training.plates.layouts import Colour


def jitter(rng: np.random.Generator, colour: Colour, spread: float = 18) -> np.ndarray:
    """Return the colour with a small random deviation."""
    return np.clip(np.array(colour, np.float32) + rng.normal(0, spread, 3), 0, 255)


def plain(rng: np.random.Generator, width: int, height: int, colour: Colour) -> np.ndarray:
    """Return a plate's background of one nearly uniform colour."""
    image = np.empty((height, width, 3), np.float32)
    image[:] = jitter(rng, colour, 12)
    if rng.random() < 0.3:
        ramp = np.linspace(-1, 1, width, dtype=np.float32)[None, :, None] * float(rng.normal(0, 10))
        image += ramp
    return np.clip(image, 0, 255).astype(np.uint8)


def scenic(rng: np.random.Generator, width: int, height: int, ink: Colour) -> np.ndarray:
    """Return a North American background: plain, bands or a picture, with enough contrast to the characters."""
    dark_ink = sum(ink) < 330
    base = _paper(rng, light=dark_ink)
    image = np.empty((height, width, 3), np.float32)
    image[:] = base
    kind = rng.random()
    if kind < 0.72:
        _bands(rng, image, dark_ink)
    strength = float(rng.choice([0.15, 0.3, 0.5, 0.8, 1.0]))
    if kind < 0.6:
        layer = image.copy()
        for _ in range(int(rng.integers(1, 5))):
            _shape(rng, layer, light=dark_ink)
        if rng.random() < 0.5:
            layer = cv2.GaussianBlur(layer, (0, 0), float(rng.uniform(0.5, 6)))
        image += strength * (layer - image)
    if rng.random() < 0.25:
        image += _clouds(rng, width, height) * float(rng.uniform(5, 30))
    return np.clip(image, 0, 255).astype(np.uint8)


def _paper(rng: np.random.Generator, *, light: bool) -> np.ndarray:
    if light:
        if rng.random() < 0.6:
            return np.array([238, 238, 238], np.float32) + rng.normal(0, 8, 3)
        return rng.uniform([120, 150, 150], [255, 255, 255])
    return rng.uniform([10, 10, 10], [150, 90, 110])


def _bands(rng: np.random.Generator, image: np.ndarray, light: bool) -> None:
    """Blend in one or two colours from the top and the bottom, or from left to right."""
    height, width = image.shape[:2]
    for _ in range(int(rng.integers(1, 3))):
        colour = _tint(rng, light)
        if rng.random() < 0.8:
            reach = float(rng.uniform(0.15, 0.8))
            ramp = np.clip(1 - np.linspace(0, 1, height, dtype=np.float32) / reach, 0, 1)[:, None, None]
            ramp = ramp if rng.random() < 0.6 else ramp[::-1]
        else:
            ramp = np.linspace(0, 1, width, dtype=np.float32)[None, :, None]
        if rng.random() < 0.25:
            ramp = (ramp > 0.5).astype(np.float32)
        image += ramp * float(rng.uniform(0.3, 1.0)) * (colour - image)


def _tint(rng: np.random.Generator, light: bool) -> np.ndarray:
    if light:
        colour = rng.uniform(60, 255, 3)
        return colour + max(0.0, float(rng.choice([105, 150])) - colour.mean()) * float(rng.random() < 0.9)
    return rng.uniform(0, 140, 3)


def _shape(rng: np.random.Generator, image: np.ndarray, *, light: bool) -> None:
    height, width = image.shape[:2]
    colour = tuple(float(v) for v in _tint(rng, light))
    mask = symbol(rng) if rng.random() < 0.2 else None
    if mask is not None:  # an animal or emblem, large behind the characters
        size = round(height * float(rng.uniform(0.4, 1.1)))
        mask = cv2.resize(mask, (size, size), interpolation=cv2.INTER_AREA)
        left, top = (
            int(rng.integers(0, max(1, width - size))),
            int(rng.integers(0, max(1, height - size + 1) if size < height else 1)),
        )
        part = image[top : top + size, left : left + size]
        alpha = mask[: part.shape[0], : part.shape[1], None].astype(np.float32) / 255
        part += alpha * (np.array(colour, np.float32) - part)
        return
    kind = rng.integers(6)
    x, y = float(rng.uniform(0, width)), float(rng.uniform(0, height))
    if kind <= 1:  # hills
        steps = int(rng.integers(3, 12))
        ridge = rng.uniform(0.25, 0.95) * height + rng.normal(0, height * 0.12, steps + 1)
        points = np.stack([np.linspace(0, width, steps + 1), ridge], 1)
        outline = np.vstack([points, [[width, height], [0, height]]]).astype(np.int32)
        cv2.fillPoly(image, [outline], colour, cv2.LINE_AA)
    elif kind == 2:  # sun, moon, fruit
        cv2.circle(image, (int(x), int(y)), int(rng.uniform(0.06, 0.45) * height), colour, -1, cv2.LINE_AA)
    elif kind == 3:  # an animal, tree or flower
        blob(rng, image, x, y, float(rng.uniform(0.15, 0.5)) * height, colour)
    elif kind == 4:  # a river or flag
        points = np.stack([np.linspace(-5, width + 5, 8), y + rng.normal(0, height * 0.1, 8)], 1).astype(np.int32)
        cv2.polylines(image, [points], False, colour, int(rng.uniform(2, 0.25 * height)), cv2.LINE_AA)
    else:  # trees in a row
        for left in np.arange(0, width, max(8, width / rng.integers(8, 40))):
            tall = rng.uniform(0.05, 0.3) * height
            base = height * 0.98
            triangle = np.array([[left, base], [left + 14, base], [left + 7, base - tall]], np.int32)
            cv2.fillPoly(image, [triangle], colour, cv2.LINE_AA)


def blob(
    rng: np.random.Generator, image: np.ndarray, x: float, y: float, radius: float, colour: tuple[float, ...]
) -> None:
    """Fill a random closed outline around a point."""
    corners = int(rng.integers(3, 14))
    angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
    reach = radius * rng.uniform(0.3, 1.0, corners)
    outline = np.stack([x + reach * np.cos(angles), y + reach * np.sin(angles)], 1).astype(np.int32)
    cv2.fillPoly(image, [outline], colour, cv2.LINE_AA)


def _clouds(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    coarse = rng.normal(0, 1, (int(rng.integers(2, 8)), int(rng.integers(2, 14)))).astype(np.float32)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)[..., None]
