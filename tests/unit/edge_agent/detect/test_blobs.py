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


def test_a_moving_region_is_one_object_in_frame_pixels() -> None:
    """Class 0 is ``object``; the box is the region's."""
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
def test_nothing_to_see_is_no_object(motion: Motion) -> None:
    """No mask, no regions, or nothing in them: no detections, of the right shape."""
    found = BlobDetector().detect(motion, **FRAME)
    assert len(found) == 0
    assert found.xyxy.shape == (0, 4)


def test_what_is_too_small_for_an_object_is_left_out() -> None:
    """A speck and a sliver are motion, but no object."""
    shapes = ((10, 10, 14, 14), (100, 10, 200, 12), (40, 60, 60, 90))
    found = BlobDetector().detect(moving(*shapes), **FRAME)
    assert found.xyxy.tolist() == [[160, 240, 240, 360]]
    everything = BlobDetector(min_area_ratio=0.0, min_side_ratio=0.0).detect(moving(*shapes), **FRAME)
    assert len(everything) == 3


def test_two_that_touch_at_the_mirrors_are_split() -> None:
    """One region, two humps and a valley: two objects, each with a tight box of its own."""
    motion = moving((50, 30, 90, 120), (94, 50, 140, 130), (90, 60, 94, 66), regions=[(50, 30, 140, 130)])
    found = BlobDetector().detect(motion, **FRAME)
    boxes = found.xyxy[np.argsort(found.xyxy[:, 0])]
    assert boxes[0] == pytest.approx([200, 120, 368, 480], abs=12)
    assert boxes[1] == pytest.approx([368, 200, 560, 520], abs=12)


def test_fragments_in_one_region_are_one_object() -> None:
    """Head, trunk and legs with gaps between them, one above the other."""
    parts = ((60, 20, 72, 32), (54, 34, 80, 70), (56, 73, 78, 110))
    found = BlobDetector().detect(moving(*parts, regions=[(54, 20, 80, 110)]), **FRAME)
    assert found.xyxy.tolist() == [[216, 80, 320, 440]]


def test_solid_and_strong_blobs_score_higher() -> None:
    """Half-empty or faint: less sure."""
    solid = moving((40, 30, 80, 70))
    mesh = moving((40, 30, 80, 38), (40, 62, 80, 70), regions=[(40, 30, 80, 70)])
    faint = moving((40, 30, 80, 70), intensity=0.03)
    scores = [float(BlobDetector().detect(m, **FRAME).score[0]) for m in (solid, mesh, faint)]
    assert scores[0] > scores[1]
    assert scores[0] > scores[2]
    assert all(0.0 < score <= 1.0 for score in scores)


def test_a_lamp_that_is_lit_is_doubted_and_a_small_thing_that_moves_is_not() -> None:
    """Both cover less than half a hundredth of the frame; a blob that never moves keeps a low score."""
    detector = BlobDetector()
    scores = [
        detector.detect(moving((20, 20, 28, 36), (100 + i, 60, 108 + i, 76)), **FRAME).score.tolist() for i in range(12)
    ]
    assert max(lamp for lamp, _ in scores) < 0.5
    assert scores[0][1] < 0.5
    assert min(walker for _, walker in scores[6:]) >= 0.5


def test_an_update_without_motion_counts() -> None:
    """Who was gone for a while must travel anew."""
    detector = BlobDetector()
    still = Motion(active=False, intensity=0.0, area_ratio=0.0, regions=np.empty((0, 4), np.float32))
    for i in range(8):
        detector.detect(moving((100 + i, 60, 108 + i, 76)), **FRAME)
    for _ in range(8):
        detector.detect(still, **FRAME)
    assert detector.detect(moving((108, 60, 116, 76)), **FRAME).score[0] < 0.5


def test_a_body_that_falls_to_pieces_for_a_moment_is_one_object() -> None:
    """Seen whole, then in two regions with a fragment too small to count by itself, then whole again."""
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
def test_a_mask_is_cut_where_it_falls_into_objects(profile: np.ndarray, cuts: list[int]) -> None:
    """Only deep valleys between humps of a fair width part two objects."""
    found = split_columns(profile, most_parts=4)
    assert len(found) == len(cuts)
    assert found == pytest.approx(cuts, abs=5)


def test_a_row_of_objects_is_cut_no_more_often_than_allowed() -> None:
    """Three abreast are three; with at most two wanted, two."""
    row = humps((30, 30), (6, 0), (30, 30), (6, 0), (30, 30))
    assert len(split_columns(row, most_parts=4)) == 2
    assert len(split_columns(row, most_parts=2)) == 1


def test_painted_cars_become_one_track_each() -> None:
    """Two cars that pass each other side by side are two objects from start to end."""
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
def test_four_cars_on_the_clip_are_four_tracks(shared_material: Path) -> None:
    """Frames 54–108; 182–232 and 188–238 side by side; 318–350."""
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
def test_a_van_of_the_road_s_own_grey_is_one_object(seed: int) -> None:
    """It enters near the camera, fills a third of the picture, and its panels differ little from the asphalt."""
    observations, truth = follow_gate(seed, 236, 336)
    assert len([n for n in observations.values() if n >= LASTING]) == 1
    assert max(observations.values()) >= 0.95 * sum(1 for boxes in truth if boxes)


def test_a_lamp_at_the_gate_is_no_object() -> None:
    """The signal turns red as a car is still in the dark: one object, the car."""
    observations, _ = follow_gate(1, 440, 520)
    assert len([n for n in observations.values() if n >= LASTING]) == 1


def test_two_that_pass_each_other_at_the_gate_are_two() -> None:
    """One comes in, one goes out, each in its lane."""
    observations, truth = follow_gate(1, 990, 1110)
    assert len([n for n in observations.values() if n >= LASTING]) == 2
    assert min(n for n in observations.values() if n >= LASTING) >= 0.9 * sum(1 for boxes in truth if len(boxes) == 2)
