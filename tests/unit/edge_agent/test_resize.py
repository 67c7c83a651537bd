"""Shrinking by halves: the size asked for, the mean kept, nothing small skipped."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.resize import scaled


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 90), st.integers(1, 90), st.sampled_from([1, 2, 3]))
def test_scaled_returns_any_size(height: int, width: int, high: int, wide: int, channels: int) -> None:
    """Planes and channels are scaled to any size, and a uniform image stays exactly uniform."""
    shape = (height, width) if channels == 1 else (height, width, channels)
    out = scaled(np.full(shape, 93, np.uint8), wide, high)
    assert out.shape[:2] == (high, wide)
    assert (out == 93).all()


@pytest.mark.parametrize(("wide", "high"), [(300, 300), (416, 234), (320, 320), (192, 64)])
def test_every_pixel_contributes_to_the_result(wide: int, high: int) -> None:
    """A line of one pixel contributes its brightness at any position."""
    kept = []
    for row in range(200, 232):
        picture = np.zeros((720, 1280), np.uint8)
        picture[row] = 240
        kept.append(float(scaled(picture, wide, high).sum()) / (wide * high))
    assert min(kept) > 0.5 * 240 / 720
    assert max(kept) < 2.0 * 240 / 720


def test_row_padding_is_ignored() -> None:
    """The row padding of decoders does not affect the result."""
    memory = np.full((240, 400), 255, np.uint8)
    memory[:, :320] = 40
    assert (scaled(memory[:, :320], 100, 75) == 40).all()
