"""Where the picture ends, learned from the detections themselves, and who is on the way out of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_agent.track.motion_model import CENTRE, VELOCITY, Floats, size_px

_EDGE_RATIO = 0.02
_LEAVING_RATIO_PER_S = 0.1
_OUTWARD = np.array([[-1.0], [-1.0], [1.0], [1.0]])


class View:
    """The smallest rectangle that holds every detection so far.

    Whoever leaves the picture draws the rectangle's side to the picture's by that very act. Where nobody went yet the
    rectangle is too small, and the one who comes closest to a side while walking towards it is thought to be leaving.
    """

    def __init__(self) -> None:
        self._reach = np.full(4, -np.inf)
        """How far left, up, right and down of the origin the view reaches."""

    def widen(self, boxes: Floats) -> None:
        """Take in the corners ``(4, N)`` of detections, at least one."""
        np.maximum(self._reach, (boxes * _OUTWARD).max(axis=1), out=self._reach)

    def left_by(self, seen: Floats, states: Floats) -> NDArray[np.bool_]:
        """Return which tracks were last seen, ``(4, N)``, at a side of the view and heading out of it."""
        if not np.isfinite(self._reach).all():
            return np.zeros(seen.shape[1], np.bool_)
        span = np.tile(self._reach[:2] + self._reach[2:], 2)
        at_side = seen * _OUTWARD >= (self._reach - _EDGE_RATIO * span)[:, None]
        speed = np.tile(states[VELOCITY, CENTRE] / size_px(states), (2, 1)) * _OUTWARD
        return (at_side & (speed > _LEAVING_RATIO_PER_S)).max(axis=0)
