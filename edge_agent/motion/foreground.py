"""Classifies differences from the background: moving bodies, light and shadow, ghosts, objects that have stopped."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_agent.motion.background import Background
from edge_agent.motion.image_ops import (
    Labels,
    Plane,
    both,
    count,
    despeckled,
    dilated,
    either,
    eroded,
    mask_where,
    minus,
)
from edge_agent.motion.regions import Blob, enclosed, fill_bodies, find_blobs, mask_of, window_around
from edge_agent.motion.settings import MotionSettings
from edge_agent.motion.shadow_filter import has_left, has_outline, lit_within, only_lit
from edge_agent.types import Boxes

LARGE_BODY_RATIO = 25.0
"""A body counts as large from this multiple of the minimum area. A large stopped object is absorbed last."""
REMEMBER_STOPPED_S = 600.0
"""Seconds for which the background behind an absorbed object is remembered."""

_MIN_BLOB_PX = 6
_RESTED_SHARE = 0.6
"""Minimum fraction of a blob's pixels that must be unchanged for the blob to count as stopped."""
_MIN_ABSORB_SHARE = 0.25
"""Fraction of ``absorb_time_s`` after which the smallest blobs are absorbed."""
_REMEMBER_GHOST_S = 10.0
"""The same as ``REMEMBER_STOPPED_S`` for a ghost, in case it was an object after all."""
_GHOST_AFTER_S = 0.4
_GHOST_CHECK_INTERVAL_S = 0.2


@dataclass(frozen=True, slots=True)
class MinArea:
    """Minimum sizes of a moving body, in working pixels."""

    body_px: float
    strong_px: int
    """Minimum number of pixels in the strong mask."""

    @staticmethod
    def of(settings: MotionSettings, *, image_px: int) -> MinArea:
        """Return the minimum sizes for an image of this many pixels."""
        body_px = max(float(_MIN_BLOB_PX), settings.min_area_ratio * image_px)
        return MinArea(body_px=body_px, strong_px=max(_MIN_BLOB_PX, round(body_px / 2.0)))


@dataclass(frozen=True, slots=True)
class Changes:
    """What differs from the background in one frame. All masks have the working size."""

    objects: Plane
    """Mask of the changes that light does not explain."""
    lit: Plane
    """Mask of the changes that light explains."""
    bodies: Plane
    """Mask of the moving bodies, filled."""
    boxes: Boxes
    """``(N, 4)`` working pixels, one box per body."""


class ForegroundClassifier:
    """Separates moving bodies from light, and adds stopped objects and ghosts to the background."""

    def __init__(self, settings: MotionSettings, min_area: MinArea, *, time_s: float) -> None:
        self._settings = settings
        self.min_area = min_area
        self._ghosts_checked_s = time_s

    def find_bodies(self, strong: Plane, weak: Plane) -> tuple[Plane, Boxes]:
        """Return the filled mask and the boxes ``(N, 4)`` of all changes, without changing the background."""
        labels, blobs = self._blobs(strong, weak)
        if not blobs:
            return np.zeros_like(strong), np.empty((0, 4), np.float32)
        return fill_bodies(mask_of(labels, blobs), eroded(either(strong, weak)), min_area_px=self.min_area.body_px)

    def classify(
        self, background: Background, frame: Plane, strong: Plane, weak: Plane, *, time_s: float
    ) -> Changes | None:
        """Classify the changes in a frame; return None if nothing has changed or all of it was absorbed."""
        if background.restore_former(frame, weak):
            strong, weak = background.changed(frame)
            strong = despeckled(strong)
        labels, blobs = self._blobs(strong, weak)
        blobs = [blob for blob in blobs if not self._absorb_stopped(background, frame, blob, labels)]
        if not blobs:
            return None
        changed = mask_of(labels, blobs)
        lit = both(changed, _lit(background, frame, labels, blobs))
        objects = _with_panels(minus(changed, lit), labels, blobs)
        lit = minus(lit, objects)
        if time_s - self._ghosts_checked_s >= _GHOST_CHECK_INTERVAL_S:
            self._ghosts_checked_s = time_s
            objects = self._without_ghosts(background, frame, objects, labels, blobs)
        bodies, boxes = fill_bodies(objects, eroded(either(strong, weak)), min_area_px=self.min_area.body_px)
        bodies, boxes = _with_sharp_outline(background, bodies, boxes)
        return Changes(objects=either(objects, bodies), lit=minus(lit, bodies), bodies=bodies, boxes=boxes)

    def _blobs(self, strong: Plane, weak: Plane) -> tuple[Labels, list[Blob]]:
        return find_blobs(strong, weak, min_area_px=self.min_area.body_px, min_strong_px=self.min_area.strong_px)

    def _absorb_stopped(self, background: Background, frame: Plane, blob: Blob, labels: Labels) -> bool:
        """Make a stopped blob background, all of it at once so that no fragments remain; return whether it was done.

        Small blobs are absorbed earlier: they are more often remainders than parked vehicles.
        """
        inside = blob.pixels(labels)
        size = min(1.0, blob.area_px / (LARGE_BODY_RATIO * self.min_area.body_px))
        wait_s = self._settings.absorb_time_s * (_MIN_ABSORB_SHARE + (1.0 - _MIN_ABSORB_SHARE) * size)
        rested = background.rested_s[blob.window] >= wait_s
        if np.count_nonzero(rested & (inside > 0)) < _RESTED_SHARE * blob.area_px:
            return False
        where = np.zeros_like(frame)
        where[blob.window] = inside
        background.absorb(dilated(where), frame, remember_s=REMEMBER_STOPPED_S)
        return True

    def _without_ghosts(
        self, background: Background, frame: Plane, objects: Plane, labels: Labels, blobs: list[Blob]
    ) -> Plane:
        """Absorb ghosts, which only the background still shows; return the remaining objects.

        A uniform panel of a moving object also rests and hides what is behind it. The outline of a ghost is therefore
        compared with everything that changed around it, light included, unless all of that rests.
        """
        resting = both(mask_where(background.rested_s >= _GHOST_AFTER_S), objects)
        if count(resting) < self.min_area.body_px:
            return objects
        min_px = self.min_area.strong_px
        part_labels, parts = find_blobs(resting, resting, min_area_px=min_px, min_strong_px=min_px)
        around = objects.copy()
        for blob in blobs:
            inside = blob.pixels(labels)
            own = both(inside, objects[blob.window])
            if count(both(own, resting[blob.window])) < _RESTED_SHARE * count(own):
                around[blob.window] |= inside
        for part in parts:
            inside = mask_of(part_labels, [part])
            if has_left(background.image, frame, inside, around):
                ghost = dilated(inside, 7)
                background.absorb(ghost, frame, remember_s=_REMEMBER_GHOST_S)
                objects = minus(objects, ghost)
        return objects


def _with_panels(objects: Plane, labels: Labels, blobs: list[Blob]) -> Plane:
    """Add the parts of each blob that its objects enclose: a uniform panel alone looks like a change of light."""
    whole = objects.copy()
    for blob in blobs:
        inside = blob.pixels(labels)
        own = both(objects[blob.window], inside)
        whole[blob.window] |= enclosed(own, inside, open_sides=blob.open_sides(objects.shape))
    return whole


def _lit(background: Background, frame: Plane, labels: Labels, blobs: list[Blob]) -> Plane:
    """Return where light alone explains the change, tested for each pixel and for each blob."""
    window = window_around(blobs, frame.shape)
    lit = np.zeros_like(frame)
    lit[window] = only_lit(background.image[window], frame[window], background.limit[window])
    for blob in blobs:
        part = blob.window
        explained = lit_within(background.image[part], frame[part], background.limit[part], blob.pixels(labels))
        if explained is not None:
            lit[part] |= explained
    return lit


def _with_sharp_outline(background: Background, bodies: Plane, boxes: Boxes) -> tuple[Plane, Boxes]:
    """Drop the bodies without any sharp border: light, or an object close to the lens."""
    kept: list[int] = []
    for row, (left, top, right, bottom) in enumerate(boxes.astype(int).tolist()):
        window = slice(max(0, top - 4), bottom + 4), slice(max(0, left - 4), right + 4)
        if has_outline(
            background.image[window], background.difference[window], background.limit[window], bodies[window]
        ):
            kept.append(row)
    if len(kept) == len(boxes):
        return bodies, boxes
    sharp = np.zeros_like(bodies)
    for left, top, right, bottom in boxes[kept].astype(int).tolist():
        sharp[top:bottom, left:right] = bodies[top:bottom, left:right]
    return sharp, boxes[kept]
