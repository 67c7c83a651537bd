"""What the scene looks like when nothing moves, pixel by pixel, with each pixel's own noise.

Each pixel has a mean that follows slow change, a variance that sets how much it must differ to be foreground, a
*candidate* (what the foreground has shown there, unchanged, since when: something that stopped) and a *former*
background (what was there before the thing that stopped was absorbed, so that its leaving is no ghost).
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
    distance,
    either,
    grown,
    inverse,
    mask_where,
    minus,
    plus,
    relit,
    rounded,
    within,
    worn,
)
from edge_agent.motion.lighting import SAME_LIGHT, Lighting, estimate_lighting
from edge_agent.motion.settings import MotionSettings

_GRID_POINTS = 600
_FIRST_SIGMA = 4.0
_NOISE_FRAMES = 8
"""How many frames' worth of trust the first guess of the noise has."""
_MAX_LIMIT_LEVELS = 70.0
_BURNT_OUT_LEVELS = 248.0
_LIMIT_REFRESH_S = 0.2
_SETTLING_S = 0.4
_SETTLING_SHARE = 0.12
"""After a change of light, this share of it is added to every threshold, and fades within ``_SETTLING_S``."""
_RESIZED_LEVELS = 10.0
_KEPT_FROM_LEVELS = 4.0
"""A change of light by this many levels, anywhere between black and white, can be undone."""

_Kept = tuple[FloatPlane, Plane, Plane, float]


class Background:
    """The adaptive background of one camera, at the working size."""

    def __init__(self, first: Plane, *, settings: MotionSettings, watched: Plane | None) -> None:
        """``watched`` is 255 where motion counts; None for everywhere."""
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
        """For how long each foreground pixel has shown one and the same thing; 0 elsewhere."""
        self.image = first.copy()
        """The background as a picture, in the light of the latest frame."""
        self.difference: Plane = np.zeros(first.shape, np.uint8)
        """Distance of the latest frame from ``image``."""
        self.limit = self._measured_limit()
        """How many levels each pixel must differ to be foreground."""
        self._kept: _Kept | None = None
        self.learn_anew(first)

    def learn_anew(self, frame: Plane) -> None:
        """Take this frame as the background and forget what was there before; the noise stays known."""
        self._mean = frame.astype(np.float32)
        self.image = frame.copy()
        self._frames = 1
        self._forget_foreground()
        self._any_former = False
        self._former_until_s[:] = -np.inf

    def resize(self, size: tuple[int, int], *, watched: Plane | None) -> None:
        """Carry all that is known over to another working size (width, height); the scene is still the same."""
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
        # Another scaling makes edges sharper or softer.
        self._settling_levels = max(self._settling_levels, _RESIZED_LEVELS)

    def undo_light(self) -> None:
        """Take back what the last ``follow_light`` did, if that was much: its frame was none to learn from."""
        if self._kept is not None:
            self._mean, self._candidate, self._former, self._settling_levels = self._kept
            self._kept = None

    def follow_light(self, frame: Plane, foreground: Plane | None, *, step_s: float) -> Lighting:
        """Estimate how the light changed since the last frame and carry it over to everything remembered."""
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
        """Return where the frame surely and where it perhaps differs from the background.

        Surely: outside the range of the background's 3x3 neighbourhood by the pixel's limit, so that a picture that
        shakes by a pixel stays quiet. Perhaps: by half the limit, at the pixel itself.
        """
        limit = self.limit
        if self._settling_levels >= 1.0:
            limit = relit(limit, 1.0, self._settling_levels)
        same = within(frame, minus(worn(self.image), limit), plus(grown(self.image), limit))
        self.difference = distance(frame, self.image)
        sure, perhaps = inverse(same), above(self.difference, relit(limit, 0.5, 1.0))
        if self._watched is not None:
            sure, perhaps = both(sure, self._watched), both(perhaps, self._watched)
        return sure, perhaps

    def learn(
        self, frame: Plane, *, step_s: float, foreground: Plane | None = None, moving: Plane | None = None
    ) -> None:
        """Let mean and noise follow the frame: the mean outside ``foreground``, the noise outside what is ``moving``.

        The noise does follow what is foreground and yet no motion (specks, rain), so that it is soon expected.
        """
        self._frames += 1
        self._time_s += step_s
        slowest = step_s / self._settings.learning_time_s
        rate = min(1.0, max(slowest, 1.0 / self._frames))
        noise_rate = min(1.0, max(slowest, 1.0 / (self._frames + _NOISE_FRAMES)))
        # One wild frame must not blind a pixel for long.
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

        That is where the frame is far nearer to the former background than to the present one (a shadow of what is
        leaving may still lie on it). ``changed`` must have been called for this frame, and be called again after.
        """
        if not self._any_former:
            return False
        away = distance(frame, self._former)
        near = minus(above(self.difference, relit(away, 3.0)), above(away, plus(self.limit, self.limit)))
        back = both(both(near, foreground), self._remembered())
        if count(back) == 0:
            return False
        self._put(self._former, back)
        self._former_until_s[back > 0] = -np.inf
        return True

    def absorb(self, where: Plane, frame: Plane, *, remember_s: float) -> None:
        """Make what the frame shows ``where`` background now.

        What was background there is remembered for ``remember_s``, for when the absorbed thing leaves again; what is
        remembered already, being older, stays.
        """
        new = minus(where, self._remembered())
        cv2.copyTo(self.image, new, self._former)
        self._former_until_s[new > 0] = self._time_s + remember_s
        self._any_former = True
        self._put(frame, where)

    def _relight(self, lighting: Lighting, frame: Plane) -> None:
        gain, offset = lighting
        if max(abs(offset), abs(255.0 * (gain - 1.0) + offset)) >= _KEPT_FROM_LEVELS:
            self._kept = self._mean.copy(), self._candidate.copy(), self._former.copy(), self._settling_levels
        # How bright burnt-out pixels really are shows only when the light goes down.
        burnt_out = mask_where(self._mean >= _BURNT_OUT_LEVELS) if gain < 1.0 else None
        cv2.addWeighted(self._mean, gain, self._mean, 0.0, offset, self._mean)
        np.clip(self._mean, 0.0, 255.0, out=self._mean)
        if burnt_out is not None:
            cv2.copyTo(np.maximum(self._mean, frame), burnt_out, self._mean)
        if self._any_foreground:
            self._candidate = relit(self._candidate, gain, offset)
        if self._any_former:
            self._former = relit(self._former, gain, offset)
        self._settling_levels = max(self._settling_levels, lighting.shift_levels * _SETTLING_SHARE)

    def _put(self, new: Plane, where: Plane) -> None:
        cv2.copyTo(new.astype(np.float32), where, self._mean)
        cv2.copyTo(self._nothing, where, self.rested_s)
        cv2.copyTo(new, where, self.image)
        self.difference = minus(self.difference, where)

    def _remembered(self) -> Plane:
        return mask_where(self._former_until_s >= self._time_s)

    def _follow_foreground(self, frame: Plane, still: Plane, *, step_s: float) -> None:
        anew = either(above(distance(frame, self._candidate), self.limit), still)
        self.rested_s += np.float32(step_s)
        cv2.copyTo(self._nothing, anew, self.rested_s)
        cv2.copyTo(frame, anew, self._candidate)
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
    """Return the steps, across and down, of the sparse grid that the light is estimated on."""
    return slice(None, None, max(1, round((shape[0] * shape[1] / _GRID_POINTS) ** 0.5)))


def _resized(plane: NDArray[Any], size: tuple[int, int], interpolation: int) -> NDArray[Any]:
    return np.asarray(cv2.resize(plane, size, interpolation=interpolation), plane.dtype)
