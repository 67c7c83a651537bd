"""Counters and histograms, and the Prometheus text format 0.0.4.

These lines take the place of ``prometheus_client``, whose registry would have no use here: nearly all values are read
at a scrape from counters that exist anyway. On top of what an agent has imported, the library adds 28 modules and
1.0 MB, this package and its server 8 modules and 0.8 MB.
"""

from __future__ import annotations

import math
import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from shared.metrics.table import Metric

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class HistogramState:
    """The values of a histogram at one moment."""

    counts: tuple[int, ...]
    """Observations in each bucket, not cumulative; the last one is above all bounds."""
    sum: float


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of a metric."""

    name: str
    value: float | HistogramState
    labels: Mapping[str, str] = field(default_factory=dict[str, str])


class Counter:
    """A number that only grows. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.value = 0.0

    def add(self, amount: float = 1) -> None:
        with self._lock:
            self.value += amount


class Histogram:
    """Observations counted by bucket. Thread-safe; an observation takes about a microsecond."""

    def __init__(self, buckets: Iterable[float]) -> None:
        """``buckets``: upper bounds, ascending, without infinity."""
        self._bounds = tuple(buckets)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0
        self._lock = threading.Lock()

    def observe(self, value: float) -> None:
        """Count one value; a bucket includes its upper bound."""
        place = bisect_left(self._bounds, value)
        with self._lock:
            self._counts[place] += 1
            self._sum += value

    def state(self) -> HistogramState:
        """Return the counts and the sum, which belong together."""
        with self._lock:
            return HistogramState(tuple(self._counts), self._sum)


def render(table: Mapping[str, Metric], samples: Iterable[Sample]) -> str:
    """Return the samples as text, in the table's order.

    Raises ValueError for a sample whose name or labels are not those of the table.
    """
    found: dict[str, list[Sample]] = {}
    for sample in samples:
        metric = table.get(sample.name)
        if metric is None or set(sample.labels) != set(metric.labels):
            raise ValueError(f"no metric {sample.name} with the labels {sorted(sample.labels)} in the table")
        found.setdefault(sample.name, []).append(sample)
    return "".join(line for name, metric in table.items() if name in found for line in _lines(metric, found[name]))


def _lines(metric: Metric, samples: Iterable[Sample]) -> Iterator[str]:
    help_text = metric.help.replace("\\", "\\\\").replace("\n", "\\n")
    yield f"# HELP {metric.name} {help_text}\n# TYPE {metric.name} {metric.kind}\n"
    for sample in samples:
        if isinstance(sample.value, HistogramState):
            yield from _histogram_lines(metric, sample.value, sample.labels)
        else:
            yield f"{metric.name}{_labels(sample.labels)} {_number(sample.value)}\n"


def _histogram_lines(metric: Metric, state: HistogramState, labels: Mapping[str, str]) -> Iterator[str]:
    total = 0
    for bound, count in zip((*metric.buckets, math.inf), state.counts, strict=True):
        total += count
        yield f"{metric.name}_bucket{_labels({**labels, 'le': _number(bound)})} {total}\n"
    yield f"{metric.name}_sum{_labels(labels)} {_number(state.sum)}\n"
    yield f"{metric.name}_count{_labels(labels)} {total}\n"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if math.isnan(value):
        return "NaN"
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(float(value))
