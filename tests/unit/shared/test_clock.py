"""Clocks, and the format of times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from shared.clock import ManualClock, SystemClock, format_utc


def test_format_utc_writes_utc_with_z() -> None:
    """Other time zones are converted; a naive time raises ValueError."""
    moment = datetime(2026, 11, 20, 12, 0, 0, 5, tzinfo=timezone(timedelta(hours=2)))
    assert format_utc(moment) == "2026-11-20T10:00:00.000005Z"
    with pytest.raises(ValueError, match="zone"):
        format_utc(datetime(2026, 11, 20))  # noqa: DTZ001


def test_clocks_advance_and_are_in_utc() -> None:
    """The manual clock advances only on request; the system clock advances by itself and is in UTC."""
    clock = ManualClock()
    start = clock.now()
    clock.advance(2.5)
    assert (clock.now() - start).total_seconds() == clock.monotonic() == 2.5
    system = SystemClock()
    assert system.now().tzinfo is UTC
    assert system.monotonic() <= system.monotonic()
