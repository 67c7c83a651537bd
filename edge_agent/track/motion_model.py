"""How tracked boxes move: one Kalman filter for all tracks at once, driven by seconds, not by frames.

Each of centre x, centre y, width and height is filtered on its own (position and velocity), so a filter is two numbers
and three (co)variances. What time does to them is linear, so all filters of all tracks are advanced by one product with
small matrices.

Velocity follows an Ornstein-Uhlenbeck process (Singer, "Estimating optimal tracking filter performance for manned
maneuvering targets", 1970): it fades with a time constant and never grows beyond what is plausible for an object of
that size. Its exact solution over any interval is known, so one step of a second and thirty of a thirtieth agree, an
object that is not seen for seconds comes to rest rather than flying off, and the first detection after a gap corrects
the velocity by what the whole gap says, which is what OC-SORT's observation-centric re-update (Cao et al., 2023)
achieves by replaying a virtual path.

All noise is in proportion to the object's size (the root of its area), as near and far objects differ only in scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

POSITION, VELOCITY, VARIANCE, COVARIANCE, VELOCITY_VARIANCE, SCALE = range(6)
"""First axis of a state; the second is centre x, centre y, width, height; the third the track."""
CENTRE = slice(0, 2)
EXTENT = slice(2, 4)

_MEAN = slice(POSITION, VELOCITY + 1)
_UNCERTAIN_PLACE = slice(VARIANCE, COVARIANCE + 1)
SMALLEST_SIZE_PX = 4.0
_CORNERS = np.array([[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0], [-0.5, 0.0, 0.5, 0.0], [0.0, -0.5, 0.0, 0.5]])


def _column(centre: float, extent: float) -> Floats:
    return np.array([[centre], [centre], [extent], [extent]], np.float64)


class MotionModel:
    """Advances and corrects states of shape ``(6, 4, N)``, in pixels and seconds.

    ``SCALE`` is a place to work in: the squared size that noise is in proportion to while a state is advanced.
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
        """All ratios are per size of the object (root of its area).

        A person who walks makes 1.3 sizes a second, a car in a town four; so the first guess of a speed is wide, and
        what it may change by later is narrower: over a second, by ``speed_ratio * sqrt(2 / steadiness_s)``, 0.3 sizes
        a second. Raising ``speed_ratio`` follows turns and stops faster and holds a path through an occlusion worse.
        Raising the noise ratios trusts detections less.
        """
        self._velocity_variance = (speed_ratio**2, growth_ratio**2)
        self._first_velocity_variance = _column(first_speed_ratio**2, growth_ratio**2)
        self._time_constant_s = (steadiness_s, growth_steadiness_s)
        self._noise = _column(centre_noise_ratio**2, extent_noise_ratio**2)
        self._last_step: tuple[float, Floats] = (0.0, self._make_step(0.0))

    def start(self, measured: Floats) -> Floats:
        """Return the states of objects seen for the first time at ``measured``, ``(4, N)``."""
        states = np.zeros((6, 4, measured.shape[1]))
        scale = _squared(measured)
        states[POSITION] = measured
        states[VARIANCE] = self._noise * scale
        states[VELOCITY_VARIANCE] = self._first_velocity_variance * scale
        return states

    def advance(self, states: Floats, elapsed_s: float) -> None:
        """Move all states ``elapsed_s`` into the future, in place."""
        if elapsed_s <= 0.0:
            return
        states[SCALE] = squared_size(states)
        alike = states.reshape(6, 2, 2, -1).transpose(1, 2, 0, 3)
        np.matmul(self._step(elapsed_s), alike, out=alike)
        _keep_extents(states)

    def correct(self, states: Floats, measured: Floats, *, unmeasured: Sequence[int] = ()) -> None:
        """Take in one measurement a state, ``(4, N)``, in place; those listed in ``unmeasured`` stay as they are."""
        noise = self._noise * _squared(measured)
        if unmeasured:
            noise[:, unmeasured] = np.inf
        noise += states[VARIANCE]
        gains = states[_UNCERTAIN_PLACE] / noise
        surprise = measured - states[POSITION]
        states[_MEAN] += gains * surprise
        _keep_extents(states)
        states[VELOCITY_VARIANCE] -= gains[1] * states[COVARIANCE]
        states[_UNCERTAIN_PLACE] *= 1.0 - gains[0]

    def restart(self, states: Floats, row: int, measured: Floats, elapsed_s: float) -> None:
        """Take two detections, ``elapsed_s`` (above 0) apart, for all that is known of one state, in place.

        ``measured`` is the second, ``(4,)``; the state has seen the first alone, and has been advanced since.
        """
        state = states[:, CENTRE, row]
        speed = (measured[CENTRE] - state[POSITION]) / elapsed_s
        noise = float(self._noise[0, 0] * _squared(measured[:, None])[0])
        state[POSITION], state[VELOCITY] = measured[CENTRE], speed
        state[VARIANCE], state[COVARIANCE] = noise, noise / elapsed_s
        state[VELOCITY_VARIANCE] = np.maximum(2.0 * noise / elapsed_s**2, state[VELOCITY_VARIANCE])
        states[POSITION, EXTENT, row] = measured[EXTENT]

    def _step(self, elapsed_s: float) -> Floats:
        """Steps are the same from frame to frame in a file, but for the last digits of its times."""
        elapsed_s = round(elapsed_s, 6)
        known_for_s, step = self._last_step
        if known_for_s != elapsed_s:
            step = self._make_step(elapsed_s)
            self._last_step = (elapsed_s, step)
        return step

    def _make_step(self, elapsed_s: float) -> Floats:
        """Return what an interval does to the states of a centre and of an extent, ``(2, 1, 6, 6)``."""
        (centre_s, extent_s), (centre, extent) = self._time_constant_s, self._velocity_variance
        flat = (*_interval(elapsed_s, centre_s, centre), *_interval(elapsed_s, extent_s, extent))
        return np.array(flat).reshape(2, 1, 6, 6)


def _interval(elapsed_s: float, time_constant_s: float, velocity_variance: float) -> tuple[float, ...]:
    """Solve the process over an interval; return the matrix that carries a state through it, row by row."""
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
    """Let no box become thinner than a pixel."""
    extents = states[POSITION, EXTENT]
    np.maximum(extents, 1.0, out=extents)


def _squared(position: Floats) -> Floats:
    return np.maximum(position[2] * position[3], SMALLEST_SIZE_PX**2)


def squared_size(states: Floats) -> Floats:
    """Return each track's area in square pixels."""
    return _squared(states[POSITION])


def size_px(states: Floats) -> Floats:
    """Return the root of each track's area."""
    return np.sqrt(_squared(states[POSITION]))


def corners(position: Floats) -> Floats:
    """Turn centres and extents, ``(4, N)``, into left, top, right, bottom, ``(N, 4)``."""
    return position.T.dot(_CORNERS)
