"""Motion against an adaptive background: the default, with no model and nothing to tune.

A frame is shrunk, the change of light taken out, and compared with a per-pixel background that knows its own noise.
What differs is gathered into blobs; light, shadows, ghosts and specks are sorted out; the rest is motion.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_agent.motion.background import Background
from edge_agent.motion.regions import Blob, around, despeckle, fill_bodies, find_blobs, mask_of, merge_boxes
from edge_agent.motion.settings import MotionSettings
from edge_agent.motion.surfaces import has_left, lit_within, only_lit
from edge_agent.types import Boxes, Luma, Motion

Plane = NDArray[np.uint8]

_NOTHING: Boxes = np.empty((0, 4), np.float32)
_USUAL_STEP_S = 0.04
_LONGEST_STEP_S = 1.0
_JUMP_WITHIN_S = 0.4
_JUMP_FROM_SHARE = 0.25
_LEAST_BLOB_PX = 6
_REACH_PX = 3
_CERTAIN_AREAS = 25.0
"""A blob this many times the least area counts at once; a smaller one must be there in two frames running."""
_RESTED_SHARE = 0.6
_GHOST_AFTER_S = 0.4
_GHOST_EVERY_S = 0.2
_KERNEL_3 = np.ones((3, 3), np.uint8)
_KERNEL_7 = np.ones((7, 7), np.uint8)


@dataclass(frozen=True, slots=True)
class Changes:
    """What differs from the background in one frame; planes are 255 where so."""

    changed: Plane
    lit: Plane
    """Of this, what only the light explains."""
    bodies: Plane
    """What moves, filled."""
    boxes: Boxes
    """``(N, 4)`` working pixels, one a body."""


class AdaptiveBackground:
    """Finds motion in one camera's brightness planes. Starts with the second frame."""

    def __init__(self, *, settings: MotionSettings | None = None) -> None:
        self._settings = settings or MotionSettings()
        self.reset()

    def reset(self) -> None:
        """Forget the scene, as after a reconnect or a change of view."""
        self._background: Background | None = None
        self._frame_shape: tuple[int, ...] = ()
        self._working_size = (0, 0)
        self._watched: Plane | None = None
        self._watched_px = 1
        self._least_area_px = 1.0
        self._foreground: Plane | None = None
        self._bodies_before: Plane | None = None
        self._time_s = 0.0
        self._calm_s = 0.0
        self._ghosts_checked_s = 0.0
        self._moved_s = -np.inf
        self._left_picture = False

    def update(self, luma: Luma, *, time_s: float) -> Motion:
        """Compare one frame with the background; ``time_s`` is the frame's own time and should not run backwards."""
        background = self._background
        if background is None or luma.shape != self._frame_shape:
            self._start(luma, time_s=time_s)
            return self._idle()
        small = self._shrink(luma)
        step_s = time_s - self._time_s
        step_s = min(step_s, _LONGEST_STEP_S) if step_s > 0.0 else _USUAL_STEP_S
        self._time_s = time_s

        background.follow_light(small, self._foreground, step_s=step_s)
        sure, perhaps = background.changed(small)
        sure = despeckle(sure)
        sure_px = cv2.countNonZero(sure)
        if self._light_jumped(sure_px):
            background.learn_anew(small)
            self._foreground = self._bodies_before = None
            return self._idle()
        changes = self._changes(background, small, sure, perhaps) if sure_px >= _LEAST_BLOB_PX else None
        boxes = self._steady(changes.bodies, changes.boxes) if changes else _NOTHING
        self._bodies_before = changes.bodies if changes else None
        if changes is None:
            self._foreground = None
            background.learn(small, None, step_s=step_s)
            return self._idle()
        self._foreground = cv2.dilate(cv2.subtract(changes.changed, changes.lit), _KERNEL_3)
        background.learn(small, self._foreground, step_s=step_s)
        return self._motion(background, changes.bodies, boxes) if len(boxes) else self._idle()

    def _start(self, luma: Luma, *, time_s: float) -> None:
        self.reset()
        settings = self._settings
        height, width = luma.shape
        scale = min(1.0, settings.working_width_px / max(width, height))
        self._frame_shape = luma.shape
        self._working_size = (max(1, round(width * scale)), max(1, round(height * scale)))
        self._watched = _watched(settings, self._working_size)
        pixels = self._working_size[0] * self._working_size[1]
        self._watched_px = pixels if self._watched is None else max(1, cv2.countNonZero(self._watched))
        self._least_area_px = max(float(_LEAST_BLOB_PX), settings.min_area_ratio * pixels)
        self._time_s = self._calm_s = self._ghosts_checked_s = time_s
        self._background = Background(
            self._shrink(luma),
            threshold_levels=settings.threshold,
            noise_factor=settings.noise_factor,
            learning_time_s=settings.learning_time_s,
            watched=self._watched,
        )

    def _shrink(self, luma: Luma) -> Plane:
        """Halve by averaging while that is still large enough, then interpolate the rest."""
        width, height = self._working_size
        shrunk = luma
        while shrunk.shape[1] >= 2 * width and shrunk.shape[0] >= 2 * height:
            half = (shrunk.shape[1] // 2, shrunk.shape[0] // 2)
            even = shrunk[: half[1] * 2, : half[0] * 2]
            shrunk = cv2.resize(even, half, interpolation=cv2.INTER_AREA)
        if shrunk.shape != (height, width):
            shrunk = cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_LINEAR)
        elif shrunk is luma:
            shrunk = luma.copy()
        return shrunk

    def _light_jumped(self, sure_px: int) -> bool:
        """Tell whether more of the picture than the jump ratio changed within a few frames of calm."""
        share = sure_px / self._watched_px
        if share < self._settings.lighting_jump_ratio * _JUMP_FROM_SHARE:
            self._calm_s = self._time_s
        return share > self._settings.lighting_jump_ratio and self._time_s - self._calm_s <= _JUMP_WITHIN_S

    def _changes(self, background: Background, small: Plane, sure: Plane, perhaps: Plane) -> Changes | None:
        """Sort what differs from the background into moving bodies and mere light; None where nothing differs."""
        if background.restore_former(small, perhaps):
            sure, perhaps = background.changed(small)
            sure = despeckle(sure)
        least_sure_px = max(_LEAST_BLOB_PX, round(self._least_area_px / 2.0))
        labels, blobs = find_blobs(sure, perhaps, min_sure_px=least_sure_px)
        blobs = [blob for blob in blobs if blob.area_px >= self._least_area_px]
        blobs = [blob for blob in blobs if not self._absorb_rested(background, small, blob, labels)]
        if not blobs:
            return None
        changed = mask_of(labels, blobs)
        self._heal_ghosts(background, small, changed)
        lit = self._lit(background, small, labels, blobs)
        bodies, boxes = fill_bodies(changed, lit, least_area_px=self._least_area_px)
        return Changes(
            changed=changed, lit=cv2.subtract(cv2.bitwise_and(changed, lit), bodies), bodies=bodies, boxes=boxes
        )

    def _lit(self, background: Background, small: Plane, labels: NDArray[np.int32], blobs: list[Blob]) -> Plane:
        """Return where light alone explains the change (255), judged pixel by pixel and blob by blob."""
        window = around(blobs, small.shape)
        lit = np.zeros_like(small)
        lit[window] = only_lit(background.image[window], small[window], background.limit[window])
        for blob in blobs:
            part = blob.window
            inside = np.where(labels[part] == blob.label, np.uint8(255), np.uint8(0))
            explained = lit_within(background.image[part], small[part], background.limit[part], inside)
            if explained is not None:
                lit[part] |= explained
        return lit

    def _steady(self, bodies: Plane, boxes: Boxes) -> Boxes:
        """Return the boxes of bodies that are large, or that touch what moved in the frame before."""
        kept: list[bool] = []
        for left, top, right, bottom in boxes.astype(int):
            part = bodies[top:bottom, left:right]
            reach = (
                slice(max(0, top - _REACH_PX), bottom + _REACH_PX),
                slice(max(0, left - _REACH_PX), right + _REACH_PX),
            )
            steady = cv2.countNonZero(part) >= _CERTAIN_AREAS * self._least_area_px or (
                self._bodies_before is not None and cv2.countNonZero(self._bodies_before[reach]) > 0
            )
            kept.append(steady)
        return boxes[kept]

    def _absorb_rested(self, background: Background, small: Plane, blob: Blob, labels: NDArray[np.int32]) -> bool:
        """Make background of a blob that has come to rest, all of it at once so that no fragments stay behind."""
        part = blob.window
        inside = labels[part] == blob.label
        rested_s = background.rested_s[part][inside]
        if np.count_nonzero(rested_s >= self._settings.absorb_time_s) < _RESTED_SHARE * blob.area_px:
            return False
        where = np.zeros_like(small)
        where[part][inside] = 255
        background.absorb(cv2.dilate(where, _KERNEL_3), small, remember=True)
        return True

    def _heal_ghosts(self, background: Background, small: Plane, mask: Plane) -> bool:
        """Take resting areas whose outline is gone from the frame out of ``mask``, into the background."""
        if self._time_s - self._ghosts_checked_s < _GHOST_EVERY_S:
            return False
        self._ghosts_checked_s = self._time_s
        resting = cv2.bitwise_and(cv2.compare(background.rested_s, _GHOST_AFTER_S, cv2.CMP_GE), mask)
        if cv2.countNonZero(resting) < self._least_area_px:
            return False
        count, labels, stats, _ = cv2.connectedComponentsWithStats(resting, connectivity=8, ltype=cv2.CV_32S)
        healed = False
        for label in range(1, count):
            if stats[label, cv2.CC_STAT_AREA] < self._least_area_px:
                continue
            inside = np.where(labels == label, np.uint8(255), np.uint8(0))
            if has_left(background.image, small, inside, mask):
                gone = cv2.dilate(inside, _KERNEL_7)
                background.absorb(gone, small, remember=False)
                mask[gone > 0] = 0
                healed = True
        return healed

    def _touch_border(self, boxes: Boxes) -> bool:
        """Tell whether every box reaches the edge of the picture, where things leave at once and for good."""
        width, height = self._working_size
        inner = (boxes[:, 0] > 1) & (boxes[:, 1] > 1) & (boxes[:, 2] < width - 1) & (boxes[:, 3] < height - 1)
        return not bool(inner.any())

    def _idle(self) -> Motion:
        held = not self._left_picture and self._time_s - self._moved_s <= self._settings.hold_s + 1e-6
        return Motion(active=held, intensity=0.0, area_ratio=0.0, regions=_NOTHING)

    def _motion(self, background: Background, mask: Plane, boxes: Boxes) -> Motion:
        self._moved_s = self._time_s
        self._left_picture = self._touch_border(boxes)
        frame_height, frame_width = self._frame_shape
        width, height = self._working_size
        scale = np.array((frame_width / width, frame_height / height) * 2, np.float32)
        return Motion(
            active=True,
            intensity=cv2.mean(background.difference, mask)[0] / 255.0,
            area_ratio=min(1.0, cv2.countNonZero(mask) / self._watched_px),
            regions=merge_boxes(boxes) * scale,
            mask=mask,
        )


def _watched(settings: MotionSettings, size: tuple[int, int]) -> Plane | None:
    """Return 255 where motion counts, or None where it counts everywhere."""
    if not settings.ignore:
        return None
    width, height = size
    watched = np.full((height, width), 255, np.uint8)
    corners = [
        np.array([(round(p.x * width * 16), round(p.y * height * 16)) for p in polygon], np.int32)
        for polygon in settings.ignore
    ]
    for polygon in corners:
        cv2.fillPoly(watched, [polygon], 0, shift=4)
    return watched
