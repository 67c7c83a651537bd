"""Outboxes that are closed after each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent.outbox import Outbox, OutboxSettings
from shared.clock import Clock, ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def open_outbox(tmp_path: Path, clock: ManualClock) -> Iterator[Callable[..., Outbox]]:
    """Return a function that opens the outbox in the test's folder, with settings given by name."""
    opened: list[Outbox] = []

    def open_one(*, clock: Clock = clock, **settings: Any) -> Outbox:
        outbox = Outbox(tmp_path / "outbox.db", settings=OutboxSettings(**settings), clock=clock)
        opened.append(outbox)
        return outbox

    yield open_one
    for outbox in opened:
        outbox.close()


@pytest.fixture
def outbox(open_outbox: Callable[..., Outbox]) -> Outbox:
    return open_outbox()
