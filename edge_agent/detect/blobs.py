"""Objects without a model: what moves as one piece is an ``object``.

For a bare box, for views that models were not trained on (from straight above), and for things no model knows.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_agent.boxes import box_area_batch
from edge_agent.detect.blob_memory import BlobMemory
from edge_agent.types import Boxes, Detections, Motion, ViewChange

Plane = NDArray[np.uint8]

_SMOOTH_SHARE = 0.05
_VALLEY_SHARE = 0.3
"""How low, beside the lower of the two humps, the mask's profile must fall between them for them to be two objects."""
_LEAST_PART_SHARE = 0.25
"""How much of the region's width each of the two must have."""
_SOLID_FILL = 0.6
_STRONG_INTENSITY = 0.2
_TINY_SHARE = 0.005
"""What covers less of the frame than this is doubted until it has changed its place: it may be a lamp that was lit."""
_IN_PLACE_WORTH = 0.45
_NOTHING = np.empty((0, 4), np.float32)
_LEAST_SCORE, _FILL_WORTH, _STRENGTH_WORTH = 0.25, 0.4, 0.3


class BlobDetector:
    """Turns moving regions into detections of class 0, ``object``."""

    def __init__(self, *, min_area_ratio: float = 0.001, min_side_ratio: float = 0.015, max_split: int = 4) -> None:
        """``min_area_ratio`` is of the frame's area, ``min_side_ratio`` of its shorter side, for an object's shorter
        side; raising either misses smaller things. A region is split into at most ``max_split`` objects."""
        self._min_area_ratio = min_area_ratio
        self._min_side_ratio = min_side_ratio
        self._max_split = max_split
        self._memory = BlobMemory()
        self.labels: tuple[str, ...] = ("object",)

    def detect(self, motion: Motion, *, frame_width: int, frame_height: int) -> Detections:
        """Return one detection for each object that moves; boxes are in full-frame pixels and inside the frame.

        The score grows with how much of its box an object fills and how strongly it differs from the background.
        """
        mask = motion.mask
        if mask is None or not len(motion.regions):
            self._memory.travelled(_NOTHING, frame_area_px=frame_width * frame_height)
            return Detections()
        to_frame = np.array((frame_width / mask.shape[1], frame_height / mask.shape[0]) * 2, np.float32)
        strength = min(1.0, motion.intensity / _STRONG_INTENSITY)
        pieces = [piece for region in motion.regions / to_frame for piece in self._objects(mask, region)]
        boxes = self._memory.joined(np.array(pieces, np.float32).reshape(-1, 4) * to_frame)
        boxes = boxes[self._large_enough(boxes, frame_width=frame_width, frame_height=frame_height)]
        scores = np.array([_score(_fill(mask, box), strength) for box in boxes / to_frame], np.float32)
        frame_area_px = frame_width * frame_height
        travelled = self._memory.travelled(boxes, frame_area_px=frame_area_px)
        ratios = box_area_batch(boxes) / frame_area_px
        doubtful = (~travelled & (ratios < _TINY_SHARE)) | self._memory.in_clutter(ratios)
        scores[doubtful] *= _IN_PLACE_WORTH
        return Detections(xyxy=boxes, score=scores, class_id=np.zeros(len(scores), np.int32))

    def move_view(self, change: ViewChange) -> None:
        """Move what is remembered of the blobs to where the places of earlier frames lie now."""
        self._memory.move_view(change)

    def _objects(self, mask: Plane, region: NDArray[np.float32]) -> list[tuple[int, int, int, int]]:
        """Return the boxes, in mask pixels, of the objects in one region."""
        height, width = mask.shape
        left, top = max(0, int(region[0] + 0.5)), max(0, int(region[1] + 0.5))
        right, bottom = min(width, int(region[2] + 0.5)), min(height, int(region[3] + 0.5))
        if right <= left or bottom <= top:
            return []
        cuts = [0, *split_columns(mask[top:bottom, left:right], most_parts=self._max_split), right - left]
        parts = [_tighten(mask, left + start, top, left + end, bottom) for start, end in pairwise(cuts)]
        return [part for part in parts if part is not None]

    def _large_enough(self, boxes: Boxes, *, frame_width: int, frame_height: int) -> NDArray[np.bool_]:
        shorter_sides = (boxes[:, 2:] - boxes[:, :2]).min(axis=1)
        least_side = self._min_side_ratio * min(frame_width, frame_height)
        least_area = self._min_area_ratio * frame_width * frame_height
        return (shorter_sides >= least_side) & (box_area_batch(boxes) >= least_area)


def split_columns(part: NDArray[Any], *, most_parts: int) -> list[int]:
    """Return the columns at which a mask window falls into objects side by side, in order; empty for one object.

    The mask's column profile must have a deep valley between two humps, each of a fair width.
    """
    width = part.shape[1]
    profile = (part > 0).sum(axis=0).astype(np.float32)
    smooth = max(1, round(width * _SMOOTH_SHARE)) | 1
    profile = np.convolve(np.pad(profile, smooth // 2, mode="edge"), np.ones(smooth, np.float32) / smooth, "valid")
    cuts: list[int] = []
    spans = [(0, width)]
    while spans and len(cuts) < most_parts - 1:
        start, end = spans.pop(0)
        cut = _valley(profile[start:end], least_width=_LEAST_PART_SHARE * width)
        if cut is not None:
            cuts.append(start + cut)
            spans += [(start, start + cut), (start + cut, end)]
    return sorted(cuts)


def _valley(profile: NDArray[np.float32], *, least_width: float) -> int | None:
    """Return the column of the deepest valley that parts two humps, or None."""
    margin = max(2, int(least_width))
    if len(profile) < 2 * margin + 1:
        return None
    left_hump = np.maximum.accumulate(profile)[margin:-margin]
    right_hump = np.maximum.accumulate(profile[::-1])[::-1][margin:-margin]
    depth = profile[margin:-margin] / np.maximum(np.minimum(left_hump, right_hump), 1.0)
    deepest = np.flatnonzero(depth <= depth.min() + 1e-6)
    middle = int(deepest[len(deepest) // 2])
    return margin + middle if depth[middle] <= _VALLEY_SHARE else None


def _tighten(mask: Plane, left: int, top: int, right: int, bottom: int) -> tuple[int, int, int, int] | None:
    """Return the bounding box of what is set inside the window, or None."""
    x, y, width, height = cv2.boundingRect(mask[top:bottom, left:right])
    if width == 0:
        return None
    return left + x, top + y, left + x + width, top + y + height


def _fill(mask: Plane, box: NDArray[np.float32]) -> float:
    """Return the share of a box, in mask pixels, that is set."""
    left, top, right, bottom = np.rint(box).astype(int).tolist()
    return cv2.countNonZero(mask[top:bottom, left:right]) / ((right - left) * (bottom - top))


def _score(fill: float, strength: float) -> float:
    return _LEAST_SCORE + _FILL_WORTH * min(1.0, fill / _SOLID_FILL) + _STRENGTH_WORTH * strength
