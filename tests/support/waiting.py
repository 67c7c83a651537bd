"""Waiting for another thread or process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

WAITS_FOR_ADVISORY_LOCK: Final = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
"""Number of sessions of the server that wait for an advisory lock."""


def eventually(condition: Callable[[], object], *, within_s: float = 20.0, what: str = "") -> None:
    """Return when ``condition`` is true; fail after ``within_s`` seconds, which is long because machines may stall."""
    deadline_s = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline_s:
            raise AssertionError(f"not within {within_s:g} s: {what or condition}")
        time.sleep(0.005)
