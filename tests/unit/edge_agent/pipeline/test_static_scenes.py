"""Scenes in which only light, noise and weather change, processed by the whole pipeline without a model."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from tests.support.edge.pipeline_harness import Image, grainy, street, watch, with_walker

FRAMES = 120
WIDTH, HEIGHT = 480, 270
Weather = Callable[[Image, int, np.random.Generator], Image]


def brighter(picture: Image, gain: float, offset: float = 0.0) -> Image:
    return np.asarray(cv2.convertScaleAbs(picture.astype(np.float32) * gain + offset), np.uint8)


def noise(scene: Image, index: int, rng: np.random.Generator) -> Image:
    return grainy(scene, index, levels=15.0)


def exposure_steps(scene: Image, index: int, rng: np.random.Generator) -> Image:
    return grainy(brighter(scene, (1.0, 1.25, 0.8, 1.1)[index // 30 % 4]), index)


def slow_gain(scene: Image, index: int, rng: np.random.Generator) -> Image:
    return grainy(brighter(scene, 1.0 + 0.35 * np.sin(index / 20)), index)


def mains_flicker(scene: Image, index: int, rng: np.random.Generator) -> Image:
    return grainy(brighter(scene, 1.0 + 0.04 * np.sin(index * 2.1)), index)


def rain(scene: Image, index: int, rng: np.random.Generator) -> Image:
    picture = scene.copy()
    for _ in range(50):
        x, y = int(rng.integers(0, WIDTH)), int(rng.integers(0, HEIGHT))
        shade = np.minimum(picture[y, x].astype(int) + 60, 255)
        cv2.line(picture, (x, y), (x + 2, y + 18), tuple(map(int, shade)), 1)
    return grainy(picture, index)


def lightning(scene: Image, index: int, rng: np.random.Generator) -> Image:
    return grainy(brighter(scene, 1.0, 90.0 if index % 40 in (20, 21, 23) else 0.0), index)


def coarse_compression(scene: Image, index: int, rng: np.random.Generator) -> Image:
    quality = 20 if index % 12 == 0 else 35
    coded = cv2.imencode(".jpg", grainy(scene, index), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)


def trembling(scene: Image, index: int, rng: np.random.Generator) -> Image:
    shift = np.array([[1, 0, rng.uniform(-1, 1)], [0, 1, rng.uniform(-1, 1)]], np.float32)
    moved = cv2.warpAffine(scene, shift, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE)
    return grainy(np.asarray(moved, np.uint8), index)


WEATHERS = [noise, exposure_steps, slow_gain, mains_flicker, rain, lightning, coarse_compression, trembling]


def pictures(weather: Weather, *, walker_from: int | None = None) -> list[Image]:
    scene, rng = street(WIDTH, HEIGHT), np.random.default_rng(6)
    shown: list[Image] = []
    for index in range(FRAMES):
        picture = scene
        if walker_from is not None and index >= walker_from:
            x = (index - walker_from) * 9 - 30
            picture = with_walker(scene, x, y=90, width=34, height=100)
        shown.append(weather(picture, index, rng))
    return shown


@pytest.mark.parametrize("weather", [weather for weather in WEATHERS if weather is not rain])
def test_edge_17_a_static_scene_emits_no_events(weather: Weather) -> None:
    """Twelve seconds give neither motion events nor objects."""
    assert watch(pictures(weather)).events == []


def test_edge_17_heavy_rain_is_not_reported_as_an_object() -> None:
    """Fifty thick streaks per frame give no object, and at most one short motion episode."""
    seen = watch(pictures(rain))
    assert seen.ids("entered") == []
    assert len(seen.motion) <= 2


@pytest.mark.parametrize("weather", WEATHERS)
def test_edge_17_a_person_who_walks_through_a_changing_scene_is_reported(weather: Weather) -> None:
    """Without a model, a sudden change of light may split the visit once."""
    seen = watch(pictures(weather, walker_from=50))
    assert 1 <= len(seen.ids("entered")) == len(seen.ids("left")) <= 2
    assert len(seen.motion) >= 2
