"""Checks of a running system: they run in parallel within a time limit, and each result says what to do.

``vedette-admin doctor`` and ``edge-agent doctor`` print the same lines.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, NamedTuple

from shared.errors import VedetteError
from shared.redact import redact

Status = Literal["ok", "skipped", "warning", "fault"]
"""``skipped``: there is nothing to check, or a fault that another line reports prevents the check."""

_EXIT_STATUS: Final[dict[Status, int]] = {"ok": 0, "skipped": 0, "warning": 1, "fault": 2}
_INDENT: Final = " " * 9


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    name: str
    status: Status
    text: str
    """What was found, in one line."""
    remedy: str = ""
    """What to do about it."""

    def as_json(self) -> dict[str, str]:
        return {"name": self.name, "status": self.status, "text": self.text, "remedy": self.remedy}


class Check(NamedTuple):
    """One check. ``run`` may yield several findings; it may raise, and it may take longer than the time limit."""

    name: str
    run: Callable[[], Iterable[Finding]]


def run_checks(checks: Sequence[Check], *, timeout_s: float) -> list[Finding]:
    """Run all checks at the same time; return their findings in the order of ``checks``, with secrets masked.

    A check that raises, or that is not done after ``timeout_s`` seconds, is a fault; what it found before is kept. Its
    thread is abandoned, so the call never takes longer.
    """
    found: list[list[Finding]] = [[] for _ in checks]
    threads = [
        threading.Thread(target=_run, args=(check, into), name=f"check-{check.name}", daemon=True)
        for check, into in zip(checks, found, strict=True)
    ]
    for thread in threads:
        thread.start()
    deadline_s = time.monotonic() + timeout_s
    results: list[Finding] = []
    for check, thread, into in zip(checks, threads, found, strict=True):
        thread.join(max(0.0, deadline_s - time.monotonic()))
        results += list(into)
        if thread.is_alive():
            text = f"not done after {timeout_s:g} s"
            results.append(Finding(check.name, "fault", text, "is it overloaded, or does a firewall drop packets?"))
    return [replace(one, text=_plain(one.text), remedy=_plain(one.remedy)) for one in results]


def exit_status(findings: Iterable[Finding]) -> int:
    """Return 2 if there is a fault, 1 if there is a warning, otherwise 0."""
    return max((_EXIT_STATUS[finding.status] for finding in findings), default=0)


def report_lines(findings: Sequence[Finding]) -> Iterator[str]:
    """Yield a line for each finding, with what to do below those that are not in order, and the totals."""
    for finding in findings:
        yield f"{finding.status:<8} {finding.name}: {finding.text}"
        if finding.remedy and finding.status in {"warning", "fault"}:
            yield f"{_INDENT}{finding.remedy}"
    counts = Counter(finding.status for finding in findings)
    words = (("fault", "faults"), ("warning", "warnings"), ("ok", "ok"), ("skipped", "skipped"))
    yield ", ".join(f"{counts[status]} {name if counts[status] != 1 else status}" for status, name in words)


def report_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return the report as a JSON value."""
    return {
        "status": ("ok", "warning", "fault")[exit_status(findings)],
        "checks": [finding.as_json() for finding in findings],
    }


def _run(check: Check, into: list[Finding]) -> None:
    try:
        for finding in check.run():
            into.append(finding)  # noqa: PERF402 - what was found before an error is kept
    except VedetteError as error:
        into.append(Finding(check.name, "fault", str(error)))
    except Exception as error:
        # Only the type: the text of an unexpected error may quote a secret that no pattern recognises.
        text = f"the check itself failed ({type(error).__name__}); the others are not affected"
        into.append(Finding(check.name, "fault", text, "report it as a bug, with the release"))


def _plain(text: str) -> str:
    return " ".join(redact(text).split())
