"""Snapshots: annotated images of frames, encoded by the settings."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge_agent.images.annotate import BoxLabel, PlateLabel
from edge_agent.images.snapshot import Snapshot, SnapshotRenderer, SnapshotSettings
from tests.support.edge.builders import BOX, frame, motion

FRAME = frame(5, seed=5)


def _decoded(data: bytes) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image


def _annotated(renderer: SnapshotRenderer) -> list[Snapshot | None]:
    return [
        renderer.objects(FRAME, [BoxLabel(xyxy=BOX, class_name="car", confidence=0.9)]),
        renderer.plate(FRAME, PlateLabel(xyxy=BOX, text="BAK123", confidence=0.9)),
        renderer.motion(FRAME, motion(BOX)),
    ]


@pytest.mark.parametrize("kind", range(3))
def test_annotations_are_drawn_on_a_copy(kind: int) -> None:
    """The image differs from the frame, and the frame does not change."""
    before = FRAME.picture.bgr().copy()
    snapshot = _annotated(SnapshotRenderer(SnapshotSettings(image_format="png")))[kind]
    assert snapshot is not None
    assert (_decoded(snapshot.image.data) != before).any()
    assert np.array_equal(FRAME.picture.bgr(), before)


def test_only_plain_images_are_made_if_event_images_are_disabled() -> None:
    """A snapshot command still returns the frame without annotations."""
    renderer = SnapshotRenderer(SnapshotSettings(enabled=False, image_format="png"))
    assert _annotated(renderer) == [None, None, None]
    assert np.array_equal(_decoded(renderer.plain(FRAME).image.data), FRAME.picture.bgr())


def test_size_and_thumbnail_follow_the_settings() -> None:
    """A maximum width scales the image; without a thumbnail width there is no thumbnail."""
    small = SnapshotRenderer(SnapshotSettings(max_width_px=160, thumbnail_width_px=64)).plain(FRAME)
    assert (small.image.width, small.image.height) == (160, 90)
    assert small.thumbnail is not None
    assert _decoded(small.thumbnail).shape[1] == 64
    assert SnapshotRenderer(SnapshotSettings(thumbnail_width_px=None)).plain(FRAME).thumbnail is None
