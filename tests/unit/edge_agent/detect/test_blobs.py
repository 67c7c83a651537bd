"""Moving blobs as detections of class ``object``."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from edge_agent.camera.synthetic import SyntheticGate
from edge_agent.detect.blobs import BlobDetector, split_columns
from edge_agent.motion.adaptive import AdaptiveBackground
from edge_agent.track.settings import TrackSettings
from edge_agent.track.tracker import ByteTracker
from edge_agent.types import ArrayPicture, Boxes, Motion

Shape = tuple[int, int, int, int]
FRAME = {"frame_width": 1280, "frame_height": 720}


def moving(*shapes: Shape, regions: list[Shape] | None = None, intensity: float = 0.3) -> Motion:
    """Motion on a 320x180 mask of a 1280x720 frame; regions default to one a shape."""
    mask = np.zeros((180, 320), np.uint8)
    for left, top, right, bottom in shapes:
        mask[top:bottom, left:right] = 255
    boxes = np.array(shapes if regions is None else regions, np.float32).reshape(-1, 4) * 4
    share = float((mask > 0).mean())
    return Motion(active=True, intensity=intensity, area_ratio=share, regions=boxes, mask=mask)


def test_moving_region_is_one_object_in_frame_pixels() -> None:
    """The class is 0, ``object``, and the box is that of the region."""
    detector = BlobDetector()
    found = detector.detect(moving((40, 30, 80, 70)), **FRAME)
    assert detector.labels == ("object",)
    assert found.xyxy.tolist() == [[160, 120, 320, 280]]
    assert found.class_id.tolist() == [0]
    assert found.xyxy.dtype == np.float32
    assert 0.8 <= found.score[0] <= 1.0


@pytest.mark.parametrize(
    "motion",
    [
        Motion(active=False, intensity=0.0, area_ratio=0.0, regions=np.empty((0, 4), np.float32)),
        Motion(active=True, intensity=0.0, area_ratio=0.0, regions=np.empty((0, 4), np.float32)),
        moving(regions=[(40, 30, 80, 70)]),
        moving((0, 0, 40, 40), regions=[(400, 300, 500, 400)]),
    ],
    ids=["idle", "held", "empty mask", "region outside the frame"],
)
def test_no_motion_gives_no_detections(motion: Motion) -> None:
    """Without a mask, regions or set pixels, the detections are empty arrays of the right shape."""
    found = BlobDetector().detect(motion, **FRAME)
    assert len(found) == 0
    assert found.xyxy.shape == (0, 4)


def test_too_small_areas_are_ignored() -> None:
    """Tiny and narrow areas are motion but not objects."""
    shapes = ((10, 10, 14, 14), (100, 10, 200, 12), (40, 60, 60, 90))
    found = BlobDetector().detect(moving(*shapes), **FRAME)
    assert found.xyxy.tolist() == [[160, 240, 240, 360]]
    everything = BlobDetector(min_area_ratio=0.0, min_side_ratio=0.0).detect(moving(*shapes), **FRAME)
    assert len(everything) == 3


def test_touching_objects_are_split() -> None:
    """A region with two peaks and a valley gives two objects with tight boxes."""
    motion = moving((50, 30, 90, 120), (94, 50, 140, 130), (90, 60, 94, 66), regions=[(50, 30, 140, 130)])
    found = BlobDetector().detect(motion, **FRAME)
    boxes = found.xyxy[np.argsort(found.xyxy[:, 0])]
    assert boxes[0] == pytest.approx([200, 120, 368, 480], abs=12)
    assert boxes[1] == pytest.approx([368, 200, 560, 520], abs=12)


def test_fragments_in_one_region_are_one_object() -> None:
    """Head, trunk and legs are separated by gaps, one above the other."""
    parts = ((60, 20, 72, 32), (54, 34, 80, 70), (56, 73, 78, 110))
    found = BlobDetector().detect(moving(*parts, regions=[(54, 20, 80, 110)]), **FRAME)
    assert found.xyxy.tolist() == [[216, 80, 320, 440]]


def test_solid_and_strong_blobs_score_higher() -> None:
    """A half-filled or low-contrast blob has a lower score."""
    solid = moving((40, 30, 80, 70))
    mesh = moving((40, 30, 80, 38), (40, 62, 80, 70), regions=[(40, 30, 80, 70)])
    faint = moving((40, 30, 80, 70), intensity=0.03)
    scores = [float(BlobDetector().detect(m, **FRAME).score[0]) for m in (solid, mesh, faint)]
    assert scores[0] > scores[1]
    assert scores[0] > scores[2]
    assert all(0.0 < score <= 1.0 for score in scores)


def test_small_blob_that_never_moves_has_a_low_score() -> None:
    """A lamp and a moving object both cover less than 0.5 % of the frame; only the lamp has a low score."""
    detector = BlobDetector()
    scores = [
        detector.detect(moving((20, 20, 28, 36), (100 + i, 60, 108 + i, 76)), **FRAME).score.tolist() for i in range(12)
    ]
    assert max(lamp for lamp, _ in scores) < 0.5
    assert scores[0][1] < 0.5
    assert min(walker for _, walker in scores[6:]) >= 0.5


def test_update_without_motion_counts_as_missing() -> None:
    """A blob that was missing for some updates must move again."""
    detector = BlobDetector()
    still = Motion(active=False, intensity=0.0, area_ratio=0.0, regions=np.empty((0, 4), np.float32))
    for i in range(8):
        detector.detect(moving((100 + i, 60, 108 + i, 76)), **FRAME)
    for _ in range(8):
        detector.detect(still, **FRAME)
    assert detector.detect(moving((108, 60, 116, 76)), **FRAME).score[0] < 0.5


def test_temporarily_fragmented_body_is_one_object() -> None:
    """The body is complete, then in two regions with a small fragment, then complete again."""
    detector = BlobDetector()
    whole = moving((100, 50, 200, 150))
    for _ in range(4):
        detector.detect(whole, **FRAME)
    parted = moving((100, 50, 140, 150), (150, 50, 199, 150), (199, 100, 200, 110))
    assert detector.detect(parted, **FRAME).xyxy.tolist() == [[400, 200, 800, 600]]


def humps(*widths_and_heights: tuple[int, int]) -> np.ndarray:
    columns = [np.arange(40) < height for width, height in widths_and_heights for _ in range(width)]
    return np.array(columns).T.astype(np.uint8) * 255


@pytest.mark.parametrize(
    ("profile", "cuts"),
    [
        pytest.param(humps((40, 30)), [], id="one"),
        pytest.param(humps((30, 30), (10, 2), (30, 25)), [35], id="two"),
        pytest.param(humps((30, 30), (10, 0), (30, 25)), [35], id="two apart"),
        pytest.param(humps((30, 30), (10, 20), (30, 25)), [], id="a shallow valley"),
        pytest.param(humps((60, 30), (4, 2), (6, 25)), [], id="a narrow second hump"),
        pytest.param(humps((2, 30)), [], id="too narrow to split"),
    ],
)
def test_mask_is_split_at_deep_valleys(profile: np.ndarray, cuts: list[int]) -> None:
    """Only deep valleys between sufficiently wide peaks separate objects."""
    found = split_columns(profile, max_parts=4)
    assert len(found) == len(cuts)
    assert found == pytest.approx(cuts, abs=5)


def test_mask_is_split_into_at_most_max_parts() -> None:
    """Three adjacent objects give three parts, or two with a limit of two."""
    row = humps((30, 30), (6, 0), (30, 30), (6, 0), (30, 30))
    assert len(split_columns(row, max_parts=4)) == 2
    assert len(split_columns(row, max_parts=2)) == 1


def test_synthetic_cars_become_one_track_each() -> None:
    """Two cars that pass each other are two objects from start to end."""
    rng = np.random.default_rng(0)
    road = cv2.resize(rng.uniform(90, 120, (36, 64)).astype(np.float32), (640, 360))
    motion, blobs = AdaptiveBackground(), BlobDetector()
    tracker = ByteTracker(TrackSettings(), labels=blobs.labels)
    seen: set[int] = set()
    for i in range(70):
        picture = road.copy()
        for x, y, level in ((180, -140 + (i - 10) * 9, 225), (300, 360 - (i - 14) * 9, 20)):
            picture[max(0, y) : max(0, y + 130), x : x + 80] = level
        frame = np.clip(picture + rng.normal(0, 2, picture.shape), 0, 255).astype(np.uint8)
        found = blobs.detect(motion.update(frame, time_s=i / 15), frame_width=640, frame_height=360)
        seen |= set(tracker.update(found, time_s=i / 15).track_id.tolist())
    assert len(seen) == 2


@pytest.mark.needs_shared
def test_four_cars_of_the_clip_are_four_tracks(shared_material: Path) -> None:
    """The cars are in frames 54–108, 182–232 and 188–238 (side by side), and 318–350."""
    motion, blobs = AdaptiveBackground(), BlobDetector()
    tracker = ByteTracker(TrackSettings(), labels=blobs.labels)
    lives: dict[int, tuple[int, int]] = {}
    with av.open(str(shared_material / "clips" / "car-detection.mp4")) as container:
        for i, frame in enumerate(container.decode(video=0)):
            plane = frame.planes[0]
            luma = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
            time_s = float(frame.time or 0.0)
            found = blobs.detect(motion.update(luma, time_s=time_s), frame_width=frame.width, frame_height=frame.height)
            for track_id in tracker.update(found, time_s=time_s).track_id.tolist():
                lives[track_id] = (lives.get(track_id, (i, i))[0], i)
    assert len(lives) == 4
    expected = ((54, 108), (182, 232), (188, 238), (318, 350))
    for life, truth in zip(sorted(lives.values()), expected, strict=True):
        assert life == pytest.approx(truth, abs=6)


def follow_gate(seed: int, first: int, last: int) -> tuple[dict[int, int], list[list[Boxes]]]:
    """Return each track's number of observations and each frame's boxes of the generated gate between two frames."""
    gate = SyntheticGate(seed=seed)
    motion, blobs = AdaptiveBackground(), BlobDetector()
    tracker = ByteTracker(TrackSettings(), labels=blobs.labels)
    observations: dict[int, int] = {}
    seen: list[list[Boxes]] = []
    for i in range(first, last):
        picture = ArrayPicture(gate.render(i))
        found = blobs.detect(motion.update(picture.luma(), time_s=i / gate.fps), frame_width=1280, frame_height=720)
        for track_id in tracker.update(found, time_s=i / gate.fps).track_id.tolist():
            observations[track_id] = observations.get(track_id, 0) + 1
        seen.append([truth.xyxy for truth in gate.truth(i)])
    return observations, seen


LASTING = 8
"""Minimum observations of an object that is reported."""


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_van_with_the_colour_of_the_road_is_one_object(seed: int) -> None:
    """It enters close to the camera, covers a third of the image, and its panels resemble the asphalt."""
    observations, truth = follow_gate(seed, 236, 336)
    assert len([n for n in observations.values() if n >= LASTING]) == 1
    assert max(observations.values()) >= 0.95 * sum(1 for boxes in truth if boxes)


def test_signal_at_the_gate_is_not_an_object() -> None:
    """The signal turns red while a car is still in the dark; only the car is an object."""
    observations, _ = follow_gate(1, 440, 520)
    assert len([n for n in observations.values() if n >= LASTING]) == 1


def test_two_vehicles_passing_at_the_gate_are_two_objects() -> None:
    """One vehicle enters and one leaves, each on its own side."""
    observations, truth = follow_gate(1, 990, 1110)
    assert len([n for n in observations.values() if n >= LASTING]) == 2
    assert min(n for n in observations.values() if n >= LASTING) >= 0.9 * sum(1 for boxes in truth if len(boxes) == 2)
