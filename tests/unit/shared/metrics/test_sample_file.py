"""Samples of one process in a file, which another process serves."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.metrics.exposition import Histogram, Sample
from shared.metrics.sample_file import SampleWriter, read_sample_files
from shared.metrics.table import Metric, by_name
from tests.support.waiting import eventually

TABLE = by_name(
    (Metric("a_total", "counter", "A.", ("task",)), Metric("b_seconds", "histogram", "B.", (), "seconds", (1.0, 2.0)))
)


def test_samples_are_read_as_they_were_written(tmp_path: Path) -> None:
    """Numbers, labels and histograms; the folder may hold files of several processes."""
    histogram = Histogram((1.0, 2.0))
    histogram.observe(1.5)
    samples = [Sample("a_total", 2.0, {"task": "gaps"}), Sample("b_seconds", histogram.state())]
    SampleWriter(tmp_path / "one.json", collect=lambda: samples[:1]).write()
    SampleWriter(tmp_path / "two.json", collect=lambda: samples[1:]).write()
    assert list(read_sample_files(tmp_path, TABLE)) == samples


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[",
        '"x"',
        '[["a_total", {}, 1]]',
        '[["c_total", {"task": "x"}, 1]]',
        '[["a_total", {"task": "x"}, {"counts": [1], "sum": 1}]]',
        '[["b_seconds", {}, {"counts": [1, 2], "sum": 1}]]',
        '[["b_seconds", {}, 1]]',
        '[["a_total", {"task": "x"}, null]]',
    ],
)
def test_what_does_not_fit_the_table_is_left_out(tmp_path: Path, content: str) -> None:
    """A damaged file, or one of another release, hides neither the others nor the scrape."""
    (tmp_path / "bad.json").write_text(content)
    assert list(read_sample_files(tmp_path, TABLE)) == []


def test_requests_are_written_together(tmp_path: Path) -> None:
    """Many requests within the interval lead to one write, with the latest values."""
    written: list[int] = []
    value = 0

    def collect() -> list[Sample]:
        written.append(value)
        return [Sample("a_total", value, {"task": "gaps"})]

    writer = SampleWriter(tmp_path / "one.json", collect=collect, interval_s=0.2)
    for value in range(1, 51):  # noqa: B007
        writer.request()
    value = 50
    eventually(lambda: written)
    assert written == [50]
    eventually(lambda: [sample.value for sample in read_sample_files(tmp_path, TABLE)] == [50])


def test_a_failed_write_is_logged_and_later_ones_work(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The folder is missing for a while."""
    folder = tmp_path / "metrics"
    writer = SampleWriter(folder / "one.json", collect=list, interval_s=0.01)
    writer.request()
    eventually(lambda: "writing metrics to" in caplog.text)
    folder.mkdir()
    writer.request()
    eventually((folder / "one.json").exists)
