"""From a foreground mask to moving regions: connected parts, kept where strong, merged where they belong together."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edge_agent.boxes import box_area
from edge_agent.motion.image_ops import Labels, Plane, both, closed, count, despeckled, either, mask_where
from edge_agent.types import Boxes

_LEAST_GAP_PX = 2.0
_ALIKE_SHARE = 0.3
_GAP_FRAGMENT, _GAP_STACKED, _GAP_ALIKE = 0.3, 0.15, 0.05
"""Gaps that are bridged, as shares of the smaller part's length: a fragment beside something large, two like parts
one above the other (head and legs), two like parts side by side (two cars)."""
_STACKED_SHARE = 0.7
_OVERLAP_FRAGMENT, _OVERLAP_ALIKE = 0.3, 0.6
_ENCLOSING_ROUNDS = 2
"""A panel found may enclose another."""
_LEAST_THINGS_SHARE = 0.2
"""Of a changed area: where less of it is unlike light, it is a shadow with specks, and no body with panels."""

Sides = tuple[bool, bool, bool, bool]
"""Left, top, right, bottom."""


@dataclass(frozen=True, slots=True)
class Blob:
    """One connected part of the foreground, in working pixels."""

    label: int
    left: int
    top: int
    width: int
    height: int
    area_px: int

    @property
    def window(self) -> tuple[slice, slice]:
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)

    def open_sides(self, shape: tuple[int, ...]) -> Sides:
        """Return at which sides (left, top, right, bottom) it reaches the edge of an image of this shape."""
        bottom, right = self.top + self.height, self.left + self.width
        return self.left == 0, self.top == 0, right == shape[1], bottom == shape[0]

    def pixels(self, labels: Labels) -> Plane:
        """Return the mask of the blob within its window."""
        return mask_where(labels[self.window] == self.label)


def find_blobs(sure: Plane, perhaps: Plane, *, least_area_px: float, least_sure_px: int) -> tuple[Labels, list[Blob]]:
    """Grow the sure pixels into the connected perhaps-pixels; return the label plane and the blobs worth keeping."""
    joined = closed(either(sure, perhaps))
    labels = np.zeros(joined.shape, np.uint16)
    x, y, width, height = cv2.boundingRect(joined)
    part = slice(y, y + height), slice(x, x + width)
    if width == 0:
        return labels, []
    _, labels[part], stats, _ = cv2.connectedComponentsWithStats(joined[part], connectivity=8, ltype=cv2.CV_16U)
    blobs: list[Blob] = []
    large = np.flatnonzero(stats[1:, cv2.CC_STAT_AREA] >= least_area_px) + 1
    for label in large.tolist():
        left, top, width, height, area = stats[label].tolist()
        blob = Blob(label=label, left=x + left, top=y + top, width=width, height=height, area_px=area)
        if count(both(blob.pixels(labels), sure[blob.window])) >= least_sure_px:
            blobs.append(blob)
    return labels, blobs


def mask_of(labels: Labels, blobs: list[Blob]) -> Plane:
    """Return 255 on the pixels of these blobs."""
    mask = np.zeros(labels.shape, np.uint8)
    for blob in blobs:
        mask[blob.window] |= blob.pixels(labels)
    return mask


def window_around(blobs: list[Blob], shape: tuple[int, ...], *, margin_px: int = 4) -> tuple[slice, slice]:
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


def fill_bodies(things: Plane, thick: Plane, *, least_area_px: float) -> tuple[Plane, Boxes]:
    """Close what changed and fill it; return the filled mask and the boxes ``(N, 4)`` of the bodies.

    A body has the least area and some ``thick`` pixels: streaks of rain have none.
    """
    solid = closed(despeckled(things), 5)
    contours, _ = cv2.findContours(solid, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    filled = np.zeros_like(things)
    boxes: list[tuple[int, int, int, int]] = []
    for contour in contours:
        left, top, width, height = cv2.boundingRect(contour)
        if width * height < least_area_px:
            continue
        cv2.drawContours(filled, [contour], 0, 255, cv2.FILLED)
        window = slice(top, top + height), slice(left, left + width)
        part = filled[window]
        if count(part) < least_area_px or count(both(part, thick[window])) == 0:
            cv2.drawContours(filled, [contour], 0, 0, cv2.FILLED)
            continue
        boxes.append((left, top, left + width, top + height))
    return filled, np.array(boxes, np.float32).reshape(-1, 4)


def enclosed(things: Plane, inside: Plane, *, open_sides: Sides) -> Plane:
    """Return ``things`` and what of ``inside`` lies between them both across and down: the plain panels of a body.

    Shadows lie outside, or between two bodies with nothing above or below them. ``open_sides`` are those where the
    window ends at the picture's edge: beyond it, the body goes on. A few specks enclose nothing.
    """
    if count(things) < _LEAST_THINGS_SHARE * count(inside):
        return things
    if not any(open_sides):
        return _enclosed(things, inside)
    left, top, right, bottom = (int(side) for side in open_sides)
    within = np.asarray(cv2.copyMakeBorder(inside, top, bottom, left, right, cv2.BORDER_REPLICATE), np.uint8)
    framed = within.copy()
    window = slice(top, framed.shape[0] - bottom), slice(left, framed.shape[1] - right)
    framed[window] = things
    return _enclosed(framed, within)[window]


def _enclosed(things: Plane, inside: Plane) -> Plane:
    for _ in range(_ENCLOSING_ROUNDS):
        whole = either(things, both(both(_between(things, axis=1), _between(things, axis=0)), inside))
        if count(whole) == count(things):
            break
        things = whole
    return things


def _between(mask: Plane, *, axis: int) -> Plane:
    """Return where the mask is set on both sides along an axis, or at the pixel itself."""
    before = np.maximum.accumulate(mask, axis=axis)
    after = np.flip(np.maximum.accumulate(np.flip(mask, axis), axis=axis), axis)
    return np.minimum(before, after)


def merge_boxes(boxes: Boxes) -> Boxes:
    """Merge boxes ``(N, 4)`` that belong to one thing; largest first.

    Two belong together when the gap between them is small beside the smaller of the two, or when they overlap by a
    good part of the smaller.
    """
    merged = [box.copy() for box in boxes]
    again = True
    while again:
        again = False
        merged.sort(key=box_area, reverse=True)
        for index, box in enumerate(merged):
            partner = next((k for k in range(index + 1, len(merged)) if _belong_together(box, merged[k])), None)
            if partner is not None:
                other = merged.pop(partner)
                box[:2] = np.minimum(box[:2], other[:2])
                box[2:] = np.maximum(box[2:], other[2:])
                again = True
                break
    return np.array(merged, np.float32).reshape(-1, 4)


def _belong_together(first: Boxes, second: Boxes) -> bool:
    """``first`` is the larger. A fragment joins from further off than a neighbour of like size does."""
    gap_x = max(float(first[0] - second[2]), float(second[0] - first[2]))
    gap_y = max(float(first[1] - second[3]), float(second[1] - first[3]))
    smaller = box_area(second)
    alike = smaller >= _ALIKE_SHARE * box_area(first)
    if gap_x < 0.0 and gap_y < 0.0:
        return gap_x * gap_y >= (_OVERLAP_ALIKE if alike else _OVERLAP_FRAGMENT) * smaller
    length = max(float(second[2] - second[0]), float(second[3] - second[1]))
    stacked = gap_x <= -_STACKED_SHARE * float(second[2] - second[0])
    share = _GAP_FRAGMENT if not alike else _GAP_STACKED if stacked else _GAP_ALIKE
    return max(gap_x, gap_y) <= max(_LEAST_GAP_PX, share * length)
