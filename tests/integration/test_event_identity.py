"""An event_id identifies one event, repeats publish the stored event, and snapshots are kept while in use."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import psycopg
import pytest

from cloud_functions.db.events.delete import SnapshotPath, delete_event
from cloud_functions.db.events.identity import uuid7_time
from cloud_functions.ingest.publish import Publication
from shared.clock import format_utc
from tests.support.ingest_harness import RECOUNT, IngestHarness, open_ingest
from tests.support.wire_events import anpr_data, batch, batch_of, body, encoded, failures, tracking_data, wire_event

NOW = datetime.now(UTC)
"""``wire_event`` creates ids with the current time, so an event of now has the time of its id."""
KEY = "camera-1/2026-11-20/tracking_120000_000000.jpg"


@pytest.fixture
def ingest(database_url: str) -> Iterator[IngestHarness]:
    with open_ingest(database_url) as one:
        yield one


@pytest.mark.parametrize("first_days_ago", [0, 1, 400])
@pytest.mark.parametrize("then_days_ago", [0.5, 20, 9000])
@pytest.mark.parametrize("kind", ["minted", "random"])
def test_cloud_c2_an_event_id_is_unique_across_batches(
    ingest: IngestHarness, first_days_ago: float, then_days_ago: float, kind: str
) -> None:
    """A second event with the same id and another time is rejected with a reason, and the first is kept."""
    first = wire_event(timestamp=format_utc(NOW - timedelta(days=first_days_ago)))
    if kind == "random":
        first["event_id"] = str(uuid4())
    again = first | {"timestamp": format_utc(NOW - timedelta(days=then_days_ago))}
    assert failures(ingest.handle(batch([first]))) == []
    assert failures(ingest.handle(batch([again, wire_event()]))) == []
    assert ingest.rows("SELECT timestamp FROM events WHERE event_id = %s", [first["event_id"]]) == [
        (datetime.fromisoformat(first["timestamp"]),)
    ]
    assert ingest.dead_letters.reasons() == ["event_id_taken"]
    assert "another time" in ingest.dead_letters.sent[0].detail
    assert ingest.rows("SELECT count(*) FROM events") == [(2,)]
    assert ingest.rows(RECOUNT) == []
    assert len(ingest.publisher.published) == 2


def test_cloud_c2_a_deleted_event_can_be_sent_again_with_another_time(ingest: IngestHarness) -> None:
    """The recorded ids of deleted events are deleted too."""
    first = wire_event(timestamp=format_utc(NOW - timedelta(days=100)))
    ingest.handle(batch([first]))
    with psycopg.connect(ingest.url) as connection:
        delete_event(connection, UUID(first["event_id"]))
    assert failures(ingest.handle(batch([first | {"timestamp": format_utc(NOW)}]))) == []
    assert ingest.dead_letters.reasons() == []
    assert ingest.rows("SELECT count(*) FROM events") == [(1,)]


def test_cloud_c2_a_repeat_with_other_content_is_published_as_stored(ingest: IngestHarness) -> None:
    """Document, attributes and watch-list match are those of the first message."""
    with psycopg.connect(ingest.url) as connection:
        connection.execute(
            "INSERT INTO watchlists (name) VALUES ('stolen');"
            " INSERT INTO watchlist_patterns (watchlist_id, kind, pattern)"
            " SELECT watchlist_id, 'exact', 'B2' FROM watchlists"
        )
    first = wire_event("anpr", event_data=anpr_data("B 1"), timestamp=format_utc(NOW))
    ingest.handle(batch([first]))
    ingest.handle(batch([first | {"event_data": anpr_data("B 2")}]))
    [first, again] = ingest.publisher.published
    assert_same(first, again)
    assert first.attributes["license_plate"] == "B1"
    tracked = wire_event(timestamp=format_utc(NOW))
    ingest.handle(batch([tracked]))
    ingest.handle(batch([tracked | {"event_data": tracking_data(class_name="dog")}]))
    assert_same(*ingest.publisher.published[2:])


def assert_same(first: Publication, again: Publication) -> None:
    """Assert that both have the same attributes and equal JSON documents."""
    assert json.loads(again.document) == json.loads(first.document)
    assert again.attributes == first.attributes


@pytest.mark.parametrize("hours", [0, 1, 30 * 24])
def test_cloud_c4_a_snapshot_is_kept_while_any_event_uses_it(ingest: IngestHarness, hours: int) -> None:
    """Deleting one of two events keeps the snapshot; deleting the other one releases it."""
    noon = datetime(2026, 11, 20, 12, tzinfo=UTC)
    events = [wire_event(timestamp=format_utc(noon - timedelta(hours=gap))) for gap in (0, hours)]
    events[1]["camera_id"] = "camera-1" if hours < 2 else "camera-9"
    ingest.handle(batch(events))
    with psycopg.connect(ingest.url) as connection:
        assert delete_event(connection, UUID(events[0]["event_id"])).snapshots == []
        connection.rollback()
        assert delete_event(connection, UUID(events[1]["event_id"])).snapshots == []
        assert delete_event(connection, UUID(events[0]["event_id"])).snapshots == [SnapshotPath("gate-01", KEY)]


def test_uuid7_time_returns_the_creation_time_of_version_7_only() -> None:
    """Other versions and times after the year 3000 have no time."""
    assert uuid7_time("0192f0c1-7d1e-7c3a-9a2b-3b0e0c5d9f11") == datetime(2024, 11, 3, 6, 41, 5, 310000, tzinfo=UTC)
    assert uuid7_time(str(uuid4())) is None
    assert uuid7_time("ffffffff-ffff-7c3a-9a2b-3b0e0c5d9f11") is None


def heartbeat(moment: datetime, version: str) -> str:
    heartbeat_body = {
        "schema_version": 1,
        "site_id": "hq",
        "device_id": "gate-01",
        "timestamp": format_utc(moment),
        "agent_version": version,
        "uptime_seconds": 1.0,
        "outbox": {
            "sequence_epoch": "e1",
            "last_sequence": 0,
            "pending_events": 0,
            "pending_bytes": 0,
            "dropped_events": 0,
        },
    }
    return body("vedette/hq/gate-01/heartbeat", encoded(heartbeat_body), received_at_ms=int(NOW.timestamp() * 1000))


@pytest.mark.parametrize("ahead", [timedelta(days=26_000), timedelta(hours=20)])
def test_cloud_c1_a_heartbeat_from_the_future_does_not_hide_later_ones(ingest: IngestHarness, ahead: timedelta) -> None:
    """Years ahead it is rejected like an event; hours ahead it is stored with the current time."""
    ingest.handle(batch_of([heartbeat(NOW + ahead, "ahead")]))
    assert ingest.dead_letters.reasons() == (["timestamp_out_of_range"] if ahead.days else [])
    assert failures(ingest.handle(batch_of([heartbeat(datetime.now(UTC), "right")]))) == []
    assert ingest.rows("SELECT agent_version, heartbeat_at <= now() FROM devices") == [("right", True)]


def test_cloud_c1_a_stored_heartbeat_from_the_future_is_replaced(ingest: IngestHarness) -> None:
    """A stored heartbeat of 2099 does not block newer ones."""
    ingest.handle(batch_of([heartbeat(NOW, "old")]))
    with psycopg.connect(ingest.url) as connection:
        connection.execute("UPDATE devices SET heartbeat_at = '2099-01-01', agent_version = 'frozen'")
    ingest.handle(batch_of([heartbeat(datetime.now(UTC), "right")]))
    assert ingest.rows("SELECT agent_version, heartbeat_at <= now() FROM devices") == [("right", True)]


@pytest.mark.parametrize("minted", [True, False], ids=["near its minting", "of another time"])
def test_cloud_a2_the_lookup_of_ids_does_not_scan_a_table(ingest: IngestHarness, minted: bool) -> None:
    """The transaction holds locks on rollups, so its duration must not grow with the number of events."""
    count = 20_000
    shift = timedelta(0) if minted else timedelta(days=400)
    with psycopg.connect(ingest.url, autocommit=True) as connection:
        connection.execute(
            """
            INSERT INTO events (event_id, site_id, device_id, camera_id, event_type, "timestamp", event_data)
            SELECT gen_random_uuid(), 'hq', 'old', 'old', 'motion', %s - n * interval '1 second', '{}'
            FROM generate_series(1, %s) AS n
            """,
            [NOW - shift, count],
        )
        connection.execute(
            "INSERT INTO event_odd_times SELECT event_id, timestamp, device_id, NULL, true FROM events LIMIT %s",
            [0 if minted else count],
        )
    before = rows_read(ingest.url)
    events = [wire_event(timestamp=format_utc(NOW - shift - timedelta(minutes=n)), snapshot=None) for n in range(200)]
    assert failures(ingest.handle(batch(events))) == []
    ingest.database.close()
    assert rows_read(ingest.url) - before < count


def rows_read(url: str) -> int:
    """Return the number of rows read so far from the tables of events and of their recorded times."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_stat_force_next_flush()")
        row = connection.execute(
            "SELECT sum(seq_tup_read + COALESCE(idx_tup_fetch, 0))::int FROM pg_stat_user_tables"
            " WHERE relname LIKE 'events\\_%' OR relname = 'event_odd_times'"
        ).fetchone()
    assert row is not None
    return row[0]
