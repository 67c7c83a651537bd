"""The camera above the gate: projects world coordinates in metres to pixels.

World axes: x to the right, y up, z away from the camera, which is at ``(0, CAMERA_HEIGHT_M, 0)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Points = NDArray[np.float64]
"""``(N, 3)`` world coordinates in metres, or ``(N, 2)`` pixels."""

CAMERA_HEIGHT_M = 4.2
MIN_DEPTH_M = 0.9
"""Closer points are moved to this distance, at which everything is far below the image."""
_REFERENCE_HEIGHT_PX = 720
_FOCAL_LENGTH_PX = 1500.0
_HORIZON_PX = -40.0


@dataclass(frozen=True, slots=True)
class Perspective:
    """A level camera with a shifted lens, which keeps verticals vertical. Scales with the height of the image."""

    width_px: int
    height_px: int

    @property
    def focal_px(self) -> float:
        return _FOCAL_LENGTH_PX * self.height_px / _REFERENCE_HEIGHT_PX

    def project(self, world: ArrayLike) -> Points:
        """Return ``(N, 2)`` pixels for ``(N, 3)`` world points, possibly outside of the image."""
        points = np.asarray(world, np.float64)
        focal_px = self.focal_px
        depth = np.maximum(points[:, 2], MIN_DEPTH_M)
        pixels = np.empty((len(points), 2))
        pixels[:, 0] = self.width_px / 2 + focal_px * points[:, 0] / depth
        pixels[:, 1] = (
            _HORIZON_PX * self.height_px / _REFERENCE_HEIGHT_PX + focal_px * (CAMERA_HEIGHT_M - points[:, 1]) / depth
        )
        return pixels

    def clipped_box(self, pixels: Points) -> NDArray[np.float32]:
        """Return the bounding ``xyxy`` box of these pixels, clipped to the image (empty if it is outside)."""
        limits = np.array([self.width_px, self.height_px] * 2, np.float64)
        box: Any = np.concatenate([pixels.min(axis=0), pixels.max(axis=0)])
        return np.asarray(np.clip(box, 0, limits), np.float32)
