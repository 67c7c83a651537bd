"""Samples of a running stack: the memory of every process, the length of every queue, the events that are stored."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.benchmarks.delivery.stack import BenchStack, children_of

_MIB: Final = 2**20


@dataclass(slots=True)
class Sample:
    """What was measured at one time."""

    at_s: float
    """Seconds since the first sample."""
    memory_mib: dict[str, float] = field(default_factory=dict[str, float])
    """Resident memory of each part and function; of PostgreSQL the sum of its processes, shared memory counted once."""
    queues: dict[str, int] = field(default_factory=dict[str, int])
    """Messages on each queue of SNS and SQS; ``agents``: events without PUBACK."""
    cpu_s: dict[str, float] = field(default_factory=dict[str, float])
    """Processor time that each part has used so far."""


class Sampler:
    """Takes a sample every ``every_s`` seconds on a thread of its own."""

    def __init__(self, *, stack: BenchStack, extra: Mapping[str, int], agents_state: Path, every_s: float) -> None:
        """``extra``: further processes by name."""
        self._stack = stack
        self._extra = extra
        self._agents_state = agents_state
        self._every_s = every_s
        self._stopped = threading.Event()
        self._began_s = time.monotonic()
        self.samples: list[Sample] = []
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)
        self._thread.start()

    def stop(self) -> list[Sample]:
        self._stopped.set()
        self._thread.join()
        return self.samples

    def _run(self) -> None:
        while not self._stopped.wait(self._every_s):
            self.samples.append(self.take())

    def take(self) -> Sample:
        sample = Sample(at_s=time.monotonic() - self._began_s, queues=self._queue_lengths())
        own = {name: pid for name in self._stack.parts if (pid := self._stack.pid_of(name)) is not None}
        for name, pid in {**own, **self._extra}.items():
            pids = [pid, *children_of(pid)] if name == "postgres" else [pid]
            sample.memory_mib[name] = sum(_resident_bytes(each, shared=len(pids) == 1) for each in pids) / _MIB
            sample.cpu_s[name] = sum(map(_cpu_s, pids))
        return sample

    def _queue_lengths(self) -> dict[str, int]:
        lengths: dict[str, int] = {}
        try:
            uri = f"file:{self._stack.state.path / 'queues.db'}?mode=ro"
            with closing(sqlite3.connect(uri, uri=True, timeout=1)) as database:
                lengths = dict(database.execute("SELECT queue, count(*) FROM message GROUP BY queue").fetchall())
            lengths["agents"] = json.loads(self._agents_state.read_text(encoding="ascii"))["pending"]
        except (sqlite3.Error, OSError, ValueError):
            return lengths
        return lengths


def slope_per_minute(samples: Sequence[tuple[float, float]]) -> float:
    """Return the slope of the least-squares line through (seconds, value), per minute; 0 for fewer than 2 samples."""
    if len(samples) < 2:
        return 0.0
    mean_x = sum(x for x, _ in samples) / len(samples)
    mean_y = sum(y for _, y in samples) / len(samples)
    spread = sum((x - mean_x) ** 2 for x, _ in samples)
    return 60 * sum((x - mean_x) * (y - mean_y) for x, y in samples) / spread if spread else 0.0


def _resident_bytes(pid: int, *, shared: bool) -> int:
    """Return the resident memory of a process; of several that share memory, this one's proportional share."""
    try:
        if shared:
            pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
            return pages * os.sysconf("SC_PAGE_SIZE")
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        return 0
    return 0


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
