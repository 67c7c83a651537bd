"""Quantised tensors: real values, and thresholds compared on the stored ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.detect.runtimes.base import TensorSpec, stored_at_least

DTYPES = st.sampled_from([np.int8, np.uint8, np.int16])


def spec(dtype: type, scale: float = 0.0, zero_point: int = 0) -> TensorSpec:
    return TensorSpec(name="t", shape=(1,), dtype=np.dtype(dtype), scale=scale, zero_point=zero_point)


@given(dtype=DTYPES, scale=st.floats(1e-4, 2.0), zero_share=st.floats(0, 1), real=st.floats(-2, 3, width=32))
def test_stored_threshold_selects_the_same_values_as_the_real_one(
    dtype: type, scale: float, zero_share: float, real: float
) -> None:
    """For every stored value, comparing it with the stored threshold gives the same result as comparing real values."""
    limits = np.iinfo(dtype)
    zero_point = int(limits.min + zero_share * (int(limits.max) - limits.min))
    tensor = spec(dtype, float(np.float32(scale)), zero_point)
    every = np.arange(limits.min, limits.max + 1).astype(dtype)
    by_real = tensor.dequantise(every) >= np.float32(real)
    by_stored = every.astype(np.float64) >= stored_at_least(tensor, real)
    assert np.array_equal(by_stored, by_real)


def test_float_tensors_pass_through() -> None:
    """A float tensor has no quantisation, so both ways leave values as they are."""
    tensor = spec(np.float32)
    assert stored_at_least(tensor, 0.3) == 0.3
    assert tensor.dequantise(np.array([0.25], np.float32)).tolist() == [0.25]
    assert tensor.largest_real() is None
    stored = tensor.quantise(np.array([0.25], np.float32))
    assert (stored.dtype, stored.tolist()) == (np.float32, [0.25])


def test_largest_real_is_what_the_type_can_express() -> None:
    """The largest value of int8 with scale 1/100 and zero point -128 is 2.55."""
    assert spec(np.int8, 0.01, -128).largest_real() == pytest.approx(2.55)


@given(dtype=st.sampled_from([np.int8, np.uint8]), scale=st.floats(1e-3, 2.0), zero_share=st.floats(0, 1))
def test_every_stored_value_survives_dequantisation_and_quantisation(
    dtype: type, scale: float, zero_share: float
) -> None:
    """``quantise`` is the inverse of ``dequantise``."""
    limits = np.iinfo(dtype)
    tensor = spec(dtype, float(np.float32(scale)), int(limits.min + round(zero_share * 255)))
    every = np.arange(limits.min, limits.max + 1).astype(dtype)
    stored = tensor.quantise(tensor.dequantise(every))
    assert stored.dtype == dtype
    assert stored.tolist() == every.tolist()


def test_values_outside_the_range_are_clipped() -> None:
    """uint8 with scale 0.5 and zero point 10 stores -5 to 122.5; values between two steps go to the nearer one."""
    stored = spec(np.uint8, 0.5, 10).quantise(np.array([-100.0, -5.0, 0.3, 122.5, 1000.0]))
    assert stored.tolist() == [0, 0, 11, 255, 255]
