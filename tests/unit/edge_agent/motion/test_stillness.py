"""The adaptive background on synthetic scenes without moving objects: light, noise, weather, a shaking camera."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.support.edge.motion_scenes import (
    HEIGHT,
    WIDTH,
    Camera,
    Picture,
    Scene,
    active_frames,
    every_scene,
    furnished,
    textured,
    watch,
)


@every_scene
@pytest.mark.parametrize("grain_levels", [0.0, 6.0, 20.0])
def test_noise_is_not_motion(scene: Scene, grain_levels: float) -> None:
    """An empty scene causes no motion without noise and with the noise of a night image."""
    empty = scene()
    assert active_frames(watch([empty] * 45, camera=Camera(grain_levels=grain_levels))) == []


@every_scene
@pytest.mark.parametrize(("gain", "offset"), [(0.6, 0.0), (1.3, 0.0), (1.0, 35.0), (0.8, -15.0)])
def test_jump_of_exposure_is_not_motion(scene: Scene, gain: float, offset: float) -> None:
    """The exposure of the camera jumps and returns."""
    empty = scene()
    lit = empty * gain + offset
    assert active_frames(watch([empty] * 20 + [lit] * 20 + [empty] * 20)) == []


@every_scene
def test_dusk_is_not_motion(scene: Scene) -> None:
    """The brightness halves within two seconds."""
    empty = scene()
    assert active_frames(watch([empty * max(0.5, 1.0 - max(0, i - 15) / 60.0) for i in range(60)])) == []


@every_scene
def test_lamp_on_one_side_is_not_motion(scene: Scene) -> None:
    """One half of the image becomes brighter."""
    empty = scene()
    lamp = np.linspace(1.6, 1.0, WIDTH, dtype=np.float32)[None]
    assert len(active_frames(watch([empty] * 20 + [empty * lamp] * 30))) <= 3


@every_scene
def test_replaced_image_is_not_motion(scene: Scene) -> None:
    """If the whole image changes at once (lights off, camera turned), the background is relearned."""
    pictures = [scene()] * 20 + [255.0 - scene()] * 20
    assert active_frames(watch(pictures)) == []


@every_scene
def test_mains_flicker_is_not_motion(scene: Scene) -> None:
    """The brightness oscillates by 4 %, out of phase with the frame rate."""
    empty = scene()
    assert active_frames(watch([empty * (1.0 + 0.04 * np.sin(i * 2.1)) for i in range(60)])) == []


@every_scene
def test_key_frame_artefacts_are_not_motion(scene: Scene) -> None:
    """The coding error changes at every key frame."""
    rng = np.random.default_rng(3)
    pops = [cv2.resize(rng.normal(0.0, 4.0, (45, 80)).astype(np.float32), (WIDTH, HEIGHT)) for _ in range(6)]
    empty = scene()
    assert active_frames(watch([empty + pops[i // 12] for i in range(72)], camera=Camera(grain_levels=1.0))) == []


@every_scene
def test_shaking_camera_is_not_motion(scene: Scene) -> None:
    """The camera shakes by up to 1.5 pixels."""
    rng = np.random.default_rng(4)
    empty = scene()

    def shifted() -> Picture:
        shift = np.array([[1, 0, rng.uniform(-1.5, 1.5)], [0, 1, rng.uniform(-1.5, 1.5)]], np.float32)
        return cv2.warpAffine(empty, shift, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE)

    assert active_frames(watch([shifted() for _ in range(45)])) == []


def test_rain_is_hardly_ever_motion() -> None:
    """Thin streaks all over the image are rejected, or soon learned as noise."""
    rng = np.random.default_rng(5)
    empty = furnished()

    def rain() -> Picture:
        picture = empty.copy()
        for _ in range(60):
            x, y = int(rng.integers(0, WIDTH)), int(rng.integers(0, HEIGHT))
            cv2.line(picture, (x, y), (x + 2, y + 20), min(255.0, float(empty[y, x]) + 60.0), 1)
        return picture

    assert len(active_frames(watch([rain() for _ in range(90)]))) <= 4


def test_moving_shadow_on_texture_is_hardly_any_motion() -> None:
    """The shadow of a cloud keeps the texture of the ground, even with a hard edge."""
    empty = textured()
    pictures = [empty] * 15
    for i in range(30):
        shadow = empty.copy()
        shadow[:, : i * 15] *= 0.65
        pictures.append(shadow)
    assert len(active_frames(watch(pictures))) <= 3


@every_scene
def test_edge_19_headlights_on_the_ground_are_hardly_any_motion(scene: Scene) -> None:
    """A wide soft beam, four times as bright as the ground, crosses a dark yard."""
    night = scene() * 0.3
    down, across = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)

    def lit(i: int) -> Picture:
        x = -200 + (i - 15) * 16
        pool = np.exp(-(((across - x) / 100.0) ** 2 + ((down - HEIGHT * 0.6) / 60.0) ** 2))
        return (night * (1.0 + 3.0 * pool) + 15.0 * pool).astype(np.float32)

    assert len(active_frames(watch([night] * 15 + [lit(i) for i in range(15, 80)]))) <= 2


def test_edge_19_soft_shadow_of_a_cloud_is_hardly_any_motion() -> None:
    """A shadow with a border of many pixels crosses the scene and darkens it by 45 %."""
    empty = furnished()
    across = np.arange(WIDTH, dtype=np.float32)[None]

    def shaded(i: int) -> Picture:
        x = -150 + (i - 15) * 14
        return (empty * (1.0 - 0.45 / (1.0 + np.exp((np.abs(across - x) - 120.0) / 18.0)))).astype(np.float32)

    assert len(active_frames(watch([empty] * 15 + [shaded(i) for i in range(15, 85)]))) <= 2


@every_scene
def test_edge_18_insect_on_the_lens_is_hardly_any_motion(scene: Scene) -> None:
    """A dark, out-of-focus blur moves for four seconds; most frames have no motion."""
    empty = scene()
    down, across = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)

    def crept(i: int) -> Picture:
        x, y = 250.0 + 90.0 * np.sin(i / 9.0), 180.0 + 60.0 * np.cos(i / 7.0)
        blur = np.exp(-(((across - x) / 45.0) ** 2 + ((down - y) / 35.0) ** 2))
        return (empty * (1.0 - 0.75 * blur)).astype(np.float32)

    assert len(active_frames(watch([empty] * 15 + [crept(i) for i in range(15, 75)]))) <= 12
