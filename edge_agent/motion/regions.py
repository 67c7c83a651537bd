"""Turns foreground masks into moving regions: connected components, filled outlines, merged boxes."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edge_agent.boxes import box_area
from edge_agent.motion.image_ops import Labels, Plane, both, closed, count, despeckled, either, mask_where
from edge_agent.types import Boxes

_MIN_GAP_PX = 2.0
_SIMILAR_SHARE = 0.3
_GAP_FRAGMENT, _GAP_STACKED, _GAP_SIMILAR = 0.3, 0.15, 0.05
"""Maximum gaps that are bridged, as fractions of the smaller box's length: a fragment beside a large box, two boxes of
similar size one above the other (head and legs), two of similar size side by side (two cars)."""
_STACKED_SHARE = 0.7
_OVERLAP_FRAGMENT, _OVERLAP_SIMILAR = 0.3, 0.6
_ENCLOSING_ROUNDS = 2
"""A panel that is found may enclose another one."""
_MIN_OBJECT_SHARE = 0.2
"""Minimum fraction of a changed area that light does not explain; below it, the area is a shadow with specks."""

Sides = tuple[bool, bool, bool, bool]
"""Left, top, right, bottom."""


@dataclass(frozen=True, slots=True)
class Blob:
    """One connected component of the foreground, in working pixels."""

    label: int
    left: int
    top: int
    width: int
    height: int
    area_px: int

    @property
    def window(self) -> tuple[slice, slice]:
        """The rows and columns of the bounding box."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)

    def open_sides(self, shape: tuple[int, ...]) -> Sides:
        """Return which sides (left, top, right, bottom) are at the edge of an image of this shape."""
        bottom, right = self.top + self.height, self.left + self.width
        return self.left == 0, self.top == 0, right == shape[1], bottom == shape[0]

    def pixels(self, labels: Labels) -> Plane:
        """Return the mask of the blob inside its window."""
        return mask_where(labels[self.window] == self.label)


def find_blobs(strong: Plane, weak: Plane, *, min_area_px: float, min_strong_px: int) -> tuple[Labels, list[Blob]]:
    """Return the label plane and the blobs: connected pixels of both masks with enough area and strong pixels."""
    joined = closed(either(strong, weak))
    labels = np.zeros(joined.shape, np.uint16)
    x, y, width, height = cv2.boundingRect(joined)
    part = slice(y, y + height), slice(x, x + width)
    if width == 0:
        return labels, []
    _, labels[part], stats, _ = cv2.connectedComponentsWithStats(joined[part], connectivity=8, ltype=cv2.CV_16U)
    blobs: list[Blob] = []
    large = np.flatnonzero(stats[1:, cv2.CC_STAT_AREA] >= min_area_px) + 1
    for label in large.tolist():
        left, top, width, height, area = stats[label].tolist()
        blob = Blob(label=label, left=x + left, top=y + top, width=width, height=height, area_px=area)
        if count(both(blob.pixels(labels), strong[blob.window])) >= min_strong_px:
            blobs.append(blob)
    return labels, blobs


def mask_of(labels: Labels, blobs: list[Blob]) -> Plane:
    """Return the mask of these blobs."""
    mask = np.zeros(labels.shape, np.uint8)
    for blob in blobs:
        mask[blob.window] |= blob.pixels(labels)
    return mask


def window_around(blobs: list[Blob], shape: tuple[int, ...], *, margin_px: int = 4) -> tuple[slice, slice]:
    """Return the window that contains all blobs and a margin."""
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


def fill_bodies(objects: Plane, thick: Plane, *, min_area_px: float) -> tuple[Plane, Boxes]:
    """Close the mask of objects and fill its outlines; return the filled mask and the boxes ``(N, 4)`` of the bodies.

    A body has at least ``min_area_px`` and some pixels of the eroded mask ``thick``; streaks of rain have none.
    """
    solid = closed(despeckled(objects), 5)
    contours, _ = cv2.findContours(solid, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    filled = np.zeros_like(objects)
    boxes: list[tuple[int, int, int, int]] = []
    for contour in contours:
        left, top, width, height = cv2.boundingRect(contour)
        if width * height < min_area_px:
            continue
        cv2.drawContours(filled, [contour], 0, 255, cv2.FILLED)
        window = slice(top, top + height), slice(left, left + width)
        part = filled[window]
        if count(part) < min_area_px or count(both(part, thick[window])) == 0:
            cv2.drawContours(filled, [contour], 0, 0, cv2.FILLED)
            continue
        boxes.append((left, top, left + width, top + height))
    return filled, np.array(boxes, np.float32).reshape(-1, 4)


def enclosed(objects: Plane, inside: Plane, *, open_sides: Sides) -> Plane:
    """Return ``objects`` and the pixels of ``inside`` that they enclose in both directions: uniform panels of a body.

    Shadows lie outside of a body, or between two bodies with nothing above or below. ``open_sides`` are the sides at
    which the window ends at the edge of the image, where a body may continue. A few specks enclose nothing.
    """
    if count(objects) < _MIN_OBJECT_SHARE * count(inside):
        return objects
    if not any(open_sides):
        return _enclosed(objects, inside)
    left, top, right, bottom = (int(side) for side in open_sides)
    within = np.asarray(cv2.copyMakeBorder(inside, top, bottom, left, right, cv2.BORDER_REPLICATE), np.uint8)
    framed = within.copy()
    window = slice(top, framed.shape[0] - bottom), slice(left, framed.shape[1] - right)
    framed[window] = objects
    return _enclosed(framed, within)[window]


def _enclosed(objects: Plane, inside: Plane) -> Plane:
    for _ in range(_ENCLOSING_ROUNDS):
        whole = either(objects, both(both(_between(objects, axis=1), _between(objects, axis=0)), inside))
        if count(whole) == count(objects):
            break
        objects = whole
    return objects


def _between(mask: Plane, *, axis: int) -> Plane:
    """Return the mask of the pixels that lie between set pixels along an axis, or are set themselves."""
    before = np.maximum.accumulate(mask, axis=axis)
    after = np.flip(np.maximum.accumulate(np.flip(mask, axis), axis=axis), axis)
    return np.minimum(before, after)


def merge_boxes(boxes: Boxes) -> Boxes:
    """Merge the boxes ``(N, 4)`` of one object; return the merged boxes, largest first.

    Two boxes are merged if the gap between them is small compared with the smaller box, or if they overlap by a large
    part of the smaller box.
    """
    merged = [box.copy() for box in boxes]
    changed = True
    while changed:
        changed = False
        merged.sort(key=box_area, reverse=True)
        for index, box in enumerate(merged):
            partner = next((k for k in range(index + 1, len(merged)) if _is_same_object(box, merged[k])), None)
            if partner is not None:
                other = merged.pop(partner)
                box[:2] = np.minimum(box[:2], other[:2])
                box[2:] = np.maximum(box[2:], other[2:])
                changed = True
                break
    return np.array(merged, np.float32).reshape(-1, 4)


def _is_same_object(first: Boxes, second: Boxes) -> bool:
    """``first`` is the larger box. A fragment may be farther away than a neighbour of similar size."""
    gap_x = max(float(first[0] - second[2]), float(second[0] - first[2]))
    gap_y = max(float(first[1] - second[3]), float(second[1] - first[3]))
    smaller = box_area(second)
    similar = smaller >= _SIMILAR_SHARE * box_area(first)
    if gap_x < 0.0 and gap_y < 0.0:
        return gap_x * gap_y >= (_OVERLAP_SIMILAR if similar else _OVERLAP_FRAGMENT) * smaller
    length = max(float(second[2] - second[0]), float(second[3] - second[1]))
    stacked = gap_x <= -_STACKED_SHARE * float(second[2] - second[0])
    share = _GAP_FRAGMENT if not similar else _GAP_STACKED if stacked else _GAP_SIMILAR
    return max(gap_x, gap_y) <= max(_MIN_GAP_PX, share * length)
