"""The examination's figures as a table on the terminal and as a page of the documentation."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import cv2
from rich.console import Console
from rich.table import Table

from edge_agent.anpr.recognition.line_reader import MODEL_NAME as LINE_READER
from edge_agent.anpr.recognition.reader import MODEL_NAME as READER
from edge_agent.anpr.recognition.reader_model import ReaderModel, shipped
from tests.benchmarks.anpr.lines import Line

PACKAGES = ("ai-edge-litert", "numpy", "av")
EIGHT_BIT_PRODUCTS = ("avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")
"""Processors with one of these multiply 8-bit numbers in rows of four, and run our networks several times as fast."""

INTRODUCTION = """\
# Plates: the figures

Made by one command, on the pictures of `../shared/anpr` (or of any folder of that layout, `--shared DIR`):

```sh
make bench-anpr                                         # everything; writes this page
.venv/bin/python -m tests.benchmarks.anpr --help        # sections, folders, limits
```

Exact means the whole plate, normalised, and the first answer counts. Intervals are Wilson's, 95 %. The pictures were
never trained on. What others reach was measured on all images of these sets, of which the shared ones are half
(`../shared/README.md`), unless it says "in this run".
"""

NOTES = """\
## How it is measured

- **Reader alone**: each crop of `us_plate_crops` as `edge-agent read-plates --crops` reads it.
- **End to end**: each photograph as `edge-agent read-plates` answers. Found: a box that overlaps the label by half
  (IoU). False: every other box, a true plate without a label included.
- **Videos**: a virtual camera pans and zooms over each photograph, 60 frames at 15 a second, nearer, away or across,
  with motion blur, drifting focus and exposure, and noise; encoded as H.264; then `edge-agent replay --model none`
  with the settings that ship. Right: the plate is told exactly.
- **Speed**: one thread, processor time, medians, all contestants in turn on the same pictures. Our networks are in 8
  bits: a processor that multiplies these in rows of four (VNNI; in brackets above) runs them several times as fast as
  one that does not, where 32-bit ones, such as RapidOCR's, differ much less.
- **In the database**: two million reads in PostgreSQL on the same machine, asked through the API's Lambda handler,
  warm; alone by `make bench ARGS=plates`. The clock's 95th percentile counts; the processor's time stands beside it.
"""


def show(console: Console, sections: Mapping[str, Sequence[Line]], skipped: Mapping[str, str]) -> None:
    """Print one table."""
    table = Table(title=machine(), title_justify="left")
    for heading in ("figure", "value", "asked", "", "detail"):
        table.add_column(heading, justify="right" if heading in {"value", "asked"} else "left")
    for title, lines in sections.items():
        table.add_section()
        table.add_row(f"[bold]{title}")
        for line in lines:
            mark = {True: "[green]met[/green]", False: "[red]missed[/red]", None: ""}[line.met]
            table.add_row(line.what.replace("`", ""), line.value, line.at_least, mark, line.detail)
    console.print(table)
    for title, reason in skipped.items():
        console.print(f"[yellow]{title}: skipped, {reason}[/yellow]")


def page(sections: Mapping[str, Sequence[Line]], skipped: Mapping[str, str], *, command: str, commit: str) -> str:
    """Return the page; ``commit`` is what was examined."""
    readers = ", ".join(f"{name} {ReaderModel.load(shipped(name)).version}" for name in (READER, LINE_READER))
    lines = [
        INTRODUCTION,
        f"Measured {datetime.now(UTC):%Y-%m-%d}, {readers}, commit {commit}: {machine()}.",
        f"{_versions()}. Command: `{command}`.",
        "",
    ]
    for title, rows in sections.items():
        lines += [f"## {title}", "", "| figure | value | asked | met | detail | others |", "|---|---|---|---|---|---|"]
        for row in rows:
            met = {True: "yes", False: "**no**", None: ""}[row.met]
            lines.append(f"| {row.what} | {row.value} | {row.at_least} | {met} | {row.detail} | {row.others} |")
        lines.append("")
    for title, reason in skipped.items():
        lines += [f"## {title}", "", f"Skipped: {reason}.", ""]
    return "\n".join([*lines, NOTES])


def machine() -> str:
    """Return what the figures were measured on."""
    load = os.getloadavg()[0]
    return f"{_processor()}, {os.cpu_count()} cores, {platform.system()}, load {load:.1f}"


def _versions() -> str:
    found = [f"Python {platform.python_version()}", f"OpenCV {cv2.__version__}"]
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    values = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    flags = (values.get("flags") or values.get("Features") or "").split()
    fast = [flag for flag in EIGHT_BIT_PRODUCTS if flag in flags]
    return f"{values.get('model name', platform.machine())} ({', '.join(fast) or 'no 8-bit dot products'})"


def commit_here() -> str:
    """Return the commit that is checked out, with a plus where files differ from it."""
    said = subprocess.run(["git", "describe", "--always", "--dirty=+"], capture_output=True, text=True, check=False)
    return said.stdout.strip() or "unknown"
