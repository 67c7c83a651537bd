"""Letterboxing: the position of an image inside a model's input, and the exact mapping back to image pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_agent.types import Boxes


@dataclass(frozen=True, slots=True)
class Letterbox:
    """An image of ``source_width`` by ``source_height``, scaled to ``width`` by ``height`` at ``left``, ``top``."""

    left: int
    top: int
    width: int
    height: int
    source_width: int
    source_height: int

    def to_source(self, xyxy: NDArray[Any]) -> Boxes:
        """Map ``(N, 4)`` boxes from the input's pixels to the source's, not clipped."""
        return (np.asarray(xyxy, np.float32) - self._offset()) / self._scale()

    def to_input(self, xyxy: NDArray[Any]) -> Boxes:
        """Map ``(N, 4)`` boxes from the source's pixels to the input's."""
        return np.asarray(xyxy, np.float32) * self._scale() + self._offset()

    def _scale(self) -> NDArray[np.float32]:
        # Width and height are rounded to pixels, so the scales of the two axes differ slightly.
        across, down = self.width / self.source_width, self.height / self.source_height
        return np.array([across, down, across, down], np.float32)

    def _offset(self) -> NDArray[np.float32]:
        return np.array([self.left, self.top, self.left, self.top], np.float32)


def letterbox(source_width: int, source_height: int, input_width: int, input_height: int) -> Letterbox:
    """Scale to fit, keep the aspect ratio and centre; the rest of the input is padding."""
    ratio = min(input_width / source_width, input_height / source_height)
    width = min(max(round(source_width * ratio), 1), input_width)
    height = min(max(round(source_height * ratio), 1), input_height)
    return Letterbox(
        left=(input_width - width) // 2,
        top=(input_height - height) // 2,
        width=width,
        height=height,
        source_width=source_width,
        source_height=source_height,
    )


def stretch(source_width: int, source_height: int, input_width: int, input_height: int) -> Letterbox:
    """Fill the whole input without keeping the aspect ratio (as SSD models are trained)."""
    return Letterbox(
        left=0,
        top=0,
        width=input_width,
        height=input_height,
        source_width=source_width,
        source_height=source_height,
    )
