"""Metrics of the process itself, under the names that all Prometheus clients use."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from pathlib import Path

from shared import __version__
from shared.metrics.exposition import Sample

_STATM = Path("/proc/self/statm")


def process_samples(started_at_s: float, threads: int) -> Iterator[Sample]:
    """Yield CPU time, memory, start and version. Without ``/proc`` (macOS) the memory is left out."""
    cpu = os.times()
    yield Sample("process_cpu_seconds_total", cpu.user + cpu.system)
    try:
        pages = int(_STATM.read_text(encoding="ascii").split()[1])
        yield Sample("process_resident_memory_bytes", pages * os.sysconf("SC_PAGE_SIZE"))
    except OSError:
        pass
    yield Sample("process_start_time_seconds", started_at_s)
    yield Sample("process_threads", threads)
    labels = {"version": __version__, "python_version": platform.python_version()}
    yield Sample("vedette_build_info", 1, labels)
