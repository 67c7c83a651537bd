"""Recently emitted plates, so that a vehicle whose track was interrupted, or that stays parked, is emitted once."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from edge_agent.anpr.recognition.alignment import distance
from edge_agent.boxes import Box, box_centre, box_iou

MAX_PLATES = 200
PARKED_S = 12 * 3600.0
MAX_TEXT_DISTANCE = 1.0
"""Two texts within this distance, that is, with one different character, may be the same plate."""
_SAME_PLACE_IOU = 0.3
_CONTINUES_WITHIN_S, _CONTINUES_WITHIN_WIDTHS = 2.0, 4.0


@dataclass(slots=True)
class RecentPlate:
    """An emitted plate and where it was detected last."""

    text: str
    plate: Box
    seen_s: float


class RecentPlates:
    """Remembers the latest ``MAX_PLATES`` emitted plates."""

    def __init__(self, *, repeat_s: float) -> None:
        """``repeat_s``: time after the last detection in which the same text is a repetition, in seconds."""
        self._repeat_s = repeat_s
        self._plates: deque[RecentPlate] = deque(maxlen=MAX_PLATES)

    def add(self, text: str, plate: Box, seen_s: float) -> RecentPlate:
        """Remember a plate. The caller updates ``plate`` and ``seen_s`` of the result while it detects the plate."""
        recent = RecentPlate(text, plate, seen_s)
        self._plates.append(recent)
        return recent

    def find(self, text: str, *, first: Box, first_seen_s: float, moved: bool) -> RecentPlate | None:
        """Return the plate that a track repeats, None if it is a new one.

        ``first``: the track's first plate box. ``moved``: whether the plate moved since. The same text is a repetition
        within ``repeat_s``. A text with one different character is a repetition where the earlier track ended as this
        one began, or where a stationary plate is detected at the same place.
        """
        for recent in reversed(self._plates):
            since_s = first_seen_s - recent.seen_s
            if text == recent.text and since_s < self._repeat_s:
                return recent
            if distance(text, recent.text) > MAX_TEXT_DISTANCE:
                continue
            continues = abs(since_s) < _CONTINUES_WITHIN_S and _are_near(recent.plate, first)
            parked = not moved and since_s < PARKED_S and box_iou(recent.plate, first) >= _SAME_PLACE_IOU
            if continues or parked:
                return recent
        return None


def _are_near(one: Box, other: Box) -> bool:
    centre_distance = math.dist(box_centre(one), box_centre(other))
    return centre_distance < _CONTINUES_WITHIN_WIDTHS * max(one[2] - one[0], other[2] - other[0], 1.0)
