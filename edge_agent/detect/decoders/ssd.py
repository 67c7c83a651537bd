"""Decodes the four outputs of ``TFLite_Detection_PostProcess``: SSD, SSDLite, EfficientDet-Lite."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edge_agent.detect.runtimes.base import InferenceModel, PostProcess, Tensor, TensorSpec
from edge_agent.types import Detections
from shared.errors import ConfigurationError

UNKNOWN = -1
_CANONICAL = "TFLite_Detection_PostProcess"


class SsdDecoder:
    """Decodes boxes, classes, scores and a count; the model itself has applied NMS."""

    keep_aspect = False
    pixel_range = (-1.0, 1.0)

    def __init__(
        self, outputs: Sequence[TensorSpec], slots: PostProcess, *, input_width: int, input_height: int
    ) -> None:
        self._outputs = outputs
        self._slots = slots
        self._size = np.array([input_width, input_height, input_width, input_height], np.float32)
        columns = slots.class_columns
        # Most exports have an additional input column for "background", which is never an output class.
        self.class_counts = () if columns is None else (columns - 1, columns)

    def decode(self, outputs: Sequence[Tensor], *, min_score: float, max_iou: float) -> Detections:  # noqa: ARG002
        """Return the valid rows, with boxes in the input's pixels; see ``OutputDecoder``."""
        slots = self._slots
        real = [spec.dequantise(stored) for spec, stored in zip(self._outputs, outputs, strict=True)]
        boxes = real[slots.boxes].reshape(-1, 4)
        declared = float(real[slots.count].flat[0])
        count = int(min(max(declared, 0.0), len(boxes))) if math.isfinite(declared) else 0
        first, second = slots.classes, slots.scores
        if first == UNKNOWN:
            identified = _identify_by_values(real, slots)
            if identified is None:
                return Detections()
            first, second = identified
        classes, scores = real[first].reshape(-1)[:count], real[second].reshape(-1)[:count]
        rows = np.flatnonzero(scores >= min_score)
        return Detections(
            xyxy=np.ascontiguousarray(boxes[rows][:, [1, 0, 3, 2]]) * self._size,
            score=np.minimum(scores[rows], np.float32(1.0)),
            class_id=np.round(classes[rows]).astype(np.int32),
        )


def find_slots(inference_model: InferenceModel) -> PostProcess | None:
    """Identify the four outputs; return None if their shapes do not fit the operator.

    The runtime's list of operators is reliable, and the names of outputs nearly so. If neither is conclusive,
    ``classes`` and ``scores`` are ``UNKNOWN`` and identified by their values in each image (only classes are whole
    numbers).
    """
    if inference_model.postprocess is not None:
        return inference_model.postprocess
    outputs = inference_model.outputs
    boxes = [row for row, spec in enumerate(outputs) if len(spec.shape) == 3 and spec.shape[2] == 4]
    count = [row for row, spec in enumerate(outputs) if len(spec.shape) <= 1 and np.prod(spec.shape) == 1]
    others = [row for row in range(4) if row not in (*boxes, *count)]
    if len(boxes) != 1 or len(count) != 1 or {outputs[row].shape for row in others} != {outputs[boxes[0]].shape[:2]}:
        return None
    classes, scores = _by_name([outputs[row].name for row in others], others)
    return PostProcess(boxes=boxes[0], classes=classes, scores=scores, count=count[0])


def _by_name(names: list[str], rows: list[int]) -> tuple[int, int]:
    for (one, other), (row, other_row) in (
        (names, rows),
        (names[::-1], rows[::-1]),
    ):
        plain, other_plain = one.lower(), other.lower()
        if "class" in plain or "categor" in plain or "score" in other_plain:
            return row, other_row
        if one == f"{_CANONICAL}:1" and other == f"{_CANONICAL}:2":
            return row, other_row
    return UNKNOWN, UNKNOWN


def _identify_by_values(real: Sequence[Tensor], slots: PostProcess) -> tuple[int, int] | None:
    rows = [row for row in range(4) if row not in (slots.boxes, slots.count)]
    whole = [bool(np.all(real[row] == np.round(real[row]))) for row in rows]
    if all(whole):
        return None  # all scores are 0, so there are no detections
    if not any(whole):
        raise ConfigurationError("the model's four outputs contain no class numbers; it is not an SSD-style detector")
    return (rows[0], rows[1]) if whole[0] else (rows[1], rows[0])
