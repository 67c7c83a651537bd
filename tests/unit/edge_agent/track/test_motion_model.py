"""The batched filters, compared with the modelled motion and with a plain matrix filter."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.track.motion_model import COVARIANCE, POSITION, VARIANCE, VELOCITY, VELOCITY_VARIANCE, MotionModel


def _tracked(model: MotionModel, *, speed: float, seconds: float, fps: float) -> np.ndarray:
    states = model.start(np.array([[0.0], [100.0], [40.0], [100.0]]))
    for number in range(1, int(seconds * fps) + 1):
        model.advance(states, 1 / fps)
        model.correct(states, np.array([[speed * number / fps], [100.0], [40.0], [100.0]]))
    return states


@pytest.mark.parametrize("fps", [2.0, 10.0, 30.0])
def test_constant_velocity_is_estimated_at_any_frame_rate(fps: float) -> None:
    """Position and velocity are right after three seconds, from two to thirty frames per second."""
    states = _tracked(MotionModel(), speed=60.0, seconds=3.0, fps=fps)
    assert states[POSITION, 0, 0] == pytest.approx(180.0, abs=3.0)
    assert states[VELOCITY, 0, 0] == pytest.approx(60.0, rel=0.12)
    assert states[VELOCITY, 1, 0] == pytest.approx(0.0, abs=1e-6)


@given(st.lists(st.floats(0.001, 1.0), min_size=1, max_size=12))
@settings(max_examples=50, deadline=None)
def test_many_small_steps_equal_one_large_step(parts: list[float]) -> None:
    """The prediction depends on the elapsed time, not on the number of steps."""
    model = MotionModel()
    once = _tracked(model, speed=30.0, seconds=1.0, fps=10.0)
    # Noise is proportional to the extents, which are therefore kept fixed.
    once[VELOCITY, 2:] = 0.0
    many = once.copy()
    for part in parts:
        model.advance(many, round(part, 6))
    model.advance(once, sum(round(part, 6) for part in parts))
    np.testing.assert_allclose(many, once, rtol=1e-4, atol=1e-4)


def test_correction_equals_the_kalman_filter() -> None:
    """The closed form agrees with the matrix equations."""
    model = MotionModel()
    states = _tracked(model, speed=45.0, seconds=0.5, fps=10.0)
    mean = states[[POSITION, VELOCITY], 0, 0]
    covariance = np.array(
        [
            [states[VARIANCE, 0, 0], states[COVARIANCE, 0, 0]],
            [states[COVARIANCE, 0, 0], states[VELOCITY_VARIANCE, 0, 0]],
        ]
    )
    measured = np.array([[30.0], [101.0], [42.0], [98.0]])
    gain = covariance[:, 0] / (covariance[0, 0] + 0.06**2 * 42.0 * 98.0)
    expected = mean + gain * (30.0 - mean[0])
    model.correct(states, measured)
    np.testing.assert_allclose(states[[POSITION, VELOCITY], 0, 0], expected)
    after = covariance - np.outer(gain, covariance[0])
    np.testing.assert_allclose(
        states[[VARIANCE, COVARIANCE, VELOCITY_VARIANCE], 0, 0], [after[0, 0], after[0, 1], after[1, 1]]
    )


def test_undetected_object_comes_to_rest() -> None:
    """After minutes without detection, the predicted speed is 0 and the position is uncertain."""
    model = MotionModel(steadiness_s=2.0)
    states = _tracked(model, speed=60.0, seconds=2.0, fps=10.0)
    before = states.copy()
    for _ in range(100):
        model.advance(states, 2.0)
    assert states[POSITION, 0, 0] - before[POSITION, 0, 0] == pytest.approx(before[VELOCITY, 0, 0] * 2.0, rel=1e-3)
    assert states[VELOCITY, 0, 0] == pytest.approx(0.0, abs=1e-6)
    assert states[VARIANCE, 0, 0] > 100 * before[VARIANCE, 0, 0]


def test_zero_or_negative_interval_changes_nothing() -> None:
    """Two updates at the same time, or a clock that goes backwards, leave the states unchanged."""
    model = MotionModel()
    states = _tracked(model, speed=60.0, seconds=1.0, fps=10.0)
    before = states.copy()
    model.advance(states, 0.0)
    model.advance(states, -5.0)
    np.testing.assert_array_equal(states, before)


def test_unmeasured_state_is_unchanged() -> None:
    """One of two states is corrected."""
    model = MotionModel()
    alone = _tracked(model, speed=60.0, seconds=1.0, fps=10.0)
    both = np.concatenate([alone, alone], axis=2)
    measured = np.array([[70.0], [100.0], [40.0], [100.0]])
    model.correct(both, np.concatenate([measured, measured], axis=1), unmeasured=[1])
    np.testing.assert_array_equal(both[:, :, 1], alone[:, :, 0])
    model.correct(alone, measured)
    np.testing.assert_array_equal(both[:, :, 0], alone[:, :, 0])
