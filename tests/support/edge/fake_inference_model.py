"""A network that runs nothing: it remembers what it was given and answers what it was told."""

from __future__ import annotations

import numpy as np

from edge_agent.detect.runtimes.base import PostProcess, Tensor, TensorSpec


class FakeNetwork:
    """Stands where a runtime would."""

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
