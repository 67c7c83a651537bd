"""The same batches through several ingest handlers in turn: what one of them costs more than another."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cloud_functions.ingest.ingest import Ingest
from cloud_functions.ingest.publish import Publication


class NobodyListens:
    """Takes what would be published, and forgets it."""

    def publish(self, publications: Sequence[Publication]) -> set[str]:
        del publications
        return set()


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds a batch took each handler, by its name: by the clock, and of the handler's processor."""

    clock: dict[str, list[float]]
    processor: dict[str, list[float]]

    def ratio(self, one: str, other: str) -> float:
        """Return the median of what the same batch took ``one`` of what it took ``other``, by the clock."""
        pairs = zip(self.clock[one], self.clock[other], strict=True)
        return statistics.median(took / beside for took, beside in pairs)

    def median_processor_s(self, name: str) -> float:
        return statistics.median(self.processor[name])


def in_turn(ingests: Mapping[str, Ingest], invocations: Iterable[Mapping[str, Any]], *, warm_up: int) -> Spent:
    """Let each handler take each invocation, the first ones uncounted; who begins alternates."""
    spent = Spent({name: [] for name in ingests}, {name: [] for name in ingests})
    for number, invocation in enumerate(invocations):
        for name in sorted(ingests, reverse=number % 2 == 0):
            cpu_start, start = time.process_time(), time.perf_counter()
            answer = ingests[name].handle(invocation)
            took, used = time.perf_counter() - start, time.process_time() - cpu_start
            if answer["batchItemFailures"]:
                raise RuntimeError("ingest gave events back")
            if number >= warm_up:
                spent.clock[name].append(took)
                spent.processor[name].append(used)
    return spent
