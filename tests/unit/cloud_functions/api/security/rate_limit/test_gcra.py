"""The generic cell rate algorithm."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_functions.api.security.rate_limit.gcra import RateLimit, decide
from cloud_functions.api.security.rate_limit.limiters import ProcessRateLimiter
from shared.clock import ManualClock

LIMIT = RateLimit(per_minute=60, burst=5)


def _allowed(limit: RateLimit, times: list[float]) -> list[bool]:
    arrival_s, allowed = float("-inf"), list[bool]()
    for now_s in times:
        decision, arrival_s = decide(limit, arrival_s=arrival_s, now_s=now_s)
        allowed.append(decision.is_allowed)
    return allowed


def test_the_steady_rate_comes_after_a_burst() -> None:
    """Five at once, then one a second; after a pause, five again."""
    assert _allowed(LIMIT, [0.0] * 7) == [True] * 5 + [False] * 2
    assert _allowed(LIMIT, [0.0] * 6 + [0.9, 1.0, 1.5, 2.0]) == [True] * 5 + [False, False, True, False, True]
    assert _allowed(LIMIT, [0.0] * 5 + [100.0] * 6) == [True] * 10 + [False]


def test_the_decision_says_what_may_follow() -> None:
    """Remaining requests, and the time until the next one and until a whole burst."""
    decision, arrival_s = decide(LIMIT, arrival_s=0.0, now_s=10.0)
    assert (decision.is_allowed, decision.remaining, decision.reset_s) == (True, 4, 1.0)
    for _ in range(4):
        decision, arrival_s = decide(LIMIT, arrival_s=arrival_s, now_s=10.0)
    assert (decision.is_allowed, decision.remaining) == (True, 0)
    decision, _ = decide(LIMIT, arrival_s=arrival_s, now_s=10.25)
    assert (decision.is_allowed, decision.retry_after_s) == (False, pytest.approx(0.75))
    assert decision.headers() == {"RateLimit-Limit": "5", "RateLimit-Remaining": "0", "RateLimit-Reset": "5"}


@given(
    per_minute=st.integers(1, 10_000),
    burst=st.integers(1, 50),
    pauses=st.lists(st.floats(0, 5, allow_nan=False), max_size=60),
)
def test_no_window_has_more_than_the_burst_and_the_rate(per_minute: int, burst: int, pauses: list[float]) -> None:
    """In any window, at most a burst and what the steady rate adds; a refused request costs nothing."""
    limit = RateLimit(per_minute, burst)
    times = [sum(pauses[: number + 1]) for number in range(len(pauses))]
    accepted = [time for time, is_allowed in zip(times, _allowed(limit, times), strict=True) if is_allowed]
    for first, start in enumerate(accepted):
        for last in range(first, len(accepted)):
            assert last - first + 1 <= burst + (accepted[last] - start) / limit.interval_s + 1e-3


def test_callers_are_counted_apart() -> None:
    """One caller's requests do not limit another's; time gives requests back."""
    clock = ManualClock()
    limiter = ProcessRateLimiter(LIMIT, clock=clock)

    def count(caller: str) -> bool:
        return asyncio.run(limiter.count(caller)).is_allowed

    assert [count("a") for _ in range(6)] == [True] * 5 + [False]
    assert count("b")
    clock.advance(1)
    assert [count("a") for _ in range(2)] == [True, False]


def test_memory_is_bounded() -> None:
    """Callers that are back within the rate are forgotten when there are many; the others keep their state."""
    clock = ManualClock()
    limiter = ProcessRateLimiter(LIMIT, clock=clock, max_callers=100)

    async def run() -> None:
        for number in range(99):
            await limiter.count(f"old-{number}")
        clock.advance(5)
        for _ in range(5):
            await limiter.count("busy")
        for number in range(50):
            await limiter.count(f"new-{number}")
        assert limiter.callers <= 100
        assert not (await limiter.count("busy")).is_allowed

    asyncio.run(run())
