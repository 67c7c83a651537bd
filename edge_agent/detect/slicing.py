"""Looking closer: small far things that move are found in crops at full resolution, not in the shrunken whole.

Which parts to look at, how their findings join those of the whole picture, and the detector wrapper that does both.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_agent.boxes import box_containment_batch, box_iou_batch
from edge_agent.detect.detector import ImageDetector
from edge_agent.detect.nms import keep_best
from edge_agent.detect.settings import SlicingSettings
from edge_agent.types import Boxes, Detections, Picture

MAX_REGIONS = 16
"""Moving regions considered a frame, the largest first; more is rain or a shaking camera."""

_MERGE_OVERLAP = 0.25
_EDGE_RATIO = 0.01
_CUT_COVERED = 0.7
_SAME_IOU = 0.3
_SAME_CONTAINMENT = 0.8
_SAME_CLASS_IOU = 0.5
_OTHER_CLASS_IOU = 0.85


class InferenceSlicer:
    """Runs a detector on the whole picture and on the parts of it that move, and makes one answer of it."""

    def __init__(self, detector: ImageDetector, *, settings: SlicingSettings) -> None:
        self._detector = detector
        self._settings = settings
        self._turn = 0

    def detect(self, picture: Picture, regions: Boxes) -> Detections:
        """Find objects in the whole picture, with a closer look at ``regions`` (``(N, 4)``, largest first)."""
        whole = self._detector.detect(picture)
        crops = self._next(
            choose_crops(
                regions,
                frame_size=(picture.width, picture.height),
                input_size=(self._detector.input_width, self._detector.input_height),
                settings=self._settings,
            )
        )
        if not len(crops):
            return whole
        parts = [self._detector.detect_region(picture, crop) for crop in crops]
        return merge_crop_detections(whole, parts, crops, regions=regions, frame_size=(picture.width, picture.height))

    def _next(self, crops: Boxes) -> Boxes:
        """Take as many crops as are allowed; where there are more they take turns, frame by frame."""
        most = self._settings.max_crops
        if len(crops) <= most:
            return crops
        rows = (self._turn + np.arange(most)) % len(crops)
        self._turn += most
        return crops[np.sort(rows)]


def choose_crops(
    regions: Boxes, *, frame_size: tuple[int, int], input_size: tuple[int, int], settings: SlicingSettings
) -> Boxes:
    """Return ``(K, 4)`` parts of the frame, shaped like the model's input, that hold the regions with room around them.

    No part is smaller than the model's input (enlarging shows nothing new), and parts that overlap become one where
    that one still shows things ``min_gain`` times larger than the whole picture does.
    """
    frame, needed = np.array(frame_size, np.float32), np.array(input_size, np.float32)
    if not len(regions) or (frame / needed).max() < settings.min_gain:
        return np.empty((0, 4), np.float32)
    rooms = _with_margin(np.array(regions[:MAX_REGIONS], np.float32), settings.margin_ratio)
    crops = _around(rooms, frame, needed)
    while (pair := _mergeable(rooms, crops, frame, needed, settings.min_gain)) is not None:
        one, other = pair
        rooms[one] = _hull(rooms[one], rooms[other])
        rooms = np.delete(rooms, other, axis=0)
        crops = _around(rooms, frame, needed)
    return crops[_gain(crops[:, 2:] - crops[:, :2], frame, needed) >= settings.min_gain]


def merge_crop_detections(
    whole: Detections, parts: list[Detections], crops: Boxes, *, regions: Boxes, frame_size: tuple[int, int]
) -> Detections:
    """Join the findings of the whole picture and of its parts, each object once.

    A box that a part's edge cuts stays only if something moves there and no uncut box of its class holds it. Of two
    boxes from different looks the better scored stays also where they overlap less than suppression asks, if one
    lies in the other: the same thing, seen more and less sharply.
    """
    found = Detections.concatenate([whole, *parts])
    if len(found) < 1:
        return found
    look = np.repeat(np.arange(len(parts) + 1), [len(whole), *(len(part) for part in parts)])
    cut = np.concatenate(
        [
            np.zeros(len(whole), np.bool_),
            *(_cut(part.xyxy, crop, frame_size) for part, crop in zip(parts, crops, strict=True)),
        ]
    )
    stays = ~cut | (_moves(found.xyxy, regions) & ~_held(found, cut))
    found, look, cut = found.select(stays), look[stays], cut[stays]
    # Best first, and what is cut after all that is not, so that it never displaces a whole box.
    order = np.lexsort((-found.score, cut))
    found, look = found.select(order), look[order]
    return found.select(keep_best(_same_thing(found, look)))


def _with_margin(regions: Boxes, margin: float) -> Boxes:
    room = (regions[:, 2:] - regions[:, :2]) * np.float32(margin)
    # Outwards to whole pixels, as crops are: rounding a crop must not cut a region's edge.
    corners = [np.floor(regions[:, :2] - room), np.ceil(regions[:, 2:] + room)]
    return np.concatenate(corners, axis=1, dtype=np.float32)


def _around(rooms: Boxes, frame: NDArray[np.float32], needed: NDArray[np.float32]) -> Boxes:
    """Return the crop that holds each room: the same middle, the input's shape, inside the frame."""
    middle = (rooms[:, :2] + rooms[:, 2:]) / 2
    scale = np.maximum(((rooms[:, 2:] - rooms[:, :2]) / needed).max(axis=1, keepdims=True), 1.0)
    size = np.minimum(np.ceil(needed * scale), frame)
    left_top = np.clip(np.round(middle - size / 2), 0, frame - size)
    return np.concatenate([left_top, left_top + size], axis=1).astype(np.float32)


def _gain(size: NDArray[Any], frame: NDArray[np.float32], needed: NDArray[np.float32]) -> NDArray[Any]:
    """Return how many times larger the model sees things in parts of this size than in the whole frame."""
    return (frame / needed).max() / (size / needed).max(axis=-1)


def _mergeable(
    rooms: Boxes, crops: Boxes, frame: NDArray[np.float32], needed: NDArray[np.float32], min_gain: float
) -> tuple[int, int] | None:
    inside = box_containment_batch(crops, crops)
    overlap = np.triu(np.maximum(inside, inside.T), k=1)
    for one, other in np.argwhere(overlap >= _MERGE_OVERLAP):
        joined = _around(_hull(rooms[one], rooms[other])[None], frame, needed)
        if _gain(joined[0, 2:] - joined[0, :2], frame, needed) >= min_gain:
            return int(one), int(other)
    return None


def _hull(one: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate([np.minimum(one[:2], other[:2]), np.maximum(one[2:], other[2:])])


def _cut(xyxy: Boxes, crop: NDArray[Any], frame_size: tuple[int, int]) -> NDArray[np.bool_]:
    """Tell which boxes reach an edge of their crop that is not an edge of the frame."""
    near = np.maximum((crop[2:] - crop[:2]) * _EDGE_RATIO, 2.0)
    at_left_top = (xyxy[:, :2] <= crop[:2] + near) & (crop[:2] > 0)
    at_right_bottom = (xyxy[:, 2:] >= crop[2:] - near) & (crop[2:] < np.array(frame_size))
    return np.asarray((at_left_top | at_right_bottom).any(axis=1), np.bool_)


def _moves(xyxy: Boxes, regions: Boxes) -> NDArray[np.bool_]:
    """Tell which boxes have their middle in a moving region."""
    middle = (xyxy[:, None, :2] + xyxy[:, None, 2:]) / 2
    inside = (middle >= regions[None, :, :2]) & (middle <= regions[None, :, 2:])
    return np.asarray(np.any(inside.all(axis=2), axis=1), np.bool_)


def _held(found: Detections, cut: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Tell which boxes lie, for the most part, in an uncut one of their class."""
    same_class = found.class_id[:, None] == found.class_id[None, :]
    others = ~np.eye(len(found), dtype=np.bool_) & ~cut[None, :]
    holds = (box_containment_batch(found.xyxy, found.xyxy) >= _CUT_COVERED) & same_class & others
    return np.asarray(np.any(holds, axis=1), np.bool_)


def _same_thing(found: Detections, look: NDArray[np.intp]) -> NDArray[np.bool_]:
    overlap = box_iou_batch(found.xyxy, found.xyxy)
    same_class = found.class_id[:, None] == found.class_id[None, :]
    inside = box_containment_batch(found.xyxy, found.xyxy)
    nested = (np.maximum(inside, inside.T) >= _SAME_CONTAINMENT) & (overlap >= _SAME_IOU)
    same = np.where(same_class, (overlap > _SAME_CLASS_IOU) | nested, overlap > _OTHER_CLASS_IOU)
    return same & (look[:, None] != look[None, :])
