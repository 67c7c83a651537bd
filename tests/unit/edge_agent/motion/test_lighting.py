"""The change of light is estimated from samples with outliers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.motion.lighting import SAME_LIGHT, estimate_lighting


def samples(seed: int = 0, count: int = 900) -> np.ndarray:
    return np.random.default_rng(seed).uniform(30.0, 180.0, count).astype(np.float32)


@given(
    gain=st.floats(0.5, 1.35),
    offset=st.floats(-12.0, 12.0),
    covered=st.floats(0.0, 0.35),
    grain=st.floats(0.0, 4.0),
)
@settings(max_examples=60, deadline=None)
def test_gain_and_offset_are_estimated_despite_noise_and_objects(
    gain: float, offset: float, covered: float, grain: float
) -> None:
    """A white object hides up to a third of the samples; the others are predicted to a few levels."""
    rng = np.random.default_rng(1)
    before = samples()
    after = before * np.float32(gain) + np.float32(offset) + rng.normal(0.0, grain, len(before)).astype(np.float32)
    seen = after.copy()
    seen[: int(covered * len(before))] = 250.0
    lighting = estimate_lighting(before, np.clip(seen, 0.0, 255.0))
    free = slice(int(covered * len(before)), None)
    predicted = before[free] * lighting.gain + lighting.offset
    assert float(np.median(np.abs(predicted - after[free]))) < 2.5 + grain


def test_noise_alone_is_not_a_change_of_light() -> None:
    """Samples with noise alone give a gain near 1 and an offset near 0."""
    before = samples()
    after = before + np.random.default_rng(2).normal(0.0, 1.5, len(before)).astype(np.float32)
    lighting = estimate_lighting(before, after.astype(np.float32))
    assert lighting.gain == pytest.approx(1.0, abs=0.01)
    assert lighting.offset == pytest.approx(0.0, abs=1.0)


def test_too_few_samples_give_same_light() -> None:
    """A few pixels cannot separate a change of light from an object."""
    assert estimate_lighting(samples(count=20), samples(seed=1, count=20)) is SAME_LIGHT


def test_uniform_image_gives_a_bounded_gain() -> None:
    """On a uniform grey, gain and offset cannot be separated: their sum is right and the gain is bounded."""
    before = np.full(900, 110.0, np.float32) + np.random.default_rng(3).normal(0, 1, 900).astype(np.float32)
    lighting = estimate_lighting(before, before * np.float32(0.7))
    assert 110.0 * lighting.gain + lighting.offset == pytest.approx(77.0, abs=1.5)
    assert 0.6 <= lighting.gain <= 1.0


def test_shift_levels_is_the_shift_of_mid_grey() -> None:
    """Half the light shifts mid-grey by 64 levels."""
    before = samples()
    assert estimate_lighting(before, before * np.float32(0.5)).shift_levels == pytest.approx(64.0, abs=3.0)


def test_clipped_pixels_give_a_finite_estimate() -> None:
    """An all-black and an all-white image cause no division by zero."""
    lighting = estimate_lighting(np.zeros(900, np.float32), np.full(900, 255.0, np.float32))
    assert np.isfinite(lighting.gain)
    assert np.isfinite(lighting.offset)
