"""``make bench-anpr``: evaluate number plate recognition and write the table of figures.

Sections: ``crops`` (the reader alone), ``frames`` (photographs end to end), ``speed``, ``videos`` (panning and zooming
over photographs), ``gate`` (the synthetic gate), ``database`` (stored reads: searches, statistics, watch-lists). A
section whose images are missing is skipped with a message.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.benchmarks import bench_plates
from tests.benchmarks.anpr.lines import Line, figure_line
from tests.benchmarks.anpr.material import AbsentError
from tests.benchmarks.anpr.peers import ROOT
from tests.benchmarks.anpr.report import commit_here, page, show
from tests.benchmarks.anpr.speed import speed_lines
from tests.benchmarks.anpr.stills import Step, crop_lines, frame_lines
from tests.benchmarks.anpr.videos import gate_lines, video_lines

SHARED = ROOT.parent / "shared"
PAGE = ROOT / "docs" / "reference" / "plates-figures.md"
GATE_SEEDS = 4
VIDEOS = 20

TITLES = {
    "crops": "Reader alone",
    "frames": "Photographs, end to end",
    "speed": "Speed, one thread",
    "videos": "Videos made by panning and zooming over photographs",
    "gate": "The synthetic gate",
    "database": "In the database",
}


def main() -> int:
    options = _options()
    sections_to_run: list[str] = options.sections or list(TITLES)
    complete = sections_to_run == list(TITLES) and options.shared == SHARED and not options.limit
    out: Path | None = options.out or (PAGE if complete else None)
    console = Console(highlight=False)
    cv2.setNumThreads(1)
    commit = commit_here()
    results: dict[str, list[Line]] = {}
    skipped: dict[str, str] = {}
    columns = (TextColumn("{task.description:<8}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.fields[at]}"), console=Console(stderr=True), transient=True) as bar:
        for name in sections_to_run:
            task = bar.add_task(name, total=None, at="")

            def step(at: str, task: object = task) -> None:
                bar.update(task, advance=1, at=at)  # type: ignore[arg-type]

            def report(text: str) -> None:
                if options.list:
                    bar.console.print(escape(text))

            try:
                results[TITLES[name]] = _run(name, options, step, report)
            except AbsentError as absent:
                skipped[TITLES[name]] = str(absent)
            bar.remove_task(task)
    show(console, results, skipped)
    if out is not None:
        out.write_text(page(results, skipped, command=_command(), commit=commit), encoding="utf-8")
        console.print(f"written to {out}")
    return 0


def _run(name: str, options: argparse.Namespace, step: Step, report: Step) -> list[Line]:
    on_images: dict[str, Callable[[Path, int | None, Step, Step], list[Line]]] = {
        "crops": crop_lines,
        "frames": frame_lines,
        "speed": speed_lines,
        "videos": video_lines,
    }
    if name == "gate":
        return gate_lines(range(1, 1 + options.seeds), step, report)
    if name == "database":
        return [figure_line(figure) for figure in bench_plates.run()]
    limit: int | None = options.limit
    if name == "videos":
        limit = min(limit or options.videos, options.videos)
    return on_images[name](options.shared, limit, step, report)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.anpr",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"any of {', '.join(TITLES)} (default: all)")
    parser.add_argument(
        "--shared", type=Path, default=SHARED, metavar="DIR", help="folder that contains anpr/ (default: ../shared)"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="maximum number of images per set (default: all)")
    parser.add_argument(
        "--seeds", type=int, default=GATE_SEEDS, metavar="N", help="number of synthetic gates (default: %(default)s)"
    )
    parser.add_argument(
        "--videos",
        type=int,
        default=VIDEOS,
        metavar="N",
        help="number of photographs per set to make videos of, evenly spaced (default: %(default)s)",
    )
    parser.add_argument("--list", action="store_true", help="list each image with an error")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="file to write the page to (default: the page of the documentation, for a complete run)",
    )
    options = parser.parse_args()
    if unknown := sorted(set(options.sections) - set(TITLES)):
        parser.error(f"unknown section {', '.join(unknown)}; available sections are {', '.join(TITLES)}")
    options.sections = [name for name in TITLES if name in options.sections]
    return options


def _command() -> str:
    return shlex.join(["python", "-m", "tests.benchmarks.anpr", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
