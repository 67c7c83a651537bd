"""The interface of a loaded model: typed input and output tensors, independent of the runtime."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Tensor = NDArray[Any]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output. If it is quantised, ``real = scale * (stored - zero_point)`` for every value."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    scale: float = 0.0
    """0 if the tensor is not quantised."""
    zero_point: int = 0

    @property
    def is_integer(self) -> bool:
        return self.dtype.kind in "iu"

    @property
    def is_quantised(self) -> bool:
        return self.is_integer and self.scale > 0.0

    def dequantise(self, stored: Tensor) -> NDArray[np.float32]:
        """Convert stored values to real ones, as float32; values that are not quantised only change their type."""
        if not self.is_quantised:
            return np.asarray(stored, np.float32)
        return np.float32(self.scale) * (np.asarray(stored, np.float32) - np.float32(self.zero_point))

    def quantise(self, real: NDArray[Any]) -> Tensor:
        """Return the nearest stored values, clipped to the type's range. Without quantisation, values are converted."""
        if not self.is_quantised:
            return np.asarray(real, self.dtype)
        limits = np.iinfo(self.dtype)
        return np.clip(np.round(real / self.scale + self.zero_point), limits.min, limits.max).astype(self.dtype)

    def largest_real(self) -> float | None:
        """Return the largest real value of the tensor's type; None if the tensor is not quantised."""
        if not self.is_quantised:
            return None
        return self.scale * (int(np.iinfo(self.dtype).max) - self.zero_point)


@lru_cache(maxsize=64)
def stored_at_least(tensor: TensorSpec, real: float) -> float:
    """Return the smallest stored value whose real value is at least ``real``; above the range if there is none.

    Comparing stored values with it gives the same result as comparing dequantised values with ``real``.
    """
    if not tensor.is_quantised:
        return real
    limits = np.iinfo(tensor.dtype)
    guess = int(np.clip(np.floor(real / tensor.scale + tensor.zero_point), limits.min, limits.max))
    near = np.arange(max(guess - 2, limits.min), min(guess + 2, limits.max) + 1)
    enough = near[tensor.dequantise(near) >= np.float32(real)]
    return float(enough[0]) if len(enough) else float(limits.max) + 1.0


class InferenceModel(Protocol):
    """A loaded model. Not safe for concurrent use."""

    @property
    def input(self) -> TensorSpec:
        """The image tensor: ``(1, height, width, 3)``."""
        ...

    @property
    def outputs(self) -> tuple[TensorSpec, ...]: ...

    @property
    def postprocess(self) -> PostProcess | None:
        """The model's ``TFLite_Detection_PostProcess`` operator; None if absent or not listed by the runtime."""
        ...

    def run(self, picture: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs, in the order of ``outputs``; the input must have the shape and type of ``input``."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class PostProcess:
    """Positions of the results of ``TFLite_Detection_PostProcess`` among the outputs, whose order varies."""

    boxes: int
    classes: int
    scores: int
    count: int
    class_columns: int | None = None
    """Columns of the operator's score matrix: the classes, and in most exports one for the background."""
