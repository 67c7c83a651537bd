"""Renders a plate into an image: perspective, light, shade, frame, and blending at exact corners."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from training.detector import backdrops

Luma = NDArray[np.uint8]
Quad = NDArray[np.float32]
MARGIN_PX = 3


def corners_seen(rng: np.random.Generator, aspect: float, *, yaw: float, pitch: float, roll: float) -> Quad:
    """Return the corners (4, 2) of a plate of width 1, centred on the origin and rotated by these angles, in degrees.

    The focal length is random.
    """
    half = np.array([(-0.5, -0.5 / aspect), (0.5, -0.5 / aspect), (0.5, 0.5 / aspect), (-0.5, 0.5 / aspect)])
    a, b, c = np.radians((yaw, pitch, roll))
    x, y = half[:, 0] * np.cos(c) - half[:, 1] * np.sin(c), half[:, 0] * np.sin(c) + half[:, 1] * np.cos(c)
    x, z = x * np.cos(a), x * np.sin(a)
    y, z = y * np.cos(b) - z * np.sin(b), y * np.sin(b) + z * np.cos(b)
    depth = 1 + z / rng.uniform(2.5, 12)
    seen = np.stack([x / depth, y / depth], 1)
    return (seen - (seen.min(0) + seen.max(0)) / 2).astype(np.float32)


def random_angles(rng: np.random.Generator) -> dict[str, float]:
    """Return random angles, most of them small."""
    spread = rng.choice([0.35, 1.0, 1.6], p=[0.4, 0.45, 0.15])
    return {
        "yaw": float(np.clip(rng.normal(0, 22) * spread, -62, 62)),
        "pitch": float(np.clip(rng.normal(8, 12) * spread, -40, 45)),
        "roll": float(np.clip(rng.normal(0, 5) * spread, -22, 22)),
    }


def light(rng: np.random.Generator, plate: Luma, like: Luma | None) -> NDArray[np.float32]:
    """Return the plate with the brightness range of the patch ``like``, or with random brightness without one."""
    values = plate.astype(np.float32)
    if like is not None and like.size > 20:
        dark, bright = np.percentile(like, (4, 92))
        if bright - dark < 30:
            bright = dark + 30
    else:
        bright = float(np.clip(rng.normal(185, 60), 50, 300))
        dark = bright * float(rng.uniform(0.02, 0.6))
    values = dark + (values - 20) * (bright - dark) / 215
    if rng.random() < 0.5:
        height, width = plate.shape
        slope = rng.uniform(-0.35, 0.35, 2)
        values *= 1 + np.linspace(-slope[0], slope[0], height, dtype=np.float32)[:, None]
        values *= 1 + np.linspace(-slope[1], slope[1], width, dtype=np.float32)[None]
    if rng.random() < 0.2:
        values = _shadow(rng, values)
    return np.clip(values, 0, 255)


def _shadow(rng: np.random.Generator, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Add a shadow edge across the plate."""
    height, width = values.shape
    mask = np.ones((height, width), np.float32)
    x = rng.uniform(-0.2, 1.2, 2) * width
    if rng.random() < 0.5:
        points = np.array([(x[0], 0), (x[1], height), (-width, height), (-width, 0)], np.int32)
    else:
        y = rng.uniform(0, 1, 2) * height
        points = np.array([(0, y[0]), (width, y[1]), (width, -height), (0, -height)], np.int32)
    cv2.fillPoly(mask, [points], float(rng.uniform(0.3, 0.7)))
    return values * mask


def holder(rng: np.random.Generator, image: Luma, quad: Quad) -> None:
    """Draw a plate holder, slightly larger than the plate, with a dealer's name. Call it before drawing the plate."""
    centre = quad.mean(0)
    grow = 1 + rng.uniform(0.03, 0.14)
    outer = centre + (quad - centre) * grow
    tall = float(np.linalg.norm(quad[3] - quad[0]))
    down = (quad[3] - quad[0]) / max(tall, 1e-3)
    outer += down * rng.uniform(-0.02, 0.02) * tall
    outer[2:] += down * rng.uniform(0, 0.2) * tall
    outer[:2] -= down * rng.uniform(0, 0.12) * tall
    shade = int(rng.choice([int(rng.integers(0, 60)), int(rng.integers(150, 256)), int(rng.integers(0, 256))]))
    cv2.fillPoly(image, [np.round(outer * 8).astype(np.int32)], shade, cv2.LINE_AA, 3)
    if tall > 20 and rng.random() < 0.6:
        at = quad[3] + (quad[2] - quad[3]) * rng.uniform(0.1, 0.5) + down * tall * 0.14
        backdrops.lettering(rng, image, (int(at[0]), int(at[1])), max(4, tall * 0.12), (shade + 150) % 256)


def put(image: Luma, plate: NDArray[np.float32], quad: Quad) -> None:
    """Blend the plate into the image at these corners; coordinate 0 is the left edge of the first column."""
    low = np.maximum(np.floor(quad.min(0)).astype(int) - MARGIN_PX, 0)
    high = np.minimum(np.ceil(quad.max(0)).astype(int) + MARGIN_PX, (image.shape[1], image.shape[0]))
    if np.any(high - low < 2):
        return
    wide = max(float(np.linalg.norm(quad[1] - quad[0])), float(np.linalg.norm(quad[2] - quad[3])), 4.0)
    shrink = wide * 1.25 / plate.shape[1]
    if shrink < 1:
        size = max(4, round(plate.shape[1] * shrink)), max(3, round(plate.shape[0] * shrink))
        plate = cv2.resize(plate, size, interpolation=cv2.INTER_AREA)
    height, width = plate.shape
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32) - 0.5
    transform = cv2.getPerspectiveTransform(corners, quad - low.astype(np.float32) - 0.5)
    size = (int(high[0] - low[0]), int(high[1] - low[1]))
    warped = cv2.warpPerspective(plate, transform, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    mask = np.zeros((size[1], size[0]), np.uint8)
    cv2.fillPoly(mask, [np.round((quad - low - 0.5) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    weight = mask.astype(np.float32) / 255
    part = image[low[1] : high[1], low[0] : high[0]]
    part[:] = (part * (1 - weight) + warped * weight).astype(np.uint8)
