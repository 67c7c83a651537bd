"""Clocks and signs in the image change without being motion."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from edge_agent.motion.adaptive import AdaptiveBackground
from tests.support.edge.motion_scenes import (
    HEIGHT,
    WIDTH,
    Camera,
    Picture,
    Scene,
    active_frames,
    every_scene,
    furnished,
    put,
)


def clock(scene: Picture, *, seconds: float, fps: float, scale: float, tenths: bool) -> Iterator[Picture]:
    """Yield frames with a running clock, white with a black border, over the scene; it passes a full minute."""
    for i in range(round(seconds * fps)):
        at_s = 12 * 3600 + 52 + i / fps
        text = f"{int(at_s // 3600):02d}:{int(at_s // 60) % 60:02d}:{int(at_s) % 60:02d}"
        text += f".{int(at_s * 10) % 10}" if tenths else ""
        picture = cv2.convertScaleAbs(scene)
        for level, thickness in ((0, 4 * scale), (255, 2 * scale)):
            where = (12, round(30 * scale))
            cv2.putText(picture, text, where, cv2.FONT_HERSHEY_SIMPLEX, scale, level, round(thickness), cv2.LINE_AA)
        yield picture.astype(np.float32)


@every_scene
@pytest.mark.parametrize("fps", [10.0, 15.0, 25.0])
def test_edge_16_very_large_clock_with_tenths_is_not_motion(scene: Scene, fps: float) -> None:
    """The clock covers half of the image width from the first frame on and passes a full minute."""
    detector, camera = AdaptiveBackground(), Camera()
    pictures = clock(scene(), seconds=20.0, fps=fps, scale=2.4, tenths=True)
    motions = [detector.update(camera.shoot(picture), time_s=i / fps) for i, picture in enumerate(pictures)]
    assert active_frames(motions) == []


def test_edge_16_ordinary_clock_is_not_motion() -> None:
    """The clock shows seconds and covers a tenth of the image height."""
    detector, camera = AdaptiveBackground(), Camera()
    pictures = clock(furnished(), seconds=20.0, fps=10.0, scale=1.0, tenths=False)
    motions = [detector.update(camera.shoot(picture), time_s=i / 10.0) for i, picture in enumerate(pictures)]
    assert active_frames(motions) == []


def test_edge_16_person_walking_behind_the_clock_is_motion() -> None:
    """The clock hides a part of the person; the rest is motion."""
    detector, camera = AdaptiveBackground(), Camera()
    pictures = list(clock(furnished(), seconds=16.0, fps=10.0, scale=2.4, tenths=True))
    walking = [
        picture
        if i < 80
        else np.where(_drawn(picture), picture, put(picture, x=(i - 80) * 9, y=40, width=50, height=200, level=128))
        for i, picture in enumerate(pictures)
    ]
    motions = [detector.update(camera.shoot(picture), time_s=i / 10.0) for i, picture in enumerate(walking)]
    active = active_frames(motions)
    assert min(active) >= 80
    assert set(range(86, 140)) <= set(active)


def _drawn(picture: Picture) -> np.ndarray:
    return ((picture == 0.0) | (picture == 255.0)) & (np.arange(HEIGHT)[:, None] < 90) & (np.arange(WIDTH)[None] >= 0)


@every_scene
def test_edge_16_lamp_switched_on_is_not_motion(scene: Scene) -> None:
    """The lamp is switched on, and switched off ten seconds later."""
    empty = scene()
    lit = put(empty, x=300, y=100, width=40, height=40, level=250)
    camera, detector = Camera(), AdaptiveBackground()
    pictures = [empty] * 30 + [lit] * 100 + [empty] * 60
    motions = [detector.update(camera.shoot(picture), time_s=i / 10.0) for i, picture in enumerate(pictures)]
    assert active_frames(motions) == []
