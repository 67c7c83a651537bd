"""Detections made fit for association: checked, capped, and in an order that depends on nothing but themselves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_agent.track.classes import MAX_CLASS_ID, ClassGroups
from edge_agent.track.motion_model import Floats
from edge_agent.types import Detections

_FARTHEST_PX = 1e6
_SHORTEST_PX = 1.0


@dataclass(frozen=True, slots=True)
class Candidates:
    """D usable detections, best score first."""

    boxes: Floats
    """``(4, D)``: left, top, right, bottom."""
    score: Floats
    """At most 1."""
    class_id: NDArray[np.intp]
    group: NDArray[np.intp]
    index: NDArray[np.intp]
    """Row in the ``Detections`` they came from."""

    def __len__(self) -> int:
        return len(self.score)

    @staticmethod
    def of(detections: Detections, *, low_score: float, groups: ClassGroups) -> Candidates:
        """Leave out what is below ``low_score``, not finite, absurdly far out, thinner than a pixel or of no class."""
        boxes = detections.xyxy.T.astype(np.float64)
        score = detections.score.astype(np.float64)
        class_id = detections.class_id
        usable = (score >= low_score) & (score < np.inf)
        usable &= (np.abs(boxes) < _FARTHEST_PX).all(axis=0)
        usable &= (class_id >= 0) & (class_id <= MAX_CLASS_ID)
        # Infinite corners were ruled out above, but numpy would still warn about inf - inf.
        low, high = np.where(usable, boxes, 0.0).reshape(2, 2, -1)
        usable &= (high - low >= _SHORTEST_PX).all(axis=0)
        ordered = np.lexsort((class_id, *boxes, -score))
        index = ordered[usable[ordered]]
        chosen = class_id[index].astype(np.intp)
        return Candidates(
            boxes=boxes[:, index],
            score=np.minimum(score[index], 1.0),
            class_id=chosen,
            group=groups.of(chosen),
            index=index,
        )
