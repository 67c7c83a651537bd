"""Logs stay bounded while they are written."""

from __future__ import annotations

import sys
from pathlib import Path

from infra.local.processes.log_rotation import rotate_logs
from infra.local.processes.process import Process, wait_until

TALKER = "import sys, time\nfor n in range(10**9):\n    print('line', n, flush=True)\n    time.sleep(0.0005)"


def test_cloud_b9_a_log_is_cut_while_it_is_written(tmp_path: Path) -> None:
    """The writer goes on in the same file from its beginning, and the copy holds what was there."""
    log_path = tmp_path / "logs" / "talker.log"
    process = Process(
        name="talker", command=[sys.executable, "-S", "-c", TALKER], folder=tmp_path, ready=log_path.is_file
    )
    process.start()
    try:
        assert wait_until(lambda: log_path.stat().st_size > 2000, timeout_s=10)
        assert rotate_logs(log_path.parent, largest_bytes=1000) == [log_path]
        kept = log_path.with_suffix(".log.1").read_text()
        assert kept.startswith("line 0\n")
        assert wait_until(lambda: log_path.read_bytes().count(b"\n") > 2, timeout_s=10)
        goes_on = log_path.read_bytes()
        assert b"\0" not in goes_on
        first_whole = int(goes_on.split(b"\n")[1].removeprefix(b"line "))
        assert first_whole > int(kept.splitlines()[-2].removeprefix("line "))
        assert wait_until(lambda: "line" in process.last_log_lines(), timeout_s=10)
    finally:
        process.stop()


def test_cloud_b9_only_large_logs_are_rotated(tmp_path: Path) -> None:
    """A small log is left alone; the copy made before is replaced, so no more than two files remain."""
    small, large = tmp_path / "small.log", tmp_path / "large.log"
    small.write_text("x")
    for text in ("a" * 11, "b" * 11):
        large.write_text(text)
        assert rotate_logs(tmp_path, largest_bytes=10) == [large]
    assert (small.read_text(), large.read_text()) == ("x", "")
    assert large.with_suffix(".log.1").read_text() == "b" * 11
    assert sorted(path.name for path in tmp_path.iterdir()) == ["large.log", "large.log.1", "small.log"]


def test_cloud_b9_a_log_that_cannot_be_copied_is_cut_all_the_same(tmp_path: Path) -> None:
    """With no room for a copy (here: a folder stands in its way) the disk still gets its room back."""
    large = tmp_path / "large.log"
    large.write_text("a" * 11)
    large.with_suffix(".log.1").mkdir()
    assert rotate_logs(tmp_path, largest_bytes=10) == [large]
    assert large.read_text() == ""
