"""The metrics' table, and the pages, dashboard and rules that follow from it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest
from cfnlint.decode import cfn_yaml

from cloud_functions.observability import NAMESPACE, build_metrics
from shared.metrics.functions import FUNCTION_METRICS, find_function_metric
from shared.metrics.reference import render
from shared.metrics.table import FUNCTIONS, by_name

ROOT: Final = Path(__file__).resolve().parents[2]


def test_the_reference_page_is_up_to_date() -> None:
    """`make schemas` renews it."""
    assert (ROOT / "docs/reference/metrics.md").read_text(encoding="utf-8") == render()


def _counted_names() -> dict[str, set[str]]:
    """Return the names that the code of each function counts, with ``_`` for a part that varies."""
    names: dict[str, set[str]] = {}
    call = re.compile(r"metrics\.(?:count|record)\(\s*f?\"([A-Za-z]+)(_\{[a-z]+\})?\"")
    for path in (ROOT / "cloud_functions").rglob("*.py"):
        folder = path.relative_to(ROOT / "cloud_functions").parts[0]
        for name, suffix in call.findall(path.read_text(encoding="utf-8")):
            names.setdefault(folder, set()).add(name + "_" * bool(suffix))
    return names


def test_functions_count_the_names_of_the_table() -> None:
    """Each function emits the metrics of its rows and no others."""
    wanted: dict[str, set[str]] = {}
    for name, metric in FUNCTION_METRICS.items():
        wanted.setdefault(metric.service, set()).add(name + "_" * bool(metric.suffix_label))
    assert _counted_names() == wanted


def test_each_name_of_a_function_has_its_metric_for_prometheus() -> None:
    """The two tables agree in names, kinds and labels."""
    table = by_name(FUNCTIONS)
    assert {metric.metric for metric in FUNCTION_METRICS.values()} == set(table)
    for metric in FUNCTION_METRICS.values():
        row = table[metric.metric]
        assert (row.kind == "counter") == (metric.unit == "Count")
        of_service = {"target"} if metric.service == "fanout" else set[str]()
        assert set(row.labels) == of_service | ({metric.suffix_label} if metric.suffix_label else set())
    with pytest.raises(KeyError):
        find_function_metric("EventsStored_gaps")
    with pytest.raises(KeyError):
        find_function_metric("Maintenance")


AWS_METRICS: Final = {
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible"): {"QueueName"},
    ("AWS/SQS", "ApproximateAgeOfOldestMessage"): {"QueueName"},
    ("AWS/Lambda", "Errors"): {"FunctionName"},
    ("AWS/Lambda", "Throttles"): {"FunctionName"},
    ("AWS/RDS", "ACUUtilization"): {"DBClusterIdentifier"},
    ("AWS/ApiGateway", "5xx"): {"ApiId"},
}
"""Names and dimensions of metrics that AWS services emit, from their documentation."""


def test_each_alarm_has_a_metric_that_is_emitted_with_its_dimensions() -> None:
    """An alarm on a metric that nobody emits would never be raised."""
    template: Any = cfn_yaml.load(str(ROOT / "template.yaml"))
    alarms = {
        name: resource["Properties"]
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::CloudWatch::Alarm"
    }
    assert alarms
    for name, alarm in alarms.items():
        dimensions = {each["Name"]: each["Value"] for each in alarm["Dimensions"]}
        if alarm["Namespace"] != NAMESPACE:
            assert AWS_METRICS[alarm["Namespace"], alarm["MetricName"]] == set(dimensions), name
            continue
        metric, _ = find_function_metric(alarm["MetricName"])
        assert metric.on_aws, name
        assert dimensions == {"service": metric.service}, name


def test_embedded_metrics_have_namespace_dimension_and_units(capsys: pytest.CaptureFixture[str]) -> None:
    """What CloudWatch reads from the log of a function; names that only the stack uses are left out."""
    metrics = build_metrics(service="ingest", variables={"AWS_LAMBDA_FUNCTION_NAME": "vedette-ingest"})
    metrics.count("EventsStored", 3)
    metrics.record("BatchSeconds", 0.25)
    metrics.record("MaintenanceSucceededAt_gaps", 1.0)
    metrics.flush()
    (line,) = capsys.readouterr().out.splitlines()
    document = json.loads(line)
    (emitted,) = document["_aws"]["CloudWatchMetrics"]
    assert (emitted["Namespace"], emitted["Dimensions"]) == (NAMESPACE, [["service"]])
    assert {each["Name"]: each["Unit"] for each in emitted["Metrics"]} == {
        "EventsStored": "Count",
        "BatchSeconds": "Seconds",
    }
    assert (document["service"], document["EventsStored"], document["BatchSeconds"]) == ("ingest", [3.0], [0.25])
