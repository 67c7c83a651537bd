"""``StorageService`` and ``KafkaStorageConsumer`` on PostgreSQL and librdkafka's mock cluster."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg.conninfo import conninfo_to_dict

from cloud_functions.alpr_storage import KafkaStorageConsumer, StorageService, pooled_database
from shared.errors import ConfigurationError, TransientError
from tests.support import protected_sites
from tests.support.backing_services import PostgresFixture
from tests.support.ingest_harness import RECOUNT, open_ingest, rows
from tests.support.kafka_cluster import FAST_CONSUMER, KafkaCluster
from tests.support.plate_dicts import plate_dict, without
from tests.support.plate_reads import PLATE_RECOUNT
from tests.support.waiting import eventually
from tests.support.wire_events import batch, wire_event

API = "https://api.example"


@contextmanager
def open_storage(url: str, **options: Any) -> Iterator[StorageService]:
    to = conninfo_to_dict(url)
    one = StorageService(
        host=str(to["host"]),
        port=int(str(to.get("port", 5432))),
        database=str(to["dbname"]),
        user=str(to["user"]),
        password=to.get("password"),
        variables=options.pop("variables", {}),
        **options,
    )
    try:
        yield one
    finally:
        one.close()


@pytest.fixture
def storage(database_url: str) -> Iterator[StorageService]:
    with open_storage(database_url, min_conn=1, max_conn=2, api_url=f"{API}/") as one:
        yield one


def test_a_read_comes_back_as_it_went_in(storage: StorageService, database_url: str) -> None:
    """All columns are returned under their names, and a read that is stored already counts as stored."""
    read = plate_dict()
    assert storage.insert_event(read) is True
    assert storage.insert_event(read) is True
    found = storage.get_event_by_id(read["event_id"])
    assert found is not None
    assert found == read | {"captured_at": "2026-11-20T12:00:00.250000Z", "created_at": found["created_at"]}
    assert storage.get_event_by_id(UUID(read["event_id"])) == found
    assert storage.insert_event(found) is True
    assert rows(database_url, "SELECT count(*) FROM plate_events") == [(1,)]
    assert rows(database_url, RECOUNT) == []
    assert rows(database_url, PLATE_RECOUNT) == []


def test_values_of_python_are_accepted(storage: StorageService) -> None:
    """A UUID and a datetime, with or without a zone, may stand for their texts."""
    read = plate_dict(event_id=uuid4(), captured_at=datetime(2026, 11, 20, 12))  # noqa: DTZ001 - without a zone
    assert storage.insert_event(read)
    [found] = storage.get_recent_events()
    assert (found["event_id"], found["captured_at"]) == (str(read["event_id"]), "2026-11-20T12:00:00.000000Z")


def test_an_invalid_read_is_not_stored(storage: StorageService, caplog: pytest.LogCaptureFixture) -> None:
    """The result is False, the log names the column, and the other reads of a batch are stored."""
    assert storage.insert_event(without(plate_dict(), "plate_text")) is False
    assert "not a plate read: plate_text: Field required" in caplog.text
    taken = plate_dict()
    assert storage.insert_batch([taken, plate_dict(plate_confidence=2), plate_dict()]) == 2
    assert storage.insert_event(taken | {"captured_at": "2026-11-21T00:00:00Z"}) is False
    assert storage.insert_batch([]) == 0


def test_lists(storage: StorageService) -> None:
    """Lists are newest first; limit, offset and times select, and both times are inclusive."""
    noon = datetime(2026, 11, 20, 12, tzinfo=UTC)
    times = [(noon + timedelta(minutes=minute)).isoformat() for minute in range(5)]
    assert storage.insert_batch([plate_dict(captured_at=time) for time in times]) == 5
    assert storage.insert_event(plate_dict("XYZ 9", camera_id="camera-02", captured_at="2026-11-19"))

    def minutes(found: list[dict[str, Any]]) -> list[int]:
        return [datetime.fromisoformat(row["captured_at"]).minute for row in found]

    assert minutes(storage.get_events_by_plate("abc-123")) == [4, 3, 2, 1, 0]
    assert minutes(storage.get_events_by_plate("ABC123", limit=2, offset=1)) == [3, 2]
    start, end = noon + timedelta(minutes=1), datetime(2026, 11, 20, 12, 3)  # noqa: DTZ001 - without a zone
    assert minutes(storage.get_events_by_camera("camera-01", start_time=start, end_time=end)) == [3, 2, 1]
    assert minutes(storage.get_events_by_camera("camera-01", limit=1)) == [4]
    assert [row["plate_text"] for row in storage.get_events_by_camera("camera-02")] == ["XYZ 9"]
    assert [row["plate_text"] for row in storage.get_recent_events(limit=6)][-1] == "XYZ 9"
    assert storage.get_events_by_plate("NONE 1") == []
    assert storage.get_event_by_id(str(uuid4())) is None
    assert storage.get_event_by_id("12") is None


def test_reads_of_devices_have_the_same_columns(storage: StorageService, database_url: str) -> None:
    """The snapshot of a device's read is linked through the API."""
    event = wire_event("anpr")
    event["snapshot"]["key"] = "camera-1/2026-11-20/anpr_120000_000000.jpg"
    with open_ingest(database_url) as ingest:
        ingest.handle(batch([event]))
    [row] = storage.get_recent_events()
    assert set(row) == {*plate_dict(), "created_at"}
    assert row["frame_image_url"] == f"{API}/api/events/{event['event_id']}/snapshot"
    with open_storage(database_url) as without_api:
        assert without_api.get_recent_events()[0]["frame_image_url"] is None


def test_statistics(storage: StorageService) -> None:
    """Totals and averages have the documented names."""
    reads = [plate_dict("A 1", plate_confidence=0.5, latency_ms=10), plate_dict("A 1"), plate_dict("B 2")]
    assert storage.insert_batch(reads[:1] + [read | {"latency_ms": None} for read in reads[1:]]) == 3
    stats = storage.get_stats()
    assert stats.pop("avg_confidence") == pytest.approx((0.5 + 0.94 + 0.94) / 3)
    assert stats == {
        "is_connected": True, "total_events": 3, "unique_plates": 2, "active_cameras": 1, "avg_latency_ms": 10.0,
    }  # fmt: skip


def test_the_plates_of_a_protected_site_are_sealed(database_url: str, tmp_path: Path) -> None:
    """The plate is in no table and no result, nor is an address that contains it; the other columns are."""
    protected_sites.protect(database_url, tmp_path, "dock-1")
    read = plate_dict("SECRET 77", vehicle_image_url="https://images.example/SECRET77.jpg")
    with open_storage(database_url, variables={"PLATE_MASTER_KEY": protected_sites.setting(tmp_path)}) as storage:
        assert storage.insert_event(read)
        found = storage.get_event_by_id(read["event_id"])
    assert found is not None
    assert (found["plate_text"], found["plate_normalized_text"], found["vehicle_image_url"]) == (None, None, None)
    assert (found["frame_image_url"], found["roi"]) == (read["frame_image_url"], "lane-1")
    assert "SECRET" not in protected_sites.dump(database_url)
    with open_storage(database_url) as without_key:
        assert without_key.insert_event(plate_dict("SECRET 78")) is False


def test_threads_share_the_pool(storage: StorageService, database_url: str) -> None:
    """More threads than connections may write and read at the same time."""

    def work(number: int) -> int:
        assert storage.insert_event(plate_dict(f"TH {number}"))
        return len(storage.get_events_by_plate(f"TH {number}"))

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(work, range(24))) == [1] * 24
    assert rows(database_url, PLATE_RECOUNT) == []


def test_an_outage_is_survived(postgres: PostgresFixture, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a database nothing is stored and lists raise TransientError; afterwards the same object works."""
    monkeypatch.setattr(pooled_database, "_WAIT_S", 1.0)
    read = plate_dict()
    with open_storage(database_url) as storage:
        assert storage.insert_event(read)
        postgres.kill()
        assert storage.insert_event(plate_dict()) is False
        assert storage.get_stats() == {
            "is_connected": False, "total_events": None, "unique_plates": None, "active_cameras": None,
            "avg_confidence": None, "avg_latency_ms": None,
        }  # fmt: skip
        with pytest.raises(TransientError, match="no database connection"):
            storage.get_recent_events()
        postgres.start()
        eventually(lambda: storage.get_stats()["is_connected"], within_s=30)
        assert storage.get_recent_events()[0]["event_id"] == read["event_id"]
        assert storage.insert_event(plate_dict()) is True


def test_a_closed_service_and_wrong_sizes_are_reported(database_url: str) -> None:
    """A closed pool is an error, as is a minimum above the maximum."""
    with open_storage(database_url) as storage:
        pass
    with pytest.raises(TransientError, match="closed"):
        storage.get_recent_events()
    with pytest.raises(ConfigurationError, match="pool"), open_storage(database_url, min_conn=5, max_conn=2):
        pass


def test_latest_begins_at_the_end_of_the_topic(
    kafka: KafkaCluster, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A new group with ``latest`` stores what arrives after it joined; ``stop`` ends ``start``, from another thread."""
    caplog.set_level(logging.INFO)
    topic = "alpr.plates.latest"
    kafka.create_topic(topic, partitions=1)
    kafka.produce_events(topic, [plate_dict("OLD 1")])
    to = conninfo_to_dict(database_url)
    consumer = KafkaStorageConsumer(
        kafka.brokers, topic, "latest-group", str(to["host"]), int(str(to["port"])), str(to["dbname"]), str(to["user"]),
        to.get("password"), kafka_properties={name: str(value) for name, value in FAST_CONSUMER.items()}, variables={},
    )  # fmt: skip
    thread = threading.Thread(target=consumer.start)
    thread.start()
    try:
        eventually(lambda: "assigned" in caplog.text, within_s=30)

        def stored() -> bool:
            kafka.produce_events(topic, [plate_dict("NEW 1")])
            return rows(database_url, "SELECT DISTINCT plate_text FROM plate_events") == [("NEW 1",)]

        eventually(stored, within_s=30)
    finally:
        consumer.stop()
        thread.join(30)
    assert not thread.is_alive()
