"""Checks run side by side, within the time limit, and report what they find in lines and as JSON."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared.certificate_expiry import expiry_finding
from shared.diagnosis import Check, Finding, exit_status, report_json, report_lines, run_checks
from shared.disk_space import SpaceLimits, disk_findings
from shared.errors import TransientError


def _ok() -> Iterator[Finding]:
    yield Finding("first", "ok", "in order")


def test_a_check_that_fails_or_hangs_does_not_stop_the_others() -> None:
    """It is a fault itself, what it found before is kept, and an unexpected text is not shown."""
    never = threading.Event()

    def hangs() -> Iterator[Finding]:
        yield Finding("hangs", "ok", "half of it")
        never.wait(60)
        yield Finding("hangs", "ok", "the rest")

    def broken() -> Iterator[Finding]:
        raise ValueError("password sesame")

    def expected() -> Iterator[Finding]:
        raise TransientError("the service at redis://user:sesame@host is busy")

    checks = [Check("hangs", hangs), Check("broken", broken), Check("expected", expected), Check("first", _ok)]
    findings = run_checks(checks, timeout_s=0.5)
    never.set()
    assert [(one.name, one.status) for one in findings] == [
        ("hangs", "ok"),
        ("hangs", "fault"),
        ("broken", "fault"),
        ("expected", "fault"),
        ("first", "ok"),
    ]
    assert "not done after 0.5 s" in findings[1].text
    assert "ValueError" in findings[2].text
    assert "redis://***@host is busy" in findings[3].text
    assert "sesame" not in "".join(report_lines(findings))


@pytest.mark.parametrize(
    ("statuses", "status", "word"),
    [
        (["ok", "skipped"], 0, "ok"),
        (["skipped"], 0, "ok"),
        (["ok", "warning"], 1, "warning"),
        (["warning", "fault", "ok"], 2, "fault"),
    ],
)
def test_the_worst_finding_decides(statuses: list[str], status: int, word: str) -> None:
    """About the exit status, and the status of the JSON report."""
    findings = [Finding("a", one, "text") for one in statuses]  # pyright: ignore[reportArgumentType]
    assert exit_status(findings) == status
    assert report_json(findings)["status"] == word


def test_lines() -> None:
    """A line for each finding; what to do is below it where something is to be done."""
    findings = [
        Finding("disk", "ok", "much is free", "nothing"),
        Finding("redis", "fault", "nothing listens", "start it"),
        Finding("clock", "warning", "is late"),
    ]
    assert list(report_lines(findings)) == [
        "ok       disk: much is free",
        "fault    redis: nothing listens",
        "         start it",
        "warning  clock: is late",
        "1 fault, 1 warning, 1 ok, 0 skipped",
    ]


def test_a_folder_that_refuses_writes_is_a_fault(tmp_path: Path) -> None:
    """As is one that does not exist; the space of both is reported where it can be read."""
    findings = list(disk_findings({"objects": tmp_path, "database": Path("/proc"), "queues": tmp_path / "none"}))
    by_text = {one.text: one.status for one in findings}
    assert any(text.startswith("/proc (database) cannot be written: ") for text in by_text)
    assert by_text[f"{tmp_path / 'none'} (queues) cannot be read: No such file or directory"] == "fault"
    assert [one.status for one in findings if "free for objects" in one.text] == ["ok"]


def test_little_space_and_few_inodes(tmp_path: Path) -> None:
    """The limits decide; a file system is reported once for all its folders."""
    folders = {"objects": tmp_path, "database": tmp_path}
    for limits, status in (
        (SpaceLimits(warn_bytes=2**60, fault_bytes=0), "warning"),
        (SpaceLimits(warn_bytes=2**60, fault_bytes=2**60), "fault"),
        (SpaceLimits(warn_bytes=0), "ok"),
    ):
        [finding] = disk_findings(folders, limits=limits)
        assert (finding.status, "free for objects, database" in finding.text) == (status, True)


def test_certificates_are_renewed_in_time() -> None:
    """A month before the end there is a warning."""
    now = datetime(2026, 12, 1, tzinfo=UTC)
    found = [expiry_finding("c", "it", now + timedelta(days=days), now=now) for days in (-1, 0, 29, 31)]
    assert [one.status for one in found] == ["fault", "fault", "warning", "ok"]
    assert found[2].text == "it expires on 2026-12-30, in 29 days"
