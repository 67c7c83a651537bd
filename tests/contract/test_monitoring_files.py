"""The Grafana dashboard, the alert rules and the scrape configuration use metrics and labels that exist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from infra.local.processes.stack_options import DEFAULT_METRICS_PORT
from shared.metrics.table import AGENT, STACK, Metric

FOLDER: Final = Path(__file__).resolve().parents[2] / "infra" / "monitoring"
GUIDE: Final = FOLDER.parents[1] / "docs" / "guide" / "monitoring.md"
OF_PROMETHEUS: Final = {"up": {"instance", "job"}}
"""Series that Prometheus itself makes, and labels that it adds to all series."""
NOT_METRICS: Final = frozenset(
    [
        "and",
        "or",
        "unless",
        "on",
        "by",
        "sum",
        "min",
        "max",
        "avg",
        "rate",
        "increase",
        "histogram_quantile",
        "time",
        "m",
        "h",
        "d",
        "s",
    ]
)


def series_labels() -> Mapping[str, set[str]]:
    """Return the labels of each series."""
    found = {name: set(labels) for name, labels in OF_PROMETHEUS.items()}
    for metric in dict.fromkeys((*AGENT, *STACK)):
        for name in metric.series():
            bucket = {"le"} if name.endswith("_bucket") else set[str]()
            found.setdefault(name, set()).update(metric.labels, bucket, OF_PROMETHEUS["up"])
    return found


SERIES: Final = series_labels()


def problems(expression: str) -> list[str]:
    """Return the names and labels of a PromQL expression that do not exist."""
    selectors = re.findall(r"([a-z_][a-z0-9_]*)?\{([^}]*)\}", expression)
    grouped = [label for group in re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", expression) for label in group.split(",")]
    bare = re.sub(r"\{[^}]*\}|\b(?:by|on)\s*\([^)]*\)|\[[^\]]*\]|\"[^\"]*\"", " ", expression)
    names = set(re.findall(r"[a-z_][a-z0-9_]*", bare)) - NOT_METRICS
    found = [name for name in sorted(names) if name not in SERIES]
    known = set[str]().union(*(SERIES.get(name, set()) for name in names))
    found += [f"by {label.strip()}" for label in grouped if label.strip() not in known]
    for name, matchers in selectors:
        labels = re.findall(r"([a-z_]+)\s*(?:=~|!~|!=|=)", matchers)
        found += [f"{name}{{{label}}}" for label in labels if label not in SERIES.get(name, set())]
    return found if names else [*found, "no metric"]


def panels() -> list[dict[str, Any]]:
    dashboard = json.loads((FOLDER / "vedette.json").read_text(encoding="utf-8"))
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((FOLDER / "vedette-alerts.yml").read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def expressions() -> Iterator[tuple[str, str, str]]:
    """Yield place, expression and the text that is shown with it."""
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"], target["legendFormat"]
    for rule in rules():
        yield rule["alert"], rule["expr"], rule["annotations"]["summary"]


@pytest.mark.parametrize(("place", "expression", "text"), list(expressions()))
def test_expressions_use_metrics_and_labels_of_the_table(place: str, expression: str, text: str) -> None:
    """Each name, matcher, grouping and label in a legend or a summary exists."""
    assert problems(expression) == [], place
    shown = re.findall(r"\{\{\s*(?:\$labels\.)?([a-z_]+)\s*\}\}", text)
    names = set(re.findall(r"[a-z_][a-z0-9_]*", expression)) & set(SERIES)
    known = set[str]().union(*(SERIES[name] for name in names))
    assert [label for label in shown if label not in known] == [], place


@pytest.mark.parametrize(
    "expression",
    [
        "vedette_frame_total",
        'vedette_camera_up{cam="x"} == 0',
        "sum by (rotue) (rate(vedette_api_request_seconds_count[5m]))",
        "histogram_quantile(0.9, rate(vedette_api_request_seconds[5m]))",
        "1 > 0",
    ],
)
def test_mistakes_are_found(expression: str) -> None:
    """A misspelt name or label, a histogram without its suffix, and an expression without a metric."""
    assert problems(expression) != []


def test_panels_have_places_and_ids_of_their_own() -> None:
    """No panel covers another one; each has an id, a title and letters for its queries."""
    used = [(panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y) for panel in panels()
            for x in range(panel["gridPos"]["w"]) for y in range(panel["gridPos"]["h"])]  # fmt: skip
    assert len(used) == len(set(used))
    assert max(x for x, _ in used) < 24
    ids = [panel["id"] for panel in panels()]
    assert len(ids) == len(set(ids))
    for panel in panels():
        letters = [target["refId"] for target in panel["targets"]]
        assert panel["title"]
        assert letters == sorted(set(letters))


def test_each_metric_that_can_be_bad_has_an_alert() -> None:
    """States and failures of the table are named by a rule; a new one needs a decision here."""
    watched = " ".join(rule["expr"] for rule in rules())
    table: dict[str, Metric] = {metric.name: metric for metric in (*AGENT, *STACK)}
    states = [name for name in table if name.endswith(("_up", "_connected", "_oldest_seconds", "_lost_total"))]
    assert [name for name in states if name not in watched] == []


def test_jobs_rules_and_ports_of_the_scrape_configuration() -> None:
    """The rules' file exists, the jobs are those that rules and panels name, the ports those of the guide."""
    configuration = yaml.safe_load((FOLDER / "prometheus.yml").read_text(encoding="utf-8"))
    assert [(FOLDER / name).is_file() for name in configuration["rule_files"]] == [True]
    jobs = {job["job_name"]: job["static_configs"][0]["targets"] for job in configuration["scrape_configs"]}
    assert jobs == {"vedette-agent": ["127.0.0.1:9464"], "vedette-stack": [f"127.0.0.1:{DEFAULT_METRICS_PORT}"]}
    named = {job for _, expression, _ in expressions() for job in re.findall(r'job="([^"]+)"', expression)}
    assert named == set(jobs)


def test_the_guide_has_a_row_for_each_alert() -> None:
    """The table of the guide says what each alert means."""
    page = GUIDE.read_text(encoding="utf-8")
    assert [rule["alert"] for rule in rules() if f"`{rule['alert']}`" not in page] == []
