"""Downscaling of frames, and the mask of watched areas."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.motion.preprocess import shrink, watched_area, working_size
from edge_agent.motion.settings import MotionSettings
from shared.geometry import Point


@pytest.mark.parametrize(
    ("frame", "size"),
    [
        ((1280, 720), (320, 180)),
        ((768, 432), (320, 180)),
        ((1080, 1920), (180, 320)),
        ((200, 100), (200, 100)),
        ((1, 1), (1, 1)),
    ],
)
def test_working_size_limits_the_longer_side_and_never_enlarges(frame: tuple[int, int], size: tuple[int, int]) -> None:
    """The aspect ratio is kept for wide and upright images."""
    assert working_size(*frame, longer_side_px=320) == size


@given(st.integers(1, 700), st.integers(1, 700), st.integers(64, 400))
def test_shrink_returns_the_working_size_for_any_frame(width: int, height: int, longer_side_px: int) -> None:
    """Odd and extreme shapes are supported, and a uniform image stays uniform."""
    size = working_size(width, height, longer_side_px=longer_side_px)
    small = shrink(np.full((height, width), 77, np.uint8), size)
    assert small.shape == (size[1], size[0])
    assert (small == 77).all()


def test_shrink_averages_noise() -> None:
    """Four by four pixels become one: a quarter of the noise remains."""
    noisy = np.random.default_rng(0).normal(128, 20, (720, 1280)).clip(0, 255).astype(np.uint8)
    assert shrink(noisy, (320, 180)).std() == pytest.approx(5.0, abs=1.0)


def test_frame_of_the_working_size_is_copied() -> None:
    """The decoder may overwrite its buffer."""
    frame = np.zeros((180, 320), np.uint8)
    small = shrink(frame, (320, 180))
    frame[:] = 9
    assert not small.any()


def test_ignored_polygons_are_zero_in_the_mask() -> None:
    """Corners are fractions of the image; without polygons there is no mask."""
    triangle = (Point(0.0, 0.0), Point(1.0, 0.0), Point(0.0, 1.0))
    watched = watched_area(MotionSettings(ignore=(triangle,)), (320, 180))
    assert watched is not None
    assert watched[10, 10] == 0
    assert watched[170, 310] == 255
    assert (watched == 0).mean() == pytest.approx(0.5, abs=0.02)
    assert watched_area(MotionSettings(), (320, 180)) is None
