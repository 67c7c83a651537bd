"""Changes of the whole picture, through the whole pipeline: what is reported of those who are there."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from tests.unit.pipeline.scene_rig import Image, grainy, street, watch, with_walker


def walk(*, frames: int = 90) -> Iterator[Image]:
    """Somebody crosses the street within nine seconds."""
    scene = street()
    for i in range(frames):
        yield grainy(with_walker(scene, (i - 10) * 12 - 60), i)


@pytest.mark.parametrize("size", [(1280, 720), (640, 360), (640, 480)])
def test_edge_12_a_change_of_size_does_not_split_a_visit(size: tuple[int, int]) -> None:
    """One visit and one episode of motion, whatever the stream's new size or shape."""
    pictures = [picture if i < 45 else cv2.resize(picture, size) for i, picture in enumerate(walk())]
    seen = watch(pictures)
    assert len(seen.ids("entered")) == len(seen.ids("left")) == 1
    assert len(seen.motion) == 2


def test_edge_15_a_corrupted_frame_does_not_split_a_visit() -> None:
    """Grey from the middle down, for one frame, now and then."""
    pictures = list(walk())
    for index in (35, 50, 65):
        pictures[index][200:] = 128
    seen = watch(pictures)
    assert len(seen.ids("entered")) == len(seen.ids("left")) == 1
    assert len(seen.motion) == 2


def test_edge_20_a_pan_past_what_stands_still_reports_nothing() -> None:
    """There and back over a yard full of things, twelve seconds."""
    yard = street(1600, 640)
    way = [0] * 20 + [5 * i for i in range(60)] + [300 - 5 * i for i in range(60)] + [0] * 30
    seen = watch(grainy(np.ascontiguousarray(yard[40:580, 200 + x : 1160 + x]), index) for index, x in enumerate(way))
    assert seen.events == []
