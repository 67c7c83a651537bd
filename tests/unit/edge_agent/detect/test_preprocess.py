"""Preprocessing of images: placement, padding and quantisation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge_agent.detect.preprocess import PAD, Preprocessor
from edge_agent.detect.runtimes.base import TensorSpec
from edge_agent.types import ArrayPicture
from shared.errors import ConfigurationError

UNIT, SIGNED = (0.0, 1.0), (-1.0, 1.0)
ORANGE_BGR, ORANGE_RGB = (0, 128, 255), (255, 128, 0)


def spec(dtype: Any, quantisation: tuple[float, int] = (0.0, 0), shape: tuple[int, ...] = (1, 32, 32, 3)) -> TensorSpec:
    return TensorSpec(
        name="images", shape=shape, dtype=np.dtype(dtype), scale=quantisation[0], zero_point=quantisation[1]
    )


def orange(width: int, height: int) -> ArrayPicture:
    return ArrayPicture(np.full((height, width, 3), ORANGE_BGR, np.uint8))


@pytest.mark.parametrize(
    ("dtype", "quantisation", "pixel_range", "expected"),
    [
        (np.uint8, (1 / 128, 128), SIGNED, ORANGE_RGB),
        (np.uint8, (0.0, 0), UNIT, ORANGE_RGB),
        (np.uint8, (0.0078125, 127), SIGNED, ORANGE_RGB),
        (np.int8, (1 / 255, -128), UNIT, (127, 0, -128)),
        (np.int8, (0.0, 0), UNIT, (127, 0, -128)),
        (np.float32, (0.0, 0), UNIT, (1.0, 128 / 255, 0.0)),
        (np.float32, (0.0, 0), SIGNED, (1.0, 128 / 127.5 - 1, -1.0)),
        (np.int8, (1 / 127, 0), UNIT, (127, 64, 0)),
        (np.uint8, (1 / 510, 0), UNIT, (255, 255, 0)),
    ],
)
def test_pixels_are_written_in_the_inputs_quantisation(
    dtype: Any, quantisation: tuple[float, int], pixel_range: tuple[float, float], expected: tuple[float, ...]
) -> None:
    """For every input type and quantisation, the stored values represent the brightness of the RGB pixels."""
    tensor, _ = Preprocessor(spec(dtype, quantisation), keep_aspect=False, pixel_range=pixel_range).fill(orange(32, 32))
    assert tensor.dtype == dtype
    assert tensor.shape == (1, 32, 32, 3)
    assert np.allclose(tensor[0, 16, 16], expected, atol=1e-5)
    assert (tensor == tensor[0, 0, 0]).all()


@pytest.mark.parametrize(("dtype", "pad"), [(np.int8, PAD - 128), (np.uint8, PAD), (np.float32, PAD / 255)])
def test_padding_is_grey(dtype: Any, pad: float) -> None:
    """For an image with an aspect ratio of 2, a quarter of the rows above and below is padding."""
    tensor, placement = Preprocessor(spec(dtype), keep_aspect=True, pixel_range=UNIT).fill(orange(64, 32))
    assert (placement.top, placement.height) == (8, 16)
    assert np.allclose(tensor[0, :8], pad)
    assert np.allclose(tensor[0, 24:], pad)
    assert not np.isclose(tensor[0, 8:24, :, 0], pad).any()


def test_padding_is_rewritten_when_the_aspect_ratio_changes() -> None:
    """After a wide and then a tall image, no pixels of the wide one remain at the sides."""
    picture = Preprocessor(spec(np.uint8), keep_aspect=True, pixel_range=UNIT)
    picture.fill(orange(64, 32))
    tensor, _ = picture.fill(orange(32, 64))
    assert (tensor[0, :, :8] == PAD).all()
    assert (tensor[0, :, 24:] == PAD).all()


def test_crop_is_written_like_an_image() -> None:
    """A BGR crop is written as RGB at the size of the input."""
    tensor, placement = Preprocessor(spec(np.uint8), keep_aspect=False, pixel_range=UNIT).fill_crop(
        orange(50, 90).bgr()
    )
    assert (placement.source_width, placement.source_height) == (50, 90)
    assert (tensor == np.array(ORANGE_RGB)).all()


def test_downscaling_averages() -> None:
    """Thin stripes become a uniform grey."""
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    tensor, _ = Preprocessor(spec(np.uint8), keep_aspect=False, pixel_range=UNIT).fill(ArrayPicture(stripes))
    assert tensor.min() > 100
    assert tensor.max() < 155


@pytest.mark.parametrize("shape", [(1, 32, 32, 1), (2, 32, 32, 3), (1, 3, 32, 32), (1, 32), (1, 1, 1, 3)])
def test_input_that_is_not_an_image_is_rejected(shape: tuple[int, ...]) -> None:
    """The error contains the actual and the expected shape."""
    with pytest.raises(ConfigurationError, match=r"has shape \[1|2.*\[1, height, width, 3\]"):
        Preprocessor(spec(np.uint8, shape=shape), keep_aspect=True, pixel_range=UNIT)


def test_unsupported_input_type_is_rejected() -> None:
    """The error contains the actual and the supported types."""
    with pytest.raises(ConfigurationError, match="is int16; float32, uint8 and int8"):
        Preprocessor(spec(np.int16), keep_aspect=True, pixel_range=UNIT)
