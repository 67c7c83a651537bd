"""Finds displays in the image: clocks, counters and signs that change in place between a few brightness levels.

A pixel of a text overlay, or of a lit sign in the scene, jumps repeatedly between a few levels. A pixel that moving
objects pass takes many different levels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_agent.motion.image_ops import (
    FloatPlane,
    Plane,
    above,
    both,
    closed,
    count,
    dilated,
    distance,
    either,
    mask_where,
)

_JUMP_LEVELS = 40
_MIN_JUMPS = 14.0
_DECAY_S = 10.0
"""Time constant. A display's pixel jumps more than once a second; passing vehicles cause fewer jumps."""
_MAX_LEVELS = 5
"""Maximum number of distinct levels, of 16, that a display's pixel takes."""
_GENERATION_S = 30.0
_INSIDE_SHARE = 0.75
_FIND_INTERVAL_S = 0.5
_MIN_LINE_PX = 12
_SETTLING_S, _FIRST_S, _FIRST_FRAMES, _FIRST_SHARE = 6.0, 0.3, 3.5, 0.9
_POPULATION = np.array([value.bit_count() for value in range(1 << 8)], np.uint8)

Levels = NDArray[np.uint16]


class Displays:
    """Learns where displays are from repeated jumps of brightness between consecutive frames."""

    def __init__(self, shape: tuple[int, ...], *, time_s: float) -> None:
        self._jumps: FloatPlane = np.zeros(shape, np.float32)
        self._levels: Levels = np.zeros(shape, np.uint16)
        self._levels_before: Levels = np.zeros(shape, np.uint16)
        self._generation_s = self._started_s = self._time_s = time_s
        self._changed_at_start: Plane = np.zeros(shape, np.uint8)
        self._where: Plane = np.zeros(shape, np.uint8)
        self._lines: Plane = np.zeros(shape, np.uint8)
        self._min_jump: Plane = np.full(shape, _JUMP_LEVELS, np.uint8)
        self._searched_s = time_s

    def learn(self, frame: Plane, before: Plane, bodies: Plane, *, time_s: float, step_s: float) -> None:
        """Learn from one frame and the one before it. ``bodies`` is 255 where the frame differs from the background."""
        decay = np.exp(-max(0.0, min(time_s - self._time_s, 1e6)) / _DECAY_S)
        self._time_s = time_s
        if time_s - self._generation_s > _GENERATION_S:
            self._levels_before, self._levels = self._levels, np.zeros_like(self._levels)
            self._generation_s = time_s
        if time_s - self._started_s <= max(_FIRST_S, _FIRST_FRAMES * step_s):
            self._changed_at_start |= dilated(bodies, 7)
            self._lines = _lines_of(self._changed_at_start)
        self._jumps *= np.float32(decay)
        jumped = above(distance(frame, before), self._min_jump)
        if count(jumped) > 0:
            where = jumped > 0
            self._jumps[where] += 1.0
            levels = np.left_shift(np.uint16(1), frame[where] >> 4, dtype=np.uint16)
            levels |= np.left_shift(np.uint16(1), before[where] >> 4, dtype=np.uint16)
            self._levels[where] |= levels
        if time_s - self._searched_s >= _FIND_INTERVAL_S:
            self._searched_s = time_s
            self._find()

    def _find(self) -> None:
        """Update the mask of displays: pixels that have jumped often between few levels, and the gaps between them."""
        if self._jumps.max() < _MIN_JUMPS:
            if self._time_s - self._started_s > _SETTLING_S:
                self._where, self._lines = np.zeros_like(self._where), np.zeros_like(self._lines)
            return
        known = self._levels | self._levels_before
        few = _POPULATION[known & 0xFF] + _POPULATION[known >> 8] <= _MAX_LEVELS
        self._where = dilated(closed(mask_where((self._jumps >= _MIN_JUMPS) & few), 7), 5)
        settling = self._time_s - self._started_s <= _SETTLING_S
        self._lines = _lines_of(either(self._where, self._changed_at_start) if settling else self._where)

    def aligned_with(self, body: Plane, window: tuple[slice, slice]) -> bool:
        """Return whether a body is in line with a display, or a likely one, and may be a digit that seldom changes."""
        return count(both(body, self._lines[window])) >= _INSIDE_SHARE * count(body)

    def covers(self, body: Plane, window: tuple[slice, slice]) -> bool:
        """Return whether a body, given as the mask of a window, is on a display.

        In the first seconds, an area that has changed since the start also counts as a display.
        """
        body_px = count(body)
        if count(both(body, self._where[window])) >= _INSIDE_SHARE * body_px:
            return True
        settling = self._time_s - self._started_s <= _SETTLING_S
        return settling and count(both(body, self._changed_at_start[window])) >= _FIRST_SHARE * body_px


def _lines_of(displays: Plane) -> Plane:
    """Return a mask that is 255 in every row that contains a part of a display."""
    lines = np.zeros_like(displays)
    lines[np.count_nonzero(displays, axis=1) >= _MIN_LINE_PX] = 255
    return lines
