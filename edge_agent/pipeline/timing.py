"""Measures the processing time of pipeline stages."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager


class StageTimer:
    """Accumulates the seconds spent in the named stages of one pipeline."""

    def __init__(self, timer: Callable[[], float] = time.perf_counter) -> None:
        self._timer = timer
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Generator[None]:
        """Add the duration of the block to stage ``name``."""
        start = self._timer()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + self._timer() - start
