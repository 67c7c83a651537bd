"""Drawn scenes for the motion tests: a background, a moving object, and the faults of real cameras."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_agent.motion.adaptive import AdaptiveBackground
from edge_agent.motion.settings import MotionSettings
from edge_agent.types import Motion

WIDTH, HEIGHT, FPS = 640, 360, 15.0

Picture = NDArray[np.float32]
Scene = Callable[[], Picture]


def plain() -> Picture:
    """An evenly grey yard."""
    return np.full((HEIGHT, WIDTH), 110.0, np.float32)


def textured() -> Picture:
    """Gravel: strong texture everywhere."""
    rng = np.random.default_rng(7)
    return cv2.resize(rng.uniform(50.0, 190.0, (45, 80)).astype(np.float32), (WIDTH, HEIGHT))


def furnished() -> Picture:
    """A room: a gradient with many hard-edged boxes."""
    rng = np.random.default_rng(8)
    room = np.tile(np.linspace(60.0, 190.0, WIDTH, dtype=np.float32), (HEIGHT, 1))
    for _ in range(40):
        x, y = int(rng.integers(0, WIDTH - 100)), int(rng.integers(0, HEIGHT - 75))
        corner = (x + int(rng.integers(10, 100)), y + int(rng.integers(10, 75)))
        cv2.rectangle(room, (x, y), corner, float(rng.integers(20, 235)), cv2.FILLED)
    return cv2.GaussianBlur(room, (5, 5), 0)


SCENES = {"plain": plain, "textured": textured, "furnished": furnished}


def put(picture: Picture, *, x: float, y: float, width: int, height: int, level: float) -> Picture:
    """Return the picture with a box of one colour in it, clipped to the picture."""
    painted = picture.copy()
    left, top = max(0, round(x)), max(0, round(y))
    painted[top : max(0, round(y) + height), left : max(0, round(x) + width)] = level
    return painted


class Camera:
    """Turns pictures into 8-bit frames with sensor noise: one of a few noise images, shifted for each frame."""

    def __init__(self, *, grain_levels: float = 3.0, seed: int = 1) -> None:
        self._rng = np.random.default_rng(seed)
        self._sheets = [
            self._rng.normal(0.0, 1.0, (HEIGHT, WIDTH)).astype(np.float32) * np.float32(grain_levels) for _ in range(3)
        ]

    def shoot(self, picture: Picture) -> NDArray[np.uint8]:
        sheet = self._sheets[int(self._rng.integers(len(self._sheets)))]
        grain = np.resize(np.roll(sheet, int(self._rng.integers(sheet.size))), picture.shape)
        return cv2.convertScaleAbs(np.clip(picture + grain, 0.0, 255.0))


def watch(
    pictures: Iterable[Picture], *, settings: MotionSettings | None = None, camera: Camera | None = None
) -> list[Motion]:
    """Run a new detector over the pictures."""
    camera = camera or Camera()
    detector = AdaptiveBackground(settings=settings)
    return [detector.update(camera.shoot(picture), time_s=i / FPS) for i, picture in enumerate(pictures)]


def active_frames(motions: list[Motion]) -> list[int]:
    return [i for i, motion in enumerate(motions) if motion.active]


every_scene = pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES.keys())
