"""Where the picture ends, learned from the detections themselves, and who is on the way out of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_agent.track.motion_model import CENTRE, VELOCITY, Floats, size_px

_EDGE_RATIO = 0.02
_OUTWARD_RATIO_PER_S = 0.1


class View:
    """The smallest rectangle that holds every detection so far.

    Whoever leaves the picture draws the rectangle's side to the picture's by that very act. Where nobody went yet the
    rectangle is too small, and the one who comes closest to a side while walking towards it is thought to be leaving.
    """

    def __init__(self) -> None:
        self._low = np.full((2, 1), 1e6)
        self._high = np.full((2, 1), -1e6)

    def widen(self, boxes: Floats) -> None:
        """Take in the corners ``(4, N)`` of detections, at least one."""
        np.minimum(self._low, boxes[:2].min(axis=1, keepdims=True), out=self._low)
        np.maximum(self._high, boxes[2:].max(axis=1, keepdims=True), out=self._high)

    def left_by(self, seen: Floats, states: Floats) -> NDArray[np.bool_]:
        """Return which tracks were last seen, ``(4, N)``, at a side of the view and heading out of it."""
        margin = (self._high - self._low) * _EDGE_RATIO
        speed = states[VELOCITY, CENTRE] / size_px(states)
        outward = (seen[:2] <= self._low + margin) & (speed < -_OUTWARD_RATIO_PER_S)
        outward |= (seen[2:] >= self._high - margin) & (speed > _OUTWARD_RATIO_PER_S)
        return outward[0] | outward[1]
