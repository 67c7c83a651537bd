"""The time budget of a frame."""

from __future__ import annotations

from edge_agent.anpr.frame_budget import FrameBudget


def test_the_budget_is_exhausted_after_its_time_and_restarts_with_a_frame() -> None:
    """The limit itself counts as exhausted; each frame starts anew."""
    now = [10.0]
    budget = FrameBudget(budget_ms=80.0, clock=lambda: now[0])
    budget.start()
    now[0] = 10.0625
    assert not budget.is_exhausted
    now[0] = 10.125
    assert budget.is_exhausted
    budget.start()
    assert not budget.is_exhausted


def test_without_a_clock_the_budget_is_unlimited() -> None:
    """Recordings give the same result on every machine."""
    budget = FrameBudget(budget_ms=0.001)
    budget.start()
    assert not budget.is_exhausted
