"""Plate reads under column names, through ingest, on PostgreSQL."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from cloud_functions.db.migrate import downgrade, upgrade
from tests.support.api_calls import ApiCalls, lambda_api
from tests.support.ingest_harness import RECOUNT, IngestHarness, open_ingest
from tests.support.plate_dicts import plate_dict, without
from tests.support.plate_reads import PLATE_RECOUNT
from tests.support.wire_events import batch_of, body, encoded

TOPIC = "alpr.plates.detected"


@pytest.fixture
def ingest(database_url: str) -> Iterator[IngestHarness]:
    with open_ingest(database_url, KAFKA_PARTIAL_RESPONSES="true") as one:
        yield one


@pytest.fixture
def api(database_url: str) -> Iterator[ApiCalls]:
    handler, dependencies = lambda_api(database_url)
    yield ApiCalls(handler)
    handler.close()
    dependencies.close()


def _invocation(*reads: dict[str, Any]) -> dict[str, Any]:
    """Return a Kafka invocation with one record for each read."""
    records = [
        {
            "topic": TOPIC,
            "partition": 0,
            "offset": offset,
            "timestamp": 1_795_170_645_500,
            "timestampType": "CREATE_TIME",
            "value": b64encode(encoded(read)).decode(),
            "headers": [],
        }
        for offset, read in enumerate(reads)
    ]
    return {"eventSource": "aws:kafka", "records": {f"{TOPIC}-0": records}}


def test_the_api_returns_a_read_as_it_was_sent(ingest: IngestHarness, api: ApiCalls) -> None:
    """Every column comes back under its name with its value; the API adds only the time of storing."""
    read = plate_dict()
    assert ingest.handle(_invocation(read)) == {"batchItemFailures": []}
    assert ingest.dead_letters.sent == []
    row = api.get(f"/events/{read['event_id']}").json()
    assert row.pop("created_at")
    assert row == read | {"captured_at": "2026-11-20T12:00:00.250000Z"}
    assert api.get("/events/plate/abc-123").json()[0]["event_id"] == read["event_id"]
    assert api.get("/events/camera/camera-01").json()[0]["frame_image_url"] == read["frame_image_url"]
    [document] = ingest.publisher.documents()
    assert (document["event_type"], document["event_id"]) == ("anpr", read["event_id"])


def test_an_image_that_is_no_web_address_is_not_linked(ingest: IngestHarness, api: ApiCalls) -> None:
    """A path or another scheme is kept in the event, and the row has no address."""
    paths = {
        "plate_image_url": "javascript:alert(1)",
        "vehicle_image_url": "/data/1.jpg",
        "frame_image_url": "s3://b/1",
    }
    read = plate_dict(**paths)
    ingest.handle(_invocation(read))
    row = api.get(f"/events/{read['event_id']}").json()
    assert {row[name] for name in paths} == {None}
    data = api.get(f"/api/events/{read['event_id']}").json()["event_data"]
    assert (data["vehicle_image_url"], data["frame_image_url"]) == ("/data/1.jpg", "s3://b/1")


def test_repeated_and_invalid_reads(ingest: IngestHarness) -> None:
    """A read is stored once, and an invalid one becomes a dead letter that names the column; counts stay exact."""
    reads = [plate_dict("AAA 111"), plate_dict("BBB 222")]
    invalid = [without(plate_dict(), "captured_at"), plate_dict(plate_confidence=7)]
    for _ in range(2):
        assert ingest.handle(_invocation(*reads, reads[0], *invalid)) == {"batchItemFailures": []}
    assert ingest.rows("SELECT plate_normalized_text FROM plate_events ORDER BY 1") == [("AAA111",), ("BBB222",)]
    assert [one.reason for one in ingest.dead_letters.sent] == ["invalid"] * 4
    details = [one.detail for one in ingest.dead_letters.sent[:2]]
    assert details[0] == "not a plate read: captured_at: Field required"
    assert details[1].startswith("not a plate read: plate_confidence: ")
    assert ingest.rows(RECOUNT) == []
    assert ingest.rows(PLATE_RECOUNT) == []


def test_an_id_of_another_read_is_refused(ingest: IngestHarness) -> None:
    """A second read with the same ``event_id`` and another time does not replace the first."""
    first = plate_dict("AAA 111")
    second = plate_dict("BBB 222", event_id=first["event_id"], captured_at="2026-11-20T13:00:00Z")
    ingest.handle(_invocation(first))
    ingest.handle(_invocation(second))
    assert ingest.dead_letters.reasons() == ["event_id_taken"]
    assert ingest.rows("SELECT plate_text FROM plate_events") == [("AAA 111",)]


def test_a_read_over_mqtt(ingest: IngestHarness) -> None:
    """A read on an MQTT topic belongs to the device of the topic."""
    topic = "vedette/dock-1/box-7/events/camera-01/anpr"
    assert ingest.handle(batch_of([body(topic, json.dumps(plate_dict()).encode())])) == {"batchItemFailures": []}
    assert ingest.rows("SELECT device_id, host FROM plate_events") == [("box-7", "edge-host.local")]


def _plan(url: str, query: str) -> list[tuple[Any, ...]]:
    """Return the plan that PostgreSQL takes for a table that is too large to scan or to sort."""
    with psycopg.connect(url, options="-c enable_seqscan=off -c enable_sort=off") as connection:
        return connection.execute(query).fetchall()  # pyright: ignore


def _row(ingest: IngestHarness, *columns: str) -> dict[str, Any]:
    """Return these columns of the only row of the view of recent reads."""
    [row] = ingest.rows(f"SELECT {', '.join(columns)} FROM plate_events_recent")
    return dict(zip(columns, row, strict=True))


def test_the_view_of_recent_reads_has_the_documented_columns(ingest: IngestHarness) -> None:
    """SQL that names the documented columns works, also after a downgrade and an upgrade with reads in place."""
    read = plate_dict(captured_at=datetime.now(UTC).isoformat())
    old = plate_dict("OLD 1", captured_at=(datetime.now(UTC) - timedelta(hours=25)).isoformat())
    ingest.handle(_invocation(read, old))
    same = without(read, "event_id", "captured_at", "track_id")
    assert _row(ingest, *same) == same
    assert _row(ingest, "track_uid", "confidence", "region", "host") == {
        "track_uid": read["track_id"], "confidence": 0.94, "region": "US-FL", "host": read["host_id"],
    }  # fmt: skip
    downgrade(ingest.url, "0014")
    assert _row(ingest, "plate_text", "confidence", "region", "host")["region"] == "US-FL"
    upgrade(ingest.url)
    assert _row(ingest, *same) == same


def test_reads_of_a_site_or_a_track_are_found_by_an_index(ingest: IngestHarness) -> None:
    """Neither condition scans the table."""
    ingest.handle(_invocation(plate_dict()))
    conditions = {
        "plate_events_site_idx": "site_id = 'dock-1' AND captured_at > '2026-11-20'",
        "plate_events_track_idx": "track_uid = 'track-42'",
    }
    for index, condition in conditions.items():
        query = f"EXPLAIN SELECT * FROM plate_events WHERE {condition} ORDER BY captured_at DESC, id DESC LIMIT 10"
        plan = "\n".join(line for (line,) in _plan(ingest.url, query))
        assert f"Index Scan Backward using {index}" in plan, plan
