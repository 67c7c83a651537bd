"""Limits the time that plate recognition may spend on one frame of a live camera."""

from __future__ import annotations

from collections.abc import Callable


class FrameBudget:
    """Measures the time spent on the current frame. Without a clock (recordings) the budget is unlimited."""

    def __init__(self, *, budget_ms: float, clock: Callable[[], float] | None = None) -> None:
        """``budget_ms``: time per frame in milliseconds. ``clock``: monotonic seconds; None for no limit."""
        self._budget_ms = budget_ms
        self._clock = clock
        self._started_s = 0.0

    def start(self) -> None:
        """Start measuring a new frame."""
        if self._clock is not None:
            self._started_s = self._clock()

    @property
    def is_exhausted(self) -> bool:
        """Whether no further work may be started in this frame."""
        return self._clock is not None and (self._clock() - self._started_s) * 1000 >= self._budget_ms
