"""``make bench-delivery``: stage faults, count what was lost and repeated, and write ``docs/reference/delivery.md``.

Exit status: 0 if every event that a device had stored arrived once in PostgreSQL and at each subscriber; 1 if anything
was lost, stored twice or not received, or a scenario failed; 2 for a wrong command line.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.benchmarks.delivery.load import main as load_test
from tests.benchmarks.delivery.outcome import Outcome
from tests.benchmarks.delivery.page import Run, page, table
from tests.benchmarks.delivery.runner import Load, Runner
from tests.benchmarks.delivery.scenarios import SCENARIOS, Scenario
from tests.benchmarks.delivery.stack import bench_stack
from tests.benchmarks.delivery.subscribers import Subscribers

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "reference" / "delivery.md"


def build_parser() -> argparse.ArgumentParser:
    """Return the argument parser."""
    names = ", ".join(scenario.name for scenario in SCENARIOS)
    parser = argparse.ArgumentParser(
        prog="make bench-delivery ARGS=…",
        description=__doc__,
        epilog='The load test with hundreds of agents is another command: make bench-delivery ARGS="load --help".',
    )
    parser.add_argument(
        "--scenario",
        action="append",
        metavar="NAME",
        help=f"run this scenario; may be repeated (default: all): {names}",
    )
    parser.add_argument(
        "--seconds", type=_positive, default=20, help="how long devices send in each scenario (default: %(default)s)"
    )
    parser.add_argument("--devices", type=int, default=4, help="number of device processes (default: %(default)s)")
    parser.add_argument(
        "--rate", type=_positive, default=40, help="events per second of all devices (default: %(default)s)"
    )
    parser.add_argument(
        "--patience",
        type=_positive,
        default=90,
        metavar="SECONDS",
        help="how long to wait after the last event until everything has arrived (default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        help=f"page to write (default: {PAGE.relative_to(ROOT)} if all scenarios run, otherwise none)",
    )
    parser.add_argument("--folder", type=Path, help="keep stack, journals and logs in this new folder")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the chosen scenarios and return the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["load"]:
        return load_test(words[1:])
    parser = build_parser()
    options = parser.parse_args(words)
    known = {scenario.name: scenario for scenario in SCENARIOS}
    if unknown := sorted(set(options.scenario or ()) - known.keys()):
        parser.error(f"no scenario called {', '.join(unknown)}; there are {', '.join(known)}")
    if not 1 <= options.devices <= 100:
        parser.error("--devices must be from 1 to 100; for more, see the load test: load --help")
    if options.folder is not None and options.folder.exists():
        parser.error(f"{options.folder} exists already")
    chosen = [known[name] for name in dict.fromkeys(options.scenario or known)]
    load = Load(options.devices, options.rate, options.seconds, options.patience)
    console = Console()
    began, load_average = datetime.now(UTC), os.getloadavg()[0]
    outcomes = _run(chosen, load, options.folder, console)
    command = shlex.join(["python", "-m", "tests.benchmarks.delivery", *words])
    run = Run(command, load_average, began, datetime.now(UTC), load, chosen, outcomes)
    console.print(table(outcomes))
    _keep(outcomes, began)
    out: Path | None = options.out or (PAGE if not options.scenario else None)
    if out is not None:
        previous = out.read_text(encoding="utf-8") if out.is_file() else ""
        out.write_text(page(run, previous=previous), encoding="utf-8")
        console.print(f"written to {out}")
    failed = [outcome.name for outcome in outcomes if outcome.failed]
    if failed:
        console.print(f"[red]failed: {', '.join(failed)}[/red]")
    return 1 if failed else 0


def _run(chosen: Sequence[Scenario], load: Load, folder: Path | None, console: Console) -> list[Outcome]:
    outcomes: list[Outcome] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("starting", total=len(chosen))
        with bench_stack(folder, console.print) as stack:
            subscribers = Subscribers(stack=stack, folder=stack.state.path.parent)
            runner = Runner(stack=stack, subscribers=subscribers, folder=stack.state.path.parent / "devices", load=load)
            try:
                for scenario in chosen:
                    progress.update(task, description=scenario.name)
                    outcome = runner.run(
                        scenario,
                        lambda phase, name=scenario.name: progress.update(task, description=f"{name}: {phase}"),
                    )
                    outcomes.append(outcome)
                    progress.advance(task)
                    console.print(_line(outcome))
                    if not stack.wait_ready():
                        console.print("[red]the stack did not recover; the remaining scenarios are not run[/red]")
                        break
            finally:
                subscribers.stop()
    missing = chosen[len(outcomes) :]
    return outcomes + [Outcome(scenario.name, error="not run: the stack did not recover") for scenario in missing]


def _line(outcome: Outcome) -> str:
    if outcome.error:
        return f"[red]{outcome.name}: {outcome.error}[/red]"
    text = f"{outcome.name}: {outcome.sent} sent, {outcome.stored} stored, {outcome.lost} lost"
    if outcome.heal_s is not None:
        text += f", healed in {outcome.heal_s:.1f} s"
    return f"[red]{text}[/red]" if outcome.failed else text


def _keep(outcomes: Sequence[Outcome], began: datetime) -> None:
    folder = ROOT / ".bench"
    folder.mkdir(exist_ok=True)
    path = folder / f"delivery-{began:%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=2), encoding="utf-8")


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value <= 86_400:
        raise argparse.ArgumentTypeError("must be more than 0 and at most 86400")
    return value


if __name__ == "__main__":
    sys.exit(main())
