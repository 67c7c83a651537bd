"""Sliced inference: the choice of crops, and the merging of their detections."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.boxes import box_containment_batch, box_iou_batch
from edge_agent.detect.factory import open_detector
from edge_agent.detect.models.catalogue import resolve_model
from edge_agent.detect.settings import DetectSettings, SlicingSettings
from edge_agent.detect.slicing import InferenceSlicer, choose_crops, merge_crop_detections
from edge_agent.types import ArrayPicture, Boxes, Detections
from tests.support.edge.fake_detector import FakeDetector, rows

FRAME = (1000, 600)
INPUT = (100, 100)
PICTURE = ArrayPicture(np.zeros((600, 1000, 3), np.uint8))


def boxes(*xyxy: tuple[float, float, float, float]) -> Boxes:
    return np.array(xyxy, np.float32).reshape(-1, 4)


def crops(*regions: tuple[float, float, float, float], **settings: Any) -> list[list[float]]:
    return choose_crops(
        boxes(*regions), frame_size=FRAME, input_size=INPUT, settings=SlicingSettings.model_validate(settings)
    ).tolist()


def test_small_region_gets_a_crop_of_the_input_size() -> None:
    """No crop is smaller than the input, since upscaling adds no detail; the region is in its centre."""
    assert crops((490, 290, 510, 310)) == [[450, 250, 550, 350]]


def test_region_at_the_edge_gets_a_crop_inside_the_frame() -> None:
    """The crop is moved rather than clipped."""
    assert crops((0, 0, 20, 20)) == [[0, 0, 100, 100]]
    assert crops((980, 580, 1000, 600)) == [[900, 500, 1000, 600]]


def test_margin_enlarges_the_crop() -> None:
    """A region of 100 pixels with a margin of half its width gives a crop of 200 pixels in the input's aspect ratio."""
    assert crops((450, 280, 550, 320), margin_ratio=0.5) == [[400, 200, 600, 400]]


def test_no_crops_without_enough_magnification() -> None:
    """A region that covers most of the frame, and a small frame, give no crops."""
    assert crops((100, 100, 600, 400)) == []
    small = choose_crops(boxes((10, 10, 20, 20)), frame_size=(120, 80), input_size=INPUT, settings=SlicingSettings())
    assert small.tolist() == []
    assert crops() == []


def test_overlapping_crops_are_merged() -> None:
    """Two close regions share a crop; a distant one has its own."""
    found = crops((400, 300, 420, 320), (450, 300, 470, 320), (800, 100, 820, 120))
    assert found == [[385, 260, 485, 360], [760, 60, 860, 160]]


def test_crops_are_not_merged_below_the_minimum_gain() -> None:
    """Adjacent crops are kept if the merged crop would hardly magnify."""
    regions = ((300, 200, 500, 300), (480, 200, 680, 300))
    assert len(crops(*regions, margin_ratio=0.5, min_gain=2.4)) == 2
    assert len(crops(*regions, margin_ratio=0.5, min_gain=1.2)) == 1


REGION = st.tuples(st.floats(0, 950), st.floats(0, 550), st.floats(2, 400), st.floats(2, 400))


@given(
    regions=st.lists(REGION, min_size=1, max_size=10),
    margin=st.floats(0, 2),
    frame=st.tuples(st.integers(50, 2000), st.integers(50, 2000)),
)
def test_crops_are_in_the_frame_and_contain_their_regions(
    regions: list[tuple[float, float, float, float]], margin: float, frame: tuple[int, int]
) -> None:
    """For any regions, crops are inside the frame with the minimum gain, and contain a single region."""
    width, height = frame
    moving = np.clip(boxes(*((x, y, x + w, y + h) for x, y, w, h in regions)), 0, np.array([width, height] * 2))
    moving = moving[(moving[:, 2] > moving[:, 0]) & (moving[:, 3] > moving[:, 1])].astype(np.float32)
    settings = SlicingSettings(margin_ratio=margin)
    chosen = choose_crops(moving, frame_size=frame, input_size=INPUT, settings=settings)
    assert (chosen == np.round(chosen)).all()
    assert (chosen[:, :2] >= 0).all()
    assert (chosen[:, 2:] <= np.array(frame)).all()
    sizes = chosen[:, 2:] - chosen[:, :2]
    assert (sizes.max(axis=1, initial=0) * settings.min_gain <= max(frame) + 1).all()
    if len(moving) == 1 and len(chosen):
        assert box_containment_batch(moving, chosen).max() == pytest.approx(1.0, abs=1e-3)


def test_a_small_distant_object_is_detected_in_a_crop() -> None:
    """An object that is too small in the whole image is detected in the crop around its motion."""
    person = rows(((500, 300, 515, 340), 0.8, 0))
    detector = FakeDetector(person)
    assert len(detector.detect(PICTURE)) == 0
    found = InferenceSlicer(detector, settings=SlicingSettings()).detect(PICTURE, boxes((495, 295, 520, 345)))
    assert found.xyxy.tolist() == [[500, 300, 515, 340]]


def test_without_motion_only_the_whole_image_is_used() -> None:
    """Without regions there is no additional inference."""
    detector = FakeDetector(rows(((100, 100, 400, 400), 0.8, 0)))
    assert len(InferenceSlicer(detector, settings=SlicingSettings()).detect(PICTURE, boxes())) == 1
    assert detector.looked == []


def test_crops_above_the_limit_are_selected_in_turn() -> None:
    """With one crop per frame, three regions are each examined once in three frames."""
    detector = FakeDetector(rows())
    slicer = InferenceSlicer(detector, settings=SlicingSettings(max_crops=1))
    for _ in range(3):
        slicer.detect(PICTURE, boxes((100, 100, 120, 120), (500, 100, 520, 120), (800, 400, 820, 420)))
    assert sorted(crop[0] for crop in detector.looked) == [60, 460, 760]


def merged(
    whole: Detections, *parts: Detections, at: tuple[tuple[float, float, float, float], ...], moving: Boxes
) -> list[tuple[list[float], int]]:
    found = merge_crop_detections(whole, list(parts), boxes(*at), regions=moving, frame_size=FRAME)
    return sorted((box.tolist(), int(class_id)) for box, class_id in zip(found.xyxy, found.class_id, strict=True))


CROP = (400.0, 200.0, 600.0, 400.0)
MOVING = boxes((480, 280, 520, 320))


def test_object_detected_twice_is_kept_once() -> None:
    """Of the boxes from the whole image and the crop, the one with the higher score is kept."""
    found = merged(
        rows(((478, 279, 520, 321), 0.5, 0)), rows(((480, 280, 520, 320), 0.9, 0)), at=(CROP,), moving=MOVING
    )
    assert found == [([480, 280, 520, 320], 0)]


def test_tight_box_inside_a_loose_one_is_the_same_object() -> None:
    """For boxes from different inferences, containment needs less overlap than NMS."""
    found = merged(
        rows(((470, 270, 530, 330), 0.5, 0)), rows(((482, 280, 520, 320), 0.9, 0)), at=(CROP,), moving=MOVING
    )
    assert found == [([482, 280, 520, 320], 0)]


def test_two_overlapping_people_are_both_kept() -> None:
    """Detections of one inference are never merged with each other."""
    one_inference = rows(((450, 250, 550, 350), 0.8, 0), ((480, 270, 540, 350), 0.7, 0))
    assert len(merged(rows(), one_inference, at=(CROP,), moving=MOVING)) == 2


def test_truncated_box_is_dropped_for_the_complete_one() -> None:
    """A box of half a car at the edge of the crop is dropped although its score is higher."""
    whole = rows(((500, 300, 800, 380), 0.6, 1))
    half = rows(((500, 300, 600, 380), 0.9, 1))
    assert merged(whole, half, at=(CROP,), moving=boxes((520, 320, 560, 360))) == [([500, 300, 800, 380], 1)]


def test_truncated_box_without_motion_is_dropped() -> None:
    """A box of half a parked car at the edge of the crop is dropped."""
    assert merged(rows(), rows(((550, 300, 600, 380), 0.9, 1)), at=(CROP,), moving=MOVING) == []


def test_truncated_box_of_a_moving_object_is_kept() -> None:
    """There is no complete box of an object that moves out of the crop."""
    part = rows(((500, 290, 600, 310), 0.9, 1))
    assert merged(rows(), part, at=(CROP,), moving=boxes((480, 280, 620, 320))) == [([500, 290, 600, 310], 1)]


def test_box_at_the_frame_edge_is_not_truncated() -> None:
    """An object that leaves the frame touches the edge of the crop without being truncated by it."""
    corner = (0.0, 0.0, 200.0, 200.0)
    leaving = rows(((0, 50, 40, 120), 0.9, 0))
    assert merged(rows(), leaving, at=(corner,), moving=boxes((300, 300, 310, 310))) == [([0, 50, 40, 120], 0)]


def test_one_object_with_two_classes_in_two_inferences_is_kept_once() -> None:
    """A truck in the whole image that is a car in the crop is a car."""
    found = merged(
        rows(((480, 280, 520, 320), 0.4, 0)), rows(((480, 280, 520, 320), 0.9, 1)), at=(CROP,), moving=MOVING
    )
    assert found == [([480, 280, 520, 320], 1)]


def test_no_detections_are_merged_to_none() -> None:
    """Neither the whole image nor the crops have detections."""
    assert merged(rows(), rows(), at=(CROP,), moving=MOVING) == []


PEOPLE = boxes((58, 391, 229, 909), (232, 406, 349, 855), (671, 393, 808, 867))


@pytest.mark.parametrize("name", ["ssd_mobilenet_v1_coco_quant", "yolo11n_416_int8"])
def test_real_models_detect_more_small_people_with_slicing(shared_material: Path, tmp_path: Path, name: str) -> None:
    """People of 110 pixels in a 720p image are mostly missed in the whole image and detected in crops."""
    model = resolve_model(name, models_location=str(shared_material / "models"), cache_dir=tmp_path)
    detector = open_detector(model, settings=DetectSettings(min_score=0.4, classes=["person"]))
    slicer = InferenceSlicer(detector, settings=SlicingSettings(enabled=True))
    photograph = cv2.imread(str(shared_material / "clips" / "bus.jpg"))
    assert photograph is not None
    small = cv2.resize(photograph, (180, 240), interpolation=cv2.INTER_AREA)
    found_whole = found_closer = 0
    for left, top in ((100, 100), (600, 300), (1000, 420)):
        picture = np.full((720, 1280, 3), 90, np.uint8)
        picture[top : top + 240, left : left + 180] = small
        truth = PEOPLE * (240 / 1080) + np.array([left, top, left, top], np.float32)
        found_whole += _found(truth, detector.detect(ArrayPicture(picture)))
        found_closer += _found(truth, slicer.detect(ArrayPicture(picture), truth))
    assert found_whole <= 4
    assert found_closer == 9


def _found(truth: Boxes, detections: Detections) -> int:
    return int((box_iou_batch(truth.astype(np.float32), detections.xyxy).max(axis=1, initial=0.0) > 0.5).sum())
