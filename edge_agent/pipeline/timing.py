"""Measures the processing time of pipeline stages, and counts frames and detections."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

from edge_agent.device.camera_counters import CameraCounters

DETECT_STAGE = "detect"


class StageTimer:
    """Accumulates the seconds spent in the named stages of one pipeline."""

    def __init__(
        self, timer: Callable[[], float] = time.perf_counter, *, counters: CameraCounters | None = None
    ) -> None:
        """``counters``: where a camera's metrics are read; its ``seconds`` are those of this timer."""
        self._timer = timer
        self._inference = None if counters is None else counters.inference
        self.seconds: dict[str, float] = {} if counters is None else counters.stage_seconds

    @contextmanager
    def stage(self, name: str) -> Generator[None]:
        """Add the duration of the block to stage ``name``."""
        start = self._timer()
        try:
            yield
        finally:
            spent_s = self._timer() - start
            self.seconds[name] = self.seconds.get(name, 0.0) + spent_s
            if name == DETECT_STAGE and self._inference is not None:
                self._inference.observe(spent_s)
