"""What the scene looks like when nothing moves, pixel by pixel, with each pixel's own noise.

Each pixel has a mean that follows slow change, a variance that sets how much it must differ to be foreground, a
*candidate* (what has been seen there, unchanged, since when: something that stopped) and a *former* background (what
was there before the thing that stopped was absorbed, so that its leaving is no ghost).

Everything is 8-bit or 32-bit float planes and whole-plane OpenCV calls: about 60 µs a frame of 320x180.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_agent.motion.lighting import SAME_LIGHT, Lighting, estimate_lighting

Plane = NDArray[np.uint8]
FloatPlane = NDArray[np.float32]

_GRID_POINTS = 900
_FIRST_SIGMA = 4.0
_NOISE_FRAMES = 8
"""How many frames' worth of trust the first guess of the noise has."""
_MAX_LIMIT_LEVELS = 70.0
_LIMIT_REFRESH_S = 0.2
_FORMER_LIFETIME_S = 600.0
_SETTLING_S = 0.4
_SETTLING_SHARE = 0.12
"""After a change of light, this share of it is added to every threshold, and fades within ``_SETTLING_S``."""


class Background:
    """The adaptive background of one camera, at the working size."""

    def __init__(
        self,
        first: Plane,
        *,
        threshold_levels: float,
        noise_factor: float,
        learning_time_s: float,
        watched: Plane | None,
    ) -> None:
        """``watched`` is 255 where motion counts; None for everywhere."""
        self._threshold_levels = threshold_levels
        self._noise_factor = noise_factor
        self._learning_time_s = learning_time_s
        self._watched = watched
        height, width = first.shape
        self._grid = max(1, round((width * height / _GRID_POINTS) ** 0.5))
        self._zero = np.zeros_like(first, np.float32)
        self._former = first.copy()
        self._former_time = np.full(first.shape, -np.inf, np.float32)
        self._any_former = False
        self._candidate = first.copy()
        self._age = np.zeros_like(first, np.float32)
        self._any_age = False
        self._mean: FloatPlane
        self._variance: FloatPlane
        self.image: Plane = first
        self.difference: Plane = first
        self.limit: Plane = first
        self.limit_age_s = 0.0
        self._settling = 0.0
        self._frames = 0
        self._time_s = 0.0
        self.learn_anew(first)

    def learn_anew(self, frame: Plane) -> None:
        """Take this frame as the background and forget what was there before; the noise is kept where known."""
        self._mean = frame.astype(np.float32)
        self.image = frame.copy()
        if self._frames == 0:
            self._variance = np.full(frame.shape, _FIRST_SIGMA**2, np.float32)
        self._frames = 1
        self._forget_candidates()
        self._any_former = False
        self._former_time[:] = -np.inf
        self._refresh_limit()

    def follow_light(self, frame: Plane, foreground: Plane | None, *, step_s: float) -> Lighting:
        """Estimate how the light changed since the last frame and carry it over to everything remembered."""
        grid = slice(self._grid // 2, None, self._grid)
        usable = np.ones(frame[grid, grid].shape, bool)
        if self._watched is not None:
            usable &= self._watched[grid, grid] > 0
        if foreground is not None:
            free = usable & (foreground[grid, grid] == 0)
            if int(free.sum()) * 3 >= int(usable.sum()):
                usable = free
        lighting = estimate_lighting(self._mean[grid, grid][usable], frame[grid, grid][usable].astype(np.float32))
        self._settling *= max(0.0, 1.0 - step_s / _SETTLING_S)
        if lighting is not SAME_LIGHT:
            cv2.addWeighted(self._mean, lighting.gain, self._mean, 0.0, lighting.offset, self._mean)
            cv2.min(self._mean, 255.0, self._mean)
            cv2.max(self._mean, 0.0, self._mean)
            if self._any_age:
                self._candidate = cv2.convertScaleAbs(self._candidate, None, lighting.gain, lighting.offset)
            if self._any_former:
                self._former = cv2.convertScaleAbs(self._former, None, lighting.gain, lighting.offset)
            self._settling = max(self._settling, lighting.shift_levels * _SETTLING_SHARE)
        cv2.convertScaleAbs(self._mean, self.image)
        return lighting

    def changed(self, frame: Plane) -> tuple[Plane, Plane]:
        """Return where the frame surely and where it perhaps differs from the background (255).

        Surely: outside the range of the background's 3x3 neighbourhood by the pixel's threshold, so that a picture
        that shakes by a pixel stays quiet. Perhaps: by half the threshold, at the pixel itself.
        """
        limit = self.limit
        if self._settling >= 1.0:
            limit = cv2.add(limit, self._settling)
        low = cv2.subtract(cv2.erode(self.image, None), limit)
        high = cv2.add(cv2.dilate(self.image, None), limit)
        same = cv2.inRange(frame, low, high)
        sure = cv2.bitwise_not(same)
        self.difference = cv2.absdiff(frame, self.image)
        perhaps = cv2.compare(self.difference, cv2.convertScaleAbs(limit, None, 0.5, 1.0), cv2.CMP_GT)
        if self._watched is not None:
            sure = cv2.bitwise_and(sure, self._watched)
            perhaps = cv2.bitwise_and(perhaps, self._watched)
        return sure, perhaps

    def learn(self, frame: Plane, foreground: Plane | None, *, step_s: float) -> None:
        """Let the mean and the noise follow the frame, except where something moves (255 in ``foreground``)."""
        self._frames += 1
        self._time_s += step_s
        rate = max(step_s / self._learning_time_s, 1.0 / self._frames)
        noise_rate = max(step_s / self._learning_time_s, 1.0 / (self._frames + _NOISE_FRAMES))
        squared = cv2.multiply(self.difference, self.difference, dtype=cv2.CV_32F)
        if foreground is None:
            cv2.accumulateWeighted(frame, self._mean, min(rate, 1.0))
            cv2.accumulateWeighted(squared, self._variance, min(noise_rate, 1.0))
            if self._any_age:
                self._forget_candidates()
        else:
            still = cv2.bitwise_not(foreground)
            cv2.accumulateWeighted(frame, self._mean, min(rate, 1.0), still)
            cv2.accumulateWeighted(squared, self._variance, min(noise_rate, 1.0), still)
            self._follow_candidates(frame, still, step_s=step_s)
        self.limit_age_s += step_s
        if self.limit_age_s >= _LIMIT_REFRESH_S or self._frames <= _NOISE_FRAMES:
            self._refresh_limit()

    @property
    def rested_s(self) -> FloatPlane:
        """For how long each foreground pixel has shown one and the same thing; 0 elsewhere."""
        return self._age

    def restore_former(self, frame: Plane, foreground: Plane) -> bool:
        """Where something that was absorbed has left again, take back what was there before; tell whether any was.

        That is where the frame is far nearer to the former background than to the present one (a shadow of what is
        leaving may still lie on it). ``changed`` must have been called for this frame, and be called again after.
        """
        if not self._any_former:
            return False
        away = cv2.absdiff(frame, self._former)
        near = cv2.bitwise_and(
            cv2.compare(away, cv2.add(self.limit, self.limit), cv2.CMP_LE),
            cv2.compare(cv2.add(cv2.add(away, away), away), self.difference, cv2.CMP_LT),
        )
        back = cv2.bitwise_and(cv2.bitwise_and(near, foreground), self._former_alive())
        if cv2.countNonZero(back) == 0:
            return False
        self._put(self._former, back)
        self._former_time[back > 0] = -np.inf
        return True

    def absorb(self, where: Plane, frame: Plane, *, remember: bool) -> None:
        """Make what the frame shows ``where`` (255) background now.

        ``remember`` what was background there, for when the absorbed thing leaves again; what is remembered already,
        being older, stays.
        """
        if remember:
            new = cv2.bitwise_and(where, cv2.bitwise_not(self._former_alive()))
            cv2.copyTo(self.image, new, self._former)
            self._former_time[new > 0] = self._time_s
            self._any_former = True
        self._put(frame, where)

    def _put(self, new: Plane, where: Plane) -> None:
        cv2.copyTo(new.astype(np.float32), where, self._mean)
        cv2.copyTo(self._zero, where, self._age)
        cv2.copyTo(new, where, self.image)
        cv2.subtract(self.difference, where, self.difference)

    def _former_alive(self) -> Plane:
        return cv2.compare(self._former_time, self._time_s - _FORMER_LIFETIME_S, cv2.CMP_GE)

    def _follow_candidates(self, frame: Plane, still: Plane, *, step_s: float) -> None:
        same = cv2.compare(cv2.absdiff(frame, self._candidate), self.limit, cv2.CMP_LE)
        moved = cv2.bitwise_or(cv2.bitwise_not(same), still)
        cv2.add(self._age, step_s, self._age)
        cv2.copyTo(self._zero, moved, self._age)
        cv2.copyTo(frame, moved, self._candidate)
        self._any_age = True

    def _forget_candidates(self) -> None:
        self._age[:] = 0.0
        self._any_age = False

    def _refresh_limit(self) -> None:
        sigma = cv2.sqrt(self._variance)
        limit = cv2.max(cv2.multiply(sigma, self._noise_factor), self._threshold_levels)
        self.limit = cv2.convertScaleAbs(cv2.min(limit, _MAX_LIMIT_LEVELS))
        self.limit_age_s = 0.0
