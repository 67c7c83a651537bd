"""The number of rows that a request reads does not grow with the table."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest

from shared.clock import format_utc
from tests.support.api_calls import NOON, ApiCalls, lambda_api
from tests.support.ingest_harness import open_ingest
from tests.support.waiting import eventually
from tests.support.wire_events import batch, failures, mixed_traffic

SMALL, LARGE = 2_000, 20_000
BATCH, PAGES = 100, 90
"""Events in a batch; events on the requested pages."""

FILL = """
INSERT INTO events (event_id, event_type, site_id, device_id, camera_id, "timestamp", frame_number, event_data)
SELECT gen_random_uuid(), 'motion', 'hq', 'gate-01', 'camera-' || n %% 40,
       %(noon)s::timestamptz - n * interval '20 seconds', n,
       '{"motion_intensity": 0.5, "affected_area_percentage": 2.0, "regions": []}'::jsonb
FROM generate_series(%(first)s::int, %(last)s::int) AS n
"""
ROWS_READ = """
SELECT coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0) FROM pg_stat_user_tables
WHERE relname LIKE 'events%'
"""
OTHERS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
"""Counts sessions that have not ended and may not have reported their statistics."""


def fill(url: str, *, first: int, last: int) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(FILL, {"noon": NOON, "first": first, "last": last})
        connection.execute("VACUUM ANALYZE events")


def rows_read(url: str) -> int:
    """Return the number of rows that all ended sessions have read from the tables of events."""
    with psycopg.connect(url, autocommit=True) as connection:
        eventually(lambda: connection.execute(OTHERS).fetchone() == (0,))
        row = connection.execute(ROWS_READ).fetchone()
    assert row is not None
    return int(row[0])


def read_by_ingest(url: str, *, seed: int) -> int:
    """Store a batch of a hundred events and return the number of rows that this reads."""
    before = rows_read(url)
    with open_ingest(url) as ingest:
        assert failures(ingest.handle(batch(mixed_traffic(BATCH, seed=seed, first_sequence=1000 * seed)))) == []
    return rows_read(url) - before


def read_by_the_newest_page(url: str) -> int:
    """Request the newest events of all cameras and of one; return the number of rows that this reads."""
    before = rows_read(url)
    handler, dependencies = lambda_api(url)
    api = ApiCalls(handler)
    assert len(api.get("/api/events", page_size=50).json()["events"]) == 50
    assert len(api.get("/api/events", page_size=20, camera_id="camera-3").json()["events"]) == 20
    assert len(api.get("/api/events/recent", limit=20).json()["events"]) == 20
    handler.close()
    dependencies.close()
    return rows_read(url) - before


def read_by_deleting(url: str) -> tuple[int, int]:
    """Delete one camera's events of some hours; return the numbers of read rows and of deleted events."""
    before = rows_read(url)
    handler, dependencies = lambda_api(url)
    span = {"start_time": format_utc(NOON - timedelta(hours=4)), "end_time": format_utc(NOON)}
    answer = ApiCalls(handler).post("/api/events/delete", {"camera_id": "camera-7"} | span).json()
    handler.close()
    dependencies.close()
    return rows_read(url) - before, int(answer["deleted"])


def test_cloud_23_rows_read_do_not_grow_with_the_table(database_url: str) -> None:
    """With ten times as many stored events, ingest and the newest pages still read a few rows for each event."""
    fill(database_url, first=1, last=SMALL)
    small = read_by_ingest(database_url, seed=1), read_by_the_newest_page(database_url)
    fill(database_url, first=SMALL + 1, last=LARGE)
    large = read_by_ingest(database_url, seed=2), read_by_the_newest_page(database_url)
    assert max(small[0], large[0]) < 10 * BATCH
    assert max(small[1], large[1]) < 10 * PAGES


def test_cloud_24_deleting_reads_only_deleted_rows(database_url: str) -> None:
    """Deleting a few of twenty thousand events reads a few rows for each deleted event."""
    fill(database_url, first=1, last=LARGE)
    read, deleted = read_by_deleting(database_url)
    assert deleted == 18
    assert read < 100 * deleted
    assert read < LARGE / 4


@pytest.mark.parametrize("chunk", [100, 500])
def test_cloud_24_rows_read_grow_with_the_size_of_a_deletion(database_url: str, chunk: int) -> None:
    """When all events are deleted in portions, the last portions read about as many rows as the first."""
    fill(database_url, first=1, last=SMALL)
    read: list[int] = []
    for _ in range(SMALL // chunk):
        before = rows_read(database_url)
        handler, dependencies = lambda_api(database_url)
        answer = ApiCalls(handler).post("/api/events/delete", {"event_type": "motion", "limit": chunk})
        handler.close()
        dependencies.close()
        assert answer.json()["deleted"] == chunk
        read.append(rows_read(database_url) - before)
    assert max(read) < 30 * chunk
