"""The figures of a run as a table on the terminal, and as a page of the documentation."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

from rich.table import Table

from infra.local.servers.mqtt import mosquitto_binary
from infra.local.servers.postgres import PostgresBinaries
from infra.local.servers.redis import redis_binary
from shared import __version__
from tests.benchmarks.delivery.device import IMAGE_BYTES, IMAGE_EVERY
from tests.benchmarks.delivery.outcome import Latency, Outcome
from tests.benchmarks.delivery.runner import FAULT_LASTS, Load
from tests.benchmarks.delivery.scenarios import FAULTY, Scenario
from tests.benchmarks.delivery.subscribers import GOOD, STREAM_SOURCE

LOAD_MARK: Final = "<!-- load test: below this line -->"
"""Everything below it is kept when the page is written again: another command measures it."""
_ROOT: Final = Path(__file__).resolve().parents[3]
_COLUMNS: Final = {"ack": "ack", "stored": "stored", STREAM_SOURCE: "Redis", GOOD: "webhook"}

_INTRODUCTION: Final = """\
# Delivery: figures

What is lost, stored twice and delayed when a part of the system fails. One command stages the faults on one machine,
with real processes, counts, and writes this page:

```sh
make bench-delivery                                                  # all scenarios; writes this page
make bench-delivery ARGS="--scenario redis-killed --seconds 60"      # one of them; writes no page
make bench-delivery ARGS=--help                                      # devices, rate, time
```

It ends with exit status 1 if anything was lost, stored twice or not received, or if a scenario failed.
"""

_METHOD: Final = Path(__file__).with_name("method.md")
"""The sections of the page that are the same after each run."""


@dataclass(frozen=True, slots=True)
class Run:
    """What the page says about the run."""

    command: str
    load_average: float
    """Processes that were running or ready to run in the minute before the run."""
    began: datetime
    ended: datetime
    load: Load
    scenarios: Sequence[Scenario]
    outcomes: Sequence[Outcome]


def table(outcomes: Sequence[Outcome]) -> Table:
    """Return the figures for the terminal."""
    shown = Table(title=machine(), title_justify="left")
    headings = ("scenario", "sent", "stored", "dup.", "lost", "missed", "heal", "ack p99", "webhook p99", "")
    for heading in headings:
        shown.add_column(heading, justify="left" if heading in {"scenario", ""} else "right")
    for one in outcomes:
        shown.add_row(
            one.name,
            *(f"{number:,}" for number in (one.sent, one.stored, one.duplicates, one.lost)),
            f"{sum(one.missed.values()):,}",
            "" if one.heal_s is None else f"{one.heal_s:.1f} s",
            _p99(one.latencies.get("ack")),
            _p99(one.latencies.get(GOOD)),
            "[red]failed[/red]" if one.failed else "[green]ok[/green]",
        )
    return shown


def page(run: Run, *, previous: str = "") -> str:
    """Return the page; the load test's section is taken from ``previous``, the page as it was."""
    _, mark, kept = previous.partition(LOAD_MARK)
    sections = [
        _INTRODUCTION,
        _summary(run),
        _results(run),
        _latencies(run),
        _what_was_done(run),
        _METHOD.read_text(encoding="utf-8"),
    ]
    return "\n".join(sections) + (f"\n{mark}{kept}" if mark else "")


def machine() -> str:
    """Return the machine and the versions of the programs in a run."""
    return (
        f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release().split('-')[0]},"
        f" Python {platform.python_version()}"
    )


def versions() -> str:
    """Return the versions of the servers."""
    mosquitto = mosquitto_binary()
    broker = "mosquitto" if mosquitto else f"amqtt {version('amqtt')}"
    redis = subprocess.run([redis_binary(), "--version"], capture_output=True, text=True, check=False)
    release = next((word for word in redis.stdout.split() if word.startswith("v=")), "v=?")
    name = Path(redis_binary()).name.removesuffix("-server")
    postgres = PostgresBinaries.choose().version
    return f"Vedette {__version__} (commit {_commit()}), PostgreSQL {postgres}, {name} {release[2:]}, broker {broker}"


def _summary(run: Run) -> str:
    load, failed = run.load, [one.name for one in run.outcomes if one.failed]
    minutes = (run.ended - run.began).total_seconds() / 60
    sent, lost = (sum(getattr(one, name) for one in run.outcomes) for name in ("sent", "lost"))
    verdict = f"{sent:,} events were sent in {len(run.outcomes)} scenarios, and {lost:,} were lost." + (
        f" **Failed: {', '.join(failed)}.**" if failed else " No scenario failed."
    )
    image = f"{IMAGE_BYTES // 1000} KB"
    return f"""\
Measured {run.began:%Y-%m-%d}: {machine()}; {versions()}.
Command: `{run.command}`, which took {minutes:.0f} minutes.
Load average of the machine before it: {run.load_average:.1f}.

Load of each scenario: {load.devices} devices, together {load.rate:g} events/s for {load.seconds:g} s, or for as long as
the fault needs. Each {IMAGE_EVERY}th event has an image of {image}. The fault begins after a quarter of this time and
lasts {FAULT_LASTS * 100:g} % of it; the devices go on capturing during and after it. Then the command waits at most
{load.patience_s:g} s for what is outstanding. Words in the tables are defined [below](#what-is-measured).

{verdict}
"""


def _results(run: Run) -> str:
    headings = ("sent", "stored", "duplicate", "**lost**", "missed by Redis reader", "missed by webhook", "repeated")
    headings += ("images", "images lost", "fault", "heal", "")
    head = f"| scenario | {' | '.join(headings)} |"
    lines = ["## Counts", "", head, "| --- |" + " ---: |" * 11 + " --- |"]
    for one in run.outcomes:
        if one.sent == 0 and one.error:
            lines.append(f"| {one.name} |" + " |" * 11 + f" **failed**: {one.error} |")
            continue
        webhooks = " + ".join(str(one.missed[name]) for name in (GOOD, FAULTY) if name in one.missed)
        state = "**failed**" + (f": {one.error}" if one.error else "") if one.failed else ""
        sent = f"{one.sent:,}" + (f" (cut off: {one.cut_off})" if one.cut_off else "")
        numbers = (sent, f"{one.stored:,}", one.duplicates, one.lost, one.missed.get(STREAM_SOURCE, "?"), webhooks)
        numbers += (sum(one.repeated.values()), one.images, one.images_lost, f"{one.fault_s:.0f} s")
        heal = "" if one.heal_s is None else f"{one.heal_s:.1f} s"
        lines.append(f"| {one.name} | " + " | ".join(str(number) for number in numbers) + f" | {heal} | {state} |")
    if any(FAULTY in one.missed for one in run.outcomes):
        lines += ["", "Where there are two numbers, the second is that of the subscriber that misbehaves."]
    return "\n".join([*lines, ""])


def _latencies(run: Run) -> str:
    lines = ["## Times from capture, p50 / p99", ""]
    lines += [f"| scenario | {' | '.join(_COLUMNS.values())} | misbehaving subscriber |", "| --- |" + " ---: |" * 5]
    for one in run.outcomes:
        cells = [_times(one.latencies.get(name)) for name in (*_COLUMNS, FAULTY)]
        lines.append(f"| {one.name} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _what_was_done(run: Run) -> str:
    notes = {one.name: one.notes for one in run.outcomes}
    lines = ["## Scenarios", "", "| scenario | what happens |", "| --- | --- |"]
    for scenario in run.scenarios:
        text = " ".join([scenario.does, *(f"Observed: {note}." for note in notes.get(scenario.name, ()))])
        lines.append(f"| {scenario.name} | {text} |")
    return "\n".join([*lines, ""])


def _times(latency: Latency | None) -> str:
    return "" if latency is None else f"{duration(latency.p50_s)} / {duration(latency.p99_s)}"


def _p99(latency: Latency | None) -> str:
    return "" if latency is None else duration(latency.p99_s)


def duration(seconds: float) -> str:
    """Return a time in milliseconds or seconds."""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _commit() -> str:
    command = ["git", "-C", str(_ROOT), "describe", "--always", "--dirty"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"
