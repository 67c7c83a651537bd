"""Terminal output of the commands: progress bars on stderr, results on stdout."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

if TYPE_CHECKING:
    from edge_agent.anpr.picture_reader import ReadPicture
    from edge_agent.camera.probe import ProbeResult
    from edge_agent.camera.source import StreamInfo
    from edge_agent.cli.check import CheckResult
    from edge_agent.cli.replay import ReplaySummary
    from edge_agent.detect.models.catalogue import ModelListing
    from edge_agent.images.clip import ClipSummary

REFRESH_S = 0.1


@contextmanager
def replay_bar() -> Generator[Callable[[StreamInfo, int], None] | None]:
    """Yield a progress callback that draws a bar, or None where stderr is not a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} frames"),
        TextColumn("{task.fields[fps]:,.0f}/s"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, refresh_per_second=1 / REFRESH_S) as bar:
        task = bar.add_task("replaying", total=None, fps=0.0)
        started = time.monotonic()
        drawn_at = 0.0

        def show(stream: StreamInfo, frames: int) -> None:
            nonlocal drawn_at
            now = time.monotonic()
            if now - drawn_at >= REFRESH_S:
                drawn_at = now
                fps = frames / max(now - started, 1e-6)
                bar.update(task, total=stream.frame_count, completed=frames, fps=fps)

        yield show


@contextmanager
def clip_bar() -> Generator[Callable[[float, float], None] | None]:
    """Yield a progress callback (finished and total seconds) that draws a bar, or None without a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (TextColumn("writing"), BarColumn(), TextColumn("{task.completed:,.1f} s"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, refresh_per_second=1 / REFRESH_S) as bar:
        task = bar.add_task("writing", total=None)
        yield lambda done_s, total_s: bar.update(task, completed=done_s, total=total_s)


@contextmanager
def download_bar(name: str) -> Generator[Callable[[int, int | None], None] | None]:
    """Yield a progress callback (bytes so far, total bytes) that draws a bar, or None without a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def pictures_bar(count: int) -> Generator[Callable[[str], None]]:
    """Yield a callback for each finished picture. It draws a bar on a terminal while stdout is redirected."""
    console = Console(stderr=True)
    if count < 2 or not console.is_terminal or sys.stdout.isatty():
        yield lambda _: None
        return
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=count)
        yield lambda name: bar.update(task, advance=1, description=escape(name))


def print_error(text: str) -> None:
    """Print one line on stderr."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(escape(text))


def show_replay(summary: ReplaySummary, out: Path, *, video: Path | None = None) -> None:
    """Print the events of a replay and the time per stage."""
    console = Console(highlight=False)
    _print_line(
        f"[bold]{summary.source}[/bold]  {summary.frames:,} frames in {summary.seconds:.1f} s "
        f"([bold]{summary.fps:,.0f}[/bold] frames/s), detection model: {summary.model}"
    )
    if summary.warning:
        _print_line(f"[yellow]{summary.warning}[/yellow]")
    console.print(_events_table(summary), _stages_table(summary))
    if summary.rules:
        console.print(_rules_table(summary))
    if summary.off_schedule:
        _print_line(
            f"[yellow]off schedule during the whole recording: {escape(', '.join(summary.off_schedule))}; "
            "--start-time sets the capture time of the first frame[/yellow]"
        )
    _print_line(
        f"{sum(summary.events_by_type.values()):,} events in {out / 'events.jsonl'}, snapshots in {out / 'snapshots'}"
    )
    if video is not None:
        _print_line(f"annotated video: {video}")


def _rules_table(summary: ReplaySummary) -> Table:
    table = Table("rule", Column("events", justify="right"), title="Rules", title_justify="left")
    for rule, count in sorted(summary.rules.items()):
        table.add_row(escape(rule), f"{count:,}")
    return table


def show_plates(picture: ReadPicture) -> None:
    """Print the plates of one picture."""
    _print_line(f"[bold]{escape(picture.file)}[/bold]  {picture.latency_ms:.0f} ms")
    for plate in picture.plates:
        left, top, right, bottom = (round(value) for value in plate.xyxy)
        region = plate.region or ""
        _print_line(
            f"  [bold]{plate.text or '(illegible)':<10}[/bold] {plate.confidence:>5.2f}  {region:<3} "
            f"{right - left} x {bottom - top} at {left}, {top}"
        )
    if not picture.plates:
        _print_line("  no plate")


def _events_table(summary: ReplaySummary) -> Table:
    table = Table(title="Events", title_justify="left")
    for heading in ("event", "class", "entered", "updated", "left", "total"):
        table.add_column(heading, justify="left" if heading in {"event", "class"} else "right")
    for event_type, count in sorted(summary.events_by_type.items()):
        if event_type != "tracking":
            table.add_row(event_type, "", "", "", "", f"{count:,}")
    for class_name, actions in sorted(summary.tracking.items()):
        counts = [actions.get(action, 0) for action in ("entered", "updated", "left")]
        table.add_row("tracking", class_name, *(f"{count:,}" for count in counts), f"{sum(counts):,}")
    if not summary.events_by_type:
        table.add_row("no events", *[""] * 5)
    return table


def _stages_table(summary: ReplaySummary) -> Table:
    table = Table(title="Time", title_justify="left")
    table.add_column("stage")
    for heading in ("seconds", "ms per frame", "share"):
        table.add_column(heading, justify="right")
    for name, seconds in sorted(summary.stage_seconds.items(), key=lambda item: -item[1]):
        per_frame_ms = 1000 * seconds / max(summary.frames, 1)
        table.add_row(name, f"{seconds:.2f}", f"{per_frame_ms:.2f}", f"{seconds / max(summary.seconds, 1e-9):.0%}")
    return table


def show_clip(summary: ClipSummary, path: Path) -> None:
    """Print what was written."""
    how = "encoded as H.264" if summary.encoded else f"{summary.codec} copied without encoding"
    _print_line(
        f"[bold]{escape(str(path))}[/bold]  {summary.duration_s:.2f} s from {summary.start_s:.2f} s on, "
        f"{summary.frames:,} frames, {summary.size_bytes / 1e6:.1f} MB, {how}, without audio"
    )


def show_probe(result: ProbeResult) -> None:
    """Print the properties of a source, or its error."""
    if result.error is not None:
        _print_line(f"[red]✗[/red] {result.source}: {result.error}")
        return
    fps = "?" if result.fps is None else f"{result.fps:.4g}"
    _print_line(
        f"[green]✓[/green] {result.source}: {result.resolution} {result.codec or 'raw'}, {fps} frames/s, "
        f"first picture after {result.latency_ms:.0f} ms"
    )


def show_check(path: Path, results: Sequence[CheckResult]) -> None:
    """Print the results of a configuration check."""
    for result in results:
        _print_line(f"{'[green]✓[/green]' if result.ok else '[red]✗[/red]'} {result.text}")
    problems = sum(not result.ok for result in results)
    verdict = "[green]ready to run[/green]" if not problems else f"[red]{problems} problem(s)[/red]"
    _print_line(f"{path}: {verdict}")


def show_models(models: Sequence[ModelListing]) -> None:
    """Print the catalogue, two lines per model."""
    for model in models:
        entry = model.entry
        facts = (
            [] if entry is None else [f"{entry.input_size[0]}×{entry.input_size[1]}", entry.label_set, entry.licence]
        )
        if entry is not None and entry.size_bytes is not None:
            facts.insert(1, f"{entry.size_bytes / 1e6:.1f} MB")
        default = " [green](default)[/green]" if entry is not None and entry.default else ""
        where = {"folder": "in VEDETTE_MODELS", "cache": "on this machine", "download": "to download"}[model.where]
        _print_line(f"[bold]{model.name}[/bold]{default}  {', '.join([*facts, where])}")
        _print_line(f"    {model.path if entry is None else entry.description}")


def _print_line(text: str) -> None:
    """Print one line without wrapping."""
    Console(highlight=False, soft_wrap=True).print(text)
