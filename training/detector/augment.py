"""Random augmentation by effects of lenses, sensors, encoders and light."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Luma = NDArray[np.uint8]


def augment(rng: np.random.Generator, image: Luma, quads: NDArray[np.float32]) -> tuple[Luma, NDArray[np.float32]]:
    """Return the augmented image and corners. Images are not mirrored, because text has a direction."""
    if rng.random() < 0.3:
        image = _blur(rng, image)
    if rng.random() < 0.3:
        image = _lower_resolution(rng, image)
    if rng.random() < 0.85:
        image = _tone(rng, image)
    if rng.random() < 0.35:
        noise = rng.integers(0, 256, (image.shape[0] // 2 + 1, image.shape[1] // 2 + 1), np.uint8)
        noise = np.tile(noise, (2, 2))[: image.shape[0], : image.shape[1]].astype(np.float32) - 127.5
        image = np.clip(image + noise * float(rng.uniform(0.02, 0.2)), 0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        quality = int(rng.integers(20, 92))
        image = cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_GRAYSCALE)
    if rng.random() < 0.15:
        quads = _letterbox(rng, image, quads)
    return image, quads


def _blur(rng: np.random.Generator, image: Luma) -> Luma:
    if rng.random() < 0.6:
        return cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.4, 1.4)))
    length = int(rng.integers(2, 6))
    kernel = np.zeros((7, 7), np.float32)
    angle = rng.uniform(0, np.pi)
    for t in np.linspace(-length / 2, length / 2, 13):
        kernel[round(3 + t * np.sin(angle)), round(3 + t * np.cos(angle))] = 1
    return cv2.filter2D(image, -1, kernel / kernel.sum())


def _lower_resolution(rng: np.random.Generator, image: Luma) -> Luma:
    height, width = image.shape
    share = float(rng.uniform(0.45, 0.95))
    mode = cv2.INTER_AREA if rng.random() < 0.7 else cv2.INTER_LINEAR
    small = cv2.resize(image, (max(8, round(width * share)), max(8, round(height * share))), interpolation=mode)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC if rng.random() < 0.5 else cv2.INTER_LINEAR)


def _tone(rng: np.random.Generator, image: Luma) -> Luma:
    """Change exposure, contrast and gamma with one lookup table."""
    ramp = np.linspace(0, 1, 256, dtype=np.float32) ** float(np.exp(rng.normal(0, 0.35)))
    ramp = (ramp - 0.5) * float(np.exp(rng.normal(0, 0.25))) + 0.5 + float(rng.normal(0, 0.1))
    return cv2.LUT(image, np.clip(ramp * 255, 0, 255).astype(np.uint8))


def _letterbox(rng: np.random.Generator, image: Luma, quads: NDArray[np.float32]) -> NDArray[np.float32]:
    """Add grey bars at two sides that contain no plate."""
    height, width = image.shape
    horizontal = rng.random() < 0.5
    bar = int(rng.uniform(0.05, 0.25) * (width if horizontal else height))
    axis, size = (0, width) if horizontal else (1, height)
    if len(quads) and (quads[:, :, axis].min() < bar or quads[:, :, axis].max() > size - bar):
        return quads
    if horizontal:
        image[:, :bar] = image[:, width - bar :] = 114
    else:
        image[:bar] = image[height - bar :] = 114
    return quads
