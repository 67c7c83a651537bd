"""Assignment of plates to cells and strides."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_agent.anpr.detection.plate_decoding import STRIDES
from training.detector.scenes import Scene

BACKGROUND, PLATE, IGNORED = 0, 1, 2
SPANS_PX = ((0.0, 96.0), (64.0, 216.0), (144.0, 1e9))
"""Range of plate widths assigned to each stride, in pixels; ranges overlap."""
BESIDE_FACTOR = 1.3
"""A plate outside a stride's range by this factor is background for it."""
CORE_SHARE = (0.22, 0.33)
"""Half of the central part of the box, horizontally and vertically, whose cells are positive."""
DOUBTFUL_WEIGHT = 0.15


def assign(scene: Scene) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.bool_], NDArray[np.float32]]:
    """Return for all N cells: kind, corners (N, 8) in pixels, whether they are exact, and weight as background."""
    height, width = scene.image.shape
    parts = []
    for stride, (least, most) in zip(STRIDES, SPANS_PX, strict=True):
        h, w = height // stride, width // stride
        xs, ys = (np.arange(w) + 0.5) * stride, (np.arange(h) + 0.5) * stride
        kind = np.zeros((h, w), np.uint8)
        corners = np.zeros((h, w, 8), np.float32)
        exact = np.zeros((h, w), bool)
        weight = np.full((h, w), DOUBTFUL_WEIGHT if scene.doubtful_px > max(16.0, least * 0.9) else 1.0, np.float32)
        for x0, y0, x1, y1 in scene.doubtful:
            kind[((ys > y0) & (ys < y1))[:, None] & ((xs > x0) & (xs < x1))[None]] = IGNORED
        for number, quad in enumerate(scene.quads):
            low, high = quad.min(0), quad.max(0)
            centre, size = (low + high) / 2, high - low
            across, down = np.abs(xs - centre[0])[None], np.abs(ys - centre[1])[:, None]
            faint = scene.faint is not None and scene.faint[number]
            extent = max(size[0], 2 * size[1])
            if faint or least / BESIDE_FACTOR <= extent < most * BESIDE_FACTOR:
                kind[(across < 0.5 * size[0]) & (down < 0.5 * size[1]) & (kind == BACKGROUND)] = IGNORED
            if faint or not least <= extent < most:
                continue
            reach = np.maximum(size * CORE_SHARE, 0.7 * stride)
            core = (across < reach[0]) & (down < reach[1])
            kind[core] = PLATE
            corners[core] = quad.ravel()
            exact[core] = scene.exact[number]
        parts.append((kind.ravel(), corners.reshape(-1, 8), exact.ravel(), weight.ravel()))
    kinds, corners_all, exacts, weights = zip(*parts, strict=True)
    return np.concatenate(kinds), np.concatenate(corners_all), np.concatenate(exacts), np.concatenate(weights)
