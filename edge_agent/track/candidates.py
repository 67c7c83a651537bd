"""Detections made fit for association: checked, capped, and in an order that depends on nothing but themselves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_agent.track.classes import MAX_CLASS_ID, ClassGroups
from edge_agent.track.motion_model import Floats
from edge_agent.track.table import centred
from edge_agent.types import Detections

_FARTHEST_PX = 1e6
_SHORTEST_PX = 1.0


@dataclass(frozen=True, slots=True)
class Candidates:
    """D usable detections, best score first."""

    boxes: Floats
    """``(4, D)``: left, top, right, bottom."""
    centred: Floats
    """``(4, D)``: centre x, centre y, width, height."""
    score: Floats
    """At most 1."""
    class_id: NDArray[np.intp]
    group: NDArray[np.intp]
    index: NDArray[np.intp]
    """Row in the ``Detections`` they came from."""
    strong: int
    """How many, from the front, have a score that may start a track."""

    def __len__(self) -> int:
        return len(self.score)

    @staticmethod
    def of(detections: Detections, *, low_score: float, high_score: float, groups: ClassGroups) -> Candidates:
        """Leave out what is below ``low_score``, not finite, absurdly far out, thinner than a pixel or of no class."""
        boxes = detections.xyxy.T.astype(np.float64)
        score = detections.score.astype(np.float64)
        class_id = detections.class_id.astype(np.intp)
        # Ordered by what they are, so that the order in which a detector lists them changes nothing.
        index = np.lexsort((class_id, *boxes, -score))
        boxes, score, class_id = boxes.take(index, axis=1), score[index], class_id[index]
        if not _all_usable(boxes, score, class_id, low_score):
            usable = _usable(boxes, score, class_id, low_score)
            boxes, score, class_id, index = boxes[:, usable], score[usable], class_id[usable], index[usable]
        np.minimum(score, 1.0, out=score)
        return Candidates(
            boxes=boxes,
            centred=centred(boxes),
            score=score,
            class_id=class_id,
            group=groups.of(class_id),
            index=index,
            strong=int(np.count_nonzero(score >= high_score)),
        )


def _all_usable(boxes: Floats, score: Floats, class_id: NDArray[np.intp], low_score: float) -> bool:
    """Tell quickly, of detections by falling score, whether nothing needs leaving out.

    Not-a-number sorts last and fails every comparison.
    """
    return (
        len(score) > 0
        and score[-1] >= low_score
        and score[0] < np.inf
        and float(boxes.min()) > -_FARTHEST_PX
        and float(boxes.max()) < _FARTHEST_PX
        and float((boxes[2:] - boxes[:2]).min()) >= _SHORTEST_PX
        and min(listed := class_id.tolist()) >= 0
        and max(listed) <= MAX_CLASS_ID
    )


def _usable(boxes: Floats, score: Floats, class_id: NDArray[np.intp], low_score: float) -> NDArray[np.bool_]:
    usable = (score >= low_score) & (score < np.inf)
    usable &= (np.abs(boxes) < _FARTHEST_PX).all(axis=0)
    usable &= (class_id >= 0) & (class_id <= MAX_CLASS_ID)
    # Infinite corners are ruled out by now, but numpy would still warn about inf - inf.
    near = np.where(usable, boxes, 0.0)
    usable &= (near[2:] - near[:2] >= _SHORTEST_PX).all(axis=0)
    return usable
