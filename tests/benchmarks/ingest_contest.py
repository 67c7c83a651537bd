"""Compares the cost of ingest handlers: each of them processes the same batches in turn."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cloud_functions.ingest.ingest import Ingest
from cloud_functions.ingest.publish import Publication


class DiscardingPublisher:
    """Discards all publications."""

    def publish(self, publications: Sequence[Publication]) -> set[str]:
        del publications
        return set()


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds of each batch by the handler's name: elapsed time, and processor time of the handler."""

    clock: dict[str, list[float]]
    processor: dict[str, list[float]]

    def ratio(self, one: str, other: str) -> float:
        """Return the median over the batches of the elapsed time of ``one`` divided by that of ``other``."""
        pairs = zip(self.clock[one], self.clock[other], strict=True)
        return statistics.median(took / beside for took, beside in pairs)

    def median_processor_s(self, name: str) -> float:
        return statistics.median(self.processor[name])


def in_turn(ingests: Mapping[str, Ingest], invocations: Iterable[Mapping[str, Any]], *, warm_up: int) -> Spent:
    """Call each handler with each invocation in alternating order; the first invocations are not measured."""
    spent = Spent({name: [] for name in ingests}, {name: [] for name in ingests})
    for number, invocation in enumerate(invocations):
        for name in sorted(ingests, reverse=number % 2 == 0):
            cpu_start, start = time.process_time(), time.perf_counter()
            answer = ingests[name].handle(invocation)
            took, used = time.perf_counter() - start, time.process_time() - cpu_start
            if answer["batchItemFailures"]:
                raise RuntimeError("ingest returned failed events")
            if number >= warm_up:
                spent.clock[name].append(took)
                spent.processor[name].append(used)
    return spent
