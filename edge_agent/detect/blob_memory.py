"""What moving blobs have done so far: which pieces were one just before, and which small ones only change in place."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_agent.boxes import box_area, box_intersection, box_iou
from edge_agent.types import Boxes, ViewChange

_SAME_OVERLAP = 0.3
"""Of the smaller box: so much of it must lie in the other for the two to be the same blob."""
_SIZE_CHANGE = 3.0
"""Factor by which the area of one and the same blob may change between two looks."""

_YOUNG_LOOKS, _LASTING_LOOKS = 8, 16
_CLUTTERED_FROM, _CLUTTERED_UNTIL = 5.0, 0.7
"""Young blobs in a look, on average, from which on they are taken for weather, and down to which they stay so."""
_CLUTTER_WEIGHT, _CLUTTER_FADING = 0.5, 0.05
"""How fast the average follows when it rises, and when it falls."""
_CLUTTER_SAMPLES = 200
_BEYOND_CLUTTER = 4.0
"""How many times the area of (four fifths of) the clutter a blob must have to be none of it."""

_WHOLE_LOOKS = 3
"""Seen as one so often, a blob is believed to be one."""
_PIECE_INSIDE, _SAME_OUTLINE = 0.8, 0.7
"""Share of a piece that must lie where the blob was; overlap (over union) of all its pieces' outline with it."""


@dataclass(slots=True)
class _Remembered:
    box: NDArray[np.float32]
    first: NDArray[np.float32]
    """Where it was when it was first seen."""
    travelled: bool = False
    missed: int = 0
    looks: int = 1
    in_pieces: int = 0
    """For how many looks running it has been put together from pieces."""


class BlobMemory:
    """Follows blobs from look to look, well enough to tell what has fallen to pieces from what has parted, and what
    travels from what flickers in its place.
    """

    def __init__(self, *, travel_ratio: float = 0.25, keep_looks: int = 5, part_looks: int = 10) -> None:
        """``travel_ratio``: how far a blob's middle must have gone, in parts of its longer side; raising it makes
        far and slow objects later. ``keep_looks``: how many looks a blob may be missing from. ``part_looks``: after so
        many looks in pieces it is one no more; raising it keeps objects that part from each other together for longer.
        """
        self._travel_ratio = travel_ratio
        self._keep_looks = keep_looks
        self._part_looks = part_looks
        self._remembered: list[_Remembered] = []
        self._young = 0.0
        """How many blobs of a look are young, smoothed."""
        self._cluttered = False
        self._lasting: NDArray[np.bool_] = np.zeros(0, bool)
        self._young_ratios: deque[float] = deque(maxlen=_CLUTTER_SAMPLES)

    def clutter_ratio(self) -> float:
        """Return the share of the frame up to which a blob may be one of the flakes or drops that fill the air; else 0.

        Many blobs at once that all are gone again within moments are weather. Tracks in clutter need more evidence
        (Reid, "An algorithm for tracking multiple targets", 1979); here that is a size well above the clutter's.
        """
        if not self._cluttered:
            return 0.0
        return _BEYOND_CLUTTER * float(np.quantile(self._young_ratios, 0.8))

    def move_view(self, change: ViewChange) -> None:
        """Move all blobs to where they lie now."""
        for known in self._remembered:
            known.box = np.array(change.box(known.box.tolist()), np.float32)
            known.first = np.array(change.box(known.first.tolist()), np.float32)

    def joined(self, boxes: Boxes) -> Boxes:
        """Put together the pieces, of all boxes ``(N, 4)`` of one look, that were one blob in the looks before."""
        free = list(boxes)
        whole: list[NDArray[np.float32]] = []
        for known in sorted(self._remembered, key=lambda each: -box_area(each.box)):
            if known.looks < _WHOLE_LOOKS:
                continue
            pieces = [box for box in free if box_intersection(box, known.box) >= _PIECE_INSIDE * box_area(box)]
            if len(pieces) < 2:
                known.in_pieces = 0
                continue
            outline = _outline(pieces)
            known.in_pieces += 1
            if known.in_pieces <= self._part_looks and box_iou(outline, known.box) >= _SAME_OUTLINE:
                whole.append(outline)
                free = [box for box in free if not any(box is piece for piece in pieces)]
        return np.array([*whole, *free], np.float32).reshape(-1, 4)

    def travelled(self, boxes: Boxes, *, frame_area_px: float) -> NDArray[np.bool_]:
        """Take the boxes ``(N, 4)`` of one look; return which of them are blobs that have changed their place."""
        left = list(self._remembered)
        now: list[_Remembered] = []
        for box in boxes:
            known = _likest(box, left)
            if known is None:
                now.append(_Remembered(box=box, first=box))
                continue
            left = [each for each in left if each is not known]
            known.travelled = known.travelled or self._went(known, box)
            known.box, known.missed, known.looks = box, 0, known.looks + 1
            now.append(known)
        for each in left:
            each.missed += 1
        self._remembered = now + [each for each in left if each.missed <= self._keep_looks]
        young = [box_area(each.box) / frame_area_px for each in now if each.looks < _YOUNG_LOOKS]
        more = len(young) - self._young
        self._young += (_CLUTTER_WEIGHT if more > 0 else _CLUTTER_FADING) * more
        self._young_ratios.extend(young)
        self._cluttered = self._young >= (_CLUTTERED_UNTIL if self._cluttered else _CLUTTERED_FROM)
        self._lasting = np.array([each.travelled and each.looks >= _LASTING_LOOKS for each in now], bool)
        return np.array([each.travelled for each in now], bool)

    def in_clutter(self, area_ratios: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Return which blobs of the look just taken, by their shares of the frame, may be mere clutter.

        What is no larger than that, but has been followed on its way for long, is none.
        """
        return (area_ratios < self.clutter_ratio()) & ~self._lasting

    def _went(self, known: _Remembered, box: NDArray[np.float32]) -> bool:
        away = np.abs((known.first[:2] + known.first[2:]) - (box[:2] + box[2:])) / 2.0
        return bool(np.hypot(*away) >= self._travel_ratio * max(box[2] - box[0], box[3] - box[1]))


def _likest(box: NDArray[np.float32], remembered: list[_Remembered]) -> _Remembered | None:
    """Return the blob that this is most likely the next look at."""
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
