"""Overlaps between boxes, and what is done about boxes that mean the same thing. All vectorised."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_agent.types import Boxes, Detections


def area(xyxy: Boxes) -> NDArray[np.float32]:
    """Return the areas of ``(N, 4)`` boxes; 0 for a box turned inside out."""
    return np.maximum(xyxy[:, 2] - xyxy[:, 0], 0) * np.maximum(xyxy[:, 3] - xyxy[:, 1], 0)


def intersection(ones: Boxes, others: Boxes) -> NDArray[np.float32]:
    """Return ``(N, M)`` areas that each of N boxes shares with each of M."""
    # Coordinate by coordinate: numpy is several times slower over a short last axis.
    width = np.minimum(ones[:, 2, None], others[None, :, 2]) - np.maximum(ones[:, 0, None], others[None, :, 0])
    height = np.minimum(ones[:, 3, None], others[None, :, 3]) - np.maximum(ones[:, 1, None], others[None, :, 1])
    np.maximum(width, 0, out=width)
    np.maximum(height, 0, out=height)
    width *= height
    return width


def iou(ones: Boxes, others: Boxes) -> NDArray[np.float32]:
    """Return ``(N, M)`` intersections over unions; 0 where both boxes are empty."""
    shared = intersection(ones, others)
    union = area(ones)[:, None] + area(others)[None, :] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def containment(ones: Boxes, others: Boxes) -> NDArray[np.float32]:
    """Return ``(N, M)``: the share of each of the N boxes that lies inside each of the M."""
    shared = intersection(ones, others)
    own = np.broadcast_to(area(ones)[:, None], shared.shape)
    return np.divide(shared, own, out=np.zeros_like(shared), where=own > 0)


def nms(found: Detections, max_iou: float, *, duplicate_iou: float = 1.0) -> Detections:
    """Class-aware non-maximum suppression, best score first (of equals, the earlier row).

    A box goes when it overlaps a better one of its class by more than ``max_iou``, or one of another class by more
    than ``duplicate_iou``: one thing that the model gives two names.
    """
    if len(found) < 2:
        return found
    ranked = found.select(np.argsort(-found.score, kind="stable"))
    same_class = ranked.class_id[:, None] == ranked.class_id[None, :]
    limit = np.where(same_class, np.float32(max_iou), np.float32(duplicate_iou))
    shared, own = intersection(ranked.xyxy, ranked.xyxy), area(ranked.xyxy)
    # shared / union > limit, without the division that would have to mind empty boxes.
    return ranked.select(keep_best(shared > limit * (own[:, None] + own[None, :] - shared)))


def keep_best(beats: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which of N ranked rows stay when row i, if it stays, removes the later rows j with ``beats[i, j]``."""
    beats = np.triu(beats, k=1)
    kept = np.ones(len(beats), np.bool_)
    for row in np.flatnonzero(beats.any(axis=1)):
        if kept[row]:
            kept &= ~beats[row]
    return kept
