"""Runs the plate detector on the scheduled regions of a frame and merges the results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edge_agent.anpr.frame_budget import FrameBudget
from edge_agent.anpr.types import PlateBox, PlateDetector
from edge_agent.boxes import Box, box_iou
from edge_agent.types import Frame, Image

DUPLICATE_IOU = 0.4
"""Of two detections that overlap by at least this IoU, only the one with the higher score is kept."""
EDGE_PX = 1.0
"""A plate within this distance of a border, in pixels, may be truncated by it."""


class RegionSearch:
    """Detects the plates of a frame in selected regions."""

    def __init__(self, *, detector: PlateDetector, budget: FrameBudget, min_score: float) -> None:
        """``min_score``, 0..1: detections below it are dropped."""
        self._detector = detector
        self._budget = budget
        self._min_score = min_score

    def search(self, frame: Frame, regions: Sequence[Box]) -> list[PlateBox]:
        """Return the plates in ``regions``, highest score first, without duplicates.

        Regions are searched in the given order. Once at least one plate was detected, no further region is searched
        after the frame's time budget is exhausted.
        """
        image = frame.picture.bgr()
        detected: list[PlateBox] = []
        for region in regions:
            if detected and self._budget.is_exhausted:
                break
            detected += detect_in_region(self._detector, image, region)
        detected.sort(key=lambda plate: -plate.score)
        kept: list[PlateBox] = []
        for plate in detected:
            if plate.score < self._min_score:
                continue
            if all(box_iou(plate.xyxy, other.xyxy) < DUPLICATE_IOU for other in kept):
                kept.append(plate)
        return kept


def detect_in_region(detector: PlateDetector, image: Image, region: Box) -> list[PlateBox]:
    """Return the plates in a region (xyxy, pixels), in image coordinates.

    Plates that touch a border of the region are dropped, because they may be truncated, unless that border is also a
    border of the image.
    """
    height, width = image.shape[:2]
    left, top, right, bottom = (round(value) for value in region)
    detected = detector.find(image[top:bottom, left:right])
    if (left, top, right, bottom) == (0, 0, width, height):
        return detected
    inner = (
        -np.inf if left == 0 else left + EDGE_PX,
        -np.inf if top == 0 else top + EDGE_PX,
        np.inf if right == width else right - EDGE_PX,
        np.inf if bottom == height else bottom - EDGE_PX,
    )
    return [plate for plate in (_shift(each, left, top) for each in detected) if _is_inside(plate.xyxy, inner)]


def _shift(plate: PlateBox, x: int, y: int) -> PlateBox:
    corners = None if plate.corners is None else plate.corners + np.array((x, y), np.float32)
    left, top, right, bottom = plate.xyxy
    return replace(plate, left=left + x, top=top + y, right=right + x, bottom=bottom + y, corners=corners)


def _is_inside(box: Box, outer: Box) -> bool:
    return box[0] > outer[0] and box[1] > outer[1] and box[2] < outer[2] and box[3] < outer[3]
