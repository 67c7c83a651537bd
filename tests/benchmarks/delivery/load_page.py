"""The figures of the load test, as tables on the terminal and as a section of the page."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich.table import Table

from tests.benchmarks.delivery.load import FleetLoad, FleetResult
from tests.benchmarks.delivery.page import LOAD_MARK, duration, machine, versions
from tests.benchmarks.delivery.samples import Sample, slope_per_minute
from tests.benchmarks.delivery.subscribers import STREAM_SOURCE

TARGET_P95_S: Final = 1.0
_METHOD: Final = """\
The cameras are imported through the API. The agents are coroutines of one process: each has its own MQTT 3.1.1
connection with a last will, sends heartbeats every 15 s and events with sequence numbers at QoS 1, keeps each until
PUBACK, and answers `configure` and `resend`. Events begin when all have their configuration. They have no outbox on
disk. The subscriber reads the Redis stream. Agents, subscriber and stack share the cores."""
_MEMORY_COLUMNS: Final = ["part", "first", "middle", "last", "largest", "slope of the second half", "processor"]
_NAMES: Final = {"ack": "PUBACK", "stored": "PostgreSQL", STREAM_SOURCE: "Redis subscriber"}


@dataclass(frozen=True, slots=True)
class FleetRun:
    """A finished load test."""

    load: FleetLoad
    result: FleetResult
    arguments: list[str]


def table(run: FleetRun) -> list[Table]:
    """Return the figures for the terminal."""
    tables: list[Table] = []
    for title, headings, rows in _sections(run):
        shown = Table(title=title, title_justify="left")
        for heading in headings:
            shown.add_column(heading, justify="left" if heading in {"", "part", "queue", "figure"} else "right")
        for row in rows:
            shown.add_row(*row)
        tables.append(shown)
    return tables


def replace_section(path: Path, run: FleetRun) -> None:
    """Write the section into the page, in place of the previous one."""
    before = path.read_text(encoding="utf-8").partition(LOAD_MARK)[0] if path.is_file() else ""
    path.write_text(f"{before.rstrip()}\n\n{LOAD_MARK}\n\n{section(run)}", encoding="utf-8")


def section(run: FleetRun) -> str:
    """Return the section of the page."""
    load = run.load
    command = shlex.join(["load", *run.arguments])
    lines = [
        "## Load test",
        "",
        f"{load.agents} agents with {load.cameras:,} cameras, together {load.rate:g} events/s for {load.seconds:g} s."
        f" Measured {datetime.now(UTC):%Y-%m-%d}: {machine()}; {versions()}.",
        f"Command: `make bench-delivery ARGS={shlex.quote(command)}`.",
        "",
        _METHOD,
    ]
    for title, headings, rows in _sections(run):
        lines += ["", f"### {title}", "", f"| {' | '.join(headings)} |", "| --- |" + " ---: |" * (len(headings) - 1)]
        lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([*lines, ""])


def _sections(run: FleetRun) -> list[tuple[str, list[str], list[list[str]]]]:
    samples = run.result.samples
    return [
        ("Events under load", ["figure", "value"], _counts(run)),
        (
            "Memory",
            ["part", "first", "middle", "last", "largest", "slope of the second half", "processor"],
            _memory(samples),
        ),
        ("Queues", ["queue", "median", "largest", "last"], _queues(samples)),
    ]


def _counts(run: FleetRun) -> list[list[str]]:
    one, result = run.result.outcome, run.result
    rows = [
        ["sent", f"{one.sent:,} ({result.captured_per_s:.0f} a second)"],
        ["lost", f"{one.lost:,}"],
        ["duplicate rows", f"{one.duplicates:,}"],
        ["missed by the Redis subscriber", f"{one.missed.get(STREAM_SOURCE, 0):,}"],
        ["repeated at the Redis subscriber", f"{one.repeated.get(STREAM_SOURCE, 0):,}"],
        ["until all agents were connected and had their configuration", duration(result.connected_s)],
        ["reconnects of agents", f"{result.reconnects:,}"],
        ["from the last event until all had arrived", duration(result.drained_s)],
    ]
    for name, label in _NAMES.items():
        latency = one.latencies.get(name)
        if latency is not None:
            values = (latency.p50_s, latency.p95_s, latency.p99_s, latency.largest_s)
            rows.append([f"capture to {label}: p50, p95, p99, largest", ", ".join(map(duration, values))])
    latency = one.latencies.get(STREAM_SOURCE)
    if latency is not None:
        verdict = "met" if latency.p95_s <= TARGET_P95_S else "**missed**"
        rows.append([f"target: p95 to the Redis subscriber below {TARGET_P95_S:g} s", verdict])
    if one.failed:
        rows.append(["result", "**failed**" + (f": {one.error}" if one.error else "")])
    return rows


def _memory(samples: Sequence[Sample]) -> list[list[str]]:
    rows: list[list[str]] = []
    for name in samples[-1].memory_mib if samples else ():
        series = [(sample.at_s, sample.memory_mib[name]) for sample in samples if name in sample.memory_mib]
        values = [value for _, value in series]
        half = len(series) // 2
        slope = slope_per_minute(series[half:])
        row = [f"{values[number]:.0f} MiB" for number in (0, half, -1)]
        rows.append([name, *row, f"{max(values):.0f} MiB", f"{slope:+.1f} MiB/min", _share_of_a_core(samples, name)])
    return rows


def _share_of_a_core(samples: Sequence[Sample], name: str) -> str:
    """Return the processor time of a part between the first and the last sample, as a share of one core."""
    known = [sample for sample in samples if name in sample.cpu_s]
    seconds = known[-1].at_s - known[0].at_s
    return f"{(known[-1].cpu_s[name] - known[0].cpu_s[name]) / seconds:.0%}" if seconds else ""


def _queues(samples: Sequence[Sample]) -> list[list[str]]:
    names = sorted({name for sample in samples for name in sample.queues})
    rows: list[list[str]] = []
    for name in names:
        values = [sample.queues.get(name, 0) for sample in samples]
        label = "agents: events without PUBACK" if name == "agents" else name
        rows.append([label, *(f"{value:,}" for value in (sorted(values)[len(values) // 2], max(values), values[-1]))])
    return rows
