"""Preprocesses an image or a crop for a model: scaling, letterboxing, padding, quantisation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_agent.detect.letterbox import Letterbox, letterbox, stretch
from edge_agent.detect.runtimes.base import Tensor, TensorSpec
from edge_agent.types import ArrayPicture, Image, Picture
from shared.errors import ConfigurationError

PAD = 114
"""Padding grey that YOLO models are trained with."""
PixelRange = tuple[float, float]
"""Input values of a black and of a white pixel."""


class Preprocessor:
    """Fills the input tensor of one model. The array is reused: run the model before the next ``fill``."""

    def __init__(self, spec: TensorSpec, *, keep_aspect: bool, pixel_range: PixelRange) -> None:
        if len(spec.shape) != 4 or spec.shape[0] != 1 or spec.shape[3] != 3 or min(spec.shape[1:3]) < 8:
            raise ConfigurationError(
                f"the model's input '{spec.name}' has shape {list(spec.shape)}; expected one RGB image, "
                "[1, height, width, 3]"
            )
        self.height, self.width = spec.shape[1:3]
        self._encoding = PixelEncoding(spec, pixel_range)
        self._place = letterbox if keep_aspect else stretch
        self._tensor: Tensor = np.empty(spec.shape, spec.dtype)
        self._padded_for: Letterbox | None = None

    def fill(self, picture: Picture) -> tuple[Tensor, Letterbox]:
        """Return the tensor for the whole image, and the position of the image in it."""
        placement = self._place(picture.width, picture.height, self.width, self.height)
        return self._write(picture.scaled_rgb(placement.width, placement.height), placement), placement

    def fill_crop(self, crop: Image) -> tuple[Tensor, Letterbox]:
        """Return the tensor for a BGR crop, and the position of the crop in it."""
        return self.fill(ArrayPicture(crop))

    def _write(self, rgb: Image, placement: Letterbox) -> Tensor:
        if placement != self._padded_for:
            self._tensor.fill(self._encoding.value(PAD))
            self._padded_for = placement
        rows = slice(placement.top, placement.top + placement.height)
        columns = slice(placement.left, placement.left + placement.width)
        self._encoding.write(rgb, self._tensor[0, rows, columns])
        return self._tensor


class PixelEncoding:
    """Converts 0..255 to the type and quantisation of the input.

    Inputs are usually quantised so that their range covers black to white. If all stored values are within one of the
    plain (or sign-shifted) bytes, those bytes are written without a lookup table.
    """

    def __init__(self, spec: TensorSpec, pixel_range: PixelRange) -> None:
        black, white = pixel_range
        self._gain = np.float32((white - black) / 255.0)
        self._bias = np.float32(black)
        self._dtype = spec.dtype
        self._table = self._integer_table(spec, pixel_range)

    def value(self, byte: int) -> Any:
        """Return the stored value of one byte."""
        if self._table is None:
            return self._gain * np.float32(byte) + self._bias
        return self._table[byte]

    def write(self, rgb: Image, into: Tensor) -> None:
        """Write pixels into a view of the tensor of the same shape."""
        if self._table is None:
            np.multiply(rgb, self._gain, out=into)
            if self._bias:
                into += self._bias
        elif self._flip is None:
            into[...] = self._table[rgb]
        else:
            np.bitwise_xor(rgb, self._flip, out=into.view(np.uint8))

    def _integer_table(self, spec: TensorSpec, pixel_range: PixelRange) -> NDArray[Any] | None:
        self._flip: np.uint8 | None = None
        if spec.dtype == np.float32:
            return None
        if spec.dtype.kind not in "ui" or spec.dtype.itemsize != 1:
            raise ConfigurationError(
                f"the model's input '{spec.name}' is {spec.dtype}; float32, uint8 and int8 are supported"
            )
        lowest = int(np.iinfo(spec.dtype).min)
        plain = np.arange(256) + lowest
        if spec.is_quantised:
            black, white = pixel_range
            real = black + np.arange(256) * ((white - black) / 255.0)
            exact = spec.quantise(real)
            if np.abs(exact - plain).max() > 1:
                return exact
        self._flip = np.uint8(0x80 if lowest else 0)
        return plain.astype(spec.dtype)
