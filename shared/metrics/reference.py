"""``python -m shared.metrics.reference FILE``: generates the reference of the metrics from the table."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from shared.metrics.functions import FUNCTION_METRICS
from shared.metrics.table import AGENT, STACK, Metric

INTRODUCTION = """\
# Metrics

How to scrape them, and which values are bad, is in the [monitoring guide](../guide/monitoring.md). Metrics that begin
with `process_` have the names that all Prometheus clients use. Counters begin at 0 with the process, unless the table
says otherwise.

This page is generated from the table in `shared/metrics/table.py` by `make schemas`.
"""


def render() -> str:
    """Return the page as Markdown."""
    sections = (*_section("The agent", AGENT), *_section("The one-machine stack", STACK), *_cloudwatch_section())
    return INTRODUCTION + "".join(sections)


def _section(heading: str, table: tuple[Metric, ...]) -> Iterator[str]:
    yield f"\n## {heading}\n\n| metric | type | unit | labels | meaning |\n| --- | --- | --- | --- | --- |\n"
    for metric in table:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        yield f"| `{metric.name}` | {metric.kind} | {metric.unit} | {labels} | {metric.help} |\n"


def _cloudwatch_section() -> Iterator[str]:
    yield (
        "\n## CloudWatch\n\nOn AWS the functions write these metrics in the embedded metric format, in the namespace"
        " `Vedette` with the dimension `service`.\n\n| metric | service | unit | on the one-machine stack |\n"
        "| --- | --- | --- | --- |\n"
    )
    for name, metric in FUNCTION_METRICS.items():
        if metric.on_aws:
            suffix = f"_{metric.suffix_label.upper()}" if metric.suffix_label else ""
            yield f"| `{name}{suffix}` | `{metric.service}` | {metric.unit} | `{metric.metric}` |\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(render(), encoding="utf-8")
