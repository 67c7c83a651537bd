"""Times of API requests through the warm Lambda handler, and of plain SQL for the same result.

Beside the elapsed time there is the CPU time of handler and PostgreSQL together. They run one after the other and do
not wait for a disk, so this is the time of a request on a machine without other load.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import LiteralString

import psycopg

from tests.benchmarks.figures import Figure
from tests.support.api_calls import Answer

_WARM_UP = 5
Action = Callable[[], Answer]


@dataclass(frozen=True, slots=True)
class Took:
    """The times of one kind of request."""

    median_ms: float
    p95_ms: float
    cpu_ms: float

    def __str__(self) -> str:
        return f"median {self.median_ms:.1f} ms, CPU {self.cpu_ms:.1f} ms"


class CpuClock:
    """Measures the CPU seconds of this process and of the API's PostgreSQL connection."""

    def __init__(self, url: str) -> None:
        """Requires that the API has connected to the database."""
        with psycopg.connect(url) as connection:
            sessions = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE application_name = 'vedette'"
            ).fetchall()
        self._files = [Path(f"/proc/{pid}/schedstat") for (pid,) in sessions]
        if not all(file.exists() for file in self._files):
            self._files = []  # not Linux: the handler's CPU time only

    def __call__(self) -> float:
        nanoseconds = sum(int(file.read_text().split()[0]) for file in self._files)
        return time.process_time() + nanoseconds / 1e9


def time_requests(url: str, actions: Mapping[str, Action], *, rounds: int) -> dict[str, Took]:
    """Time each action in turn for several rounds; raise AssertionError if a request fails."""
    wall: dict[str, list[float]] = {name: [] for name in actions}
    burnt: dict[str, list[float]] = {name: [] for name in actions}
    next(iter(actions.values()))()  # opens the connection
    cpu = CpuClock(url)
    for number in range(_WARM_UP + rounds):
        for name, action in actions.items():
            cpu_start, start = cpu(), time.perf_counter()
            answer = action()
            took, used = time.perf_counter() - start, cpu() - cpu_start
            if answer.status != 200:
                raise AssertionError(f"{name}: {answer}")
            if number >= _WARM_UP:
                wall[name].append(took * 1000)
                burnt[name].append(used * 1000)
    return {
        name: Took(statistics.median(wall[name]), statistics.quantiles(wall[name], n=20)[18], statistics.median(used))
        for name, used in burnt.items()
    }


def request_figures(measured: Mapping[str, Took], targets: Mapping[str, float]) -> list[Figure]:
    """Return the p95 of each kind of request in milliseconds, with its target if it has one."""
    return [
        Figure(f"{name}: p95", took.p95_ms, "ms", target=targets.get(name), note=str(took))
        for name, took in measured.items()
    ]


def against_plain_sql(
    url: str, questions: Mapping[str, LiteralString], measured: Mapping[str, Took], **parameters: str
) -> list[Figure]:
    """Return the time of plain SQL for the same results as a multiple of the request's time."""
    figures: list[Figure] = []
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
        for name, query in questions.items():
            took: list[float] = []
            for _ in range(3):
                start = time.perf_counter()
                connection.execute(query, parameters or None).fetchall()
                took.append((time.perf_counter() - start) * 1000)
            plain = statistics.median(took)
            ratio = plain / measured[name].median_ms
            figures.append(Figure(f"{name}: plain SQL takes", ratio, "×", better="higher", note=f"{plain:.0f} ms"))
    return figures
