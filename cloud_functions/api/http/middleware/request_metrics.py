"""Durations of requests by route template and class of the status, for the metrics of the one-machine stack.

On AWS, CloudWatch has the gateway's own metrics, and nothing is counted here.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from shared.metrics.exposition import Histogram, Sample
from shared.metrics.sample_file import SampleWriter
from shared.metrics.table import STACK, by_name

_NAME: Final = "vedette_api_request_seconds"
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class RequestMetrics:
    """Counts requests in memory, and writes the counts to a file within a second. Thread-safe."""

    def __init__(self, path: Path) -> None:
        self._buckets = by_name(STACK)[_NAME].buckets
        self._lock = threading.Lock()
        self._histograms: dict[tuple[str, str, str], Histogram] = {}
        self._writer = SampleWriter(path, collect=self.samples)

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request. ``route`` is a template of the application, so there is a bounded number of them."""
        key = (method if method in _METHODS else "other", route, f"{status // 100}xx")
        with self._lock:
            histogram = self._histograms.setdefault(key, Histogram(self._buckets))
        histogram.observe(seconds)
        self._writer.request()

    def samples(self) -> Iterator[Sample]:
        """Yield a histogram for each method, route and class of status so far."""
        with self._lock:
            histograms = list(self._histograms.items())
        for (method, route, status), histogram in histograms:
            yield Sample(_NAME, histogram.state(), {"method": method, "route": route, "status": status})
