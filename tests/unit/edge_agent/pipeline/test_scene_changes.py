"""Changes of the whole picture, processed by the whole pipeline."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from tests.support.edge.pipeline_harness import Image, grainy, street, watch, with_walker


def walk(*, frames: int = 90) -> Iterator[Image]:
    """Yield frames in which a person crosses the street in nine seconds."""
    scene = street()
    for i in range(frames):
        yield grainy(with_walker(scene, (i - 10) * 12 - 60), i)


@pytest.mark.parametrize("size", [(1280, 720), (640, 360), (640, 480)])
def test_edge_12_a_change_of_resolution_does_not_split_a_visit(size: tuple[int, int]) -> None:
    """There is one visit and one motion episode, for any new resolution or aspect ratio."""
    pictures = [picture if i < 45 else cv2.resize(picture, size) for i, picture in enumerate(walk())]
    seen = watch(pictures)
    assert len(seen.ids("entered")) == len(seen.ids("left")) == 1
    assert len(seen.motion) == 2


def test_edge_15_a_corrupted_frame_does_not_split_a_visit() -> None:
    """The lower part of single frames is grey."""
    pictures = list(walk())
    for index in (35, 50, 65):
        pictures[index][200:] = 128
    seen = watch(pictures)
    assert len(seen.ids("entered")) == len(seen.ids("left")) == 1
    assert len(seen.motion) == 2


def test_edge_20_a_pan_over_a_static_scene_emits_no_events() -> None:
    """The camera pans there and back in twelve seconds over a scene with many static objects."""
    yard = street(1600, 640)
    way = [0] * 20 + [5 * i for i in range(60)] + [300 - 5 * i for i in range(60)] + [0] * 30
    seen = watch(grainy(np.ascontiguousarray(yard[40:580, 200 + x : 1160 + x]), index) for index, x in enumerate(way))
    assert seen.events == []


def snowfall(scene: Image, *, frames: int, flakes: int = 90) -> Iterator[Image]:
    """Yield frames with falling snowflakes of all sizes; near flakes are large and fast."""
    rng = np.random.default_rng(4)
    height, width = scene.shape[:2]
    near = rng.uniform(0.0, 1.0, flakes)
    x, y = rng.uniform(0, width, flakes), rng.uniform(0, height, flakes)
    for i in range(frames):
        picture = scene.copy()
        for size, left, top in zip(near, x, y, strict=True):
            cv2.circle(picture, (round(left), round(top)), round(1 + 6 * size**3), (235, 235, 235), cv2.FILLED)
        x = (x + 3 + rng.normal(0, 1.5, flakes)) % width
        y = (y + 4 + 10 * near) % height
        yield grainy(picture, i)


def test_edge_19_dense_snow_is_at_most_one_object() -> None:
    """This applies to 15 s without a detection model."""
    seen = watch(snowfall(street(480, 270), frames=150))
    assert len(seen.ids("entered")) <= 1


def test_edge_19_a_person_who_walks_through_snow_is_reported() -> None:
    """The person is much larger than the flakes; the snow itself may add one object."""
    scene = street(480, 270)
    pictures = [
        with_walker(picture, (i - 30) * 6 - 36, y=90, width=36, height=100)
        for i, picture in enumerate(snowfall(scene, frames=110, flakes=50))
    ]
    assert 1 <= len(watch(pictures).ids("entered")) <= 2
