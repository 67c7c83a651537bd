"""Detects moving objects without a model: every connected moving area is an ``object``.

Intended for devices without a model, for views that models are not trained on (from straight above), and for objects of
other classes.
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
"""Maximum depth of the mask's profile between two objects, as a fraction of the lower of their two peaks."""
_MIN_PART_SHARE = 0.25
"""Minimum width of each of the two objects, as a fraction of the region's width."""
_SOLID_FILL = 0.6
_STRONG_INTENSITY = 0.2
_TINY_SHARE = 0.005
"""A blob with a smaller fraction of the frame gets a low score until it has moved: it may be a lamp."""
_UNMOVED_FACTOR = 0.45
_NOTHING = np.empty((0, 4), np.float32)
_MIN_SCORE, _FILL_WEIGHT, _STRENGTH_WEIGHT = 0.25, 0.4, 0.3


class BlobDetector:
    """Turns moving regions into detections of class 0, ``object``."""

    def __init__(self, *, min_area_ratio: float = 0.001, min_side_ratio: float = 0.015, max_split: int = 4) -> None:
        """``min_area_ratio``: minimum area, as a fraction of the frame. ``min_side_ratio``: minimum shorter side, as a
        fraction of the frame's shorter side. Raising either misses smaller objects. ``max_split``: maximum objects into
        which a region is split."""
        self._min_area_ratio = min_area_ratio
        self._min_side_ratio = min_side_ratio
        self._max_split = max_split
        self._memory = BlobMemory()
        self.labels: tuple[str, ...] = ("object",)

    def detect(self, motion: Motion, *, frame_width: int, frame_height: int) -> Detections:
        """Return one detection per moving object; boxes are in pixels of the frame and inside it.

        The score increases with the fraction of the box that the object fills and with its contrast to the background.
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
        unconfirmed = (~travelled & (ratios < _TINY_SHARE)) | self._memory.in_clutter(ratios)
        scores[unconfirmed] *= _UNMOVED_FACTOR
        return Detections(xyxy=boxes, score=scores, class_id=np.zeros(len(scores), np.int32))

    def move_view(self, change: ViewChange) -> None:
        """Apply a view change to the remembered blobs."""
        self._memory.move_view(change)

    def _objects(self, mask: Plane, region: NDArray[np.float32]) -> list[tuple[int, int, int, int]]:
        """Return the boxes, in mask pixels, of the objects in one region."""
        height, width = mask.shape
        left, top = max(0, int(region[0] + 0.5)), max(0, int(region[1] + 0.5))
        right, bottom = min(width, int(region[2] + 0.5)), min(height, int(region[3] + 0.5))
        if right <= left or bottom <= top:
            return []
        cuts = [0, *split_columns(mask[top:bottom, left:right], max_parts=self._max_split), right - left]
        parts = [_tighten(mask, left + start, top, left + end, bottom) for start, end in pairwise(cuts)]
        return [part for part in parts if part is not None]

    def _large_enough(self, boxes: Boxes, *, frame_width: int, frame_height: int) -> NDArray[np.bool_]:
        shorter_sides = (boxes[:, 2:] - boxes[:, :2]).min(axis=1)
        min_side = self._min_side_ratio * min(frame_width, frame_height)
        min_area = self._min_area_ratio * frame_width * frame_height
        return (shorter_sides >= min_side) & (box_area_batch(boxes) >= min_area)


def split_columns(part: NDArray[Any], *, max_parts: int) -> list[int]:
    """Return the columns at which a mask window is split into adjacent objects, ascending; empty for one object.

    It is split at a deep valley of the mask's column profile between two sufficiently wide peaks.
    """
    width = part.shape[1]
    profile = (part > 0).sum(axis=0).astype(np.float32)
    smooth = max(1, round(width * _SMOOTH_SHARE)) | 1
    profile = np.convolve(np.pad(profile, smooth // 2, mode="edge"), np.ones(smooth, np.float32) / smooth, "valid")
    cuts: list[int] = []
    spans = [(0, width)]
    while spans and len(cuts) < max_parts - 1:
        start, end = spans.pop(0)
        cut = _valley(profile[start:end], min_width=_MIN_PART_SHARE * width)
        if cut is not None:
            cuts.append(start + cut)
            spans += [(start, start + cut), (start + cut, end)]
    return sorted(cuts)


def _valley(profile: NDArray[np.float32], *, min_width: float) -> int | None:
    """Return the column of the deepest valley between two peaks, or None."""
    margin = max(2, int(min_width))
    if len(profile) < 2 * margin + 1:
        return None
    left_peak = np.maximum.accumulate(profile)[margin:-margin]
    right_peak = np.maximum.accumulate(profile[::-1])[::-1][margin:-margin]
    depth = profile[margin:-margin] / np.maximum(np.minimum(left_peak, right_peak), 1.0)
    deepest = np.flatnonzero(depth <= depth.min() + 1e-6)
    middle = int(deepest[len(deepest) // 2])
    return margin + middle if depth[middle] <= _VALLEY_SHARE else None


def _tighten(mask: Plane, left: int, top: int, right: int, bottom: int) -> tuple[int, int, int, int] | None:
    """Return the bounding box of the set pixels inside the window, or None."""
    x, y, width, height = cv2.boundingRect(mask[top:bottom, left:right])
    if width == 0:
        return None
    return left + x, top + y, left + x + width, top + y + height


def _fill(mask: Plane, box: NDArray[np.float32]) -> float:
    """Return the fraction of a box, in mask pixels, that is set."""
    left, top, right, bottom = np.rint(box).astype(int).tolist()
    return cv2.countNonZero(mask[top:bottom, left:right]) / ((right - left) * (bottom - top))


def _score(fill: float, strength: float) -> float:
    return _MIN_SCORE + _FILL_WEIGHT * min(1.0, fill / _SOLID_FILL) + _STRENGTH_WEIGHT * strength
