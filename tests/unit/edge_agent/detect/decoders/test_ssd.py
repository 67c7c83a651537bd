"""The four outputs of TFLite_Detection_PostProcess, in any order."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_agent.detect.decoders.ssd import UNKNOWN, find_slots
from edge_agent.detect.decoders.table import choose_output_decoder
from edge_agent.detect.runtimes.base import PostProcess, TensorSpec
from edge_agent.detect.runtimes.tflite import open_litert
from edge_agent.types import Detections
from shared.errors import ConfigurationError
from tests.support.edge.fake_inference_model import FakeNetwork
from tests.support.edge.tflite_models import POSTPROCESS_ORDER, write_ssd

BOXES = [[0.0, 0.25, 0.5, 1.0], [0.5, 0.0, 1.0, 0.5]]
SCORES = [[0.9, 0.05, 0.02], [0.1, 0.2, 0.8]]
EXPECTED = {"xyxy": [[16, 0, 64, 32], [0, 32, 32, 64]], "class_id": [0, 2], "score": [0.9, 0.8]}
ORDERS = list(itertools.permutations(POSTPROCESS_ORDER))


def check(found: Detections) -> None:
    assert np.allclose(found.xyxy, EXPECTED["xyxy"], atol=1e-4)
    assert found.class_id.tolist() == EXPECTED["class_id"]
    assert np.allclose(found.score, EXPECTED["score"])


def values(order: tuple[str, ...], *, rows: int = 4) -> tuple[list[TensorSpec], list[np.ndarray[Any, Any]]]:
    boxes, classes, scores = np.zeros((1, rows, 4)), np.zeros((1, rows)), np.zeros((1, rows))
    boxes[0, :2], classes[0, :2], scores[0, :2] = BOXES, [0, 2], [0.9, 0.8]
    all_four = {"boxes": boxes, "classes": classes, "scores": scores, "count": np.array([2.0])}
    tensors = [all_four[kind].astype(np.float32) for kind in order]
    specs = [
        TensorSpec(name=f"out:{row}", shape=tensor.shape, dtype=tensor.dtype) for row, tensor in enumerate(tensors)
    ]
    return specs, tensors


@pytest.mark.parametrize("order", ORDERS[::5], ids="-".join)
@pytest.mark.parametrize("background", [True, False])
def test_outputs_of_a_real_model_are_decoded_in_any_order(
    tmp_path: Path, order: tuple[str, ...], background: bool
) -> None:
    """Outputs of a real model are identified by its operator, in any order and with any names."""
    network = open_litert(
        write_ssd(tmp_path / "ssd.tflite", BOXES, SCORES, order=order, background=background), threads=1, edgetpu=False
    )
    head = choose_output_decoder(network)
    assert 3 in head.class_counts
    outputs = network.run(np.zeros((1, 64, 64, 3), np.uint8))
    check(head.decode(outputs, min_score=0.3, max_iou=0.5))


@pytest.mark.parametrize("order", ORDERS, ids="-".join)
def test_outputs_are_identified_by_values_without_a_list_of_operators(order: tuple[str, ...]) -> None:
    """Without a list of operators and without descriptive names, the outputs are still decoded correctly."""
    specs, tensors = values(order)
    network = FakeNetwork(outputs=tuple(specs), results=tuple(tensors))
    slots = find_slots(network)
    assert slots is not None
    assert (slots.classes, slots.scores) == (UNKNOWN, UNKNOWN)
    check(choose_output_decoder(network).decode(tensors, min_score=0.3, max_iou=0.5))


@pytest.mark.parametrize(
    "names",
    [
        ("TFLite_Detection_PostProcess:2", "TFLite_Detection_PostProcess:1"),
        ("detection_scores", "detection_classes"),
        ("score", "category"),
        ("scores", "b"),
    ],
)
def test_names_identify_classes_and_scores(names: tuple[str, str]) -> None:
    """The names of common exporters are recognised in either order."""
    for scores_at, classes_at, ordered in ((2, 3, names), (3, 2, names[::-1])):
        specs, _ = values(("boxes", "count", "classes", "scores"))
        specs[2] = TensorSpec(name=ordered[0], shape=specs[2].shape, dtype=specs[2].dtype)
        specs[3] = TensorSpec(name=ordered[1], shape=specs[3].shape, dtype=specs[3].dtype)
        slots = find_slots(FakeNetwork(outputs=tuple(specs)))
        assert slots == PostProcess(boxes=0, classes=classes_at, scores=scores_at, count=1)


def test_empty_scene_needs_no_identification() -> None:
    """If all values are 0, the outputs cannot be identified, and there are no detections."""
    specs, tensors = values(("boxes", "classes", "scores", "count"))
    for tensor in tensors:
        tensor[...] = 0
    head = choose_output_decoder(FakeNetwork(outputs=tuple(specs)))
    assert len(head.decode(tensors, min_score=0.3, max_iou=0.5)) == 0


def test_outputs_without_class_numbers_are_rejected() -> None:
    """Four outputs of the right shapes without whole numbers are not from this operator."""
    specs, tensors = values(("boxes", "classes", "scores", "count"))
    tensors[1][...] = 0.5
    with pytest.raises(ConfigurationError, match="not an SSD-style detector"):
        choose_output_decoder(FakeNetwork(outputs=tuple(specs))).decode(tensors, min_score=0.3, max_iou=0.5)


def test_rows_beyond_the_count_are_ignored(tmp_path: Path) -> None:
    """Only the declared number of rows is read; with a non-finite count, none."""
    specs, tensors = values(("boxes", "classes", "scores", "count"))
    head = choose_output_decoder(FakeNetwork(outputs=tuple(specs), postprocess=PostProcess(0, 1, 2, 3, 4)))
    tensors[3][...] = 1
    assert head.decode(tensors, min_score=0.3, max_iou=0.5).class_id.tolist() == [0]
    tensors[3][...] = np.nan
    assert len(head.decode(tensors, min_score=0.3, max_iou=0.5)) == 0
    tensors[3][...] = 99
    assert len(head.decode(tensors, min_score=0.3, max_iou=0.5)) == 2


@pytest.mark.parametrize(
    "shapes",
    [
        [(1, 10, 4), (1, 10), (1, 10), (1, 10)],
        [(1, 10, 4), (1, 10), (1, 9), (1,)],
        [(1, 10, 4), (1, 10)],
        [(1, 1000)],
        [(1, 20, 20, 255)],
    ],
)
def test_unsupported_outputs_are_rejected_with_their_shapes(shapes: list[tuple[int, ...]]) -> None:
    """The error contains the shapes of the model and the supported models."""
    outputs = tuple(TensorSpec(name="o", shape=shape, dtype=np.dtype(np.float32)) for shape in shapes)
    with pytest.raises(ConfigurationError, match=r"outputs \[1, .*TFLite_Detection_PostProcess.*YOLO11"):
        choose_output_decoder(FakeNetwork(outputs=outputs))
