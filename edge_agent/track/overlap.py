"""Whether a box is a part of another: left, top, right, bottom each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Box = Sequence[float]


def iou(box: Box, other: Box) -> float:
    """Return intersection over union."""
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    if width <= 0.0 or height <= 0.0:
        return 0.0
    shared = width * height
    return shared / ((box[2] - box[0]) * (box[3] - box[1]) + (other[2] - other[0]) * (other[3] - other[1]) - shared)


def is_part(box: Box, others: Iterable[Box], least_ratio: float) -> bool:
    """Tell whether a box and one of the others have so much in common, over the area of the smaller of the two."""
    left, top, right, bottom = box
    area = (right - left) * (bottom - top)
    for left_, top_, right_, bottom_ in others:
        if left_ < right and left < right_ and top_ < bottom and top < bottom_:
            shared = (min(right, right_) - max(left, left_)) * (min(bottom, bottom_) - max(top, top_))
            if shared >= least_ratio * min(area, (right_ - left_) * (bottom_ - top_)):
                return True
    return False
