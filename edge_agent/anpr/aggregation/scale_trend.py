"""Whether something comes nearer or goes away, by the size of its boxes: said only where noise cannot explain it.

What comes nearer grows in width and in height alike. A vehicle that enters the picture from the side grows in width
alone, a plate that is seen from a changing angle likewise, and a detector's boxes tremble: none of that is a trend.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from edge_agent.events.occurrences import Box

MOST_BOXES = 60
"""Kept per trend; of more, every other one is let go, evenly over time."""
ENOUGH_TO_SEE_NOISE = 5
"""With fewer boxes their scatter says little: sizes must differ by ``FEW_BOXES_GROWTH`` and never turn back."""
FEW_BOXES_GROWTH = 1.3
LEAST_SIGMAS = 3.0
"""By so many standard deviations of the boxes' scatter must the sizes at the end differ from those at the beginning."""
SURE_GROWTH = 1.5
"""What grows by so much need not move as well: it comes straight at the camera."""
_MAD_TO_SIGMA = 1.4826


class ScaleTrend:
    """The boxes of one thing in the order of time.

    ``least_growth``: the least change of size, in width and in height, that counts; raising it reports fewer and surer
    trends. ``least_step``: how far, in widths, the thing must move meanwhile; what stands has no direction.
    """

    def __init__(self, *, least_growth: float, least_step: float) -> None:
        self._least_growth = math.log(least_growth)
        self._least_step = least_step
        self._boxes: list[Box] = []
        self._seen = 0
        self._every = 1

    def add(self, box: Box) -> None:
        """Take the next box, xyxy in pixels."""
        if self._seen % self._every == 0:
            self._boxes.append(box)
        self._seen += 1
        if len(self._boxes) > MOST_BOXES:
            self._boxes = self._boxes[::2]
            self._every *= 2

    def prepend(self, other: ScaleTrend) -> None:
        """Put another's boxes before these."""
        self._boxes = [*other._boxes, *self._boxes]
        while len(self._boxes) > MOST_BOXES:
            self._boxes = self._boxes[::2]
            self._every *= 2

    def change(self) -> float:
        """Return the logarithm of how much larger it became; 0 where that is not certain."""
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
        """Return by how much the last third of the sizes (logarithms) exceeds the first; 0 if that may be noise."""
        number = max(1, len(sizes) // 3)
        first, last = median(sizes[:number]), median(sizes[-number:])
        change = last - first
        if len(sizes) >= ENOUGH_TO_SEE_NOISE:
            needed = max(self._least_growth, LEAST_SIGMAS * _scatter(sizes, change / (len(sizes) - number)))
        else:
            turns = any((other - one) * change < 0 for one, other in pairwise(sizes))
            needed = math.inf if turns else math.log(FEW_BOXES_GROWTH)
        return change if abs(change) >= needed else 0.0

    def _has_moved(self) -> bool:
        number = max(1, len(self._boxes) // 3)
        first, last = _middle(self._boxes[:number]), _middle(self._boxes[-number:])
        width = median(box[2] - box[0] for box in self._boxes)
        return math.dist(first, last) >= self._least_step * max(width, 1.0)


def _scatter(sizes: Sequence[float], slope: float) -> float:
    """Return the standard deviation, by the median, of what a steady change leaves unexplained."""
    left = [size - slope * number for number, size in enumerate(sizes)]
    middle = median(left)
    return _MAD_TO_SIGMA * median(abs(one - middle) for one in left)


def _middle(boxes: Sequence[Box]) -> tuple[float, float]:
    return median((box[0] + box[2]) / 2 for box in boxes), median((box[1] + box[3]) / 2 for box in boxes)
