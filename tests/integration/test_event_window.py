"""Page windows for which rollups help little: months with many events, events deleted in the meantime."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from cloud_functions.api.http.cursor import Cursor
from cloud_functions.db.events.counts import BucketCount
from cloud_functions.db.events.filter import EventFilter
from cloud_functions.db.events.page_window import window_for_page
from cloud_functions.db.events.queries import numbered_page, page_after
from cloud_functions.db.events.time_buckets import TimeSpan
from tests.support.api_calls import NOON, store, stored_event

NOVEMBER = TimeSpan(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))


@pytest.mark.parametrize("wanted", [EventFilter(class_name="person"), EventFilter(site_id="hq"), EventFilter()])
def test_a_cursor_before_all_events_has_no_next_page(database_url: str, wanted: EventFilter) -> None:
    """The month has more events than a page, and none is older than the cursor."""
    store(database_url, [stored_event("tracking", timestamp=NOON + timedelta(seconds=n)) for n in range(60)])
    with psycopg.connect(database_url) as connection:
        for before in (timedelta(days=3), timedelta(days=50)):
            page = page_after(connection, wanted, after=Cursor(timestamp=NOON - before, id=1), limit=10)
            assert (page.events, page.total, page.has_more) == ([], 60, False)


@pytest.mark.parametrize("wanted", [EventFilter(class_name="person"), EventFilter(site_id="hq"), EventFilter()])
def test_events_deleted_after_counting_do_not_cause_a_loop(database_url: str, wanted: EventFilter) -> None:
    """A month with a rollup but without events remains the window of the page."""
    counted = [BucketCount(NOVEMBER, 500, "month")]
    with psycopg.connect(database_url) as connection:
        window = window_for_page(connection, wanted, counted, offset=300, limit=10)
    assert (window.span, window.skip) == (NOVEMBER, 300)


@pytest.mark.parametrize("least", [None, 0.9])
def test_a_site_with_only_old_events_is_found(database_url: str, least: float | None) -> None:
    """No index has this order; the page is correct across months to its last event."""
    old = [NOON - timedelta(days=day) for day in (0, 0, 15, 45, 46, 80)]
    numbers = store(
        database_url,
        [stored_event("tracking", timestamp=moment, site_id="old") for moment in old]
        + [stored_event("tracking", timestamp=NOON - timedelta(hours=n), site_id="new") for n in range(200)],
    )
    wanted = EventFilter(site_id="old", min_confidence=least)
    with psycopg.connect(database_url) as connection:
        found = [
            event.id
            for offset in (0, 2, 4)
            for event in numbered_page(connection, wanted, offset=offset, limit=2).events
        ]
    assert found == [numbers[1], numbers[0], *numbers[2:6]]
