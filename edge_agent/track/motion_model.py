"""How tracked boxes move: one Kalman filter for all tracks at once, driven by seconds, not by frames.

Each of centre x, centre y, width and height is filtered on its own (position and velocity), so a filter is two numbers
and three (co)variances, and all filters of all tracks are advanced by a few array operations without a matrix product.

Velocity follows an Ornstein-Uhlenbeck process (Singer, "Estimating optimal tracking filter performance for manned
maneuvering targets", 1970): it fades with a time constant and never grows beyond what is plausible for an object of
that size. Its exact solution over any interval is known, so one step of a second and thirty of a thirtieth agree, an
object that is not seen for seconds comes to rest rather than flying off, and the first detection after a gap corrects
the velocity by what the whole gap says, which is what OC-SORT's observation-centric re-update (Cao et al., 2023)
achieves by replaying a virtual path.

All noise is in proportion to the object's size (the root of its area), as near and far objects differ only in scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

POSITION, VELOCITY, VARIANCE, COVARIANCE, VELOCITY_VARIANCE = range(5)
"""First axis of a state; the second is centre x, centre y, width, height; the third the track."""
CENTRE = slice(0, 2)
EXTENT = slice(2, 4)

_SMALLEST_SIZE_PX = 4.0


def _column(centre: float, extent: float) -> Floats:
    return np.array([[centre], [centre], [extent], [extent]], np.float64)


@dataclass(frozen=True, slots=True)
class _Step:
    """What an interval does to every filter, ``(4, 1)``."""

    fade: Floats
    fade_squared: Floats
    reach: Floats
    noise: Floats
    """``(3, 4, 1)``: what is added to variance, covariance and velocity variance, per squared size."""


class MotionModel:
    """Advances and corrects states of shape ``(5, 4, N)``, in pixels and seconds."""

    def __init__(
        self,
        *,
        speed_ratio: float = 0.8,
        growth_ratio: float = 0.25,
        first_speed_ratio: float = 1.3,
        steadiness_s: float = 15.0,
        growth_steadiness_s: float = 0.5,
        centre_noise_ratio: float = 0.06,
        extent_noise_ratio: float = 0.12,
    ) -> None:
        """All ratios are per size of the object (root of its area).

        A person who walks makes 1.3 sizes a second, a car in a town four; so the first guess of a speed is wide, and
        what it may change by later is narrower: over a second, by ``speed_ratio * sqrt(2 / steadiness_s)``, 0.3 sizes
        a second. Raising ``speed_ratio`` follows turns and stops faster and holds a path through an occlusion worse.
        Raising the noise ratios trusts detections less.
        """
        self._velocity_variance = _column(speed_ratio**2, growth_ratio**2)
        self._first_velocity_variance = _column(first_speed_ratio**2, growth_ratio**2)
        self._time_constant_s = (steadiness_s, growth_steadiness_s)
        self._noise = _column(centre_noise_ratio**2, extent_noise_ratio**2)
        self._last_step: tuple[float, _Step] = (0.0, self._make_step(0.0))

    def start(self, measured: Floats) -> Floats:
        """Return the states of objects seen for the first time at ``measured``, ``(4, N)``."""
        states = np.zeros((5, *measured.shape))
        scale = _squared(measured)
        states[POSITION] = measured
        states[VARIANCE] = self._noise * scale
        states[VELOCITY_VARIANCE] = self._first_velocity_variance * scale
        return states

    def advance(self, states: Floats, elapsed_s: float) -> None:
        """Move all states ``elapsed_s`` into the future, in place."""
        if elapsed_s <= 0.0:
            return
        step = self._step(elapsed_s)
        position, velocity, variance, covariance, velocity_variance = states
        scale = _squared(position)
        position += step.reach * velocity
        np.maximum(position[EXTENT], 1.0, out=position[EXTENT])
        velocity *= step.fade
        carried = step.reach * velocity_variance
        carried += covariance
        covariance += carried
        covariance *= step.reach
        variance += covariance
        np.multiply(carried, step.fade, out=covariance)
        velocity_variance *= step.fade_squared
        states[VARIANCE:] += step.noise * scale

    def correct(self, states: Floats, measured: Floats) -> None:
        """Take in one measurement a state, ``(4, N)``, in place."""
        position, velocity, variance, covariance, velocity_variance = states
        total = self._noise * _squared(measured)
        total += variance
        gain, velocity_gain = variance / total, covariance / total
        surprise = measured - position
        position += gain * surprise
        np.maximum(position[EXTENT], 1.0, out=position[EXTENT])
        surprise *= velocity_gain
        velocity += surprise
        velocity_variance -= velocity_gain * covariance
        np.subtract(1.0, gain, out=gain)
        variance *= gain
        covariance *= gain

    def _step(self, elapsed_s: float) -> _Step:
        """Steps are the same from frame to frame in a file, but for the last digits of its times."""
        elapsed_s = round(elapsed_s, 6)
        known_for_s, step = self._last_step
        if known_for_s != elapsed_s:
            step = self._make_step(elapsed_s)
            self._last_step = (elapsed_s, step)
        return step

    def _make_step(self, elapsed_s: float) -> _Step:
        centre, extent = (_interval(elapsed_s, time_constant_s) for time_constant_s in self._time_constant_s)
        rows = np.array([(first, first, second, second) for first, second in zip(centre, extent, strict=True)])
        fade, reach, fade_squared, *noise = rows[:, :, None]
        return _Step(fade, reach=reach, fade_squared=fade_squared, noise=np.array(noise) * self._velocity_variance)


def _interval(elapsed_s: float, time_constant_s: float) -> tuple[float, float, float, float, float, float]:
    """Solve the process over an interval, for a velocity variance of one: fade, reach, squared fade, added noise."""
    fade = exp(-elapsed_s / time_constant_s)
    lost = 1.0 - fade
    variance = time_constant_s**2 * max(2.0 * elapsed_s / time_constant_s - 3.0 + 4.0 * fade - fade**2, 0.0)
    return fade, time_constant_s * lost, fade**2, variance, time_constant_s * lost**2, 1.0 - fade**2


def _squared(position: Floats) -> Floats:
    return np.maximum(position[2] * position[3], _SMALLEST_SIZE_PX**2)


def squared_size(states: Floats) -> Floats:
    """Return each track's area in square pixels."""
    return _squared(states[POSITION])


def size_px(states: Floats) -> Floats:
    """Return the root of each track's area."""
    return np.sqrt(_squared(states[POSITION]))
