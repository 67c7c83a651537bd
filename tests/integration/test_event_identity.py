"""One event_id is one event, a repeat says what is stored, and a picture stays while any event shows it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import psycopg
import pytest

from cloud_functions.db.events.delete import SnapshotPath, delete_event
from cloud_functions.db.events.identity import parse_snapshot_path, uuid7_time
from cloud_functions.ingest.publish import Publication
from shared.clock import format_utc
from tests.support.ingest_harness import RECOUNT, IngestHarness, open_ingest
from tests.support.wire_events import anpr_data, batch, batch_of, body, encoded, failures, tracking_data, wire_event

NOW = datetime.now(UTC)
"""``wire_event`` mints its ids now: an event of now is where its id says."""
KEY = "camera-1/2026-11-20/tracking_120000_000000.jpg"


@pytest.fixture
def ingest(database_url: str) -> Iterator[IngestHarness]:
    with open_ingest(database_url) as one:
        yield one


@pytest.mark.parametrize("first_days_ago", [0, 1, 400])
@pytest.mark.parametrize("then_days_ago", [0.5, 20, 9000])
@pytest.mark.parametrize("kind", ["minted", "random"])
def test_cloud_c2_one_event_id_is_one_event_over_two_batches(
    ingest: IngestHarness, first_days_ago: float, then_days_ago: float, kind: str
) -> None:
    """Whatever time the second message gives, and however its id was made: refused with a reason, the first stays."""
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


def test_cloud_c2_an_event_deleted_since_may_come_again_with_another_time(ingest: IngestHarness) -> None:
    """What is noted about ids outlives no event."""
    first = wire_event(timestamp=format_utc(NOW - timedelta(days=100)))
    ingest.handle(batch([first]))
    with psycopg.connect(ingest.url) as connection:
        delete_event(connection, UUID(first["event_id"]))
    assert failures(ingest.handle(batch([first | {"timestamp": format_utc(NOW)}]))) == []
    assert ingest.dead_letters.reasons() == []
    assert ingest.rows("SELECT count(*) FROM events") == [(1,)]


def test_cloud_c2_a_repeat_with_other_content_is_told_as_it_is_stored(ingest: IngestHarness) -> None:
    """Document, attributes and watch-list match are all those of the first message."""
    with psycopg.connect(ingest.url) as connection:
        connection.execute(
            "INSERT INTO watchlists (name) VALUES ('stolen');"
            " INSERT INTO watchlist_patterns (watchlist_id, kind, pattern)"
            " SELECT watchlist_id, 'exact', 'B2' FROM watchlists"
        )
    first = wire_event("anpr", event_data=anpr_data("B 1"), timestamp=format_utc(NOW))
    ingest.handle(batch([first]))
    ingest.handle(batch([first | {"event_data": anpr_data("B 2")}]))
    [told, again] = ingest.publisher.published
    assert_same(told, again)
    assert told.attributes["license_plate"] == "B1"
    tracked = wire_event(timestamp=format_utc(NOW))
    ingest.handle(batch([tracked]))
    ingest.handle(batch([tracked | {"event_data": tracking_data(class_name="dog")}]))
    assert_same(*ingest.publisher.published[2:])


def assert_same(told: Publication, again: Publication) -> None:
    """Check that subscribers get the same document and attributes, however the JSON is spaced."""
    assert json.loads(again.document) == json.loads(told.document)
    assert again.attributes == told.attributes


@pytest.mark.parametrize("hours", [0, 1, 30 * 24])
def test_cloud_c4_a_picture_stays_while_an_event_of_any_time_shows_it(ingest: IngestHarness, hours: int) -> None:
    """Deleting either event first keeps the picture; deleting the other gives it free."""
    noon = datetime(2026, 11, 20, 12, tzinfo=UTC)
    events = [wire_event(timestamp=format_utc(noon - timedelta(hours=gap))) for gap in (0, hours)]
    events[1]["camera_id"] = "camera-1" if hours < 2 else "camera-9"
    ingest.handle(batch(events))
    with psycopg.connect(ingest.url) as connection:
        assert delete_event(connection, UUID(events[0]["event_id"])).snapshots == []
        connection.rollback()
        assert delete_event(connection, UUID(events[1]["event_id"])).snapshots == []
        assert delete_event(connection, UUID(events[0]["event_id"])).snapshots == [SnapshotPath("gate-01", KEY)]


def test_where_a_picture_and_an_id_say_their_event_is() -> None:
    """Only keys and ids of our own making say anything."""
    assert parse_snapshot_path(KEY) == ("camera-1", datetime(2026, 11, 20, 12, tzinfo=UTC))
    assert parse_snapshot_path("somewhere/else.jpg") is None
    assert parse_snapshot_path("a/2026-13-01/tracking_120000_000000.jpg") is None
    assert uuid7_time("0192f0c1-7d1e-7c3a-9a2b-3b0e0c5d9f11") == datetime(2024, 11, 3, 6, 41, 5, 310000, tzinfo=UTC)
    assert uuid7_time(str(uuid4())) is None
    assert uuid7_time("ffffffff-ffff-7c3a-9a2b-3b0e0c5d9f11") is None


def heartbeat(moment: datetime, version: str) -> str:
    told = {
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
    return body("vedette/hq/gate-01/heartbeat", encoded(told), received_at_ms=int(NOW.timestamp() * 1000))


@pytest.mark.parametrize("ahead", [timedelta(days=26_000), timedelta(hours=20)])
def test_cloud_c1_a_heartbeat_from_the_future_hides_no_later_one(ingest: IngestHarness, ahead: timedelta) -> None:
    """Years ahead it is rejected like an event; hours ahead it counts as of now."""
    ingest.handle(batch_of([heartbeat(NOW + ahead, "ahead")]))
    assert ingest.dead_letters.reasons() == (["timestamp_out_of_range"] if ahead.days else [])
    assert failures(ingest.handle(batch_of([heartbeat(datetime.now(UTC), "right")]))) == []
    assert ingest.rows("SELECT agent_version, heartbeat_at <= now() FROM devices") == [("right", True)]


def test_cloud_c1_a_row_that_an_earlier_release_froze_thaws(ingest: IngestHarness) -> None:
    """A heartbeat of 2099 that is stored already counts for nothing."""
    ingest.handle(batch_of([heartbeat(NOW, "old")]))
    with psycopg.connect(ingest.url) as connection:
        connection.execute("UPDATE devices SET heartbeat_at = '2099-01-01', agent_version = 'frozen'")
    ingest.handle(batch_of([heartbeat(datetime.now(UTC), "right")]))
    assert ingest.rows("SELECT agent_version, heartbeat_at <= now() FROM devices") == [("right", True)]


@pytest.mark.parametrize("minted", [True, False], ids=["near its minting", "of another time"])
def test_cloud_a2_looking_up_a_batchs_ids_reads_no_whole_table(ingest: IngestHarness, minted: bool) -> None:
    """The transaction holds locks on counts meanwhile: history must not make it slower with each event loaded."""
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
    """Return how many rows of events and of their noted times were read from the tables so far."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_stat_force_next_flush()")
        row = connection.execute(
            "SELECT sum(seq_tup_read + COALESCE(idx_tup_fetch, 0))::int FROM pg_stat_user_tables"
            " WHERE relname LIKE 'events\\_%' OR relname = 'event_odd_times'"
        ).fetchone()
    assert row is not None
    return row[0]
