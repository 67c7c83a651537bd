"""Images with one plate at known corners, and a fake network that detects bright quadrilaterals."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_agent.anpr.detection.plate_decoding import STRIDES
from edge_agent.detect.runtimes.base import Tensor, TensorSpec
from edge_agent.types import Image

BRIGHT = 250


def picture_with(corners: list[tuple[float, float]], *, width: int, height: int) -> Image:
    """Return a dark picture with a bright, level plate at these corners."""
    image = np.full((height, width, 3), 40, np.uint8)
    (left, top), _, (right, bottom), _ = corners
    image[round(top) : round(bottom), round(left) : round(right)] = BRIGHT
    return image


def cells_with(
    corners: NDArray[np.float32], *, height: int, width: int, stride: int, logit: float
) -> NDArray[np.float32]:
    """Return the ``(N, 9)`` output cells for one plate, in the cell of this stride that is nearest to its centre."""
    parts = []
    for each in STRIDES:
        part = np.zeros((height // each, width // each, 9), np.float32)
        part[..., 0] = -9.0
        if each == stride:
            middle = corners.mean(axis=0)
            column, row = (
                int(np.clip(v // each, 0, n - 1)) for v, n in zip(middle, (width // each, height // each), strict=True)
            )
            part[row, column, 0] = logit
            part[row, column, 1:] = ((corners - (np.array((column, row)) + 0.5) * each) / each).ravel()
        parts.append(part.reshape(-1, 9))
    return np.concatenate(parts)


class BrightNetwork:
    """Detects the brightest region of its input as a plate, if it is between ``min_px`` and ``max_px`` wide there.

    Its input is quantised like that of the shipped models. Its outputs are in a different order.
    """

    def __init__(self, *, width: int, height: int, min_px: float = 0, max_px: float = 1e9, logit: float = 3.0) -> None:
        self._width, self._height = width, height
        self._span_px, self._logit = (min_px, max_px), logit
        self.input = TensorSpec("luma", (1, height, width, 1), np.dtype(np.int8), scale=1.0, zero_point=-128)
        self._strides = (STRIDES[1], STRIDES[0], STRIDES[2])
        self.outputs = tuple(
            TensorSpec(f"at{stride}", (1, height // stride, width // stride, 9), np.dtype(np.float32))
            for stride in self._strides
        )
        self.postprocess = None
        self.inputs: list[NDArray[np.uint8]] = []
        self.closed = False

    def run(self, picture: Tensor) -> tuple[Tensor, ...]:
        luma = (picture[0, :, :, 0].astype(np.int16) + 128).astype(np.uint8)
        self.inputs.append(luma)
        rows, columns = np.nonzero(luma > 200)
        cells = {
            stride: np.zeros((1, self._height // stride, self._width // stride, 9), np.float32) for stride in STRIDES
        }
        for part in cells.values():
            part[..., 0] = -9.0
        if len(rows):
            x0, y0, x1, y1 = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
            if self._span_px[0] <= x1 - x0 <= self._span_px[1]:
                corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], np.float32)
                flat = cells_with(corners, height=self._height, width=self._width, stride=16, logit=self._logit)
                sizes = np.cumsum([part[0, ..., 0].size for part in cells.values()])[:-1]
                for stride, part in zip(STRIDES, np.split(flat, sizes), strict=True):
                    cells[stride] = part.reshape(cells[stride].shape)
        return tuple(cells[stride] for stride in self._strides)

    def close(self) -> None:
        self.closed = True
