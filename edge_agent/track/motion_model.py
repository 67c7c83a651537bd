"""The motion model of tracked boxes: Kalman filters for all tracks at once, advanced in seconds rather than frames.

Centre x, centre y, width and height are filtered independently, each with position and velocity, so the state of one
filter is two values and three (co)variances. Prediction is linear in them, so one product with small matrices advances
all filters of all tracks.

Velocity follows an Ornstein-Uhlenbeck process (Singer, "Estimating optimal tracking filter performance for manned
maneuvering targets", 1970): it decays with a time constant and stays plausible for an object of that size. The exact
solution over any interval is known, so one step of a second equals thirty steps of a thirtieth. An object without
detections for seconds comes to rest instead of drifting away. The first detection after a gap corrects the velocity
over the whole gap, as OC-SORT's observation-centric re-update (Cao et al., 2023) does by replaying a virtual path.

All noise is proportional to the object's size (the square root of its area), since near and far objects differ only in
scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

POSITION, VELOCITY, VARIANCE, COVARIANCE, VELOCITY_VARIANCE, SCALE = range(6)
"""Indices of the first axis of a state. The second is centre x, centre y, width, height; the third is the track."""
CENTRE = slice(0, 2)
EXTENT = slice(2, 4)

_MEAN = slice(POSITION, VELOCITY + 1)
_UNCERTAIN_PLACE = slice(VARIANCE, COVARIANCE + 1)
MIN_SIZE_PX = 4.0
_CORNERS = np.array([[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0], [-0.5, 0.0, 0.5, 0.0], [0.0, -0.5, 0.0, 0.5]])


def _column(centre: float, extent: float) -> Floats:
    return np.array([[centre], [centre], [extent], [extent]], np.float64)


class MotionModel:
    """Predicts and corrects states of shape ``(6, 4, N)``, in pixels and seconds.

    ``SCALE`` is scratch space: the squared size to which the noise is proportional while a state is advanced.
    """

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
        """All ratios are relative to the size of the object (the square root of its area).

        A walking person moves by 1.3 sizes per second, a car in a town by four. The initial uncertainty of the speed is
        therefore large, and its later change is small: ``speed_ratio * sqrt(2 / steadiness_s)``, 0.3 sizes per second,
        over one second. Raising ``speed_ratio`` follows turns and stops faster and predicts a path through an occlusion
        less reliably. Raising the noise ratios gives detections less weight.
        """
        self._velocity_variance = (speed_ratio**2, growth_ratio**2)
        self._first_velocity_variance = _column(first_speed_ratio**2, growth_ratio**2)
        self._time_constant_s = (steadiness_s, growth_steadiness_s)
        self._noise = _column(centre_noise_ratio**2, extent_noise_ratio**2)
        self._last_step: tuple[float, Floats] = (0.0, self._make_step(0.0))

    def start(self, measured: Floats) -> Floats:
        """Return the initial states of objects detected at ``measured``, ``(4, N)``."""
        states = np.zeros((6, 4, measured.shape[1]))
        scale = _squared(measured)
        states[POSITION] = measured
        states[VARIANCE] = self._noise * scale
        states[VELOCITY_VARIANCE] = self._first_velocity_variance * scale
        return states

    def advance(self, states: Floats, elapsed_s: float) -> None:
        """Predict all states ``elapsed_s`` ahead, in place; do nothing if it is not positive."""
        if elapsed_s <= 0.0:
            return
        states[SCALE] = squared_size(states)
        alike = states.reshape(6, 2, 2, -1).transpose(1, 2, 0, 3)
        np.matmul(self._step(elapsed_s), alike, out=alike)
        _keep_extents(states)

    def correct(self, states: Floats, measured: Floats, *, unmeasured: Sequence[int] = ()) -> None:
        """Correct each state with its measurement, ``(4, N)``, in place, except the rows in ``unmeasured``."""
        noise = self._noise * _squared(measured)
        if unmeasured:
            noise[:, unmeasured] = np.inf
        noise += states[VARIANCE]
        gains = states[_UNCERTAIN_PLACE] / noise
        innovation = measured - states[POSITION]
        states[_MEAN] += gains * innovation
        _keep_extents(states)
        states[VELOCITY_VARIANCE] -= gains[1] * states[COVARIANCE]
        states[_UNCERTAIN_PLACE] *= 1.0 - gains[0]

    def restart(self, states: Floats, row: int, measured: Floats, elapsed_s: float) -> None:
        """Replace one state, in place, by an estimate from two detections that are ``elapsed_s`` (above 0) apart.

        ``measured`` is the second one, ``(4,)``. The state must have been corrected with the first one only, and
        advanced since.
        """
        state = states[:, CENTRE, row]
        speed = (measured[CENTRE] - state[POSITION]) / elapsed_s
        noise = float(self._noise[0, 0] * _squared(measured[:, None])[0])
        state[POSITION], state[VELOCITY] = measured[CENTRE], speed
        state[VARIANCE], state[COVARIANCE] = noise, noise / elapsed_s
        state[VELOCITY_VARIANCE] = np.maximum(2.0 * noise / elapsed_s**2, state[VELOCITY_VARIANCE])
        states[POSITION, EXTENT, row] = measured[EXTENT]

    def _step(self, elapsed_s: float) -> Floats:
        """Return the transition for an interval, cached: intervals in a file differ only in their last digits."""
        elapsed_s = round(elapsed_s, 6)
        cached_s, step = self._last_step
        if cached_s != elapsed_s:
            step = self._make_step(elapsed_s)
            self._last_step = (elapsed_s, step)
        return step

    def _make_step(self, elapsed_s: float) -> Floats:
        """Return the transition matrices of a centre and of an extent for an interval, ``(2, 1, 6, 6)``."""
        (centre_s, extent_s), (centre, extent) = self._time_constant_s, self._velocity_variance
        flat = (*_interval(elapsed_s, centre_s, centre), *_interval(elapsed_s, extent_s, extent))
        return np.array(flat).reshape(2, 1, 6, 6)


def _interval(elapsed_s: float, time_constant_s: float, velocity_variance: float) -> tuple[float, ...]:
    """Solve the process over an interval; return its 6x6 transition matrix, row by row."""
    fade = exp(-elapsed_s / time_constant_s)
    lost = 1.0 - fade
    reach = time_constant_s * lost
    spread = time_constant_s**2 * max(2.0 * elapsed_s / time_constant_s - 3.0 + 4.0 * fade - fade**2, 0.0)
    return (
        *(1.0, reach, 0.0, 0.0, 0.0, 0.0),
        *(0.0, fade, 0.0, 0.0, 0.0, 0.0),
        *(0.0, 0.0, 1.0, 2.0 * reach, reach**2, spread * velocity_variance),
        *(0.0, 0.0, 0.0, fade, reach * fade, time_constant_s * lost**2 * velocity_variance),
        *(0.0, 0.0, 0.0, 0.0, fade**2, (1.0 - fade**2) * velocity_variance),
        *(0.0, 0.0, 0.0, 0.0, 0.0, 1.0),
    )


def _keep_extents(states: Floats) -> None:
    """Limit width and height to at least one pixel, in place."""
    extents = states[POSITION, EXTENT]
    np.maximum(extents, 1.0, out=extents)


def _squared(position: Floats) -> Floats:
    return np.maximum(position[2] * position[3], MIN_SIZE_PX**2)


def squared_size(states: Floats) -> Floats:
    """Return each track's area in square pixels."""
    return _squared(states[POSITION])


def size_px(states: Floats) -> Floats:
    """Return the square root of each track's area, in pixels."""
    return np.sqrt(_squared(states[POSITION]))


def corners(position: Floats) -> Floats:
    """Convert centres and extents, ``(4, N)``, to left, top, right, bottom, ``(N, 4)``."""
    return position.T.dot(_CORNERS)
