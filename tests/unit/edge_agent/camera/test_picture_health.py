"""Covered cameras are distinguished from cameras with little detail."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_agent.camera.file import open_file
from edge_agent.camera.picture_health import PictureFault, PictureHealth, measure
from edge_agent.camera.settings import PictureHealthSettings, SourceSettings
from edge_agent.types import Luma
from shared.clock import ManualClock

WIDTH, HEIGHT = 640, 360
Plane = NDArray[np.float32]
Scene = Callable[[float, np.random.Generator], Plane]
"""Returns the scene at a time in seconds."""


@cache
def rough(low: int = 40, high: int = 200, *, seed: int = 3) -> Plane:
    """Return a yard in daylight of the given brightness."""
    small = np.random.default_rng(seed).integers(low, high, (45, 80)).astype(np.uint8)
    return cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC).astype(np.float32)


def flat(level: float) -> Plane:
    return np.full((HEIGHT, WIDTH), level, np.float32)


@cache
def noise_pool() -> Plane:
    return np.random.default_rng(11).standard_normal((HEIGHT + 97, WIDTH + 89), np.float32)


def noise(rng: np.random.Generator) -> Plane:
    """Return noise of one level, cut from a larger field, since generating it for every image is slow."""
    down, across = rng.integers(0, 97), rng.integers(0, 89)
    return noise_pool()[down : down + HEIGHT, across : across + WIDTH]


def noisy(plane: Plane, sigma: float, rng: np.random.Generator) -> Luma:
    return np.asarray(cv2.convertScaleAbs(np.maximum(plane + np.float32(sigma) * noise(rng), 0)), np.uint8)


def spots(plane: Plane, *places: tuple[int, int], side: int = 8, level: float = 220) -> Plane:
    plane = plane.copy()
    for x, y in places:
        plane[y : y + side, x : x + side] = level
    return plane


def judged(
    scene: Scene, *, seconds: int = 60, sigma: float = 2.0, settings: PictureHealthSettings | None = None
) -> list[tuple[int, PictureFault | None]]:
    """Return when the verdict changed, and to what; it begins with None."""
    health, rng = PictureHealth(settings or PictureHealthSettings()), np.random.default_rng(1)
    changes: list[tuple[int, PictureFault | None]] = []
    for second in range(seconds):
        fault = health.observe(noisy(scene(second, rng), sigma, rng), time_s=float(second))
        if fault != (changes[-1][1] if changes else None):
            changes.append((second, fault))
    return changes


def headlights(second: float, _: np.random.Generator) -> Plane:
    """Return a night scene with an approaching car: two headlights, and glare over the whole image."""
    glare = 120 * np.exp(-(((second - 30) / 6) ** 2))
    return spots(flat(18 + glare), (300, 200), (340, 200), level=250)


def hand(_: float, __: np.random.Generator) -> Plane:
    """Return the image of a hand in front of the lens: a smooth gradient without sharp detail."""
    across = np.arange(WIDTH)
    down = np.arange(HEIGHT)[:, None]
    return 60 + 50 * np.exp(-(((across - WIDTH) / 300) ** 2 + ((down - 150) / 200) ** 2))


SOUND: dict[str, Scene] = {
    "a static scene": lambda _, __: rough(),
    "a scene that dims slowly": lambda second, _: rough() * (1 - second / 70),
    "dusk with little contrast": lambda _, __: 25 + rough() * 0.1,
    "one small lamp at night": lambda _, __: spots(flat(17), (400, 150)),
    "headlights at night": headlights,
    "an infrared switch": lambda second, _: rough() if second < 30 else 20 + 0.6 * rough(seed=9),
    "thin fog": lambda _, __: 185 + 0.08 * (rough() - 120),
    "snow on most of the picture": lambda _, __: spots(flat(235), (100, 200), (500, 220), side=40, level=90),
    "a passing shadow": lambda second, _: rough() * (0.3 if 20 <= second < 26 else 1.0),
    "a hand that waves before the lens": lambda second, rng: hand(0, rng) if second % 8 < 4 else rough(),
}


@pytest.mark.parametrize("name", SOUND)
@pytest.mark.parametrize("sigma", [0.7, 5.0])
def test_edge_14_image_with_little_detail_is_not_a_fault(name: str, sigma: float) -> None:
    """A camera with noise, at night, in fog, or in changing light is online."""
    assert judged(SOUND[name], sigma=sigma) == []


@pytest.mark.parametrize(
    ("fault", "after_s", "scene", "sigma"),
    [
        ("frozen", 30, lambda _, __: rough(), 0.0),
        ("covered", 10, hand, 3.0),
        ("covered", 10, lambda _, __: flat(110), 1.0),
        ("black", 10, lambda _, __: flat(16), 1.0),
        ("black", 10, lambda _, __: flat(0), 0.0),
        ("overexposed", 10, lambda _, __: flat(250), 1.0),
        ("garbled", 5, lambda _, __: np.vstack([rough()[:150], np.full((HEIGHT - 150, WIDTH), 128.0)]), 0.0),
    ],
)
def test_edge_14_fault_is_detected_and_cleared(fault: PictureFault, after_s: int, scene: Scene, sigma: float) -> None:
    """The fault begins once, after its seconds, and ends once, after a few sound ones."""

    def then_sound(second: float, rng: np.random.Generator) -> Plane:
        if 20 <= second < 70:
            return np.round(scene(second, rng))
        return rough() + 2 * noise(rng)

    begin, end = judged(then_sound, seconds=120, sigma=sigma)
    assert begin[1] == fault
    assert 20 + after_s <= begin[0] <= 20 + after_s + 4
    assert end[1] is None
    assert 70 + 3 <= end[0] <= 70 + 7


def test_edge_14_frozen_image_is_detected_despite_coding_and_a_clock() -> None:
    """Differences of one level, caused by encoding, and a running clock are not changes."""

    def frozen(second: float, rng: np.random.Generator) -> Plane:
        plane = np.round(rough()) + rng.integers(0, 2, (HEIGHT, WIDTH))
        plane[340:350, 10:18] = 255 if second % 2 else 0
        return plane

    assert judged(frozen, sigma=0.0) == [(30, "frozen")]


def test_edge_14_black_image_with_a_clock_is_black() -> None:
    """Text that a camera draws at the edge of the image is not detail."""
    image = np.full((HEIGHT, WIDTH), 16, np.uint8)
    cv2.putText(image, "2026-11-30 10:00:00", (10, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.7, 235, 2)
    assert [fault for _, fault in judged(lambda _, __: image.astype(np.float32), sigma=1.0)] == ["black"]


def test_edge_14_undecodable_pictures_are_garbled() -> None:
    """Decoding errors count, even if the pictures between them are intact."""
    health, rng = PictureHealth(PictureHealthSettings()), np.random.default_rng(1)
    faults = [
        health.observe(noisy(rough(), 2, rng), time_s=float(second), damaged_ratio=0.5 if second < 20 else 0.0)
        for second in range(30)
    ]
    assert faults[5:20] == ["garbled"] * 15
    assert faults[-1] is None


def blocks_shifted(plane: Plane, rng: np.random.Generator) -> Plane:
    """Shift the brightness of every macroblock, as failed prediction does."""
    offsets = rng.integers(-60, 60, (HEIGHT // 16 + 1, WIDTH // 16 + 1))
    return plane + np.kron(offsets, np.ones((16, 16))).astype(np.float32)[:HEIGHT, :WIDTH]


def test_edge_14_broken_macroblocks_are_garbled() -> None:
    """A decoder that conceals errors reports none; they are visible in the image."""
    scene = rough(90, 150)
    assert [fault for _, fault in judged(lambda _, rng: blocks_shifted(scene, rng), seconds=20)] == ["garbled"]


def test_edge_14_durations_and_switch_follow_the_settings() -> None:
    """Each camera has its own durations and can disable the check."""
    still: Scene = lambda _, __: np.round(rough())  # noqa: E731
    assert judged(still, sigma=0.0, settings=PictureHealthSettings(frozen_after_s=50)) == [(50, "frozen")]
    assert judged(still, sigma=0.0, settings=PictureHealthSettings(frozen_after_s=80)) == []
    assert not PictureHealth(PictureHealthSettings(enabled=False)).due(0.0)
    health = PictureHealth(PictureHealthSettings(interval_s=2))
    health.observe(noisy(rough(), 1, np.random.default_rng(0)), time_s=10.0)
    assert [health.due(10.0 + waited_s) for waited_s in (0.0, 1.9, 2.0, 60.0)] == [False, False, True, True]


def test_edge_14_pause_between_samples_is_not_counted() -> None:
    """Two equal images with a pause of a minute between them do not count as frozen for a minute."""
    health = PictureHealth(PictureHealthSettings())
    still = noisy(rough(), 0, np.random.default_rng(0))
    assert [health.observe(still, time_s=time_s) for time_s in (0.0, 60.0, 120.0, 180.0)] == [None] * 4


@given(
    width=st.integers(1, 300),
    height=st.integers(1, 300),
    level=st.integers(0, 255),
    seed=st.integers(0, 100),
    sigma=st.sampled_from([0.0, 3.0, 80.0]),
)
def test_edge_14_any_image_can_be_measured(width: int, height: int, level: int, seed: int, sigma: float) -> None:
    """For any size and content, the measurements are within their ranges."""
    rng = np.random.default_rng(seed)
    luma = np.clip(level + rng.normal(0, sigma, (height, width)), 0, 255).astype(np.uint8)
    found = measure(luma)
    assert 0 <= found.mean <= 255
    assert 0 <= found.grey_ratio <= 1
    assert found.blockiness >= 0
    health = PictureHealth(PictureHealthSettings())
    for second in range(3):
        health.observe(luma, time_s=float(second))


def test_edge_14_change_of_size_is_a_change() -> None:
    """Images of different sizes are not compared."""
    health = PictureHealth(PictureHealthSettings(frozen_after_s=5))
    still = noisy(rough(), 0, np.random.default_rng(0))
    sizes = (still, still[:300, :500], np.ascontiguousarray(still.T))
    assert {health.observe(sizes[second // 4 % 3], time_s=float(second)) for second in range(40)} == {None}


@pytest.mark.needs_shared
@pytest.mark.parametrize("name", ["car-detection.mp4", "one-by-one-person-detection.mp4"])
def test_edge_14_real_recordings_have_no_fault(shared_material: Path, name: str) -> None:
    """The default settings report no fault in any frame."""
    assert set(_faults(shared_material / "clips" / name)) == {None}


def _faults(path: Path) -> Iterable[PictureFault | None]:
    source, health = (
        open_file(str(path), settings=SourceSettings(), clock=ManualClock()),
        PictureHealth(PictureHealthSettings()),
    )
    while (frame := source.read(1.0)) is not None:
        if health.due(frame.time_s):
            yield health.observe(frame.picture.luma(), time_s=frame.time_s)
