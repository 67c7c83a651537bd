"""Decodes the output of the plate network: scores, corners, and non-maximum suppression.

Uses numpy alone. Training evaluates with the same code.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
STRIDES = (8, 16, 32)


@dataclass(frozen=True, slots=True)
class PlateDetections:
    """N plates, highest score first, in pixels of the network's input."""

    score: Floats
    """``(N,)``, 0..1"""
    corners: Floats
    """``(N, 4, 2)``: top left, top right, bottom right, bottom left"""

    def __len__(self) -> int:
        return len(self.score)

    def boxes(self) -> Floats:
        """Return the ``(N, 4)`` xyxy bounding boxes of the corners."""
        return np.concatenate([self.corners.min(axis=1), self.corners.max(axis=1)], axis=1)

    def select(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> PlateDetections:
        """Return the rows of an index array or a mask."""
        return PlateDetections(self.score[rows], self.corners[rows])


def cell_grid(height: int, width: int) -> Floats:
    """Return ``(N, 3)``: centre x, centre y and stride of each cell in pixels, in the order of the output cells."""
    parts: list[Floats] = []
    for stride in STRIDES:
        rows, columns = np.divmod(np.arange((height // stride) * (width // stride)), width // stride)
        size = np.full(len(rows), stride)
        parts.append(np.stack([(columns + 0.5) * stride, (rows + 0.5) * stride, size], axis=1).astype(np.float32))
    return np.concatenate(parts)


def decode(
    cells: Floats, grid: Floats, *, threshold: float, overlap: float = 0.3, max_cells: int = 200
) -> PlateDetections:
    """Return the plates in ``(N, 9)`` cells: a logit, then corner offsets from the cell's centre in strides.

    Raising ``threshold`` (0..1) drops uncertain plates. Raising ``overlap`` (IoU) keeps boxes that are closer together.
    At most ``max_cells`` cells, those with the highest scores, are decoded.
    """
    logits = cells[:, 0]
    min_logit = np.log(threshold / (1 - threshold))
    rows = np.flatnonzero(logits > min_logit)
    if len(rows) > max_cells:
        rows = rows[np.argpartition(-logits[rows], max_cells)[:max_cells]]
    rows = rows[np.argsort(-logits[rows], kind="stable")]
    score = np.asarray(1 / (1 + np.exp(-logits[rows])), np.float32)
    centre = grid[rows, None, :2]
    corners = cells[rows, 1:].reshape(-1, 4, 2) * grid[rows, 2][:, None, None] + centre
    detections = PlateDetections(score, np.asarray(corners, np.float32))
    return detections.select(merge(detections, overlap=overlap))


def merge(detections: PlateDetections, *, overlap: float) -> NDArray[np.intp]:
    """Return the rows that remain after non-maximum suppression.

    A plate suppresses those with lower scores whose IoU with it exceeds ``overlap``, or that share more than 70 % of
    the smaller box. Rows must be ordered, highest score first.
    """
    boxes = detections.boxes()
    area = np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1)
    remaining = np.ones(len(boxes), bool)
    kept: list[int] = []
    for row in range(len(boxes)):
        if not remaining[row]:
            continue
        kept.append(row)
        inner = np.minimum(boxes[row, 2:], boxes[:, 2:]) - np.maximum(boxes[row, :2], boxes[:, :2])
        shared = np.prod(np.maximum(inner, 0), axis=1)
        union = area[row] + area - shared
        remaining &= (shared <= overlap * np.maximum(union, 1e-6)) & (
            shared <= 0.7 * np.maximum(np.minimum(area, area[row]), 1e-6)
        )
    return np.array(kept, np.intp)
