"""Edge cases of statistics: partial days, and months that are counted and then subtracted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from cloud_functions.db.events.filter import EventFilter
from cloud_functions.db.events.statistics import EventStats, event_stats
from tests.support.api_calls import store, stored_event

MONDAY = datetime(2026, 11, 16, tzinfo=UTC)


def at(day: int, hour: int, **fields: Any) -> dict[str, Any]:
    return stored_event(timestamp=MONDAY + timedelta(days=day, hours=hour), **fields)


def stats(url: str, **conditions: Any) -> EventStats:
    with psycopg.connect(url) as connection:
        return event_stats(connection, EventFilter(**conditions))


def test_partial_days_do_not_extend_the_time_range(database_url: str) -> None:
    """Events before noon on the first day and after ten on the last day are excluded."""
    store(database_url, [at(0, 8), at(1, 15), at(2, 20)])
    found = stats(database_url, start=MONDAY + timedelta(hours=12), end=MONDAY + timedelta(days=2, hours=10))
    middle = MONDAY + timedelta(days=1, hours=15)
    assert (found.total, found.first, found.last) == (1, middle, middle)


def test_subtracted_counts_leave_no_empty_totals(database_url: str) -> None:
    """A camera with events only before the time range is not listed with 0."""
    store(database_url, [at(-10, 1, camera_id="early"), at(3, 1, camera_id="late"), at(20, 1, camera_id="later")])
    found = stats(database_url, start=MONDAY, end=MONDAY + timedelta(days=60))
    assert found.by_camera == {"late": 1, "later": 1}
    assert found.by_type == {"motion": 2}


@pytest.mark.parametrize("days", [0.01, 0.4, 1, 2.5])
def test_a_time_range_without_events_is_empty(database_url: str, days: float) -> None:
    """Totals are 0 and there is no first and last time."""
    store(database_url, [at(-1, 23), at(4, 1)])
    found = stats(database_url, start=MONDAY, end=MONDAY + timedelta(days=days))
    assert found == EventStats(total=0, by_type={}, by_camera={}, first=None, last=None)
