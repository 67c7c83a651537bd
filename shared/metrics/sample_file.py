"""Samples of one process in a file, so that another process can serve those of all. For the one-machine stack.

A file rather than a socket in each process: no part has to answer, and the counts of a part that has ended remain.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from shared.metrics.exposition import HistogramState, Sample
from shared.metrics.table import Metric
from shared.retry import FaultLog

log = logging.getLogger(__name__)

INTERVAL_S: Final = 1.0


class SampleWriter:
    """Writes the samples at most once a second, on a thread of its own."""

    def __init__(self, path: Path, *, collect: Callable[[], Iterable[Sample]], interval_s: float = INTERVAL_S) -> None:
        self._path = path
        self._collect = collect
        self._interval_s = interval_s
        self._lock = threading.Lock()
        self._is_due = False
        self._faults = FaultLog(log)

    def request(self) -> None:
        """Write the file within the interval. Returns at once."""
        with self._lock:
            if self._is_due:
                return
            self._is_due = True
        timer = threading.Timer(self._interval_s, self._write_guarded)
        timer.daemon = True
        timer.start()

    def write(self) -> None:
        """Write the file now, in one step for its readers. Raises OSError."""
        samples = [[sample.name, dict(sample.labels), _encoded(sample)] for sample in self._collect()]
        temporary = self._path.with_suffix(".new")
        temporary.write_text(json.dumps(samples), encoding="utf-8")
        temporary.replace(self._path)

    def _write_guarded(self) -> None:
        with self._lock:
            self._is_due = False
        try:
            self.write()
        except Exception as error:  # a full disk must not stop the program
            self._faults.log(error, f"writing metrics to {self._path} failed")


def read_sample_files(folder: Path, table: Mapping[str, Metric]) -> Iterator[Sample]:
    """Yield the samples of all files; those that cannot be read, or are not in the table, are left out."""
    for path in sorted(folder.glob("*.json")):
        try:
            found: Any = json.loads(path.read_text(encoding="utf-8"))
            samples = [_decoded(*entry) for entry in found]
        except (OSError, ValueError, TypeError, KeyError):  # removed meanwhile, or written by another release
            continue
        for sample in samples:
            metric = table.get(sample.name)
            if metric is not None and set(sample.labels) == set(metric.labels) and _fits(metric, sample):
                yield sample


def _fits(metric: Metric, sample: Sample) -> bool:
    if isinstance(sample.value, HistogramState):
        return metric.kind == "histogram" and len(sample.value.counts) == len(metric.buckets) + 1
    return metric.kind != "histogram"


def _encoded(sample: Sample) -> Any:
    value = sample.value
    return {"counts": value.counts, "sum": value.sum} if isinstance(value, HistogramState) else value


def _decoded(name: str, labels: dict[str, str], value: Any) -> Sample:
    if isinstance(value, dict):
        value = HistogramState(tuple(int(count) for count in value["counts"]), float(value["sum"]))
    return Sample(str(name), value if isinstance(value, HistogramState) else float(value), labels)
