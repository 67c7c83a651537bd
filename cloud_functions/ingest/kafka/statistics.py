"""Statistics of a consumer, formatted for the log."""

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
    """Counts messages and formats a log line every ``every`` messages. Ingest counts their outcome in ``metrics``."""

    def __init__(self, *, metrics: InMemoryMetrics, every: int, monotonic: Callable[[], float]) -> None:
        self._metrics = metrics
        self._every = every
        self._monotonic = monotonic
        self._began_s = self._reported_s = monotonic()
        self._reported = 0
        self.messages = 0

    def add_messages(self, count: int) -> bool:
        """Count messages; return whether a log line is due."""
        self.messages += count
        return self.messages // self._every > self._reported // self._every

    def line(self, *, waiting: int, lag: int | None) -> str:
        """Return the totals, and the rate since the previous line. ``lag``: messages that are not consumed yet."""
        now_s = self._monotonic()
        rate = (self.messages - self._reported) / max(now_s - self._reported_s, 1e-9)
        self._reported, self._reported_s = self.messages, now_s
        behind = "" if lag is None else f", {lag} behind"
        return f"{self._totals()}; {waiting} to retry{behind}; {rate:.0f} messages/s"

    def summary(self, *, waiting: int) -> str:
        """Return the totals and the rate over the life of the consumer."""
        lasted_s = max(self._monotonic() - self._began_s, 1e-9)
        left = f", {waiting} not processed" if waiting else ""
        return f"{self._totals()}{left}; {lasted_s:.1f} s, {self.messages / lasted_s:.0f} messages/s"

    def _totals(self) -> str:
        counts = self._metrics.counts
        outcomes = ", ".join(f"{counts.get(name, 0)} {word}" for name, word in _COUNTED.items())
        return f"{self.messages} messages: {outcomes}"
