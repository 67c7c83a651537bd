"""How much boxes overlap, all pairs at once. Boxes here are ``(4, N)``: left, top, right, bottom in rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def buffered_similarity(first: Floats, second: Floats, buffer_ratio: float) -> Floats:
    """Return how alike each pair is, ``(N, M)``, from 0 (apart) to 1 (the same box).

    Every box is first widened by ``buffer_ratio`` of its width and height on each side, so that boxes which just miss
    each other still compare (C-BIoU: Yang et al., "Hard to track objects with irregular motions and similar
    appearances?", 2023); raising it bridges faster motion and lets neighbours be mistaken for one another. The overlap
    is then weighed by the overlap of the vertical extents alone, because heads and feet tell people in a crowd
    apart better than their sides do (Hybrid-SORT: Yang et al., 2024).
    """
    low, high = widen(first, buffer_ratio)
    other_low, other_high = widen(second, buffer_ratio)
    size, other_size = high - low, other_high - other_low
    shared = np.minimum(high[:, :, None], other_high[:, None, :])
    shared -= np.maximum(low[:, :, None], other_low[:, None, :])
    np.maximum(shared, 0.0, out=shared)
    area = shared[0] * shared[1]
    either = (size[0] * size[1])[:, None] + other_size[0] * other_size[1] - area
    either_height = size[1][:, None] + other_size[1] - shared[1]
    area *= shared[1]
    either *= either_height
    area /= either
    return area


def widen(boxes: Floats, ratio: float) -> tuple[Floats, Floats]:
    """Return the corners ``(2, N)`` of boxes made wider by ``ratio`` of their size on each side."""
    low, high = boxes[:2], boxes[2:]
    margin = (high - low) * ratio
    return low - margin, high + margin


def shared_areas(first: Floats, second: Floats) -> Floats:
    """Return the area that each pair has in common, ``(N, M)``."""
    shared = np.minimum(first[2:, :, None], second[2:, None, :]) - np.maximum(first[:2, :, None], second[:2, None, :])
    np.maximum(shared, 0.0, out=shared)
    return shared[0] * shared[1]


def areas(boxes: Floats) -> Floats:
    return (boxes[2] - boxes[0]) * (boxes[3] - boxes[1])


def iou(first: Floats, second: Floats) -> Floats:
    """Return the intersection over union of each pair, ``(N, M)``."""
    shared = shared_areas(first, second)
    return shared / (areas(first)[:, None] + areas(second) - shared)
