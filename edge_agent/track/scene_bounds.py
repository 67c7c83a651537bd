"""Learns the bounds of the view from the detections, and recognises objects that leave it."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, sqrt

from edge_agent.track.motion_model import MIN_SIZE_PX
from edge_agent.types import ViewChange

_EDGE_RATIO = 0.02
_NEAR_EDGE_RATIO = 0.06
"""Detectors place the side of a truncated box slightly inside the edge of the image."""
_LEAVING_RATIO_PER_S = 0.1
_CUT_RATIO = 0.2
"""A box that the edge truncates shrinks at twice the speed of its centre. Jitter of the box is far smaller, and the
filter follows extents slowly."""


class SceneBounds:
    """The bounding rectangle of all detections so far.

    An object that leaves the image extends the rectangle to the edge of the image. Until one has, the rectangle is too
    small, and an object that moves farther than any before is always at its side. The second condition is therefore
    that the box shrinks while it moves, because the edge of the image truncates it.
    """

    def __init__(self) -> None:
        self._low = [inf, inf]
        self._high = [-inf, -inf]
        self.frame_size: tuple[int, int] | None = None
        """Width and height of the image if known; objects only leave it close to its edge."""

    def widen(self, hull: Sequence[float]) -> None:
        """Extend the rectangle by the bounding box of the detections of one update."""
        left, top, right, bottom = hull
        self._low = [min(self._low[0], left), min(self._low[1], top)]
        self._high = [max(self._high[0], right), max(self._high[1], bottom)]

    def move_view(self, change: ViewChange) -> None:
        """Scale the rectangle when the size of the image changes. A pan does not move the edges of the image."""
        scales = (change.scale_x, change.scale_y)
        self._low = [low * scale for low, scale in zip(self._low, scales, strict=True)]
        self._high = [high * scale for high, scale in zip(self._high, scales, strict=True)]

    def left_by(self, seen: Sequence[float], position: Sequence[float], velocity: Sequence[float]) -> bool:
        """Return whether a track was last detected at a side of the view and truncated by it while moving outwards.

        ``seen`` is its last box; ``position`` and ``velocity`` are those of centre and extent. Needs an earlier
        ``widen``.
        """
        size_px = sqrt(max(position[2] * position[3], MIN_SIZE_PX**2))
        for axis in (0, 1):
            speed = velocity[axis]
            if abs(speed) <= _LEAVING_RATIO_PER_S * size_px or velocity[axis + 2] >= -_CUT_RATIO * abs(speed):
                continue
            if self._far_from_edge(axis, seen, forward=speed > 0):
                continue
            low, high = self._low[axis], self._high[axis]
            margin = _EDGE_RATIO * (high - low)
            if seen[axis] <= low + margin if speed < 0 else seen[axis + 2] >= high - margin:
                return True
        return False

    def _far_from_edge(self, axis: int, seen: Sequence[float], *, forward: bool) -> bool:
        if self.frame_size is None:
            return False
        size = self.frame_size[axis]
        return (size - seen[axis + 2] if forward else seen[axis]) > _NEAR_EDGE_RATIO * size
