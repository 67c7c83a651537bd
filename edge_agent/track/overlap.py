"""How much boxes overlap, all pairs at once. Boxes here are ``(4, N)``: left, top, right, bottom in rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def shared_areas(first: Floats, second: Floats) -> Floats:
    """Return the area that each pair has in common, ``(N, M)``."""
    shared = np.minimum(first[2:, :, None], second[2:, None, :]) - np.maximum(first[:2, :, None], second[:2, None, :])
    np.maximum(shared, 0.0, out=shared)
    return shared[0] * shared[1]


def areas(boxes: Floats) -> Floats:
    """Return each box's area, ``(N,)``."""
    return (boxes[2] - boxes[0]) * (boxes[3] - boxes[1])
