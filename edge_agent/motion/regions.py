"""From a foreground mask to moving regions: connected parts, kept where strong, merged where they belong together."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.uint8]
_KERNEL_3 = np.ones((3, 3), np.uint8)
_KERNEL_5 = np.ones((5, 5), np.uint8)
_NEIGHBOURS_WANTED = 4
_LEAST_GAP_PX = 2.0
_ALIKE_SHARE = 0.3
_GAP_FRAGMENT, _GAP_STACKED, _GAP_ALIKE = 0.3, 0.15, 0.05
"""Gaps that are bridged, as shares of the smaller part's length: a fragment beside something large, two like parts
one above the other (head and legs), two like parts side by side (two cars)."""
_STACKED_SHARE = 0.7
_OVERLAP_FRAGMENT, _OVERLAP_ALIKE = 0.3, 0.6


@dataclass(frozen=True, slots=True)
class Blob:
    """One connected part of the foreground, in working pixels."""

    label: int
    left: int
    top: int
    width: int
    height: int
    area_px: int
    sure_px: int
    """How many of its pixels surely differ from the background."""

    @property
    def window(self) -> tuple[slice, slice]:
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


def despeckle(mask: Plane) -> Plane:
    """Keep the pixels that have at least four of the nine pixels around them (themselves included) set."""
    count = cv2.boxFilter(cv2.bitwise_and(mask, 1), -1, (3, 3), normalize=False, borderType=cv2.BORDER_REPLICATE)
    return cv2.bitwise_and(mask, cv2.compare(count, _NEIGHBOURS_WANTED, cv2.CMP_GE))


def find_blobs(sure: Plane, perhaps: Plane, *, min_sure_px: int) -> tuple[NDArray[np.int32], list[Blob]]:
    """Grow the sure pixels into the connected perhaps-pixels; return the label plane and the blobs worth keeping."""
    joined = cv2.morphologyEx(cv2.bitwise_or(sure, perhaps), cv2.MORPH_CLOSE, _KERNEL_3)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8, ltype=cv2.CV_32S)
    if count <= 1:
        return labels, []
    sure_px = np.bincount(labels[sure > 0], minlength=count)
    kept = np.flatnonzero(sure_px[1:] >= min_sure_px) + 1
    blobs = [
        Blob(
            label=int(label),
            left=int(stats[label, cv2.CC_STAT_LEFT]),
            top=int(stats[label, cv2.CC_STAT_TOP]),
            width=int(stats[label, cv2.CC_STAT_WIDTH]),
            height=int(stats[label, cv2.CC_STAT_HEIGHT]),
            area_px=int(stats[label, cv2.CC_STAT_AREA]),
            sure_px=int(sure_px[label]),
        )
        for label in kept
    ]
    return labels, blobs


def mask_of(labels: NDArray[np.int32], blobs: list[Blob]) -> Plane:
    """Return 255 on the pixels of these blobs."""
    mask = np.zeros(labels.shape, np.uint8)
    for blob in blobs:
        mask[blob.window] |= np.where(labels[blob.window] == blob.label, np.uint8(255), np.uint8(0))
    return mask


def around(blobs: list[Blob], shape: tuple[int, ...], *, margin_px: int = 4) -> tuple[slice, slice]:
    """Return the window that holds all blobs and a margin."""
    return (
        slice(
            max(0, min(b.top for b in blobs) - margin_px),
            min(shape[0], max(b.top + b.height for b in blobs) + margin_px),
        ),
        slice(
            max(0, min(b.left for b in blobs) - margin_px),
            min(shape[1], max(b.left + b.width for b in blobs) + margin_px),
        ),
    )


def fill_bodies(changed: Plane, only_lit: Plane, *, least_area_px: float) -> tuple[Plane, NDArray[np.float32]]:
    """Drop what is only lit differently from ``changed``, close and fill what remains.

    Returns the filled mask and the bodies' boxes ``(N, 4)``, for bodies of at least the least area.
    """
    solid = despeckle(cv2.bitwise_and(changed, cv2.bitwise_not(only_lit)))
    closed = cv2.morphologyEx(solid, cv2.MORPH_CLOSE, _KERNEL_5)
    contours, _ = cv2.findContours(closed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    filled = np.zeros_like(changed)
    boxes: list[tuple[int, int, int, int]] = []
    for contour in contours:
        left, top, width, height = cv2.boundingRect(contour)
        if width * height < least_area_px:
            continue
        cv2.drawContours(filled, [contour], 0, 255, cv2.FILLED)
        if cv2.countNonZero(filled[top : top + height, left : left + width]) < least_area_px:
            cv2.drawContours(filled, [contour], 0, 0, cv2.FILLED)
            continue
        boxes.append((left, top, left + width, top + height))
    return filled, np.array(boxes, np.float32).reshape(-1, 4)


def merge_boxes(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Merge boxes ``(N, 4)`` that belong to one thing; largest first.

    Two belong together when the gap between them is small beside the smaller of the two, or when they overlap by a
    good part of the smaller.
    """
    merged = [box.copy() for box in boxes]
    again = True
    while again:
        again = False
        merged.sort(key=_area, reverse=True)
        for index, box in enumerate(merged):
            partner = next((k for k in range(index + 1, len(merged)) if _belong_together(box, merged[k])), None)
            if partner is not None:
                other = merged.pop(partner)
                box[:2] = np.minimum(box[:2], other[:2])
                box[2:] = np.maximum(box[2:], other[2:])
                again = True
                break
    return np.array(merged, np.float32).reshape(-1, 4)


def _area(box: NDArray[np.float32]) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))


def _belong_together(first: NDArray[np.float32], second: NDArray[np.float32]) -> bool:
    """``first`` is the larger. A fragment joins from further off than a neighbour of like size does."""
    gap_x = max(float(first[0] - second[2]), float(second[0] - first[2]))
    gap_y = max(float(first[1] - second[3]), float(second[1] - first[3]))
    smaller = _area(second)
    alike = smaller >= _ALIKE_SHARE * _area(first)
    if gap_x < 0.0 and gap_y < 0.0:
        return gap_x * gap_y >= (_OVERLAP_ALIKE if alike else _OVERLAP_FRAGMENT) * smaller
    length = max(float(second[2] - second[0]), float(second[3] - second[1]))
    stacked = gap_x <= -_STACKED_SHARE * float(second[2] - second[0])
    share = _GAP_FRAGMENT if not alike else _GAP_STACKED if stacked else _GAP_ALIKE
    return max(gap_x, gap_y) <= max(_LEAST_GAP_PX, share * length)
