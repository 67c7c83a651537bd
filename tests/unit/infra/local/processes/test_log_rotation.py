"""The size of the logs is limited while their writers run."""

from __future__ import annotations

import sys
from pathlib import Path

from infra.local.processes.log_rotation import rotate_logs
from infra.local.processes.process import Process, wait_until

WRITER = "import sys, time\nfor n in range(10**9):\n    print('line', n, flush=True)\n    time.sleep(0.0005)"


def test_cloud_b9_a_log_is_rotated_while_it_is_written(tmp_path: Path) -> None:
    """The writer continues at the beginning of the same file, and the copy contains the earlier lines."""
    log_path = tmp_path / "logs" / "writer.log"
    process = Process(
        name="writer", command=[sys.executable, "-S", "-c", WRITER], folder=tmp_path, ready=log_path.is_file
    )
    process.start()
    try:
        assert wait_until(lambda: log_path.stat().st_size > 2000, timeout_s=10)
        assert rotate_logs(log_path.parent, largest_bytes=1000) == [log_path]
        copy = log_path.with_suffix(".log.1").read_text()
        assert copy.startswith("line 0\n")
        assert wait_until(lambda: log_path.read_bytes().count(b"\n") > 2, timeout_s=10)
        continued = log_path.read_bytes()
        assert b"\0" not in continued
        first_complete = int(continued.split(b"\n")[1].removeprefix(b"line "))
        assert first_complete > int(copy.splitlines()[-2].removeprefix("line "))
        assert wait_until(lambda: "line" in process.last_log_lines(), timeout_s=10)
    finally:
        process.stop()


def test_cloud_b9_only_large_logs_are_rotated(tmp_path: Path) -> None:
    """A small log is unchanged. A rotation replaces the previous copy, so each log has at most one copy."""
    small, large = tmp_path / "small.log", tmp_path / "large.log"
    small.write_text("x")
    for text in ("a" * 11, "b" * 11):
        large.write_text(text)
        assert rotate_logs(tmp_path, largest_bytes=10) == [large]
    assert (small.read_text(), large.read_text()) == ("x", "")
    assert large.with_suffix(".log.1").read_text() == "b" * 11
    assert sorted(path.name for path in tmp_path.iterdir()) == ["large.log", "large.log.1", "small.log"]


def test_cloud_b9_a_log_that_cannot_be_copied_is_truncated(tmp_path: Path) -> None:
    """This frees space on a full disk. In this test a folder prevents the copy."""
    large = tmp_path / "large.log"
    large.write_text("a" * 11)
    large.with_suffix(".log.1").mkdir()
    assert rotate_logs(tmp_path, largest_bytes=10) == [large]
    assert large.read_text() == ""
