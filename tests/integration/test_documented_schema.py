"""The tables, columns, indexes, views and queries of the documents, on PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import psycopg
import pytest

from tests.support.api_calls import events_each_minute, store, stored_event

COLUMNS: Final = {
    "events": "id event_type camera_id timestamp frame_number snapshot_path event_data created_at",
    "plate_events": (
        "event_id captured_at camera_id track_id plate_text plate_normalized_text vehicle_type vehicle_make"
        " vehicle_model vehicle_color latency_ms quality_score frame_number site_id roi direction created_at"
    ),
    "cameras": (
        "id name rtsp_url status is_active enable_detection detection_sensitivity group_id last_connected created_at"
        " updated_at"
    ),
    "camera_groups": "id name location created_at updated_at",
    "camera_snapshots": "id camera_id filename storage_path file_size expiry_date created_at",
    "camera_health": "id camera_id is_connected latency_ms fps_actual last_check created_at",
}
"""The documented columns that the tables have under the documented name. A camera's status is computed."""
COMPUTED: Final = {("cameras", "status")}

INDEXES: Final = {
    "idx_camera_timestamp": ("events", "camera_id, timestamp"),
    "idx_event_type_timestamp": ("events", "event_type, timestamp"),
    "idx_event_type": ("events", "event_type"),
    "idx_camera_id": ("events", "camera_id"),
    "idx_timestamp": ("events", "timestamp"),
    "idx_plate_normalized": ("plate_events", "plate_normalized_text"),
    "idx_camera_time": ("plate_events", "camera_id, captured_at"),
    "idx_captured_at": ("plate_events", "captured_at"),
    "idx_site_time": ("plate_events", "site_id, captured_at"),
    "idx_track_id": ("plate_events", "track_uid"),
    "device_id": ("camera_snapshots", "device_id"),
    "captured_at": ("camera_snapshots", "captured_at"),
}

QUERIES: Final = (
    "SELECT event_type, COUNT(*) FROM events GROUP BY event_type",
    "SELECT id, event_type, camera_id, timestamp FROM events ORDER BY timestamp DESC LIMIT 10",
    "SELECT * FROM plate_events_stats",
    "SELECT * FROM plate_events_recent LIMIT 10",
    "SELECT pg_size_pretty(pg_total_relation_size('plate_events'))",
    "SELECT indexrelname, idx_scan, idx_tup_read, idx_tup_fetch FROM pg_stat_user_indexes WHERE schemaname = 'public'",
)


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url, autocommit=True) as one:
        yield one


@pytest.mark.parametrize("table", COLUMNS)
def test_a_table_has_the_documented_columns(connection: psycopg.Connection[Any], table: str) -> None:
    """Each documented column exists under its name."""
    found = connection.execute("SELECT column_name FROM information_schema.columns WHERE table_name = %s", [table])
    columns = {name for (name,) in found} | {name for owner, name in COMPUTED if owner == table}
    assert set(COLUMNS[table].split()) - columns == set()


@pytest.mark.parametrize("name", INDEXES)
def test_an_index_begins_with_the_documented_columns(connection: psycopg.Connection[Any], name: str) -> None:
    """Other names, and often more columns: each lookup that a documented index supports has an index."""
    table, columns = INDEXES[name]
    definitions = connection.execute("SELECT indexdef FROM pg_indexes WHERE tablename = %s", [table]).fetchall()
    keys = [re.sub(r'"| DESC', "", text.split(" USING btree (")[-1]) for (text,) in definitions if "btree" in text]
    assert [key for key in keys if re.match(rf"{columns}[,)]", key)], keys


def test_the_documented_queries_work(connection: psycopg.Connection[Any], database_url: str) -> None:
    """The monitoring queries of the documents run unchanged."""
    store(database_url, [*events_each_minute(12), stored_event("anpr")])
    answers = [connection.execute(query.encode()).fetchall() for query in QUERIES]
    assert sorted(answers[0]) == [("anpr", 1), ("motion", 12)]
    assert len(answers[1]) == 10
    assert answers[2][0][0] == 1
    assert len(answers[5]) > 10


def test_the_documented_clean_up_deletes_old_events(connection: psycopg.Connection[Any], database_url: str) -> None:
    """Counts and plate reads follow the deletion."""
    store(database_url, [stored_event(), stored_event("anpr")])
    connection.execute("DELETE FROM events WHERE timestamp < NOW() + INTERVAL '90 days'")
    connection.execute("VACUUM ANALYZE events")
    assert connection.execute("SELECT count(*) FROM plate_events").fetchall() == [(0,)]
    assert connection.execute("SELECT coalesce(sum(events), 0) FROM event_counts_daily").fetchall() == [(0,)]


def test_the_documented_queries_of_camera_health_work(connection: psycopg.Connection[Any]) -> None:
    """The newest record of a camera, and its last hundred; an id in quotes is compared as the table's type."""
    for limit in (1, 100):
        query = f"SELECT * FROM camera_health WHERE camera_id = %s ORDER BY created_at DESC LIMIT {limit}"
        found = connection.execute(query.encode(), ["0192f0c1-7d1e-7c3a-9a2b-3b0e0c5d9f11"])
        assert found.fetchall() == []
