"""A progress bar on a terminal; elsewhere one line for each tenth."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TextIO

_WIDTH: Final = 30
_INTERVAL_S: Final = 0.2


class ProgressBar:
    """Shows how many of ``total`` rows are done. ``advance`` may pass the total: another system may still write."""

    def __init__(
        self,
        label: str,
        *,
        total: int,
        done: int,
        stream: TextIO,
        unit: str = "rows",
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._label = label
        self._total = max(total, 1)
        self._done = self._first = done
        self._stream = stream
        self._unit = unit
        self._monotonic = monotonic
        self._began_s = monotonic()
        self._shown_s = float("-inf")
        self._tenth = -1

    def advance(self, rows: int) -> None:
        """Count rows as done, and show it from time to time."""
        self._done += rows
        self._show(at_end=False)

    def finish(self) -> None:
        """Show the last state and end the line."""
        self._show(at_end=True)
        if self._stream.isatty():
            self._stream.write("\n")
            self._stream.flush()

    def _show(self, *, at_end: bool) -> None:
        now_s = self._monotonic()
        ratio = min(self._done / self._total, 1.0)
        if self._stream.isatty():
            if at_end or now_s - self._shown_s >= _INTERVAL_S:
                self._shown_s = now_s
                filled = round(ratio * _WIDTH)
                bar = f"[{'#' * filled}{'-' * (_WIDTH - filled)}]"
                self._stream.write(f"\r{self._label} {bar} {ratio:4.0%} {self._numbers(now_s)}")
                self._stream.flush()
        elif int(ratio * 10) != self._tenth:
            self._tenth = int(ratio * 10)
            self._stream.write(f"{self._label}: {ratio:.0%}, {self._numbers(now_s)}\n")
            self._stream.flush()

    def _numbers(self, now_s: float) -> str:
        elapsed_s = max(now_s - self._began_s, 1e-3)
        return f"{self._done:,} of {self._total:,} {self._unit}, {(self._done - self._first) / elapsed_s:,.0f}/s"
