"""An inference model without inference: it records its inputs and returns given outputs."""

from __future__ import annotations

import numpy as np

from edge_agent.detect.runtimes.base import PostProcess, Tensor, TensorSpec


class FakeNetwork:
    """Implements ``InferenceModel`` with outputs that the test provides."""

    def __init__(
        self,
        *,
        outputs: tuple[TensorSpec, ...],
        results: tuple[Tensor, ...] = (),
        postprocess: PostProcess | None = None,
        input_size: tuple[int, int] = (64, 64),
    ) -> None:
        width, height = input_size
        self.input = TensorSpec(name="image", shape=(1, height, width, 3), dtype=np.dtype(np.uint8))
        self.outputs = outputs
        self.postprocess = postprocess
        self.given: list[Tensor] = []
        self.closed = False
        self._results = results

    def run(self, picture: Tensor) -> tuple[Tensor, ...]:
        self.given.append(picture.copy())
        return self._results

    def close(self) -> None:
        self.closed = True
