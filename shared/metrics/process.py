"""Metrics of the process itself, under the names that all Prometheus clients use."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shared import __version__
from shared.metrics.exposition import Sample


@dataclass(frozen=True, slots=True)
class ProcessUsage:
    """What a process uses."""

    cpu_s: float
    """User and system, without ended children."""
    resident_bytes: int


def process_usage(pid: int) -> ProcessUsage | None:
    """Return what a process uses; None if it has ended, or without ``/proc`` (macOS)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the name, in brackets, may contain spaces and brackets
    ticks = int(fields[11]) + int(fields[12])
    return ProcessUsage(ticks / os.sysconf("SC_CLK_TCK"), int(fields[21]) * os.sysconf("SC_PAGE_SIZE"))


def process_samples(started_at_s: float, threads: int) -> Iterator[Sample]:
    """Yield CPU time, memory, start and version. Without ``/proc`` (macOS) the memory is left out."""
    cpu = os.times()
    yield Sample("process_cpu_seconds_total", cpu.user + cpu.system)
    if (usage := process_usage(os.getpid())) is not None:
        yield Sample("process_resident_memory_bytes", usage.resident_bytes)
    yield Sample("process_start_time_seconds", started_at_s)
    yield Sample("process_threads", threads)
    labels = {"version": __version__, "python_version": platform.python_version()}
    yield Sample("vedette_build_info", 1, labels)
