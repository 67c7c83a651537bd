"""Short-term memory of moving blobs: joins fragments of one blob and identifies blobs that only change in place."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_agent.boxes import box_area, box_intersection, box_iou
from edge_agent.types import Boxes, ViewChange

_SAME_OVERLAP = 0.3
"""Minimum intersection over the smaller area (IoS) of two boxes of the same blob."""
_SIZE_CHANGE = 3.0
"""Maximum factor by which the area of a blob may change between two updates."""

_YOUNG_HITS, _LASTING_HITS = 8, 16
_CLUTTERED_FROM, _CLUTTERED_UNTIL = 5.0, 0.7
"""Mean number of young blobs per update at which they start, and stop, counting as clutter (snow, rain)."""
_CLUTTER_WEIGHT, _CLUTTER_FADING = 0.5, 0.05
"""Smoothing weights of that mean when it rises and when it falls."""
_CLUTTER_SAMPLES = 200
_CLUTTER_AREA_FACTOR = 4.0
"""A blob larger than this multiple of the 80th percentile of the clutter's area is not clutter."""

_WHOLE_HITS = 3
"""Minimum updates in one piece before a blob's fragments are joined."""
_PIECE_INSIDE, _SAME_OUTLINE = 0.8, 0.7
"""Minimum fraction of a fragment inside the blob's last box; minimum IoU of the fragments' outline with that box."""


@dataclass(slots=True)
class _Remembered:
    box: NDArray[np.float32]
    first: NDArray[np.float32]
    """Box at the first update."""
    travelled: bool = False
    missed: int = 0
    hits: int = 1
    in_pieces: int = 0
    """Consecutive updates in which it was joined from fragments."""


class BlobMemory:
    """Matches blobs between updates, to distinguish fragmented blobs from separating ones, and moving blobs from
    flicker.
    """

    def __init__(self, *, travel_ratio: float = 0.25, max_missed: int = 5, max_merged: int = 10) -> None:
        """``travel_ratio``: minimum distance of a blob's centre from its first position, as a fraction of its longer
        side; raising it detects distant and slow objects later. ``max_missed``: updates that a blob may be missing
        from. ``max_merged``: consecutive updates in which fragments are joined; raising it keeps separating objects
        together for longer.
        """
        self._travel_ratio = travel_ratio
        self._max_missed = max_missed
        self._max_merged = max_merged
        self._remembered: list[_Remembered] = []
        self._young = 0.0
        """Smoothed number of young blobs per update."""
        self._cluttered = False
        self._lasting: NDArray[np.bool_] = np.zeros(0, bool)
        self._young_ratios: deque[float] = deque(maxlen=_CLUTTER_SAMPLES)

    def clutter_ratio(self) -> float:
        """Return the fraction of the frame up to which a blob may be clutter such as snow or rain; 0 without clutter.

        Many simultaneous, short-lived blobs are weather. Tracks in clutter need more evidence
        (Reid, "An algorithm for tracking multiple targets", 1979); here that is a size well above the clutter's.
        """
        if not self._cluttered:
            return 0.0
        return _CLUTTER_AREA_FACTOR * float(np.quantile(self._young_ratios, 0.8))

    def move_view(self, change: ViewChange) -> None:
        """Apply a view change to all blobs."""
        for known in self._remembered:
            known.box = np.array(change.box(known.box.tolist()), np.float32)
            known.first = np.array(change.box(known.first.tolist()), np.float32)

    def joined(self, boxes: Boxes) -> Boxes:
        """Join those of the boxes ``(N, 4)`` of one update that were one blob in earlier updates."""
        free = list(boxes)
        whole: list[NDArray[np.float32]] = []
        for known in sorted(self._remembered, key=lambda each: -box_area(each.box)):
            if known.hits < _WHOLE_HITS:
                continue
            pieces = [box for box in free if box_intersection(box, known.box) >= _PIECE_INSIDE * box_area(box)]
            if len(pieces) < 2:
                known.in_pieces = 0
                continue
            outline = _outline(pieces)
            known.in_pieces += 1
            if known.in_pieces <= self._max_merged and box_iou(outline, known.box) >= _SAME_OUTLINE:
                whole.append(outline)
                free = [box for box in free if not any(box is piece for piece in pieces)]
        return np.array([*whole, *free], np.float32).reshape(-1, 4)

    def travelled(self, boxes: Boxes, *, frame_area_px: float) -> NDArray[np.bool_]:
        """Update with boxes ``(N, 4)``; return a mask of the blobs that have moved from their first position."""
        left = list(self._remembered)
        now: list[_Remembered] = []
        for box in boxes:
            known = _best_match(box, left)
            if known is None:
                now.append(_Remembered(box=box, first=box))
                continue
            left = [each for each in left if each is not known]
            known.travelled = known.travelled or self._has_moved(known, box)
            known.box, known.missed, known.hits = box, 0, known.hits + 1
            now.append(known)
        for each in left:
            each.missed += 1
        self._remembered = now + [each for each in left if each.missed <= self._max_missed]
        young = [box_area(each.box) / frame_area_px for each in now if each.hits < _YOUNG_HITS]
        more = len(young) - self._young
        self._young += (_CLUTTER_WEIGHT if more > 0 else _CLUTTER_FADING) * more
        self._young_ratios.extend(young)
        self._cluttered = self._young >= (_CLUTTERED_UNTIL if self._cluttered else _CLUTTERED_FROM)
        self._lasting = np.array([each.travelled and each.hits >= _LASTING_HITS for each in now], bool)
        return np.array([each.travelled for each in now], bool)

    def in_clutter(self, area_ratios: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Return which blobs of the last update, given as fractions of the frame, may be clutter.

        Small blobs that have moved for a long time are not clutter.
        """
        return (area_ratios < self.clutter_ratio()) & ~self._lasting

    def _has_moved(self, known: _Remembered, box: NDArray[np.float32]) -> bool:
        away = np.abs((known.first[:2] + known.first[2:]) - (box[:2] + box[2:])) / 2.0
        return bool(np.hypot(*away) >= self._travel_ratio * max(box[2] - box[0], box[3] - box[1]))


def _best_match(box: NDArray[np.float32], remembered: list[_Remembered]) -> _Remembered | None:
    """Return the remembered blob that the box most likely belongs to; None if there is none."""
    best, most = None, _SAME_OVERLAP
    for known in remembered:
        areas = box_area(known.box), box_area(box)
        share = box_intersection(known.box, box) / min(areas)
        if share >= most and max(areas) <= _SIZE_CHANGE * min(areas):
            best, most = known, share
    return best


def _outline(boxes: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    stacked = np.array(boxes)
    return np.concatenate([stacked[:, :2].min(axis=0), stacked[:, 2:].max(axis=0)])
