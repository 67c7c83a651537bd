"""The adaptive background when the whole image changes: corrupted frames, infrared, camera motion."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from edge_agent.motion.adaptive import AdaptiveBackground
from edge_agent.types import Motion
from tests.support.edge.motion_scenes import (
    FPS,
    HEIGHT,
    WIDTH,
    Camera,
    Picture,
    Scene,
    active_frames,
    every_scene,
    furnished,
    put,
    textured,
    watch,
)

Corruption = Callable[[Picture], Picture]


def grey_smear(picture: Picture) -> Picture:
    """Replace the lower part of the image with grey."""
    corrupted = picture.copy()
    corrupted[HEIGHT * 2 // 5 :] = 128.0
    return corrupted


def shifted_half(picture: Picture) -> Picture:
    corrupted = picture.copy()
    corrupted[HEIGHT // 2 :] = np.roll(corrupted[HEIGHT // 2 :], WIDTH // 3, axis=1)
    return corrupted


def repeated_row(picture: Picture) -> Picture:
    corrupted = picture.copy()
    corrupted[HEIGHT * 3 // 5 :] = corrupted[HEIGHT * 3 // 5]
    return corrupted


def flash(picture: Picture) -> Picture:
    return picture * 2.0 + 90.0


def noise(picture: Picture) -> Picture:
    return np.random.default_rng(2).uniform(0.0, 255.0, picture.shape).astype(np.float32)


CORRUPTIONS = {
    "grey smear": grey_smear,
    "shifted half": shifted_half,
    "repeated row": repeated_row,
    "flash": flash,
    "noise": noise,
    "black": np.zeros_like,
    "grey": lambda picture: np.full_like(picture, 128.0),
}
every_corruption = pytest.mark.parametrize("corrupt", CORRUPTIONS.values(), ids=CORRUPTIONS.keys())


def walked(scene: Picture, *, frames: int, first: int = 15, speed: float = 6.0) -> list[Picture]:
    """Return frames in which a person enters at the left in frame ``first`` and walks across."""
    return [
        put(scene, x=(i - first) * speed - 50, y=140, width=50, height=120, level=235) if i >= first else scene
        for i in range(frames)
    ]


@every_corruption
@every_scene
def test_edge_15_one_corrupted_frame_is_not_motion(scene: Scene, corrupt: Corruption) -> None:
    """After a single corrupted frame or a flash, no motion is reported."""
    empty = scene()
    motions = watch([*[empty] * 20, corrupt(empty), *[empty] * 25])
    assert active_frames(motions) == []
    assert not any(motion.unsettled for motion in motions[:20] + motions[28:])


@every_corruption
def test_edge_15_one_corrupted_frame_does_not_interrupt_motion(corrupt: Corruption) -> None:
    """A person who walks on is motion again a few frames later, and only the person is."""
    pictures = walked(furnished(), frames=60)
    pictures[40] = corrupt(pictures[40])
    motions = watch(pictures)
    assert motions[40].unsettled
    assert set(range(18, 40)) | set(range(46, 60)) <= set(active_frames(motions))
    assert all(motion.area_ratio < 0.08 for motion in motions)


@pytest.mark.parametrize("corrupt", [grey_smear, shifted_half, repeated_row])
def test_edge_15_temporarily_lost_part_of_the_image_is_not_motion(corrupt: Corruption) -> None:
    """A part of the image is missing for two seconds, until the next key frame."""
    empty = furnished()
    assert active_frames(watch([*[empty] * 20, *[corrupt(empty)] * 30, *[empty] * 30])) == []


def infrared(picture: Picture, *, gamma: float = 0.6, gain: float = 1.15) -> Picture:
    """Return the scene in infrared: brighter, with different contrasts."""
    return 255.0 * gain * (picture / 255.0) ** gamma


def spotlit(picture: Picture) -> Picture:
    """Return the scene lit by the camera's infrared lamp: bright in the middle, dark in the corners."""
    down, across = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    lamp = np.exp(-(((across - WIDTH / 2) / (WIDTH * 0.35)) ** 2 + ((down - HEIGHT / 2) / (HEIGHT * 0.4)) ** 2))
    return ((255.0 - 0.3 * picture) * 0.25 + picture * 1.4 * lamp).astype(np.float32)


@pytest.mark.parametrize("night", [infrared, spotlit], ids=["gamma", "lamp"])
@every_scene
def test_edge_15_switching_to_infrared_and_back_is_not_motion(scene: Scene, night: Corruption) -> None:
    """For four seconds, the image is different and has three times the noise."""
    empty = scene()
    day, dark = Camera(), Camera(grain_levels=9.0, seed=2)
    detector = AdaptiveBackground()
    frames = [day.shoot(empty) for _ in range(25)] + [dark.shoot(night(empty)) for _ in range(60)]
    frames += [day.shoot(empty) for _ in range(30)]
    motions = [detector.update(frame, time_s=i / FPS) for i, frame in enumerate(frames)]
    assert active_frames(motions) == []


@pytest.mark.parametrize("night", [infrared, spotlit], ids=["gamma", "lamp"])
def test_edge_15_background_is_relearned_after_the_switch(night: Corruption) -> None:
    """A person who enters two seconds later is motion, and nothing else is."""
    empty = night(textured())
    pictures = [textured()] * 20 + walked(empty, frames=70, first=30)
    active = active_frames(watch(pictures))
    assert active
    assert min(active) >= 50
    assert set(range(54, 88)) <= set(active)


def test_edge_15_large_object_that_appears_suddenly_is_motion() -> None:
    """A lorry that covers a fifth of the image from one frame to the next is held back for at most two frames."""
    empty = textured()
    pictures = [
        put(empty, x=80 + (i - 20) * 14, y=100, width=220, height=230, level=230) if i >= 20 else empty
        for i in range(40)
    ]
    active = active_frames(watch(pictures))
    assert active[0] in (20, 21, 22)
    assert active == list(range(active[0], 40))


# Camera motion


def world(seed: int = 11) -> Picture:
    """Return a scene larger than the image."""
    rng = np.random.default_rng(seed)
    ground = cv2.resize(rng.uniform(60.0, 180.0, (70, 130)).astype(np.float32), (WIDTH * 2, HEIGHT * 2))
    for _ in range(60):
        x, y = int(rng.integers(0, WIDTH * 2)), int(rng.integers(0, HEIGHT * 2))
        corner = (x + int(rng.integers(10, 90)), y + int(rng.integers(10, 70)))
        cv2.rectangle(ground, (x, y), corner, float(rng.integers(20, 235)), cv2.FILLED)
    return cv2.GaussianBlur(ground, (3, 3), 0)


def seen_from(scene: Picture, x: float, y: float, zoom: float = 1.0) -> Picture:
    """Return the image of a camera whose upper left corner is at ``x``, ``y`` of the scene."""
    matrix = np.array(((zoom, 0.0, -x * zoom), (0.0, zoom, -y * zoom)), np.float32)
    return np.asarray(cv2.warpAffine(scene, matrix, (WIDTH, HEIGHT)), np.float32)


def travelled(motions: list[Motion]) -> tuple[float, float]:
    """Return the position in the last frame of the point (0, 0) of the first frame."""
    x = y = 0.0
    for motion in motions:
        if motion.view_change is not None:
            x, y = motion.view_change.point(x, y)
    return x, y


@pytest.mark.parametrize(("step_x", "step_y"), [(1.5, 0.0), (6.0, 0.0), (-4.0, 2.0), (0.0, 5.0), (25.0, -6.0)])
def test_edge_20_pan_is_not_motion_and_its_shift_is_measured(step_x: float, step_y: float) -> None:
    """The camera pans, rests and pans back: no motion is reported, and each shift is measured to a few pixels."""
    scene = world()
    count = int(min(30, 300 / max(abs(step_x), abs(step_y))))
    way = [0] * 20 + list(range(1, count + 1)) + [count] * 25 + list(range(count, -1, -1)) + [0] * 20
    x, y = WIDTH / 2, HEIGHT / 2
    motions = watch([seen_from(scene, x + step * step_x, y + step * step_y) for step in way])
    assert active_frames(motions) == []
    away = travelled(motions[: 20 + count + 10])
    assert away == pytest.approx((-count * step_x, -count * step_y), abs=4.0)
    assert travelled(motions) == pytest.approx((0.0, 0.0), abs=4.0)


def test_edge_20_bumped_camera_is_not_motion() -> None:
    """The whole image is shifted from one frame to the next."""
    scene = world()
    motions = watch([seen_from(scene, 300 + (37 if i >= 20 else 0), 180 - (12 if i >= 20 else 0)) for i in range(60)])
    assert active_frames(motions) == []
    assert travelled(motions) == pytest.approx((-37.0, 12.0), abs=1.5)


def test_edge_20_zoom_is_not_motion() -> None:
    """The lens zooms in by a factor of 1.5 within two seconds."""
    scene = world()
    zooms = [1.0 + 0.5 * min(1.0, max(0.0, (i - 20) / 30)) for i in range(80)]
    motions = watch([seen_from(scene, 640 - 320 / zoom, 360 - 180 / zoom, zoom) for zoom in zooms])
    assert active_frames(motions) == []


def test_edge_20_motion_is_detected_soon_after_a_pan() -> None:
    """A person who walks after the camera has come to rest is motion within a second."""
    scene = world()
    pictures = [seen_from(scene, 300 + 5 * min(max(i - 20, 0), 30), 180) for i in range(90)]
    walking = [
        put(picture, x=(i - 50) * 6, y=140, width=50, height=120, level=250) if i >= 50 else picture
        for i, picture in enumerate(pictures)
    ]
    active = active_frames(watch(walking))
    assert min(active) >= 50
    assert set(range(66, 90)) <= set(active)


def test_edge_20_large_object_is_not_mistaken_for_a_pan() -> None:
    """A lorry with lettering covers half of the image: it is motion, and no view change is reported."""
    empty = textured()
    rng = np.random.default_rng(3)
    side = cv2.resize(
        rng.uniform(120.0, 250.0, (20, 40)).astype(np.float32), (400, 260), interpolation=cv2.INTER_NEAREST
    )

    def picture(i: int) -> Picture:
        x = -400 + (i - 15) * 16
        painted = empty.copy()
        left, right = max(0, x), min(WIDTH, x + 400)
        if right > left:
            painted[60:320, left:right] = side[:, left - x : right - x]
        return painted

    motions = watch([picture(i) for i in range(75)])
    assert set(range(18, 75)) <= set(active_frames(motions))
    assert all(motion.view_change is None for motion in motions)
