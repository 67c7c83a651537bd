"""``make bench``: run the benchmarks, print one table, write the figures to ``.bench/``.

Each ``bench_*.py`` in this folder has ``run() -> list[Figure]``. Its docstring says what it measures and against which
baseline. ``make bench ARGS="motion tracker"`` runs only these two.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.benchmarks.figures import Figure

HERE = Path(__file__).parent


def main() -> int:
    names = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which to run: {', '.join(names)} (default: all)")
    chosen = parser.parse_args().names or names
    if unknown := sorted(set(chosen) - set(names)):
        parser.error(f"no benchmark called {', '.join(unknown)}; there are {', '.join(names)}")
    console = Console()
    figures: dict[str, list[Figure]] = {}
    failed: list[str] = []
    for name in chosen:
        console.print(f"[bold]{name}[/bold] …")
        try:
            figures[name] = importlib.import_module(f"tests.benchmarks.bench_{name}").run()
        except Exception as error:  # a failing benchmark must not hide the figures of the others
            console.print(f"  [red]could not be measured: {error}[/red]")
            failed.append(name)
    _show(console, figures)
    _keep(figures)
    return 1 if failed else 0


def _show(console: Console, figures: dict[str, list[Figure]]) -> None:
    table = Table(title=f"Measured on {os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}")
    for heading in ("benchmark", "figure", "value", "target", ""):
        table.add_column(heading, justify="right" if heading in {"value", "target"} else "left")
    for name, rows in figures.items():
        for row in rows:
            sign = {"lower": "≤", "higher": "≥"}[row.better]
            target = "" if row.target is None else f"{sign} {row.target:g} {row.unit}"
            mark = {True: "[green]met[/green]", False: "[red]missed[/red]", None: ""}[row.met]
            table.add_row(
                name,
                row.name + (f" ({row.note})" if row.note else ""),
                f"{row.value:,.4g} {row.unit}",
                target,
                mark,
            )
    console.print(table)


def _keep(figures: dict[str, list[Figure]]) -> None:
    folder = Path(".bench")
    folder.mkdir(exist_ok=True)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    report = {
        "measured_at": stamp,
        "figures": {name: [asdict(row) | {"met": row.met} for row in rows] for name, rows in figures.items()},
    }
    path = folder / f"{stamp}.json"
    path.write_text(json.dumps(report, indent=2), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
