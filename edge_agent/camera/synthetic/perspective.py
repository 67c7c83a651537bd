"""The camera over the gate: metres in the world to pixels in the picture.

World axes: x to the right, y up, z away from the camera; the camera hangs at ``(0, CAMERA_HEIGHT_M, 0)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Points = NDArray[np.float64]
"""``(N, 3)`` metres in the world, or ``(N, 2)`` pixels in the picture."""

CAMERA_HEIGHT_M = 4.2
NEAREST_M = 0.9
"""Points nearer than this are moved here along z; at this distance everything lies far below the picture."""
_REFERENCE_HEIGHT_PX = 720
_FOCAL_LENGTH_PX = 1500.0
_HORIZON_PX = -40.0


@dataclass(frozen=True, slots=True)
class Perspective:
    """A level camera with a shifted lens, so that uprights stay upright; scales with the picture's height."""

    width_px: int
    height_px: int

    @property
    def focal_px(self) -> float:
        return _FOCAL_LENGTH_PX * self.height_px / _REFERENCE_HEIGHT_PX

    def project(self, world: ArrayLike) -> Points:
        """Return ``(N, 2)`` pixels, possibly outside the picture."""
        points = np.asarray(world, np.float64)
        focal_px = self.focal_px
        depth = np.maximum(points[:, 2], NEAREST_M)
        pixels = np.empty((len(points), 2))
        pixels[:, 0] = self.width_px / 2 + focal_px * points[:, 0] / depth
        pixels[:, 1] = (
            _HORIZON_PX * self.height_px / _REFERENCE_HEIGHT_PX + focal_px * (CAMERA_HEIGHT_M - points[:, 1]) / depth
        )
        return pixels

    def clipped_box(self, pixels: Points) -> NDArray[np.float32]:
        """Return the ``xyxy`` box around these pixels, cut at the picture's edges (empty where it lies outside)."""
        limits = np.array([self.width_px, self.height_px] * 2, np.float64)
        box: Any = np.concatenate([pixels.min(axis=0), pixels.max(axis=0)])
        return np.asarray(np.clip(box, 0, limits), np.float32)
