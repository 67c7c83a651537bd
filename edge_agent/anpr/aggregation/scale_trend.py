"""Detects a significant change in the size of an object's boxes, which means that it approaches or recedes.

An approaching object grows in width and height. A vehicle that enters the frame from the side, or a plate seen from a
changing angle, grows in width alone, and detector boxes are noisy: these cases are not reported as trends.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from edge_agent.boxes import Box

MAX_BOXES = 60
"""Maximum boxes stored. Above it, every other box is dropped, so that they remain evenly spaced in time."""
ENOUGH_TO_SEE_NOISE = 5
"""Minimum boxes for estimating noise. With fewer, sizes must change monotonically by ``FEW_BOXES_GROWTH``."""
FEW_BOXES_GROWTH = 1.3
MIN_SIGMAS = 3.0
"""Minimum change in units of the standard deviation of the sizes."""
SURE_GROWTH = 1.5
"""A change by at least this factor counts without movement: the object heads straight for the camera."""
_MAD_TO_SIGMA = 1.4826


class ScaleTrend:
    """The boxes of one object in the order of time.

    ``min_growth``: minimum change factor of width and height; raising it reports fewer and more certain trends.
    ``min_step``: minimum movement in box widths; a stationary object has no direction.
    """

    def __init__(self, *, min_growth: float, min_step: float) -> None:
        self._min_growth = math.log(min_growth)
        self._min_step = min_step
        self._boxes: list[Box] = []
        self._seen = 0
        self._every = 1

    def add(self, box: Box) -> None:
        """Add the next box, xyxy in pixels."""
        if self._seen % self._every == 0:
            self._boxes.append(box)
        self._seen += 1
        if len(self._boxes) > MAX_BOXES:
            self._boxes = self._boxes[::2]
            self._every *= 2

    def prepend(self, other: ScaleTrend) -> None:
        """Insert the boxes of an earlier track before these."""
        self._boxes = [*other._boxes, *self._boxes]
        while len(self._boxes) > MAX_BOXES:
            self._boxes = self._boxes[::2]
            self._every *= 2

    def change(self) -> float:
        """Return the natural logarithm of the change factor; 0 if it is not significant."""
        boxes = self._boxes
        if len(boxes) < 2:
            return 0.0
        wider = self._certain([math.log(max(box[2] - box[0], 1.0)) for box in boxes])
        taller = self._certain([math.log(max(box[3] - box[1], 1.0)) for box in boxes])
        if wider * taller <= 0:
            return 0.0
        change = min(wider, taller, key=abs)
        return change if abs(change) >= math.log(SURE_GROWTH) or self._has_moved() else 0.0

    def _certain(self, sizes: Sequence[float]) -> float:
        """Return the difference of the medians of the last and first thirds of log sizes; 0 if not significant."""
        number = max(1, len(sizes) // 3)
        first, last = median(sizes[:number]), median(sizes[-number:])
        change = last - first
        if len(sizes) >= ENOUGH_TO_SEE_NOISE:
            needed = max(self._min_growth, MIN_SIGMAS * _scatter(sizes, change / (len(sizes) - number)))
        else:
            turns = any((other - one) * change < 0 for one, other in pairwise(sizes))
            needed = math.inf if turns else math.log(FEW_BOXES_GROWTH)
        return change if abs(change) >= needed else 0.0

    def _has_moved(self) -> bool:
        number = max(1, len(self._boxes) // 3)
        first, last = _median_centre(self._boxes[:number]), _median_centre(self._boxes[-number:])
        width = median(box[2] - box[0] for box in self._boxes)
        return math.dist(first, last) >= self._min_step * max(width, 1.0)


def _scatter(sizes: Sequence[float], slope: float) -> float:
    """Return a robust standard deviation (from the median) of the residuals of a linear trend."""
    left = [size - slope * number for number, size in enumerate(sizes)]
    middle = median(left)
    return _MAD_TO_SIGMA * median(abs(one - middle) for one in left)


def _median_centre(boxes: Sequence[Box]) -> tuple[float, float]:
    return median((box[0] + box[2]) / 2 for box in boxes), median((box[1] + box[3]) / 2 for box in boxes)
