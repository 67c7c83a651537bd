"""The adaptive background model: the scene without moving objects, with a noise estimate for each pixel.

Each pixel has a mean that follows slow changes, a variance from which its foreground threshold follows, a *candidate*
(the unchanged value that the foreground has shown there, for how long: a stopped object) and a *former* background (the
value before a stopped object was absorbed, so that no ghost remains when the object leaves).
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_agent.motion.image_ops import (
    FloatPlane,
    Plane,
    above,
    both,
    count,
    dilated,
    distance,
    either,
    eroded,
    inverse,
    mask_where,
    minus,
    plus,
    relit,
    rounded,
    within,
)
from edge_agent.motion.lighting import SAME_LIGHT, Lighting, estimate_lighting
from edge_agent.motion.settings import MotionSettings

_GRID_POINTS = 600
_FIRST_SIGMA = 4.0
_NOISE_FRAMES = 8
"""Weight of the initial noise estimate, in frames."""
_MAX_LIMIT_LEVELS = 70.0
_OVEREXPOSED_LEVELS = 248.0
_LIMIT_REFRESH_S = 0.2
_SETTLING_S = 0.4
_SETTLING_SHARE = 0.12
"""After a change of light, this fraction of it is added to every threshold; it decays within ``_SETTLING_S``."""
_RESIZED_LEVELS = 10.0
_KEPT_FROM_LEVELS = 4.0
"""Minimum change of light, at black or at white, for which the state before it is kept to be restored."""

_Kept = tuple[FloatPlane, Plane, Plane, float]


class Background:
    """The adaptive background of one camera, at the working size."""

    def __init__(self, first: Plane, *, settings: MotionSettings, watched: Plane | None) -> None:
        """``watched`` is 255 where motion is detected and 0 in ignored areas; None means everywhere."""
        self._settings = settings
        self._watched = watched
        self._grid = _grid(first.shape)
        self._nothing: FloatPlane = np.zeros(first.shape, np.float32)
        self._variance: FloatPlane = np.full(first.shape, _FIRST_SIGMA**2, np.float32)
        self._mean: FloatPlane = first.astype(np.float32)
        self._candidate = first.copy()
        self._former = first.copy()
        self._former_until_s: FloatPlane = np.full(first.shape, -np.inf, np.float32)
        self._any_former = False
        self._any_foreground = False
        self._settling_levels = 0.0
        self._limit_age_s = 0.0
        self._frames = 0
        self._time_s = 0.0
        self.rested_s: FloatPlane = np.zeros(first.shape, np.float32)
        """Seconds for which each foreground pixel has been unchanged; 0 elsewhere."""
        self.image = first.copy()
        """The background as an image, in the light of the latest frame."""
        self.difference: Plane = np.zeros(first.shape, np.uint8)
        """Absolute difference of the latest frame from ``image``."""
        self.limit = self._measured_limit()
        """Minimum difference of each pixel, in levels, for it to be foreground."""
        self._kept: _Kept | None = None
        self.relearn(first)

    def relearn(self, frame: Plane) -> None:
        """Use this frame as the background and forget the previous one; the noise estimate is kept."""
        self._mean = frame.astype(np.float32)
        self.image = frame.copy()
        self._frames = 1
        self._forget_foreground()
        self._any_former = False
        self._former_until_s[:] = -np.inf

    def resize(self, size: tuple[int, int], *, watched: Plane | None) -> None:
        """Resize the model to another working size (width, height); the scene is the same."""
        for name in ("_mean", "_variance", "image"):
            setattr(self, name, _resized(getattr(self, name), size, cv2.INTER_AREA))
        for name in ("_candidate", "_former", "_former_until_s", "rested_s"):
            setattr(self, name, _resized(getattr(self, name), size, cv2.INTER_NEAREST))
        width, height = size
        self._watched = watched
        self._grid = _grid(self._mean.shape)
        self._nothing = np.zeros((height, width), np.float32)
        self.difference = np.zeros((height, width), np.uint8)
        self.limit = self._measured_limit()
        self._kept = None
        # Scaling by another factor makes edges sharper or softer.
        self._settling_levels = max(self._settling_levels, _RESIZED_LEVELS)

    def undo_light(self) -> None:
        """Undo the last ``follow_light`` if its change was large: its frame was held back."""
        if self._kept is not None:
            self._mean, self._candidate, self._former, self._settling_levels = self._kept
            self._kept = None

    def follow_light(self, frame: Plane, foreground: Plane | None, *, step_s: float) -> Lighting:
        """Estimate how the light has changed since the last frame and apply the change to the model.

        ``foreground`` is the mask of the last frame's objects, which the estimate leaves out.
        """
        grid = self._grid
        usable = np.ones(frame[grid, grid].shape, bool) if self._watched is None else self._watched[grid, grid] > 0
        if foreground is not None:
            free = usable & (foreground[grid, grid] == 0)
            if 3 * np.count_nonzero(free) >= np.count_nonzero(usable):
                usable = free
        lighting = estimate_lighting(self._mean[grid, grid][usable], frame[grid, grid][usable].astype(np.float32))
        self._settling_levels *= max(0.0, 1.0 - step_s / _SETTLING_S)
        self._kept = None
        if lighting is not SAME_LIGHT:
            self._relight(lighting, frame)
        self.image = rounded(self._mean)
        return lighting

    def changed(self, frame: Plane) -> tuple[Plane, Plane]:
        """Return the strong and the weak mask of the pixels that differ from the background.

        Strong: outside the range of the background's 3x3 neighbourhood by more than the pixel's limit, so that an image
        that shakes by one pixel causes no motion. Weak: by more than half the limit at the pixel itself.
        """
        limit = self.limit
        if self._settling_levels >= 1.0:
            limit = relit(limit, 1.0, self._settling_levels)
        same = within(frame, minus(eroded(self.image), limit), plus(dilated(self.image), limit))
        self.difference = distance(frame, self.image)
        strong, weak = inverse(same), above(self.difference, relit(limit, 0.5, 1.0))
        if self._watched is not None:
            strong, weak = both(strong, self._watched), both(weak, self._watched)
        return strong, weak

    def learn(
        self, frame: Plane, *, step_s: float, foreground: Plane | None = None, moving: Plane | None = None
    ) -> None:
        """Update the mean outside ``foreground`` and the noise outside ``moving``: masks, or None for an empty mask.

        The noise also follows foreground that is not motion (specks, rain), which soon raises the limit there.
        """
        self._frames += 1
        self._time_s += step_s
        slowest = step_s / self._settings.learning_time_s
        rate = min(1.0, max(slowest, 1.0 / self._frames))
        noise_rate = min(1.0, max(slowest, 1.0 / (self._frames + _NOISE_FRAMES)))
        # Limits the effect of a single outlier on the noise estimate.
        deviation = np.asarray(cv2.min(self.difference, plus(self.limit, self.limit)), np.uint8)
        squared = cv2.multiply(deviation, deviation, dtype=cv2.CV_32F)
        if foreground is None or moving is None:
            cv2.accumulateWeighted(frame, self._mean, rate)
            cv2.accumulateWeighted(squared, self._variance, noise_rate)
            if self._any_foreground:
                self._forget_foreground()
        else:
            still = inverse(foreground)
            cv2.accumulateWeighted(frame, self._mean, rate, still)
            cv2.accumulateWeighted(squared, self._variance, noise_rate, inverse(moving))
            self._follow_foreground(frame, still, step_s=step_s)
        self._limit_age_s += step_s
        if self._limit_age_s >= _LIMIT_REFRESH_S or self._frames <= _NOISE_FRAMES:
            self.limit = self._measured_limit()
            self._limit_age_s = 0.0

    def restore_former(self, frame: Plane, foreground: Plane) -> bool:
        """Restore the former background where an absorbed object has left; return whether any was restored.

        An object has left where the frame is much closer to the former background than to the current one; a shadow of
        the leaving object may still be there. Call ``changed`` for this frame before, and again afterwards.
        """
        if not self._any_former:
            return False
        away = distance(frame, self._former)
        near = minus(above(self.difference, relit(away, 3.0)), above(away, plus(self.limit, self.limit)))
        back = both(both(near, foreground), self._remembered())
        if count(back) == 0:
            return False
        self._replace(self._former, back)
        self._former_until_s[back > 0] = -np.inf
        return True

    def absorb(self, where: Plane, frame: Plane, *, remember_s: float) -> None:
        """Make the frame's content background in the mask ``where``.

        The previous background is kept as the former one for ``remember_s``, for when the absorbed object leaves again.
        A former background that is kept already is older and stays.
        """
        new = minus(where, self._remembered())
        cv2.copyTo(self.image, new, self._former)
        self._former_until_s[new > 0] = self._time_s + remember_s
        self._any_former = True
        self._replace(frame, where)

    def _relight(self, lighting: Lighting, frame: Plane) -> None:
        gain, offset = lighting
        if max(abs(offset), abs(255.0 * (gain - 1.0) + offset)) >= _KEPT_FROM_LEVELS:
            self._kept = self._mean.copy(), self._candidate.copy(), self._former.copy(), self._settling_levels
        # The true brightness of overexposed pixels only becomes visible when the light decreases.
        overexposed = mask_where(self._mean >= _OVEREXPOSED_LEVELS) if gain < 1.0 else None
        cv2.addWeighted(self._mean, gain, self._mean, 0.0, offset, self._mean)
        np.clip(self._mean, 0.0, 255.0, out=self._mean)
        if overexposed is not None:
            cv2.copyTo(np.maximum(self._mean, frame), overexposed, self._mean)
        if self._any_foreground:
            self._candidate = relit(self._candidate, gain, offset)
        if self._any_former:
            self._former = relit(self._former, gain, offset)
        self._settling_levels = max(self._settling_levels, lighting.shift_levels * _SETTLING_SHARE)

    def _replace(self, new: Plane, where: Plane) -> None:
        cv2.copyTo(new.astype(np.float32), where, self._mean)
        cv2.copyTo(self._nothing, where, self.rested_s)
        cv2.copyTo(new, where, self.image)
        self.difference = minus(self.difference, where)

    def _remembered(self) -> Plane:
        """Return the mask of the pixels with a former background."""
        return mask_where(self._former_until_s >= self._time_s)

    def _follow_foreground(self, frame: Plane, still: Plane, *, step_s: float) -> None:
        changed = either(above(distance(frame, self._candidate), self.limit), still)
        self.rested_s += np.float32(step_s)
        cv2.copyTo(self._nothing, changed, self.rested_s)
        cv2.copyTo(frame, changed, self._candidate)
        self._any_foreground = True

    def _forget_foreground(self) -> None:
        self.rested_s[:] = 0.0
        self._any_foreground = False

    def _measured_limit(self) -> Plane:
        sigma = np.sqrt(self._variance)
        sigma *= np.float32(self._settings.noise_factor)
        np.clip(sigma, self._settings.threshold, max(_MAX_LIMIT_LEVELS, self._settings.threshold), out=sigma)
        return rounded(sigma)


def _grid(shape: tuple[int, ...]) -> slice:
    """Return the step, in both directions, of the sparse grid on which the change of light is estimated."""
    return slice(None, None, max(1, round((shape[0] * shape[1] / _GRID_POINTS) ** 0.5)))


def _resized(plane: NDArray[Any], size: tuple[int, int], interpolation: int) -> NDArray[Any]:
    return np.asarray(cv2.resize(plane, size, interpolation=interpolation), plane.dtype)
