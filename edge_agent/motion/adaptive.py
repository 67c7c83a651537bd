"""Motion detection with an adaptive background: the default detector, which needs no model and no tuning.

For each frame: downscale it, compensate for the change of light, compare it with a background that has a noise estimate
for each pixel, collect the changed pixels into blobs, and reject light, shadows, ghosts and specks.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import cv2
import numpy as np

from edge_agent.motion.background import Background
from edge_agent.motion.confirmation import MotionConfirmation
from edge_agent.motion.foreground import REMEMBER_STOPPED_S, Changes, ForegroundClassifier, MinArea
from edge_agent.motion.image_ops import Plane, above, both, count, despeckled, dilated, distance, either
from edge_agent.motion.preprocess import shrink, watched_area, working_size
from edge_agent.motion.regions import merge_boxes
from edge_agent.motion.settings import MotionSettings
from edge_agent.motion.sudden_change import SuddenChange, Verdict
from edge_agent.motion.view_motion import Shift, ViewMotion
from edge_agent.types import Boxes, Luma, Motion, ViewChange

_NO_REGIONS: Boxes = np.empty((0, 4), np.float32)
_DEFAULT_STEP_S = 0.04
_MAX_STEP_S = 5.0
_SETTLING_S = 1.0
"""After the whole image was replaced, the background is learned quickly and nothing is reported for this long."""
_UNSETTLED_SHARE = 0.15
"""Fraction of the image: if more than this differs while settling, the image is not settled yet."""
_TIME_TOLERANCE_S = 1e-6


class MotionDetector(Protocol):
    """Detects motion in one camera's frames, in order. Use one instance per camera, in one thread at a time."""

    def update(self, luma: Luma, *, time_s: float) -> Motion:
        """Return the motion in this frame; ``time_s`` is the frame's time on the steady clock of its source."""
        ...

    def reset(self) -> None:
        """Forget the scene, as after a reconnect or a change of view."""
        ...


class AdaptiveBackground:
    """A ``MotionDetector`` with an adaptive background. It reports motion from the second frame on."""

    def __init__(self, *, settings: MotionSettings | None = None) -> None:
        self._settings = settings or MotionSettings()
        self.reset()

    def reset(self) -> None:
        """Forget the scene, as after a reconnect or a change of view."""
        self._background: Background | None = None
        self._frame_shape: tuple[int, ...] = ()
        self._size = (0, 0)
        self._watched_px = 1
        self._foreground: Plane | None = None
        self._time_s = 0.0
        self._previous: Plane | None = None
        self._min_area = MinArea.of(self._settings, image_px=0)
        self._classifier = ForegroundClassifier(self._settings, self._min_area, time_s=0.0)
        self._start_confirmation(time_s=0.0)
        self._sudden = SuddenChange(overwhelming_share=self._settings.lighting_jump_ratio)
        self._view = ViewMotion()
        self._settled_at_s = -np.inf
        self._was_active = False
        self._held_back: Motion | None = None
        self._moved_s = -np.inf
        self._left_picture = False

    def update(self, luma: Luma, *, time_s: float) -> Motion:
        """Compare one frame with the background; ``time_s`` is the frame's own time and should not run backwards.

        If the frame size changes, the background is resized, since the scene is the same.
        """
        if self._background is None:
            self._start(luma, time_s=time_s)
            return self._idle()
        resized = None if luma.shape == self._frame_shape else self._resize(luma.shape, self._background)
        motion = self._compare(self._background, shrink(luma, self._size), time_s=time_s)
        if resized is None:
            return motion
        view_change = resized if motion.view_change is None else resized.then(motion.view_change)
        return replace(motion, view_change=view_change)

    def _compare(self, background: Background, small: Plane, *, time_s: float) -> Motion:
        step_s = time_s - self._time_s
        step_s = min(step_s, _MAX_STEP_S) if step_s > 0.0 else _DEFAULT_STEP_S
        self._time_s = time_s
        before, self._previous = self._previous, small
        if self._sudden.waiting:
            background.undo_light()
        lighting = background.follow_light(small, self._foreground, step_s=step_s)
        strong, weak = background.changed(small)
        strong = despeckled(strong)
        shift = self._view.estimate_shift(background.image, small, strong, before=before, time_s=time_s)
        if shift is not None:
            return self._follow_view(background, small, shift)
        strong_px, weak_px = count(strong), count(weak)
        if self._view.moving(time_s) or time_s < self._settled_at_s:
            return self._settle(background, small, weak_px / self._watched_px, step_s=step_s)
        waited = self._sudden.waiting
        verdict = self._sudden.judge(
            changed_share=weak_px / self._watched_px,
            strong_share=strong_px / self._watched_px,
            light_levels=lighting.shift_levels,
            changing_share=self._changing_share(background, small, before, weak, weak_px),
            time_s=time_s,
        )
        if verdict is not Verdict.USUAL:
            return self._hold_back(background, small, strong, weak, verdict)
        held_back, self._held_back = self._held_back, None
        changes = None
        if strong_px >= self._min_area.strong_px:
            changes = self._classifier.classify(background, small, strong, weak, time_s=time_s)
        motion = self._update_background(background, small, changes, before=before, step_s=step_s)
        if motion is None:
            return self._idle()
        return replace(motion, held_back=held_back) if waited and self._sudden.has_moved(time_s) else motion

    def _update_background(
        self, background: Background, small: Plane, changes: Changes | None, *, before: Plane | None, step_s: float
    ) -> Motion | None:
        """Update the background outside the changes of a frame; return the motion among the changes, or None."""
        if changes is None:
            self._forget_foreground()
            background.learn(small, step_s=step_s)
            return None
        self._foreground = dilated(changes.objects)
        if before is not None:
            self._confirmation.observe(small, before, changes, background.limit, time_s=self._time_s, step_s=step_s)
        boxes, bodies = self._confirmation.confirm(changes, time_s=self._time_s)
        moving = either(dilated(bodies), changes.lit)
        background.learn(small, foreground=self._foreground, moving=moving, step_s=step_s)
        return self._moving(background, bodies, boxes) if len(boxes) else None

    def _start(self, luma: Luma, *, time_s: float) -> None:
        self.reset()
        watched = self._fit(luma.shape)
        self._time_s = time_s
        self._previous = shrink(luma, self._size)
        self._background = Background(self._previous, settings=self._settings, watched=watched)
        self._classifier = ForegroundClassifier(self._settings, self._min_area, time_s=time_s)
        self._start_confirmation(time_s=time_s)

    def _start_confirmation(self, *, time_s: float) -> None:
        shape = self._size[1], self._size[0]
        self._confirmation = MotionConfirmation(shape, min_area_px=self._min_area.body_px, time_s=time_s)

    def _fit(self, shape: tuple[int, ...]) -> Plane | None:
        """Set the working size and the minimum areas for frames of this shape; return the watched area."""
        height, width = shape
        self._frame_shape = shape
        self._size = working_size(width, height, longer_side_px=self._settings.working_width_px)
        watched = watched_area(self._settings, self._size)
        pixels = self._size[0] * self._size[1]
        self._watched_px = pixels if watched is None else max(1, count(watched))
        self._min_area = MinArea.of(self._settings, image_px=pixels)
        return watched

    def _resize(self, shape: tuple[int, ...], background: Background) -> ViewChange:
        (height_before, width_before), size_before = self._frame_shape, self._size
        watched = self._fit(shape)
        if self._size != size_before:
            background.resize(self._size, watched=watched)
            self._classifier.min_area = self._min_area
            self._start_confirmation(time_s=-np.inf)
            self._foreground = None
        self._previous = None
        return ViewChange(scale_x=shape[1] / width_before, scale_y=shape[0] / height_before)

    def _follow_view(self, background: Background, small: Plane, shift: Shift) -> Motion:
        """Follow a camera that pans: report the shift of the whole image as a view change, not as motion."""
        self._relearn(background, small)
        scale_x, scale_y = self._frame_shape[1] / self._size[0], self._frame_shape[0] / self._size[1]
        change = ViewChange(
            scale_x=shift.zoom, scale_y=shift.zoom, shift_x_px=shift.x * scale_x, shift_y_px=shift.y * scale_y
        )
        return replace(self._idle(), unsettled=True, view_change=change)

    def _settle(self, background: Background, small: Plane, changed_share: float, *, step_s: float) -> Motion:
        """Learn quickly shortly after the view or the light has changed."""
        if self._view.moved_recently(self._time_s):
            return replace(self._idle(), unsettled=True)
        if changed_share > _UNSETTLED_SHARE:
            self._relearn(background, small)
        else:
            background.learn(small, step_s=step_s)
        self._sudden.forget(usual_share=changed_share)
        return replace(self._idle(), unsettled=changed_share > _UNSETTLED_SHARE)

    def _hold_back(self, background: Background, small: Plane, strong: Plane, weak: Plane, verdict: Verdict) -> Motion:
        """Report nothing for a frame with a sudden change; keep its motion until the next frames explain the change."""
        self._held_back = self._possible_motion(background, strong, weak) if verdict is Verdict.WAIT else None
        if verdict is Verdict.RELEARN:
            self._relearn(background, small)
            self._settled_at_s = self._time_s + _SETTLING_S
        elif verdict is Verdict.ABSORB:
            background.absorb(dilated(weak), small, remember_s=REMEMBER_STOPPED_S)
            self._forget_foreground()
        elif self._time_s - self._moved_s <= _MAX_STEP_S and self._was_active:
            # An object that moved before is assumed to move on.
            self._moved_s = self._time_s
        return replace(self._idle(), unsettled=True)

    def _possible_motion(self, background: Background, strong: Plane, weak: Plane) -> Motion | None:
        """Return the motion in a frame if its change is motion; leave the background as it is."""
        bodies, boxes = self._classifier.find_bodies(strong, weak)
        return self._motion_of(background, bodies, boxes) if len(boxes) else None

    def _forget_foreground(self) -> None:
        self._foreground = None
        self._confirmation.forget_bodies()

    def _relearn(self, background: Background, small: Plane) -> None:
        """Replace the background and forget everything that moved."""
        background.relearn(small)
        self._forget_foreground()
        self._sudden.forget()
        self._held_back = None
        self._moved_s = -np.inf

    def _changing_share(
        self, background: Background, small: Plane, before: Plane | None, weak: Plane, weak_px: int
    ) -> float:
        """Return the fraction of the changed area that has changed again since the previous frame.

        The same fraction of the rest of the image, which is noise, is subtracted. 0 while no frames are held back.
        """
        if not self._sudden.waiting or weak_px == 0:
            return 0.0
        if before is None:
            return 1.0
        changed_again = above(distance(small, before), background.limit)
        inside_px, all_px = count(both(changed_again, weak)), count(changed_again)
        return inside_px / weak_px - (all_px - inside_px) / max(1, small.size - weak_px)

    def _idle(self) -> Motion:
        held = not self._left_picture and self._time_s - self._moved_s <= self._settings.hold_s + _TIME_TOLERANCE_S
        self._was_active = held
        return Motion(active=held, intensity=0.0, area_ratio=0.0, regions=_NO_REGIONS)

    def _moving(self, background: Background, bodies: Plane, boxes: Boxes) -> Motion:
        self._moved_s = self._time_s
        self._was_active = True
        width, height = self._size
        # An object that reaches the edge of the image leaves for good, so motion is not held after it.
        inner = (boxes[:, :2] > 1).all(axis=1) & (boxes[:, 2] < width - 1) & (boxes[:, 3] < height - 1)
        self._left_picture = not bool(inner.any())
        return self._motion_of(background, bodies, boxes)

    def _motion_of(self, background: Background, bodies: Plane, boxes: Boxes) -> Motion:
        width, height = self._size
        scale = np.array((self._frame_shape[1] / width, self._frame_shape[0] / height) * 2, np.float32)
        return Motion(
            active=True,
            intensity=cv2.mean(background.difference, bodies)[0] / 255.0,
            area_ratio=min(1.0, count(bodies) / self._watched_px),
            regions=merge_boxes(boxes) * scale,
            mask=bodies,
        )
