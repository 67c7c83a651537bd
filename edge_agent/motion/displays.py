"""Displays within the picture: clocks, counters and signs that change in place between a few levels of brightness.

Every pixel of lettering that is drawn into the picture, or of a lit sign in the scene, takes one of a few levels, jumps
between them, and does so again and again. What moves through the scene shows a pixel ever new levels.
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
    distance,
    either,
    grown,
    mask_where,
)

_JUMP_LEVELS = 40
_JUMPS = 14.0
_FORGOTTEN_IN_S = 10.0
"""A display's pixel jumps more than once a second: one vehicle after the other, all alike, makes it jump less often."""
_MOST_LEVELS = 5
"""Of 16 levels of brightness: a pixel that has taken more of them is no display's."""
_GENERATION_S = 30.0
_INSIDE_SHARE = 0.75
_FIND_EVERY_S = 0.5
_LEAST_LINE_PX = 12
_SETTLING_S, _FIRST_S, _FIRST_FRAMES, _FIRST_SHARE = 6.0, 0.3, 3.5, 0.9
_POPULATION = np.array([value.bit_count() for value in range(1 << 8)], np.uint8)

Levels = NDArray[np.uint16]


class Displays:
    """Learns where the displays are, from what differs from the background and from the frame before."""

    def __init__(self, shape: tuple[int, ...], *, time_s: float) -> None:
        self._jumps: FloatPlane = np.zeros(shape, np.float32)
        self._levels: Levels = np.zeros(shape, np.uint16)
        self._levels_before: Levels = np.zeros(shape, np.uint16)
        self._generation_s = self._started_s = self._time_s = time_s
        self._from_the_start: Plane = np.zeros(shape, np.uint8)
        self._where: Plane = np.zeros(shape, np.uint8)
        self._lines: Plane = np.zeros(shape, np.uint8)
        self._least_jump: Plane = np.full(shape, _JUMP_LEVELS, np.uint8)
        self._found_s = time_s

    def learn(self, frame: Plane, before: Plane, bodies: Plane, *, time_s: float, step_s: float) -> None:
        """Take in one frame in which there are ``bodies`` (255 where something differs from the background)."""
        faded = np.exp(-max(0.0, min(time_s - self._time_s, 1e6)) / _FORGOTTEN_IN_S)
        self._time_s = time_s
        if time_s - self._generation_s > _GENERATION_S:
            self._levels_before, self._levels = self._levels, np.zeros_like(self._levels)
            self._generation_s = time_s
        if time_s - self._started_s <= max(_FIRST_S, _FIRST_FRAMES * step_s):
            self._from_the_start |= grown(bodies, 7)
            self._lines = _lines_of(self._from_the_start)
        self._jumps *= np.float32(faded)
        jumped = above(distance(frame, before), self._least_jump)
        if count(jumped) > 0:
            where = jumped > 0
            self._jumps[where] += 1.0
            levels = np.left_shift(np.uint16(1), frame[where] >> 4, dtype=np.uint16)
            levels |= np.left_shift(np.uint16(1), before[where] >> 4, dtype=np.uint16)
            self._levels[where] |= levels
        if time_s - self._found_s >= _FIND_EVERY_S:
            self._found_s = time_s
            self._find()

    def _find(self) -> None:
        """Say where the displays are: pixels that have jumped often between few levels, and the gaps between them."""
        if self._jumps.max() < _JUMPS:
            if self._time_s - self._started_s > _SETTLING_S:
                self._where, self._lines = np.zeros_like(self._where), np.zeros_like(self._lines)
            return
        known = self._levels | self._levels_before
        few = _POPULATION[known & 0xFF] + _POPULATION[known >> 8] <= _MOST_LEVELS
        self._where = grown(closed(mask_where((self._jumps >= _JUMPS) & few), 7), 5)
        settling = self._time_s - self._started_s <= _SETTLING_S
        self._lines = _lines_of(either(self._where, self._from_the_start) if settling else self._where)

    def beside(self, body: Plane, window: tuple[slice, slice]) -> bool:
        """Return whether a body is in line with a display, or a likely one: it may be a digit that seldom changes."""
        return count(both(body, self._lines[window])) >= _INSIDE_SHARE * count(body)

    def hold(self, body: Plane, window: tuple[slice, slice]) -> bool:
        """Return whether a body, the mask of a window, lies on a display, or where one may yet turn out to be.

        The second is for the first seconds only, and where things have been changing from the very start.
        """
        body_px = count(body)
        if count(both(body, self._where[window])) >= _INSIDE_SHARE * body_px:
            return True
        settling = self._time_s - self._started_s <= _SETTLING_S
        return settling and count(both(body, self._from_the_start[window])) >= _FIRST_SHARE * body_px


def _lines_of(displays: Plane) -> Plane:
    """Return 255 in all rows that a display covers a part of."""
    lines = np.zeros_like(displays)
    lines[np.count_nonzero(displays, axis=1) >= _LEAST_LINE_PX] = 255
    return lines
