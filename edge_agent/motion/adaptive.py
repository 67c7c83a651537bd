"""Motion against an adaptive background: the default, with no model and nothing to tune.

A frame is shrunk, the change of light taken out, and compared with a per-pixel background that knows its own noise.
What differs is gathered into blobs; light, shadows, ghosts and specks are sorted out; the rest is motion.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from edge_agent.motion.background import Background
from edge_agent.motion.displays import Displays
from edge_agent.motion.image_ops import (
    FloatPlane,
    Labels,
    Plane,
    above,
    both,
    count,
    despeckled,
    distance,
    either,
    grown,
    mask_where,
    minus,
    worn,
)
from edge_agent.motion.preprocess import shrink, watched_area, working_size
from edge_agent.motion.regions import Blob, enclosed, fill_bodies, find_blobs, mask_of, merge_boxes, window_around
from edge_agent.motion.settings import MotionSettings
from edge_agent.motion.shadow_filter import has_left, has_outline, lit_within, only_lit
from edge_agent.motion.sudden_change import SuddenChange, Verdict
from edge_agent.motion.view_motion import Shift, ViewMotion
from edge_agent.types import Boxes, Luma, Motion, ViewChange

_NOTHING: Boxes = np.empty((0, 4), np.float32)
_USUAL_STEP_S = 0.04
_LONGEST_STEP_S = 5.0
_SETTLING_S = 1.0
"""How long the background is learnt quickly, and nothing is reported, after the whole picture was replaced."""
_UNSETTLED_SHARE = 0.15
"""Of the picture: when more than this differs while it settles, it is not settled yet."""
_LEAST_BLOB_PX = 6
_REACH_PX = 3
_LARGE_AREAS = 25.0
"""A body this many times the least area counts at once, and is absorbed the latest when it stops."""
_MIN_CHANGING_PX, _MIN_CHANGING_SHARE = 3, 0.01
_CHANGING_WITHIN_S = 0.7
"""Of a body: so much of it must change twice, within so long, for it to move; a clock's seconds change once."""
_RESTED_SHARE = 0.6
_LEAST_ABSORB_SHARE = 0.25
_REMEMBER_STOPPED_S, _REMEMBER_GHOST_S = 600.0, 10.0
"""What something hides that stopped; what a ghost seemed to be, in case it was no ghost."""
_GHOST_AFTER_S = 0.4
_GHOST_EVERY_S = 0.2
_TIME_TOLERANCE_S = 1e-6


@dataclass(frozen=True, slots=True)
class Changes:
    """What differs from the background in one frame."""

    things: Plane
    """Mask of what the light does not explain."""
    lit: Plane
    """Mask of what it does."""
    bodies: Plane
    """Mask of the moving bodies, filled."""
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
        self._size = (0, 0)
        self._watched_px = 1
        self._least_area_px = 1.0
        self._least_sure_px = 1
        self._foreground: Plane | None = None
        self._moved_before: Plane | None = None
        self._time_s = 0.0
        self._frame_before: Plane | None = None
        self._start_displays(time_s=0.0)
        self._sudden = SuddenChange(overwhelming_share=self._settings.lighting_jump_ratio)
        self._view = ViewMotion()
        self._settled_at_s = -np.inf
        self._was_active = False
        self._held_back: Motion | None = None
        self._ghosts_checked_s = 0.0
        self._moved_s = -np.inf
        self._left_picture = False

    def update(self, luma: Luma, *, time_s: float) -> Motion:
        """Compare one frame with the background; ``time_s`` is the frame's own time and should not run backwards.

        A frame of another size than the one before shows the same scene: what is known of it is carried over.
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
        step_s = min(step_s, _LONGEST_STEP_S) if step_s > 0.0 else _USUAL_STEP_S
        self._time_s = time_s
        before, self._frame_before = self._frame_before, small
        if self._sudden.waiting:
            background.undo_light()
        lighting = background.follow_light(small, self._foreground, step_s=step_s)
        sure, perhaps = background.changed(small)
        sure = despeckled(sure)
        shift = self._view.estimate_shift(background.image, small, sure, before=before, time_s=time_s)
        if shift is not None:
            return self._follow_view(background, small, shift)
        sure_px, perhaps_px = count(sure), count(perhaps)
        if self._view.moving(time_s) or time_s < self._settled_at_s:
            return self._settle(background, small, perhaps_px / self._watched_px, step_s=step_s)
        waited = self._sudden.waiting
        verdict = self._sudden.judge(
            changed_share=perhaps_px / self._watched_px,
            sure_share=sure_px / self._watched_px,
            light_levels=lighting.shift_levels,
            changing_share=self._changing_share(background, small, before, perhaps, perhaps_px),
            time_s=time_s,
        )
        if verdict is not Verdict.USUAL:
            return self._hold_back(background, small, sure, perhaps, verdict)
        held_back, self._held_back = self._held_back, None
        changes = self._changes(background, small, sure, perhaps) if sure_px >= self._least_sure_px else None
        if changes is None:
            self._foreground = self._moved_before = None
            background.learn(small, step_s=step_s)
            return self._idle()
        self._foreground = grown(changes.things)
        if before is not None:
            self._changing = above(distance(small, before), background.limit)
            self._displays.learn(small, before, changes.bodies, time_s=time_s, step_s=step_s)
        boxes, bodies = self._steady(changes)
        moving = either(grown(bodies), changes.lit)
        background.learn(small, foreground=self._foreground, moving=moving, step_s=step_s)
        if not len(boxes):
            return self._idle()
        motion = self._moving(background, bodies, boxes)
        return replace(motion, held_back=held_back) if waited and self._sudden.has_moved(time_s) else motion

    def _start(self, luma: Luma, *, time_s: float) -> None:
        self.reset()
        watched = self._fit(luma.shape)
        self._time_s = self._ghosts_checked_s = time_s
        self._frame_before = shrink(luma, self._size)
        self._background = Background(self._frame_before, settings=self._settings, watched=watched)
        self._start_displays(time_s=time_s)

    def _start_displays(self, *, time_s: float) -> None:
        shape = self._size[1], self._size[0]
        self._displays = Displays(shape, time_s=time_s)
        self._changing: Plane = np.zeros(shape, np.uint8)
        self._changed_at_s: FloatPlane = np.full(shape, -np.inf, np.float32)

    def _fit(self, shape: tuple[int, ...]) -> Plane | None:
        """Note all that follows from the frames' shape; return the watched area at the working size."""
        height, width = shape
        self._frame_shape = shape
        self._size = working_size(width, height, longer_side_px=self._settings.working_width_px)
        watched = watched_area(self._settings, self._size)
        pixels = self._size[0] * self._size[1]
        self._watched_px = pixels if watched is None else max(1, count(watched))
        self._least_area_px = max(float(_LEAST_BLOB_PX), self._settings.min_area_ratio * pixels)
        self._least_sure_px = max(_LEAST_BLOB_PX, round(self._least_area_px / 2.0))
        return watched

    def _resize(self, shape: tuple[int, ...], background: Background) -> ViewChange:
        (height_before, width_before), size_before = self._frame_shape, self._size
        watched = self._fit(shape)
        if self._size != size_before:
            background.resize(self._size, watched=watched)
            self._start_displays(time_s=-np.inf)
            self._foreground = self._moved_before = None
        self._frame_before = None
        return ViewChange(scale_x=shape[1] / width_before, scale_y=shape[0] / height_before)

    def _follow_view(self, background: Background, small: Plane, shift: Shift) -> Motion:
        """Go along with a camera that pans: what has shifted as a whole is no motion."""
        self._forget_movers(background, small)
        scale_x, scale_y = self._frame_shape[1] / self._size[0], self._frame_shape[0] / self._size[1]
        change = ViewChange(
            scale_x=shift.zoom, scale_y=shift.zoom, shift_x_px=shift.x * scale_x, shift_y_px=shift.y * scale_y
        )
        return replace(self._idle(), unsettled=True, view_change=change)

    def _settle(self, background: Background, small: Plane, changed_share: float, *, step_s: float) -> Motion:
        """Learn quickly while the view has only just come to rest, or the light has."""
        if self._view.comes_on(self._time_s):
            return replace(self._idle(), unsettled=True)
        if changed_share > _UNSETTLED_SHARE:
            self._forget_movers(background, small)
        else:
            background.learn(small, step_s=step_s)
        self._sudden.forget(usual_share=changed_share)
        return replace(self._idle(), unsettled=changed_share > _UNSETTLED_SHARE)

    def _hold_back(self, background: Background, small: Plane, sure: Plane, perhaps: Plane, verdict: Verdict) -> Motion:
        self._held_back = self._perhaps_moving(background, sure, perhaps) if verdict is Verdict.WAIT else None
        if verdict is Verdict.LEARN_ANEW:
            self._forget_movers(background, small)
            self._settled_at_s = self._time_s + _SETTLING_S
        elif verdict is Verdict.ABSORB:
            background.absorb(grown(perhaps), small, remember_s=_REMEMBER_STOPPED_S)
            self._foreground = self._moved_before = None
        elif self._time_s - self._moved_s <= _LONGEST_STEP_S and self._was_active:
            # Whatever moved before is taken to move on.
            self._moved_s = self._time_s
        return replace(self._idle(), unsettled=True)

    def _perhaps_moving(self, background: Background, sure: Plane, perhaps: Plane) -> Motion | None:
        """Return what moves in a frame that is held back, if it is something that moves; learns nothing from it."""
        labels, blobs = find_blobs(sure, perhaps, least_area_px=self._least_area_px, least_sure_px=self._least_sure_px)
        if not blobs:
            return None
        thick = worn(either(sure, perhaps))
        bodies, boxes = fill_bodies(mask_of(labels, blobs), thick, least_area_px=self._least_area_px)
        return self._motion_of(background, bodies, boxes) if len(boxes) else None

    def _forget_movers(self, background: Background, small: Plane) -> None:
        background.learn_anew(small)
        self._foreground = self._moved_before = None
        self._sudden.forget()
        self._held_back = None
        self._moved_s = -np.inf

    def _changing_share(
        self, background: Background, small: Plane, before: Plane | None, perhaps: Plane, perhaps_px: int
    ) -> float:
        """Return how much of what differs from the background has changed since the frame before, less what noise does:

        the same share of the rest of the picture.
        """
        if not self._sudden.waiting or perhaps_px == 0:
            return 0.0
        if before is None:
            return 1.0
        again = above(distance(small, before), background.limit)
        inside_px, all_px = count(both(again, perhaps)), count(again)
        return inside_px / perhaps_px - (all_px - inside_px) / max(1, small.size - perhaps_px)

    def _changes(self, background: Background, small: Plane, sure: Plane, perhaps: Plane) -> Changes | None:
        """Sort what differs from the background into moving bodies and mere light; None where nothing differs."""
        if background.restore_former(small, perhaps):
            sure, perhaps = background.changed(small)
            sure = despeckled(sure)
        labels, blobs = find_blobs(sure, perhaps, least_area_px=self._least_area_px, least_sure_px=self._least_sure_px)
        blobs = [blob for blob in blobs if not self._absorb_rested(background, small, blob, labels)]
        if not blobs:
            return None
        changed = mask_of(labels, blobs)
        lit = both(changed, _lit(background, small, labels, blobs))
        things = _with_panels(minus(changed, lit), labels, blobs)
        lit = minus(lit, things)
        things = self._without_ghosts(background, small, things, labels, blobs)
        bodies, boxes = fill_bodies(things, worn(either(sure, perhaps)), least_area_px=self._least_area_px)
        bodies, boxes = _with_outline(background, bodies, boxes)
        return Changes(things=either(things, bodies), lit=minus(lit, bodies), bodies=bodies, boxes=boxes)

    def _absorb_rested(self, background: Background, small: Plane, blob: Blob, labels: Labels) -> bool:
        """Make background of a blob that has come to rest, all of it at once so that no fragments stay behind.

        The smaller it is, the sooner: a remainder of something is of less interest than a parked car.
        """
        inside = blob.pixels(labels)
        size = min(1.0, blob.area_px / (_LARGE_AREAS * self._least_area_px))
        wait_s = self._settings.absorb_time_s * (_LEAST_ABSORB_SHARE + (1.0 - _LEAST_ABSORB_SHARE) * size)
        rested = background.rested_s[blob.window] >= wait_s
        if np.count_nonzero(rested & (inside > 0)) < _RESTED_SHARE * blob.area_px:
            return False
        where = np.zeros_like(small)
        where[blob.window] = inside
        background.absorb(grown(where), small, remember_s=_REMEMBER_STOPPED_S)
        return True

    def _without_ghosts(
        self, background: Background, small: Plane, things: Plane, labels: Labels, blobs: list[Blob]
    ) -> Plane:
        """Take resting areas that only the background still shows into it as they are now; return the other things.

        An even panel of something that moves rests too, and hides what was there. So all that changed around it counts
        as a thing, light as well, unless all of that rests.
        """
        if self._time_s - self._ghosts_checked_s < _GHOST_EVERY_S:
            return things
        self._ghosts_checked_s = self._time_s
        resting = both(mask_where(background.rested_s >= _GHOST_AFTER_S), things)
        if count(resting) < self._least_area_px:
            return things
        part_labels, parts = find_blobs(
            resting, resting, least_area_px=self._least_sure_px, least_sure_px=self._least_sure_px
        )
        about = things.copy()
        for blob in blobs:
            inside = blob.pixels(labels)
            own = both(inside, things[blob.window])
            if count(both(own, resting[blob.window])) < _RESTED_SHARE * count(own):
                about[blob.window] |= inside
        for part in parts:
            inside = mask_of(part_labels, [part])
            if has_left(background.image, small, inside, about):
                gone = grown(inside, 7)
                background.absorb(gone, small, remember_s=_REMEMBER_GHOST_S)
                things = minus(things, gone)
        return things

    def _steady(self, changes: Changes) -> tuple[Boxes, Plane]:
        """Return boxes and mask of the bodies that move, rather than being there all of a sudden."""
        kept = [row for row, box in enumerate(changes.boxes.astype(int).tolist()) if self._moves(changes.bodies, *box)]
        bodies = changes.bodies
        if len(kept) < len(changes.boxes):
            bodies = bodies.copy()
            for left, top, right, bottom in np.delete(changes.boxes, kept, axis=0).astype(int).tolist():
                bodies[top:bottom, left:right] = 0
        self._moved_before = bodies
        self._changed_at_s[both(self._changing, changes.bodies) > 0] = self._time_s
        return changes.boxes[kept], bodies

    def _moves(self, bodies: Plane, left: int, top: int, right: int, bottom: int) -> bool:
        """Return whether a body is large, goes on from what moved just before, or has changed twice within a moment.

        What changes at once and then stands still (a lamp, a digit) has not moved, nor has what a display shows.
        """
        window = slice(top, bottom), slice(left, right)
        around = slice(max(0, top - _REACH_PX), bottom + _REACH_PX), slice(max(0, left - _REACH_PX), right + _REACH_PX)
        body = bodies[window]
        if self._displays.hold(body, window):
            return False
        if count(body) >= _LARGE_AREAS * self._least_area_px and not self._displays.beside(body, window):
            return True
        if self._moved_before is not None and count(self._moved_before[around]) > 0:
            return True
        least_px = max(_MIN_CHANGING_PX, _MIN_CHANGING_SHARE * count(body))
        changes_again = count(both(self._changing[window], body)) >= least_px
        if not changes_again:
            return False
        again_px = np.count_nonzero(self._changed_at_s[around] >= self._time_s - _CHANGING_WITHIN_S)
        return bool(again_px >= least_px)

    def _idle(self) -> Motion:
        held = not self._left_picture and self._time_s - self._moved_s <= self._settings.hold_s + _TIME_TOLERANCE_S
        self._was_active = held
        return Motion(active=held, intensity=0.0, area_ratio=0.0, regions=_NOTHING)

    def _moving(self, background: Background, bodies: Plane, boxes: Boxes) -> Motion:
        self._moved_s = self._time_s
        self._was_active = True
        width, height = self._size
        # What reached the edge of the picture leaves at once and for good: no need to hold on for it.
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


def _with_panels(things: Plane, labels: Labels, blobs: list[Blob]) -> Plane:
    """Return the things and what they enclose of the same blob: a plain panel, taken by itself, could be light."""
    whole = things.copy()
    for blob in blobs:
        inside = blob.pixels(labels)
        own = both(things[blob.window], inside)
        whole[blob.window] |= enclosed(own, inside, open_sides=blob.open_sides(things.shape))
    return whole


def _lit(background: Background, small: Plane, labels: Labels, blobs: list[Blob]) -> Plane:
    """Return where light alone explains the change, judged pixel by pixel and blob by blob."""
    window = window_around(blobs, small.shape)
    lit = np.zeros_like(small)
    lit[window] = only_lit(background.image[window], small[window], background.limit[window])
    for blob in blobs:
        part = blob.window
        explained = lit_within(background.image[part], small[part], background.limit[part], blob.pixels(labels))
        if explained is not None:
            lit[part] |= explained
    return lit


def _with_outline(background: Background, bodies: Plane, boxes: Boxes) -> tuple[Plane, Boxes]:
    """Leave out the bodies whose border is soft all around: light, or something on the lens."""
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
