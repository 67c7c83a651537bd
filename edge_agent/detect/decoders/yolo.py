"""Decodes the raw head of YOLOv8 and YOLO11: per anchor a box (cx, cy, w, h) and one score per class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_agent.detect.nms import nms
from edge_agent.detect.runtimes.base import Tensor, TensorSpec, stored_at_least
from edge_agent.types import Boxes, Detections
from shared.errors import ConfigurationError

MAX_CANDIDATES = 400
"""Maximum boxes passed to NMS, highest score first. Real scenes at a usable threshold have far fewer."""
_STRIDES = (8, 16, 32)
_NORMALISED_LIMIT = 8.0
"""Normalised coordinates are below this limit; pixel coordinates reach more, as inputs are at least 32 pixels wide."""


class YoloDecoder:
    """``[1, 4 + classes, anchors]`` or ``[1, anchors, 4 + classes]``, normalised or in the input's pixels.

    The threshold is applied to stored values; only anchors whose best class reaches it are dequantised.
    """

    keep_aspect = True
    pixel_range = (0.0, 1.0)

    def __init__(self, output: TensorSpec, *, input_width: int, input_height: int) -> None:
        self._output = output
        self._width, self._height = input_width, input_height
        self._anchors_last = _anchors_last(output.shape, _anchor_count(input_width, input_height))
        self.class_counts = (output.shape[1 if self._anchors_last else 2] - 4,)

    def decode(self, outputs: Sequence[Tensor], *, min_score: float, max_iou: float) -> Detections:
        """Return the candidates after NMS, with boxes in the input's pixels; see ``OutputDecoder``."""
        rows = outputs[0][0] if self._anchors_last else outputs[0][0].T
        min_stored = stored_at_least(self._output, min_score)
        candidates = self._candidates(rows[4:], min_stored)
        scores = rows[4:, candidates]
        class_id = scores.argmax(axis=0)
        best = scores[class_id, np.arange(len(candidates))]
        if len(candidates) > MAX_CANDIDATES:
            top = np.sort(np.argpartition(best, -MAX_CANDIDATES)[-MAX_CANDIDATES:])
            candidates, class_id, best = candidates[top], class_id[top], best[top]
        found = Detections(
            xyxy=self._corners(self._output.dequantise(rows[:4, candidates]), rows[0]),
            score=np.minimum(self._output.dequantise(best), np.float32(1.0)),
            class_id=class_id.astype(np.int32),
        )
        return nms(found, max_iou)

    def _candidates(self, scores: Tensor, min_stored: float) -> NDArray[np.intp]:
        """Return the anchors where any class's stored score is at least ``min_stored``, in order."""
        if min_stored > _largest(scores.dtype):
            return np.empty(0, np.intp)
        threshold = scores.dtype.type(min_stored)
        if self._anchors_last:
            return np.flatnonzero(scores.max(axis=0) >= threshold)
        # The scores of one anchor are adjacent here, so one comparison of all is faster than a maximum per row.
        by_anchor = scores.T
        return np.unique(np.nonzero(by_anchor >= threshold)[0])

    def _corners(self, boxes: NDArray[np.float32], stored_centres: Tensor) -> Boxes:
        cx, cy, half_width, half_height = boxes[0], boxes[1], boxes[2] / 2, boxes[3] / 2
        corners = np.stack([cx - half_width, cy - half_height, cx + half_width, cy + half_height], axis=1)
        if self._is_normalised(stored_centres):
            corners *= np.array([self._width, self._height, self._width, self._height], np.float32)
        return corners

    def _is_normalised(self, stored_centres: Tensor) -> bool:
        """Return whether coordinates are normalised, by the range of the type, else by the anchors' centres."""
        largest = self._output.largest_real()
        return (float(stored_centres.max()) if largest is None else largest) < _NORMALISED_LIMIT


def is_yolo_shape(shape: tuple[int, ...]) -> bool:
    """Return whether this shape may be a raw head: one image, two axes, at least one class."""
    return len(shape) == 3 and shape[0] == 1 and min(shape[1:]) >= 5


def _anchor_count(width: int, height: int) -> int:
    return sum((width // stride) * (height // stride) for stride in _STRIDES)


def _anchors_last(shape: tuple[int, ...], expected: int) -> bool:
    _, first, second = shape
    if expected in (first, second):
        return second == expected
    if 3 * expected in (first, second):
        raise ConfigurationError(
            f"the model's output {list(shape)} is that of YOLOv5 or older (three boxes per anchor); "
            "YOLOv8 and YOLO11 are supported"
        )
    if second == 6 and first <= 1000:
        raise ConfigurationError(
            f"the model's output {list(shape)} is that of an export with built-in NMS; export the model with nms=False"
        )
    return second > first


def _largest(dtype: np.dtype[Any]) -> float:
    return float(np.iinfo(dtype).max) if dtype.kind in "iu" else float("inf")
