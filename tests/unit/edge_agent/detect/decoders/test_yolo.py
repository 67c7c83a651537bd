"""The raw YOLO head: both layouts, both coordinate units, all types."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.detect.decoders.yolo import MAX_CANDIDATES, YoloDecoder
from edge_agent.detect.runtimes.base import TensorSpec
from edge_agent.types import Detections
from shared.errors import ConfigurationError

SIZE = 64
ANCHORS = 84  # 8*8 + 4*4 + 2*2
CLASSES = 3


def real_head(*objects: tuple[int, tuple[float, float, float, float], int, float]) -> np.ndarray[Any, Any]:
    """A ``(4 + C, anchors)`` head, normalised; objects are (anchor, (cx, cy, w, h), class, score)."""
    head = np.zeros((4 + CLASSES, ANCHORS), np.float32)
    head[0], head[1] = np.linspace(0.02, 0.98, ANCHORS), 0.5
    head[2:4] = 0.1
    for anchor, box, class_id, score in objects:
        head[:4, anchor] = box
        head[4 + class_id, anchor] = score
    return head


def decode(
    head: np.ndarray[Any, Any], *, dtype: Any = np.float32, quantisation: tuple[float, int] = (0.0, 0), **how: Any
) -> Detections:
    scale, zero_point = quantisation
    stored = head if not scale else np.clip(np.round(head / scale + zero_point), *_limits(dtype))
    tensor = stored.astype(dtype)[None]
    if how.pop("anchors_first", False):
        tensor = np.ascontiguousarray(tensor.transpose(0, 2, 1))
    spec = TensorSpec(name="o", shape=tensor.shape, dtype=tensor.dtype, scale=scale, zero_point=zero_point)
    yolo = YoloDecoder(spec, input_width=SIZE, input_height=SIZE)
    assert yolo.class_counts == (CLASSES,)
    return yolo.decode([tensor], min_score=how.get("min_score", 0.3), max_iou=0.5)


def _limits(dtype: Any) -> tuple[int, int]:
    return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)


TWO = real_head((10, (0.25, 0.5, 0.25, 0.5), 2, 0.9), (70, (0.75, 0.75, 0.5, 0.25), 0, 0.6))
FORMS = [
    {"dtype": np.float32},
    {"dtype": np.int8, "quantisation": (0.005, -120)},
    {"dtype": np.uint8, "quantisation": (0.005, 3)},
]


@pytest.mark.parametrize("anchors_first", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_boxes_scores_and_classes_are_decoded(form: dict[str, Any], anchors_first: bool) -> None:
    """Two objects are decoded in pixels of the input for every layout and type."""
    found = decode(TWO, anchors_first=anchors_first, **form)
    assert found.class_id.tolist() == [2, 0]
    assert np.allclose(found.score, [0.9, 0.6], atol=0.003)
    assert np.allclose(found.xyxy, [[8, 16, 24, 48], [32, 40, 64, 56]], atol=0.4)


@pytest.mark.parametrize("anchors_first", [False, True])
def test_pixel_and_normalised_coordinates_are_distinguished(anchors_first: bool) -> None:
    """A head in pixels gives the same boxes as a normalised one, even without detections near the edge."""
    pixels = TWO.copy()
    pixels[:4] *= SIZE
    assert np.allclose(decode(pixels, anchors_first=anchors_first).xyxy, decode(TWO).xyxy, atol=1e-3)


def test_overlapping_boxes_of_a_class_are_suppressed() -> None:
    """Of two nearly equal boxes of one class the weaker one is dropped; one of another class is kept."""
    box = (0.5, 0.5, 0.3, 0.3)
    found = decode(real_head((1, box, 0, 0.7), (2, box, 0, 0.8), (3, box, 1, 0.5)))
    assert found.class_id.tolist() == [0, 1]
    assert np.allclose(found.score, [0.8, 0.5])


@given(
    scores=st.lists(st.floats(0, 1, width=32), min_size=ANCHORS, max_size=ANCHORS),
    min_score=st.floats(0.0625, 1, width=32),
)
def test_stored_threshold_selects_the_same_anchors_as_the_real_one(scores: list[float], min_score: float) -> None:
    """The int8 head keeps exactly the anchors whose real score reaches the threshold."""
    head = real_head()
    head[0] = (np.arange(ANCHORS) % 12) / 12  # apart from one another, so that suppression keeps them all
    head[1] = (np.arange(ANCHORS) // 12) / 12
    head[2:4] = 0.01
    head[4] = scores
    scale, zero_point = 0.004, -128
    stored = np.clip(np.round(head[4] / scale + zero_point), -128, 127)
    real = np.float32(scale) * (stored - zero_point).astype(np.float32)
    found = decode(head, dtype=np.int8, quantisation=(scale, zero_point), min_score=min_score)
    assert np.allclose(np.sort(found.score), np.minimum(np.sort(real[real >= np.float32(min_score)]), 1.0))


def test_empty_scene_gives_no_detections() -> None:
    """No score reaches the threshold, or the type cannot represent the threshold."""
    assert len(decode(real_head())) == 0
    assert len(decode(TWO, dtype=np.int8, quantisation=(0.002, -128), min_score=0.9)) == 0


def test_candidates_are_limited_to_the_highest_scores() -> None:
    """With more candidates than the limit of NMS, the ones with the highest scores are kept."""
    anchors = 21 * 21 * 4 * 4 + 21 * 21 * 4 + 21 * 21  # a 672-pixel input
    head = np.zeros((1, 4 + 1, anchors), np.float32)
    head[0, 0] = np.arange(anchors) / anchors
    head[0, 2] = head[0, 3] = 1e-6
    head[0, 4] = np.linspace(0.3, 1.0, anchors)
    spec = TensorSpec(name="o", shape=head.shape, dtype=head.dtype)
    found = YoloDecoder(spec, input_width=672, input_height=672).decode([head], min_score=0.25, max_iou=0.5)
    assert len(found) == MAX_CANDIDATES
    assert found.score.min() == pytest.approx(np.sort(head[0, 4])[-MAX_CANDIDATES])


@pytest.mark.parametrize(
    ("shape", "message"),
    [((1, 3 * ANCHORS, 85), "YOLOv5 or older"), ((1, 300, 6), "nms=False")],
)
def test_heads_of_other_models_are_rejected(shape: tuple[int, ...], message: str) -> None:
    """The error names the kind of head and the remedy."""
    spec = TensorSpec(name="o", shape=shape, dtype=np.dtype(np.float32))
    with pytest.raises(ConfigurationError, match=message):
        YoloDecoder(spec, input_width=SIZE, input_height=SIZE)


@pytest.mark.parametrize(("shape", "classes"), [((1, 9, 5000), 5), ((1, 5000, 9), 5)])
def test_longer_axis_is_the_anchors_for_other_strides(shape: tuple[int, ...], classes: int) -> None:
    """If neither axis has the expected number of anchors, the longer one is used."""
    spec = TensorSpec(name="o", shape=shape, dtype=np.dtype(np.float32))
    assert YoloDecoder(spec, input_width=SIZE, input_height=SIZE).class_counts == (classes,)
