"""Fixtures that every kind of test may use; services live in ``tests/support/backing_services.py``."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine is slow, and no test asserts timings. CI tries the same examples each time; elsewhere they are random.
settings.register_profile("vedette", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("vedette")

os.environ["REDIS_PORT"] = "0"  # stacks of tests leave 6379 to the user's Redis, and to the test that asks for it
# A make that a test starts must not inherit the options and variables of the make that runs the tests.
_given_variables = re.findall(r"(\w+)=", os.environ.get("MAKEFLAGS", "").partition(" -- ")[2], re.ASCII)
for name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", *_given_variables):
    os.environ.pop(name, None)

pytest_plugins = ["tests.support.backing_services"]

ROOT = Path(__file__).resolve().parents[1]
SHARED_MATERIAL = ROOT.parent / "shared"


MAX_ID_CHARS = 60

MAX_RERUNS = 3
"""Tests that may fail at first and pass when run once more (``--reruns``, as CI does) without failing the whole run."""


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run in which too many tests passed only at the second attempt: that is no accident of a busy machine."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and len(reporter.stats.get("rerun", ())) > MAX_RERUNS:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what a test that passed at the second attempt failed with at the first: it is a fault to be mended."""
    for report in terminalreporter.stats.get("rerun", ()):
        terminalreporter.section(f"failed at first: {report.nodeid}", sep="_")
        terminalreporter.line(report.longreprtext)
    if len(terminalreporter.stats.get("rerun", ())) > MAX_RERUNS:
        terminalreporter.line(f"more than {MAX_RERUNS} tests failed at first: the run fails", red=True)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a long value by its length: encoded or compressed data may hold the time and differ between workers."""
    if isinstance(val, str | bytes) and len(val) > MAX_ID_CHARS:
        return f"{argname}-of-{len(val)}"
    return None


@pytest.fixture(scope="session")
def shared_material() -> Path:
    """The folder of clips, models and examination data beside the checkout; skips where there is none."""
    if not (SHARED_MATERIAL / "clips").is_dir():
        pytest.skip("needs ../shared (clips, models, examination data), which is not on this machine")
    return SHARED_MATERIAL
