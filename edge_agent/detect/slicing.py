"""Sliced inference: detects small moving objects in full-resolution crops, in addition to the downscaled whole image.

Chooses the crops, merges their detections with those of the whole image, and wraps an image detector to do both.
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
"""Maximum moving regions considered per frame, largest first. More are caused by rain or a shaking camera."""

_MERGE_OVERLAP = 0.25
_EDGE_RATIO = 0.01
_CUT_COVERED = 0.7
_SAME_IOU = 0.3
_SAME_CONTAINMENT = 0.8
_SAME_CLASS_IOU = 0.5
_OTHER_CLASS_IOU = 0.85


class InferenceSlicer:
    """Runs a detector on the whole image and on crops around moving regions, and merges the detections."""

    def __init__(self, detector: ImageDetector, *, settings: SlicingSettings) -> None:
        self._detector = detector
        self._settings = settings
        self._turn = 0

    def detect(self, picture: Picture, regions: Boxes) -> Detections:
        """Detect objects in the whole image and in crops around ``regions`` (``(N, 4)`` pixels, largest first)."""
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
        """Return at most ``max_crops`` crops; if there are more, they are selected in turn, frame by frame."""
        most = self._settings.max_crops
        if len(crops) <= most:
            return crops
        rows = (self._turn + np.arange(most)) % len(crops)
        self._turn += most
        return crops[np.sort(rows)]


def choose_crops(
    regions: Boxes, *, frame_size: tuple[int, int], input_size: tuple[int, int], settings: SlicingSettings
) -> Boxes:
    """Return ``(K, 4)`` crops, in the model input's aspect ratio, that contain the regions with their margins.

    No crop is smaller than the model's input, since upscaling adds no detail. Overlapping crops are merged if the
    merged crop still magnifies by ``min_gain`` over the whole image.
    """
    frame, needed = np.array(frame_size, np.float32), np.array(input_size, np.float32)
    if not len(regions) or (frame / needed).max() < settings.min_gain:
        return np.empty((0, 4), np.float32)
    padded = _with_margin(np.array(regions[:MAX_REGIONS], np.float32), settings.margin_ratio)
    crops = _around(padded, frame, needed)
    while (pair := _mergeable(padded, crops, frame, needed, settings.min_gain)) is not None:
        one, other = pair
        padded[one] = _hull(padded[one], padded[other])
        padded = np.delete(padded, other, axis=0)
        crops = _around(padded, frame, needed)
    return crops[_gain(crops[:, 2:] - crops[:, :2], frame, needed) >= settings.min_gain]


def merge_crop_detections(
    whole: Detections, parts: list[Detections], crops: Boxes, *, regions: Boxes, frame_size: tuple[int, int]
) -> Detections:
    """Merge the detections of the whole image and of the crops, keeping each object once.

    A box that a crop's edge truncates is kept only if it moves and no complete box of its class contains it. Of two
    boxes from different inferences, the one with the higher score is kept, also below the NMS threshold if one
    contains the other.
    """
    detections = Detections.concatenate([whole, *parts])
    if len(detections) < 1:
        return detections
    source = np.repeat(np.arange(len(parts) + 1), [len(whole), *(len(part) for part in parts)])
    truncated = np.concatenate(
        [
            np.zeros(len(whole), np.bool_),
            *(_is_truncated(part.xyxy, crop, frame_size) for part, crop in zip(parts, crops, strict=True)),
        ]
    )
    kept = ~truncated | (_is_moving(detections.xyxy, regions) & ~_is_contained(detections, truncated))
    detections, source, truncated = detections.select(kept), source[kept], truncated[kept]
    # Highest score first, truncated boxes last, so that they never displace complete ones.
    order = np.lexsort((-detections.score, truncated))
    detections, source = detections.select(order), source[order]
    return detections.select(keep_best(_is_same_object(detections, source)))


def _with_margin(regions: Boxes, margin: float) -> Boxes:
    padding = (regions[:, 2:] - regions[:, :2]) * np.float32(margin)
    # Round outwards to whole pixels, so that a rounded crop never truncates a region.
    corners = [np.floor(regions[:, :2] - padding), np.ceil(regions[:, 2:] + padding)]
    return np.concatenate(corners, axis=1, dtype=np.float32)


def _around(padded: Boxes, frame: NDArray[np.float32], needed: NDArray[np.float32]) -> Boxes:
    """Return the crop that contains each region: same centre, the input's aspect ratio, inside the frame."""
    middle = (padded[:, :2] + padded[:, 2:]) / 2
    scale = np.maximum(((padded[:, 2:] - padded[:, :2]) / needed).max(axis=1, keepdims=True), 1.0)
    size = np.minimum(np.ceil(needed * scale), frame)
    left_top = np.clip(np.round(middle - size / 2), 0, frame - size)
    return np.concatenate([left_top, left_top + size], axis=1).astype(np.float32)


def _gain(size: NDArray[Any], frame: NDArray[np.float32], needed: NDArray[np.float32]) -> NDArray[Any]:
    """Return the magnification of crops of this size over the whole frame, in the model's input."""
    return (frame / needed).max() / (size / needed).max(axis=-1)


def _mergeable(
    padded: Boxes, crops: Boxes, frame: NDArray[np.float32], needed: NDArray[np.float32], min_gain: float
) -> tuple[int, int] | None:
    inside = box_containment_batch(crops, crops)
    overlap = np.triu(np.maximum(inside, inside.T), k=1)
    for one, other in np.argwhere(overlap >= _MERGE_OVERLAP):
        joined = _around(_hull(padded[one], padded[other])[None], frame, needed)
        if _gain(joined[0, 2:] - joined[0, :2], frame, needed) >= min_gain:
            return int(one), int(other)
    return None


def _hull(one: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate([np.minimum(one[:2], other[:2]), np.maximum(one[2:], other[2:])])


def _is_truncated(xyxy: Boxes, crop: NDArray[Any], frame_size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return which boxes reach an edge of their crop that is not an edge of the frame."""
    near = np.maximum((crop[2:] - crop[:2]) * _EDGE_RATIO, 2.0)
    at_left_top = (xyxy[:, :2] <= crop[:2] + near) & (crop[:2] > 0)
    at_right_bottom = (xyxy[:, 2:] >= crop[2:] - near) & (crop[2:] < np.array(frame_size))
    return np.asarray((at_left_top | at_right_bottom).any(axis=1), np.bool_)


def _is_moving(xyxy: Boxes, regions: Boxes) -> NDArray[np.bool_]:
    """Return which boxes have their centre in a moving region."""
    middle = (xyxy[:, None, :2] + xyxy[:, None, 2:]) / 2
    inside = (middle >= regions[None, :, :2]) & (middle <= regions[None, :, 2:])
    return np.asarray(np.any(inside.all(axis=2), axis=1), np.bool_)


def _is_contained(detections: Detections, truncated: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which boxes lie mostly inside a complete box of their class."""
    same_class = detections.class_id[:, None] == detections.class_id[None, :]
    others = ~np.eye(len(detections), dtype=np.bool_) & ~truncated[None, :]
    holds = (box_containment_batch(detections.xyxy, detections.xyxy) >= _CUT_COVERED) & same_class & others
    return np.asarray(np.any(holds, axis=1), np.bool_)


def _is_same_object(detections: Detections, source: NDArray[np.intp]) -> NDArray[np.bool_]:
    overlap = box_iou_batch(detections.xyxy, detections.xyxy)
    same_class = detections.class_id[:, None] == detections.class_id[None, :]
    inside = box_containment_batch(detections.xyxy, detections.xyxy)
    nested = (np.maximum(inside, inside.T) >= _SAME_CONTAINMENT) & (overlap >= _SAME_IOU)
    same = np.where(same_class, (overlap > _SAME_CLASS_IOU) | nested, overlap > _OTHER_CLASS_IOU)
    return same & (source[:, None] != source[None, :])
