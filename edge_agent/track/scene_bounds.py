"""Where the picture ends, learned from the detections themselves, and who is on the way out of it."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, sqrt

from edge_agent.track.motion_model import SMALLEST_SIZE_PX
from edge_agent.types import ViewChange

_EDGE_RATIO = 0.02
_NEAR_EDGE_RATIO = 0.06
"""Detectors let boxes that the picture cuts end somewhat before its edge."""
_LEAVING_RATIO_PER_S = 0.1
_CUT_RATIO = 0.2
"""A box that is being cut shrinks by twice its centre's speed; a box that merely breathes by far less,
and the filter follows extents slowly."""


class View:
    """The smallest rectangle that holds every detection so far.

    An object that leaves the image extends the rectangle to the edge of the image. Until one has, the rectangle is
    too small, and an object that goes farther than any before is always at its side. So one thing more must be
    seen: the picture cuts who leaves it, the box shrinks while it moves on.
    """

    def __init__(self) -> None:
        self._low = [inf, inf]
        self._high = [-inf, -inf]
        self.frame_size: tuple[int, int] | None = None
        """Width and height of the picture, where they are known: nobody leaves it far from its edge."""

    def widen(self, hull: Sequence[float]) -> None:
        """Take in the smallest rectangle that holds all detections of an update."""
        left, top, right, bottom = hull
        self._low = [min(self._low[0], left), min(self._low[1], top)]
        self._high = [max(self._high[0], right), max(self._high[1], bottom)]

    def move_view(self, change: ViewChange) -> None:
        """Scale with a picture that has changed its size; the picture's sides stay where they are in a pan."""
        scale = (change.scale_x, change.scale_y)
        self._low = [low * one for low, one in zip(self._low, scale, strict=True)]
        self._high = [high * one for high, one in zip(self._high, scale, strict=True)]

    def left_by(self, seen: Sequence[float], position: Sequence[float], velocity: Sequence[float]) -> bool:
        """Return whether a track was last ``seen`` at a side of the view, and cut by it on its way out.

        ``position`` and ``velocity`` are of centre and extent; there must have been a detection before.
        """
        size_px = sqrt(max(position[2] * position[3], SMALLEST_SIZE_PX**2))
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
