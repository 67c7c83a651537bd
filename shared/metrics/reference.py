"""``python -m shared.metrics.reference FILE``: generates the reference of the metrics from the table."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from shared.metrics.table import AGENT, Metric

INTRODUCTION = """\
# Metrics

How to scrape them, and which values are bad, is in the [monitoring guide](../guide/monitoring.md). Metrics that begin
with `process_` have the names that all Prometheus clients use. Counters begin at 0 with the process, unless the table
says otherwise.

This page is generated from the table in `shared/metrics/table.py` by `make schemas`.
"""


def render() -> str:
    """Return the page as Markdown."""
    return INTRODUCTION + "".join(_section("The agent", AGENT))


def _section(heading: str, table: tuple[Metric, ...]) -> Iterator[str]:
    yield f"\n## {heading}\n\n| metric | type | unit | labels | meaning |\n| --- | --- | --- | --- | --- |\n"
    for metric in table:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        yield f"| `{metric.name}` | {metric.kind} | {metric.unit} | {labels} | {metric.help} |\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(render(), encoding="utf-8")
