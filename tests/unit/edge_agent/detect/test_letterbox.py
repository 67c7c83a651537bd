"""Letterboxing and stretching, and the mapping back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.detect.letterbox import Letterbox, letterbox, stretch

SIDES = st.integers(16, 4096)
INPUTS = st.integers(32, 1280)


@given(width=SIDES, height=SIDES, input_width=INPUTS, input_height=INPUTS, corner=st.tuples(*[st.floats(0, 1)] * 4))
def test_boxes_are_mapped_to_the_input_and_back(
    width: int, height: int, input_width: int, input_height: int, corner: tuple[float, ...]
) -> None:
    """A box that is mapped to the input and back deviates by at most 0.01 pixels per 1000."""
    box = np.array([corner]) * [width, height, width, height]
    for place in (letterbox, stretch):
        fitted = place(width, height, input_width, input_height)
        assert np.allclose(fitted.to_source(fitted.to_input(box)), box, atol=max(width, height) * 1e-5)


@given(width=SIDES, height=SIDES, input_width=INPUTS, input_height=INPUTS)
def test_letterbox_fits_fills_and_centres(width: int, height: int, input_width: int, input_height: int) -> None:
    """The image is inside the input, fills it in one direction, is centred, and keeps its aspect ratio to a pixel."""
    fitted = letterbox(width, height, input_width, input_height)
    assert fitted.width == input_width or fitted.height == input_height
    assert 0 <= fitted.left <= input_width - fitted.width
    assert 0 <= fitted.top <= input_height - fitted.height
    assert abs(input_width - fitted.width - 2 * fitted.left) <= 1
    assert abs(input_height - fitted.height - 2 * fitted.top) <= 1
    ratio = min(input_width / width, input_height / height)
    assert fitted.width == pytest.approx(width * ratio, abs=1)
    assert fitted.height == pytest.approx(height * ratio, abs=1)


def test_wide_image_is_padded_above_and_below() -> None:
    """1280×720 in 416×416 is 416×234 with 91 rows above."""
    assert letterbox(1280, 720, 416, 416) == Letterbox(
        left=0, top=91, width=416, height=234, source_width=1280, source_height=720
    )


def test_edges_of_the_image_are_mapped_exactly() -> None:
    """The outline of the image is mapped back exactly, although its scaled width was rounded."""
    fitted = letterbox(1000, 333, 416, 416)
    inner = np.array(
        [
            [
                fitted.left,
                fitted.top,
                fitted.left + fitted.width,
                fitted.top + fitted.height,
            ]
        ]
    )
    assert fitted.to_source(inner).tolist() == [[0, 0, 1000, pytest.approx(333, abs=1e-3)]]
