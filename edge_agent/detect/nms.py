"""Non-maximum suppression (NMS), vectorised."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_agent.boxes import box_area_batch, box_intersection_batch
from edge_agent.types import Detections


def nms(found: Detections, max_iou: float, *, duplicate_iou: float = 1.0) -> Detections:
    """Class-aware non-maximum suppression, best score first (of equals, the earlier row).

    A box is removed if its IoU with a better box of its class exceeds ``max_iou``, or with a better box of another
    class exceeds ``duplicate_iou``. Raising either keeps more overlapping boxes.
    """
    if len(found) < 2:
        return found
    ranked = found.select(np.argsort(-found.score, kind="stable"))
    same_class = ranked.class_id[:, None] == ranked.class_id[None, :]
    limit = np.where(same_class, np.float32(max_iou), np.float32(duplicate_iou))
    shared, own = box_intersection_batch(ranked.xyxy, ranked.xyxy), box_area_batch(ranked.xyxy)
    # shared / union > limit, without a division, which would need a special case for empty boxes.
    return ranked.select(keep_best(shared > limit * (own[:, None] + own[None, :] - shared)))


def keep_best(beats: NDArray[Any]) -> NDArray[np.bool_]:
    """Return a mask of the N ranked rows to keep, if each kept row i removes all later rows j with ``beats[i, j]``."""
    beats = np.triu(beats, k=1)
    kept = np.ones(len(beats), np.bool_)
    for row in np.flatnonzero(beats.any(axis=1)):
        if kept[row]:
            kept &= ~beats[row]
    return kept
