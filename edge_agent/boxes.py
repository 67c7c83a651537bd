"""Geometry of bounding boxes: area, intersection, IoU, containment, clipping. May import ``types`` and numpy.

A box is left, top, right, bottom in pixels. Functions named ``…_batch`` take ``(N, 4)`` arrays and are vectorised;
the others take single boxes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from edge_agent.types import Boxes

Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""
BoxLike = Sequence[float] | NDArray[np.float32]
"""One box as plain floats or as a row of a box array."""


def box_area(box: BoxLike) -> float:
    """Return the area of a box; 0 for an inverted box."""
    return float(max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0))


def box_centre(box: Box) -> tuple[float, float]:
    """Return the centre ``(x, y)``."""
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def box_intersection(box: BoxLike, other: BoxLike) -> float:
    """Return the area that two boxes share; 0 if they only touch."""
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    return float(width * height) if width > 0.0 and height > 0.0 else 0.0


def box_iou(box: BoxLike, other: BoxLike) -> float:
    """Return intersection over union, 0..1; 0 for boxes that do not overlap."""
    shared = box_intersection(box, other)
    return shared / (box_area(box) + box_area(other) - shared) if shared else 0.0


def overlaps_any(box: BoxLike, others: Iterable[BoxLike], min_ios: float) -> bool:
    """Return whether the intersection over the smaller area (IoS) with any other box is at least ``min_ios``."""
    left, top, right, bottom = box
    area = (right - left) * (bottom - top)
    for left_, top_, right_, bottom_ in others:
        if left_ < right and left < right_ and top_ < bottom and top < bottom_:
            shared = (min(right, right_) - max(left, left_)) * (min(bottom, bottom_) - max(top, top_))
            if shared >= min_ios * min(area, (right_ - left_) * (bottom_ - top_)):
                return True
    return False


def box_area_batch(xyxy: Boxes) -> NDArray[np.float32]:
    """Return the ``(N,)`` areas of ``(N, 4)`` boxes; 0 for an inverted box."""
    return np.maximum(xyxy[:, 2] - xyxy[:, 0], 0) * np.maximum(xyxy[:, 3] - xyxy[:, 1], 0)


def box_intersection_batch(boxes: Boxes, others: Boxes) -> NDArray[np.float32]:
    """Return the ``(N, M)`` areas that each of N boxes shares with each of M."""
    # Coordinate by coordinate: numpy is several times slower over a short last axis.
    width = np.minimum(boxes[:, 2, None], others[None, :, 2]) - np.maximum(boxes[:, 0, None], others[None, :, 0])
    height = np.minimum(boxes[:, 3, None], others[None, :, 3]) - np.maximum(boxes[:, 1, None], others[None, :, 1])
    np.maximum(width, 0, out=width)
    np.maximum(height, 0, out=height)
    width *= height
    return width


def box_iou_batch(boxes: Boxes, others: Boxes) -> NDArray[np.float32]:
    """Return the ``(N, M)`` intersections over unions; 0 where both boxes are empty."""
    shared = box_intersection_batch(boxes, others)
    union = box_area_batch(boxes)[:, None] + box_area_batch(others)[None, :] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def box_containment_batch(boxes: Boxes, others: Boxes) -> NDArray[np.float32]:
    """Return ``(N, M)``: the fraction of the area of each of N boxes inside each of M."""
    shared = box_intersection_batch(boxes, others)
    own = np.broadcast_to(box_area_batch(boxes)[:, None], shared.shape)
    return np.divide(shared, own, out=np.zeros_like(shared), where=own > 0)


def clip_boxes(xyxy: Boxes, width_px: int, height_px: int) -> Boxes:
    """Return ``(N, 4)`` boxes clipped to an image of this size."""
    return np.clip(xyxy, np.float32(0), np.array([width_px, height_px, width_px, height_px], np.float32))
