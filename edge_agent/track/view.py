"""Where the picture ends, learned from the detections themselves, and who is on the way out of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_agent.track.motion_model import CENTRE, EXTENT, VELOCITY, Floats, size_px

_EDGE_RATIO = 0.02
_LEAVING_RATIO_PER_S = 0.1
_CUT_RATIO = 0.2
"""A box that is being cut shrinks by twice its centre's speed; a box that merely breathes by far less,
and the filter follows extents slowly."""
_OUTWARD = np.array([[[-1.0]], [[1.0]]])
"""Sides come in two pairs: left and top, right and bottom."""


class View:
    """The smallest rectangle that holds every detection so far.

    Whoever leaves the picture draws the rectangle's side to the picture's by that very act. Until somebody has, it is
    too small, and whoever goes farther than anybody before is at its side all the time. So one thing more must be
    seen: the picture cuts who leaves it, the box shrinks while it moves on.
    """

    def __init__(self) -> None:
        self._reach = np.full((2, 2), -np.inf)
        """How far the view reaches left and up, right and down of the origin."""

    def widen(self, boxes: Floats) -> None:
        """Take in the corners ``(4, N)`` of detections, at least one."""
        np.maximum(self._reach, (boxes.reshape(2, 2, -1) * _OUTWARD).max(axis=2), out=self._reach)

    def left_by(self, seen: Floats, states: Floats) -> NDArray[np.bool_]:
        """Return which tracks were last seen, ``(4, N)``, at a side of the view and cut by it on their way out.

        There must have been a detection before.
        """
        span = self._reach[0] + self._reach[1]
        edge = self._reach - _EDGE_RATIO * span
        at_side = seen.reshape(2, 2, -1) * _OUTWARD >= edge[:, :, None]
        if not at_side.any():
            return np.zeros(seen.shape[1], np.bool_)
        speed = states[VELOCITY, CENTRE] * _OUTWARD
        leaving = (speed > _LEAVING_RATIO_PER_S * size_px(states)) & (states[VELOCITY, EXTENT] < -_CUT_RATIO * speed)
        return (at_side & leaving).max(axis=(0, 1))
