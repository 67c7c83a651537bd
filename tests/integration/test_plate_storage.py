"""``plate_events`` and its rollups on a real PostgreSQL, and the functions of the plate store."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud_functions.db.migrate import downgrade, upgrade
from cloud_functions.maintenance.handler import build_maintenance
from cloud_functions.privacy.plate_store import (
    NewPlate,
    get_event_by_id,
    get_events_by_camera,
    get_events_by_plate,
    get_recent_events,
    get_stats,
    insert_batch,
    insert_event,
)
from shared.clock import ManualClock
from shared.errors import ContractError
from tests.support.ingest_harness import RECOUNT, IngestHarness, open_ingest, rows
from tests.support.plate_reads import PLATE_RECOUNT, plate_read
from tests.support.wire_events import BOX, batch, failures, wire_event

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.fixture
def ingest(database_url: str) -> Iterator[IngestHarness]:
    with open_ingest(database_url) as one:
        yield one


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url, autocommit=True) as one:
        yield one


def test_an_anpr_event_fills_every_column(ingest: IngestHarness, connection: psycopg.Connection[Any]) -> None:
    """Each field of the event is stored in the column of its name."""
    event = plate_read(
        "B·AK 123",
        region="de",
        track_id=42,
        track_uid="camera-1-42",
        vehicle={"type": "car", "make": "Dacia", "model": "Logan", "color": "blue"},
        direction="in",
        quality_score=0.8,
        latency_ms=412.5,
        host="box-7",
        roi="lane 2",
        plate_image_key="plates/1.jpg",
    )
    assert failures(ingest.handle(batch([event, wire_event()]))) == []
    read = get_event_by_id(connection, UUID(event["event_id"]))
    assert read is not None
    [(number, created_at)] = ingest.rows("SELECT id, created_at FROM events WHERE event_type = 'anpr'")
    assert read._asdict() == {
        "id": number,
        "plate_token": None,
        "event_id": event["event_id"],
        "site_id": "hq",
        "device_id": "gate-01",
        "camera_id": "camera-1",
        "host": "box-7",
        "captured_at": NOON,
        "track_id": 42,
        "track_uid": "camera-1-42",
        "plate_text": "B·AK 123",
        "plate_normalized_text": "BAK123",
        "confidence": 0.93,
        "region": "de",
        "vehicle_type": "car",
        "vehicle_make": "Dacia",
        "vehicle_model": "Logan",
        "vehicle_color": "blue",
        "vehicle_image_key": event["snapshot"]["key"],
        "plate_image_key": "plates/1.jpg",
        "plate_box": BOX,
        "latency_ms": 412.5,
        "quality_score": 0.8,
        "frame_number": 1234,
        "roi": "lane 2",
        "direction": "in",
        "reads": 5,
        "created_at": created_at,
    }
    assert ingest.rows("SELECT count(*) FROM plate_events") == [(1,)]


def test_a_repeated_event_is_stored_as_one_read(ingest: IngestHarness) -> None:
    """The queue delivers the event repeatedly, alone and with new ones. It is stored and counted once."""
    event = plate_read("AB 123 CD", latency_ms=100.0)
    ingest.handle(batch([event]))
    ingest.handle(batch([event, plate_read("XY 9", latency_ms=300.0), event]))
    assert ingest.rows("SELECT * FROM plate_events_stats") == [(2, 2, 1, 0.93, 200.0)]
    assert ingest.rows(PLATE_RECOUNT) == []


MOMENTS = st.integers(0, 40).map(lambda days: (NOON - timedelta(days=days)).isoformat())
READS = st.builds(
    lambda text, camera, moment, latency: (
        plate_read(text, camera_id=f"camera-{camera}", latency_ms=latency) | {"timestamp": moment}
    ),
    st.sampled_from(["AB 1", "AB 2", "CD 3", "EF 44"]),
    st.integers(1, 3),
    MOMENTS,
    st.sampled_from([None, 0.1, 99.9994, 1e300]),
)
STEPS = st.one_of(
    st.tuples(st.just("insert"), st.lists(READS, min_size=1, max_size=8)),
    st.tuples(st.just("delete"), st.sampled_from(["camera_id = 'camera-1'", "id % 3 = 0", "license_plate = 'AB1'"])),
    st.tuples(st.just("again"), st.none()),
    st.tuples(st.just("tidy"), st.none()),
    st.tuples(st.just("drop"), st.none()),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEPS, min_size=1, max_size=7))
def test_plate_rollups_equal_a_recount_after_any_changes(database_url: str, steps: list[tuple[str, Any]]) -> None:
    """Inserts, repeats, deletes, retention and tidying keep reads, plates, sums and distinct plates exact."""
    with psycopg.connect(database_url) as connection:
        connection.execute("TRUNCATE events")
    sent: list[Any] = []
    with open_ingest(database_url) as ingest:
        maintenance = build_maintenance(
            {"DATABASE_URL": database_url, "RETENTION_DAYS": "10"}, database=ingest.database, clock=ManualClock(NOON)
        )
        for kind, argument in steps:
            if kind in ("insert", "again"):
                sent = argument or sent
                assert failures(ingest.handle(batch(sent))) == []
            elif kind == "delete":
                with psycopg.connect(database_url) as connection:
                    connection.execute(f"DELETE FROM events WHERE {argument}".encode())
            else:
                maintenance.handle({"task": "tidy" if kind == "tidy" else "retention"})
            assert rows(database_url, PLATE_RECOUNT) == []


def test_concurrent_writers_do_not_deadlock_or_miscount(database_url: str) -> None:
    """Several environments write the same few plates and cameras in different orders, and one deletes."""

    def write(seed: int) -> None:
        with open_ingest(database_url) as ingest:
            for turn in range(8):
                reads = [
                    plate_read(f"AB {(seed * 7 + number * (turn + 1)) % 13}", camera_id=f"camera-{number % 3}")
                    for number in range(20)
                ]
                assert failures(ingest.handle(batch(reads))) == []
                if seed == 0:
                    with psycopg.connect(database_url) as connection:
                        connection.execute("DELETE FROM events WHERE id % 5 = 0")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert rows(database_url, PLATE_RECOUNT) == []
    assert rows(database_url, RECOUNT) == []


def test_retention_deletes_plates_with_their_month(database_url: str) -> None:
    """No table contains a plate after its last read has expired."""
    later = ManualClock(datetime(2027, 1, 20, tzinfo=UTC))
    with open_ingest(database_url, clock=later) as ingest:
        ingest.handle(batch([plate_read("OLD 1"), plate_read("OLD 2"), plate_read("NEW 1", minute=60 * 24 * 40)]))
        variables = {"DATABASE_URL": database_url, "RETENTION_DAYS": "30"}
        maintenance = build_maintenance(variables, database=ingest.database, clock=later)
        maintenance.handle({"task": "retention"})
        maintenance.handle({"task": "tidy"})
        assert ingest.rows("SELECT plate_normalized_text, events FROM plates") == [("NEW1", 1)]
        assert ingest.rows(PLATE_RECOUNT) == []


def test_the_migration_adds_the_reads_of_stored_events(database_url: str) -> None:
    """Plates that were stored before the migration can be searched after it."""
    with open_ingest(database_url) as ingest:
        ingest.handle(batch([plate_read("AB 1", latency_ms=5.0), wire_event(), plate_read("AB 2")]))
    downgrade(database_url, "0002")
    upgrade(database_url)
    assert rows(database_url, PLATE_RECOUNT) == []
    assert rows(database_url, "SELECT count(*) FROM plate_events") == [(2,)]


def test_the_views_show_statistics_and_recent_reads(ingest: IngestHarness) -> None:
    """Statistics without reads are zeros and nulls. Recent reads are those of the last day, newest first."""
    assert ingest.rows("SELECT * FROM plate_events_stats") == [(0, 0, 0, None, None)]
    now = datetime.now(UTC)
    old, new, newest = (now - timedelta(hours=hours) for hours in (25, 2, 1))
    ingest.handle(batch([plate_read("A 1") | {"timestamp": moment.isoformat()} for moment in (old, newest, new)]))
    assert ingest.rows("SELECT captured_at FROM plate_events_recent") == [(newest,), (new,)]


def _new(text: str, **fields: Any) -> NewPlate:
    return NewPlate(
        **{
            "site_id": "hq",
            "device_id": "gate-01",
            "camera_id": "camera-1",
            "captured_at": NOON,
            "plate_text": text,
            "confidence": 0.5,
        }
        | fields
    )


def test_the_plate_store_stores_and_finds_reads(connection: psycopg.Connection[Any], database_url: str) -> None:
    """By id, plate and camera, newest first, with limit and offset."""
    first = _new("ab-123 cd", latency_ms=10.0, vehicle_image_key="camera-1/1.jpg", host="box", roi="gate")
    number = insert_event(connection, first)
    assert number is not None
    assert insert_event(connection, first) is None
    others = [
        _new("AB123CD", camera_id=f"camera-{n % 2}", captured_at=NOON + timedelta(minutes=n), latency_ms=20.0)
        for n in range(1, 4)
    ]
    assert len(insert_batch(connection, [first, *others])) == 3
    assert insert_batch(connection, []) == {}
    read = get_event_by_id(connection, first.event_id)
    assert read is not None
    assert (read.id, read.plate_text, read.vehicle_image_key, read.host) == (
        number,
        "ab-123 cd",
        "camera-1/1.jpg",
        "box",
    )
    assert get_event_by_id(connection, UUID(int=0)) is None
    ids = [str(one.event_id) for one in (others[2], others[1], others[0], first)]
    assert [one.event_id for one in get_events_by_plate(connection, "Ab 123-cD")] == ids
    assert [one.event_id for one in get_recent_events(connection, limit=2, offset=1)] == ids[1:3]
    of_camera = get_events_by_camera(connection, "camera-1", start=NOON, end=NOON + timedelta(minutes=3))
    assert [one.event_id for one in of_camera] == [ids[2], ids[3]]
    assert dataclasses.astuple(get_stats(connection)) == (4, 1, 2, 0.5, 17.5)
    assert rows(database_url, PLATE_RECOUNT) == []


@pytest.mark.parametrize(
    "invalid",
    [
        {"camera_id": "a/b"},
        {"confidence": 1.5},
        {"plate_text": "---"},
        {"captured_at": NOON.replace(tzinfo=None)},
        {"vehicle_image_key": "a\tb"},
        {"roi": "a\x00b"},
    ],
)
def test_a_read_that_violates_the_contract_is_not_stored(
    connection: psycopg.Connection[Any], invalid: dict[str, Any]
) -> None:
    """The plate store checks the same contract as ingest, and stores no read of the batch."""
    with pytest.raises(ContractError):
        insert_batch(
            connection,
            [
                _new("AB 1"),
                _new(
                    **{"text": invalid.get("plate_text", "AB 1")}
                    | {key: value for key, value in invalid.items() if key != "plate_text"}
                ),
            ],
        )
    assert get_recent_events(connection) == []
