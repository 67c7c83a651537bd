"""What a consumer has done, as lines for a log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cloud_functions.observability import InMemoryMetrics

_COUNTED: Final = {
    "EventsStored": "stored",
    "EventsRepeated": "repeated",
    "PlateMatches": "matched",
    "MessagesRejected": "rejected",
}


class Statistics:
    """Counts messages and says every so many of them how it goes. What became of them is counted by ingest itself."""

    def __init__(self, *, metrics: InMemoryMetrics, every: int, monotonic: Callable[[], float]) -> None:
        self._metrics = metrics
        self._every = every
        self._monotonic = monotonic
        self._began_s = self._told_s = monotonic()
        self._told = 0
        self.messages = 0

    def add_messages(self, count: int) -> bool:
        """Count messages; return whether it is time for a line."""
        self.messages += count
        return self.messages // self._every > self._told // self._every

    def line(self, *, waiting: int, lag: int | None) -> str:
        """Return what happened so far, and how fast since the last line."""
        now_s = self._monotonic()
        rate = (self.messages - self._told) / max(now_s - self._told_s, 1e-9)
        self._told, self._told_s = self.messages, now_s
        behind = "" if lag is None else f", {lag} behind"
        return f"{self._totals()}; {waiting} to be tried again{behind}; {rate:.0f} messages/s"

    def summary(self, *, waiting: int) -> str:
        """Return what happened from beginning to end."""
        lasted_s = max(self._monotonic() - self._began_s, 1e-9)
        left = f", {waiting} left to the next" if waiting else ""
        return f"{self._totals()}{left}; {lasted_s:.1f} s, {self.messages / lasted_s:.0f} messages/s"

    def _totals(self) -> str:
        counts = self._metrics.counts
        told = ", ".join(f"{counts.get(name, 0)} {word}" for name, word in _COUNTED.items())
        return f"{self.messages} messages: {told}"
