"""Plate reads under column names, through ingest, on PostgreSQL."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import pytest

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
