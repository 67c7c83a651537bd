"""What has been told lately, so that one passage in two pieces, or a parked car found anew, is not told twice."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from edge_agent.anpr.recognition.alignment import distance
from edge_agent.events.occurrences import Box, iou

REMEMBERED = 200
PARKED_S = 12 * 3600.0
NEAR_TEXT = 1.0
"""Two texts that differ by one character may be one plate."""
_SAME_PLACE_IOU = 0.3
_FOLLOWS_WITHIN_S, _FOLLOWS_WITHIN_WIDTHS = 2.0, 4.0


@dataclass(slots=True)
class RecentPlate:
    """One that was told, and where it was seen last."""

    text: str
    plate: Box
    seen_s: float


class RecentPlates:
    """Remembers the latest that were told."""

    def __init__(self, *, repeat_s: float) -> None:
        self._repeat_s = repeat_s
        self._told: deque[RecentPlate] = deque(maxlen=REMEMBERED)

    def add(self, text: str, plate: Box, seen_s: float) -> RecentPlate:
        """Remember one; whoever goes on seeing it keeps ``plate`` and ``seen_s`` fresh."""
        told = RecentPlate(text, plate, seen_s)
        self._told.append(told)
        return told

    def find(self, text: str, *, first: Box, first_seen_s: float, moved: bool) -> RecentPlate | None:
        """Return the one that a passage is a repetition of.

        The same text is, soon after. A text that differs by one character is where the one track ended and the other
        began, and where a plate that has not moved is found in the same place.
        """
        for told in reversed(self._told):
            since_s = first_seen_s - told.seen_s
            if text == told.text and since_s < self._repeat_s:
                return told
            if distance(text, told.text) > NEAR_TEXT:
                continue
            follows = abs(since_s) < _FOLLOWS_WITHIN_S and _near(told.plate, first)
            parked = not moved and since_s < PARKED_S and iou(told.plate, first) >= _SAME_PLACE_IOU
            if follows or parked:
                return told
        return None


def _near(one: Box, other: Box) -> bool:
    far = math.dist(
        ((one[0] + one[2]) / 2, (one[1] + one[3]) / 2), ((other[0] + other[2]) / 2, (other[1] + other[3]) / 2)
    )
    return far < _FOLLOWS_WITHIN_WIDTHS * max(one[2] - one[0], other[2] - other[0], 1.0)
