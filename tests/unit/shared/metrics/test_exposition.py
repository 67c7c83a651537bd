"""The Prometheus text format, and the names in the table."""

from __future__ import annotations

import re

import pytest

from shared.metrics.exposition import Counter, Histogram, Sample, render
from shared.metrics.table import AGENT, STACK, Metric, by_name

TABLE = by_name(
    (
        Metric("a_total", "counter", "Things with a \\ and\na line.", ("camera",)),
        Metric("b_seconds", "histogram", "Waits.", ("camera",), "seconds", (0.1, 1.0)),
        Metric("c_ratio", "gauge", "Share.", unit="ratio"),
    )
)


def test_samples_are_written_in_the_order_of_the_table_with_escaped_labels() -> None:
    """Each metric has its help and type once; quotes, backslashes and line ends in labels are escaped."""
    text = render(TABLE, [Sample("c_ratio", 0.5), Sample("a_total", 3, {"camera": 'x"\\\n'})])
    assert text.splitlines() == [
        "# HELP a_total Things with a \\\\ and\\na line.",
        "# TYPE a_total counter",
        'a_total{camera="x\\"\\\\\\n"} 3',
        "# HELP c_ratio Share.",
        "# TYPE c_ratio gauge",
        "c_ratio 0.5",
    ]


def test_buckets_are_cumulative_and_include_their_bound() -> None:
    """``le`` means less than or equal, and the last bucket holds everything."""
    histogram = Histogram(TABLE["b_seconds"].buckets)
    for value in (0.1, 0.5, 7.0):
        histogram.observe(value)
    text = render(TABLE, [Sample("b_seconds", histogram.state(), {"camera": "x"})])
    assert text.splitlines()[2:] == [
        'b_seconds_bucket{camera="x",le="0.1"} 1',
        'b_seconds_bucket{camera="x",le="1"} 2',
        'b_seconds_bucket{camera="x",le="+Inf"} 3',
        'b_seconds_sum{camera="x"} 7.6',
        'b_seconds_count{camera="x"} 3',
    ]


@pytest.mark.parametrize(
    "sample", [Sample("d", 1), Sample("a_total", 1), Sample("a_total", 1, {"camera": "x", "address": "y"})]
)
def test_names_and_labels_outside_the_table_are_refused(sample: Sample) -> None:
    """A metric cannot be served without its row in the table."""
    with pytest.raises(ValueError, match="in the table"):
        render(TABLE, [sample])


def test_special_numbers_and_large_counts() -> None:
    """Infinity and NaN have Prometheus's spelling; integers have no exponent."""
    values = (float("inf"), float("-inf"), float("nan"), 1e12, 1.5)
    text = render(TABLE, [Sample("c_ratio", value) for value in values])
    numbers = [line.split()[1] for line in text.splitlines()[2:]]
    assert numbers == ["+Inf", "-Inf", "NaN", "1000000000000", "1.5"]


def test_a_counter_adds() -> None:
    """Counters start at 0."""
    counter = Counter()
    counter.add()
    counter.add(2)
    assert counter.value == 3


@pytest.mark.parametrize("metric", dict.fromkeys((*AGENT, *STACK)), ids=lambda metric: metric.name)
def test_names_follow_the_conventions(metric: Metric) -> None:
    """Counters end in ``_total``, units are in names, histograms have ascending buckets, help is a sentence."""
    assert re.fullmatch(r"(vedette|process)_[a-z0-9_]+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert not metric.unit or f"_{metric.unit}" in metric.name
    assert bool(metric.buckets) == (metric.kind == "histogram")
    assert list(metric.buckets) == sorted(set(metric.buckets))
    assert metric.help.endswith(".")
    assert metric.help[0].isupper() or metric.help[0].isdigit()
