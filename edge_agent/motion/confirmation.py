"""Confirms that a changed body moves, rather than changing in place as a lamp or a display does."""

from __future__ import annotations

import numpy as np

from edge_agent.motion.displays import Displays
from edge_agent.motion.foreground import LARGE_BODY_RATIO, Changes
from edge_agent.motion.image_ops import FloatPlane, Plane, above, both, count, distance
from edge_agent.types import Boxes

_REACH_PX = 3
"""Maximum distance between a body and the motion of the previous frame that it continues."""
_MIN_CHANGING_PX, _MIN_CHANGING_SHARE = 3, 0.01
_CHANGING_WITHIN_S = 0.7
"""A small body must change twice within this time. The seconds of a clock change once."""


class MotionConfirmation:
    """Decides for each changed body whether it moves. Holds the state of one camera at one working size."""

    def __init__(self, shape: tuple[int, ...], *, min_area_px: float, time_s: float) -> None:
        self._min_area_px = min_area_px
        self._displays = Displays(shape, time_s=time_s)
        self._changing: Plane = np.zeros(shape, np.uint8)
        self._changed_at_s: FloatPlane = np.full(shape, -np.inf, np.float32)
        self._bodies_before: Plane | None = None

    def forget_bodies(self) -> None:
        """Forget the bodies of the previous frame."""
        self._bodies_before = None

    def observe(
        self, frame: Plane, before: Plane, changes: Changes, limit: Plane, *, time_s: float, step_s: float
    ) -> None:
        """Compare a frame with the one before it. ``limit`` is the minimum change of each pixel, in levels."""
        self._changing = above(distance(frame, before), limit)
        self._displays.learn(frame, before, changes.bodies, time_s=time_s, step_s=step_s)

    def confirm(self, changes: Changes, *, time_s: float) -> tuple[Boxes, Plane]:
        """Return the boxes ``(M, 4)`` of the bodies that move, and the mask of those bodies."""
        kept = [
            row
            for row, box in enumerate(changes.boxes.astype(int).tolist())
            if self._moves(changes.bodies, *box, time_s=time_s)
        ]
        bodies = changes.bodies
        if len(kept) < len(changes.boxes):
            bodies = bodies.copy()
            for left, top, right, bottom in np.delete(changes.boxes, kept, axis=0).astype(int).tolist():
                bodies[top:bottom, left:right] = 0
        self._bodies_before = bodies
        self._changed_at_s[both(self._changing, changes.bodies) > 0] = time_s
        return changes.boxes[kept], bodies

    def _moves(self, bodies: Plane, left: int, top: int, right: int, bottom: int, *, time_s: float) -> bool:
        """Return whether a body is large, continues a motion, or has changed twice within ``_CHANGING_WITHIN_S``.

        An object that changes once and then stands still (a lamp, a digit) does not move; neither does a display.
        """
        window = slice(top, bottom), slice(left, right)
        around = slice(max(0, top - _REACH_PX), bottom + _REACH_PX), slice(max(0, left - _REACH_PX), right + _REACH_PX)
        body = bodies[window]
        if self._displays.covers(body, window):
            return False
        if count(body) >= LARGE_BODY_RATIO * self._min_area_px and not self._displays.aligned_with(body, window):
            return True
        if self._bodies_before is not None and count(self._bodies_before[around]) > 0:
            return True
        min_px = max(_MIN_CHANGING_PX, _MIN_CHANGING_SHARE * count(body))
        if count(both(self._changing[window], body)) < min_px:
            return False
        changed_recently = self._changed_at_s[around] >= time_s - _CHANGING_WITHIN_S
        return bool(np.count_nonzero(changed_recently) >= min_px)
