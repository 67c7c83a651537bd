"""Backoff of retry loops, and logging of unexpected exceptions."""

from __future__ import annotations

import logging
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.clock import ManualClock
from shared.retry import Backoff, FaultLog, SharedBackoff

log = logging.getLogger("test.retry")


def test_python_backoff_doubles_up_to_its_maximum_and_resets() -> None:
    """Each consecutive failure doubles the wait; a success resets it."""
    backoff = Backoff(min_s=0.5, max_s=3)
    assert [backoff.failed() for _ in range(5)] == [0.5, 1, 2, 3, 3]
    assert backoff.failures == 5
    backoff.succeeded()
    assert backoff.failed() == 0.5


@given(failures=st.integers(1, 5000), seed=st.integers(0, 99), ratio=st.floats(0, 1))
def test_python_backoff_with_jitter_stays_within_bounds(failures: int, seed: int, ratio: float) -> None:
    """For any number of failures, the wait is at most the bound and at least what the jitter leaves."""
    backoff = Backoff(min_s=1, max_s=8, jitter_ratio=ratio, rng=random.Random(seed))
    backoff.failures = failures - 1
    bound_s = min(8, 2 ** min(failures - 1, 10))
    assert bound_s * (1 - ratio) - 1e-9 <= backoff.failed() <= bound_s


def test_python_simultaneous_failures_count_once() -> None:
    """Four uploads that fail in the same outage lengthen the pause once; a success ends it."""
    clock = ManualClock()
    backoff = SharedBackoff(min_s=10, max_s=15, monotonic=clock.monotonic)
    assert backoff.remaining_s() == 0
    for _ in range(4):
        backoff.failed()
    assert backoff.remaining_s() == 10
    clock.advance(11)
    backoff.failed()
    assert backoff.remaining_s() == 15
    backoff.succeeded()
    assert backoff.remaining_s() == 0


def raise_here(number: int) -> None:
    if number:
        raise KeyError(f"fault {number}")
    raise KeyError("another line")


def caught(number: int) -> KeyError:
    with pytest.raises(KeyError) as raised:
        raise_here(number)
    return raised.value


def test_python_repeated_faults_are_logged_once_with_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """A repetition has the same type and line; its text may differ. Another line is another fault."""
    faults = FaultLog(log)
    with caplog.at_level(logging.DEBUG, log.name):
        for number in range(1, 101):
            faults.log(caught(number), "the feed failed")
        faults.log(caught(0), "the feed failed")
        faults.log(ValueError("never raised"), "the feed failed")
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [str(record.exc_info[1]) for record in errors if record.exc_info] == [
        "'fault 1'",
        "'another line'",
        "never raised",
    ]
    assert errors[0].getMessage().startswith("the feed failed")
    assert len(caplog.records) == 102
    assert "again (100 times so far): KeyError" in caplog.text


def test_python_a_fault_is_logged_again_after_an_interval(caplog: pytest.LogCaptureFixture) -> None:
    """A fault that did not occur for forget_after_s is logged as an error again."""
    clock = ManualClock()
    faults = FaultLog(log, forget_after_s=3600, monotonic=clock.monotonic)
    for quiet_s, logged in ((0, 1), (3599, 1), (3599, 1), (3601, 2)):
        clock.advance(quiet_s)
        faults.log(caught(1), "the feed failed")
        assert caplog.text.count("Traceback") == logged


def test_python_fault_log_memory_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """A thousand kinds of fault do not increase the memory of a long-running process."""
    faults = FaultLog(log)
    for number in range(1000):
        faults.log(type(f"Error{number}", (Exception,), {})(), "the feed failed")
    assert len(vars(faults)["_seen"]) <= 64
