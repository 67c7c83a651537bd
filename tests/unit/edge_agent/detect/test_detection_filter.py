"""Detection settings and the detection filter."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from edge_agent.detect.detection_filter import DetectionFilter
from edge_agent.detect.models.labels import COCO_80, PLACEHOLDER
from edge_agent.detect.settings import DetectSettings
from edge_agent.types import Detections
from shared.errors import ConfigurationError

LABELS = ("person", "car", PLACEHOLDER, "dog")


def keep(found: list[tuple[int, float, tuple[float, float, float, float]]], **settings: Any) -> list[tuple[int, float]]:
    """DetectionFilter (class, score, box) rows in a 100×100 picture and return the (class, score) that stay."""
    detections = Detections(
        xyxy=np.array([box for _, _, box in found], np.float32).reshape(-1, 4),
        score=np.array([score for _, score, _ in found], np.float32),
        class_id=np.array([class_id for class_id, _, _ in found], np.int32),
    )
    detection_filter = DetectionFilter(DetectSettings.model_validate(settings), LABELS, model_name="m")
    kept = detection_filter.apply(detections, width_px=100, height_px=100)
    return [(int(class_id), round(float(score), 3)) for class_id, score in zip(kept.class_id, kept.score, strict=True)]


TENTH = (10.0, 10.0, 60.0, 30.0)  # a tenth of the picture


def test_minimum_score_per_class_overrides_the_general_one() -> None:
    """The threshold of a class may be higher or lower than the general one."""
    rows = [(0, 0.4, TENTH), (1, 0.4, TENTH), (3, 0.4, TENTH)]
    assert keep(rows, min_score=0.3) == [(0, 0.4), (1, 0.4), (3, 0.4)]
    per_class = {"car": {"min_score": 0.2}, "dog": {"min_score": 0.9}}
    assert keep(rows, min_score=0.5, per_class=per_class) == [(1, 0.4)]


def test_min_score_is_the_lowest_of_the_enabled_classes() -> None:
    """Decoders may skip detections below it."""
    settings = DetectSettings.model_validate(
        {
            "min_score": 0.5,
            "classes": ["person", "dog"],
            "per_class": {"car": {"min_score": 0.1}, "dog": {"min_score": 0.3}},
        }
    )
    assert DetectionFilter(settings, LABELS, model_name="m").min_score == pytest.approx(0.3)


def test_only_enabled_classes_are_kept() -> None:
    """Without a list of classes, all are kept except placeholders."""
    rows = [(0, 0.9, TENTH), (1, 0.9, TENTH), (2, 0.9, TENTH)]
    assert keep(rows, classes=["car"]) == [(1, 0.9)]
    assert keep(rows) == [(0, 0.9), (1, 0.9)]


def test_size_limits_per_class_override_the_general_ones() -> None:
    """Boxes outside of the limits are dropped."""
    rows = [(0, 0.9, TENTH), (1, 0.9, TENTH)]
    assert keep(rows, min_area_ratio=0.2) == []
    assert keep(rows, max_area_ratio=0.05, per_class={"car": {"max_area_ratio": 0.5}}) == [(1, 0.9)]
    assert keep(rows, min_area_ratio=0.2, per_class={"person": {"min_area_ratio": 0.0}}) == [(0, 0.9)]


def test_boxes_are_clipped_and_those_outside_are_dropped() -> None:
    """The part of a box inside the image counts; a box completely outside is dropped."""
    found = Detections(
        xyxy=np.array([[-50, 0, 50, 100], [200, 0, 250, 50], [-9, -9, -1, -1]], np.float32),
        score=np.ones(3, np.float32),
        class_id=np.zeros(3, np.int32),
    )
    kept = DetectionFilter(DetectSettings(), LABELS, model_name="m").apply(found, width_px=100, height_px=100)
    assert kept.xyxy.tolist() == [[0, 0, 50, 100]]


def test_highest_scores_are_kept_above_the_limit() -> None:
    """The kept detections stay in their order."""
    rows = [(0, 0.5, TENTH), (1, 0.9, TENTH), (0, 0.7, TENTH)]
    assert keep(rows, max_detections=2) == [(1, 0.9), (0, 0.7)]


def test_unknown_class_number_is_dropped_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """The other detections are kept; the log line names the number and the range of labels."""
    detection_filter = DetectionFilter(DetectSettings(), LABELS, model_name="ssd")
    found = Detections(
        xyxy=np.array([TENTH, TENTH], np.float32), score=np.ones(2, np.float32), class_id=np.array([0, 77], np.int32)
    )
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert detection_filter.apply(found, width_px=100, height_px=100).class_id.tolist() == [0]
    assert len(caplog.records) == 1
    assert "ssd reports class 77, but it has labels for classes 0 to 3 only" in caplog.text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"classes": ["persn"]}, "no class 'persn'; did you mean 'person'"),
        ({"per_class": {"bicicle": {"min_score": 0.5}}}, "no class 'bicicle'; did you mean 'bicycle'"),
        ({"classes": ["qqqq"]}, "no class 'qqqq'; its classes are person, bicycle, .* and 72 more"),
    ],
)
def test_unknown_class_name_is_rejected_with_similar_names(settings: dict[str, Any], message: str) -> None:
    """The error suggests similar class names."""
    with pytest.raises(ConfigurationError, match=message):
        DetectionFilter(DetectSettings.model_validate(settings), COCO_80, model_name="m")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"min_area_ratio": 0.5, "max_area_ratio": 0.4},
            r"min_area_ratio \(0.5\) must be below max_area_ratio \(0.4\)",
        ),
        ({"min_area_ratio": 0.2, "per_class": {"car": {"max_area_ratio": 0.1}}}, "class 'car': min_area_ratio"),
        ({"min_score": 1.5}, "less than or equal to 1"),
        ({"threads": 0}, "greater than or equal to 1"),
        ({"minscore": 0.5}, "Extra inputs are not permitted"),
        ({"per_class": {"car": {"score": 0.5}}}, "Extra inputs are not permitted"),
        ({"runtime": "onnx"}, "'litert' or 'tflite'"),
    ],
)
def test_invalid_settings_are_rejected(settings: dict[str, Any], message: str) -> None:
    """Limits are swapped, ratios are above 1, or settings do not exist."""
    with pytest.raises(ValidationError, match=message):
        DetectSettings.model_validate(settings)
