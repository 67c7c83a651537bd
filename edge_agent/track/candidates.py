"""Prepares detections for association: validated, with capped scores, and in an order that is deterministic."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from operator import neg

import numpy as np

from edge_agent.track.classes import MAX_CLASS_ID, ClassGroups
from edge_agent.track.motion_model import Floats
from edge_agent.types import Detections

Box = list[float]
"""Left, top, right, bottom."""

_MAX_COORDINATE_PX = 1e6
_MIN_SIDE_PX = 1.0
_TO_CENTRED = np.array([[0.5, 0.0, 0.5, 0.0], [0.0, 0.5, 0.0, 0.5], [-1.0, 0.0, 1.0, 0.0], [0.0, -1.0, 0.0, 1.0]])


@dataclass(frozen=True, slots=True)
class Candidates:
    """D usable detections, best score first."""

    corners: Floats
    """``(D, 4)``"""
    boxes: list[Box]
    """The same as lists."""
    centred: Floats
    """``(4, D)``: centre x, centre y, width, height."""
    score: list[float]
    """At most 1, descending."""
    class_id: list[int]
    group: list[int]
    index: list[int]
    """Rows in the ``Detections`` that they come from."""
    hull: Box
    """The bounding box of all boxes; empty if there are none."""
    strong: int
    """Number of detections, from the start, whose score may start a track."""

    def __len__(self) -> int:
        return len(self.score)

    @staticmethod
    def of(detections: Detections, *, low_score: float, high_score: float, groups: ClassGroups) -> Candidates:
        """Return the usable detections.

        Detections are dropped if they are below ``low_score``, not finite, implausibly far outside the image, thinner
        than one pixel, or without a valid class.
        """
        # Sorted by their values, so that the order of the detector's output has no influence.
        order = np.lexsort((detections.class_id, *detections.xyxy.T, -detections.score))
        boxes = detections.xyxy.take(order, axis=0).astype(np.float64)
        score = detections.score.take(order).tolist()
        class_id = detections.class_id.take(order).tolist()
        index = order.tolist()
        hull = _hull(boxes)
        if not _all_usable(boxes, hull, score, class_id, low_score):
            usable = _usable(boxes, score, class_id, low_score)
            boxes = boxes.take(usable, axis=0)
            hull = _hull(boxes)
            score, class_id, index = ([column[row] for row in usable] for column in (score, class_id, index))
        strong = bisect_right(score, -high_score, key=neg)
        if score and score[0] > 1.0:
            score = [min(value, 1.0) for value in score]
        return Candidates(
            corners=boxes,
            boxes=boxes.tolist(),
            centred=_TO_CENTRED.dot(boxes.T),
            score=score,
            class_id=class_id,
            group=groups.of(class_id),
            index=index,
            hull=hull,
            strong=strong,
        )


def _hull(boxes: Floats) -> Box:
    if len(boxes) == 0:
        return []
    return [*boxes[:, :2].min(axis=0).tolist(), *boxes[:, 2:].max(axis=0).tolist()]


def _all_usable(boxes: Floats, hull: Box, score: Sequence[float], class_id: Sequence[int], low_score: float) -> bool:
    """Return quickly, for detections by descending score, whether all of them are usable.

    NaN sorts last and fails every comparison. A box without negative extent that is within bounds on two sides is
    within bounds on all four.
    """
    return (
        len(score) > 0
        and score[-1] >= low_score
        and score[0] < inf
        and hull[0] > -_MAX_COORDINATE_PX
        and hull[1] > -_MAX_COORDINATE_PX
        and hull[2] < _MAX_COORDINATE_PX
        and hull[3] < _MAX_COORDINATE_PX
        and float((boxes[:, 2:] - boxes[:, :2]).min()) >= _MIN_SIDE_PX
        and min(class_id) >= 0
        and max(class_id) <= MAX_CLASS_ID
    )


def _usable(boxes: Floats, score: Sequence[float], class_id: Sequence[int], low_score: float) -> list[int]:
    return [
        row
        for row, (box, value, kind) in enumerate(zip(boxes.tolist(), score, class_id, strict=True))
        if low_score <= value < inf and 0 <= kind <= MAX_CLASS_ID and _is_sane(box)
    ]


def _is_sane(box: Box) -> bool:
    left, top, right, bottom = box
    near = all(-_MAX_COORDINATE_PX < side < _MAX_COORDINATE_PX for side in box)
    return near and right - left >= _MIN_SIDE_PX and bottom - top >= _MIN_SIDE_PX
