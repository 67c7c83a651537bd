"""Ingest with a missing plate, and with a full disk of PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.support.api_calls import ApiCalls, lambda_api
from tests.support.ingest_harness import RECOUNT, IngestHarness, open_ingest
from tests.support.wire_events import anpr_data, batch, failures, message_ids, mixed_traffic, wire_event


@pytest.fixture
def ingest(database_url: str) -> Iterator[IngestHarness]:
    with open_ingest(database_url) as one:
        yield one


@pytest.mark.parametrize(
    "data",
    [
        anpr_data() | {"plate_normalized": None},
        anpr_data() | {"anpr_result": None},
        anpr_data() | {"anpr_result": {"license_plate": None, "confidence": 0.9}},
        anpr_data() | {"anpr_result": {"confidence": 0.9}},
        anpr_data() | {"anpr_result": {"license_plate": 17, "confidence": 0.9}},
        anpr_data() | {"anpr_result": {"license_plate": "", "confidence": 0.9}, "plate_normalized": ""},
        {},
    ],
    ids=["no normal form", "no result", "NULL", "left out", "a number", "empty", "no data"],
)
def test_cloud_22_read_without_a_plate_is_rejected_alone(ingest: IngestHarness, data: dict[str, Any]) -> None:
    """It becomes a dead letter with its reason; the reads before and after it are stored and found."""
    before, odd, after = (
        wire_event("anpr", event_data=each) for each in (anpr_data("B 1 A"), data, anpr_data("B 2 B"))
    )
    assert failures(ingest.handle(batch([before, odd, after]))) == []
    assert ingest.dead_letters.reasons() == ["invalid"]
    stored = {event_id for (event_id,) in ingest.rows("SELECT event_id::text FROM events")}
    assert stored == {before["event_id"], after["event_id"]}
    handler, dependencies = lambda_api(ingest.url)
    found = ApiCalls(handler).get("/api/plates").json()
    handler.close()
    dependencies.close()
    assert found["total"] == 2


DISK_FULL = """
CREATE FUNCTION disk_is_full() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full';
END $$;
CREATE TRIGGER disk_is_full BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION disk_is_full();
"""


def test_cloud_26_full_disk_returns_batches_and_loses_nothing(ingest: IngestHarness) -> None:
    """After ``disk_full`` errors there is no dead letter, and with free space again all events are stored once."""
    batches = [batch(events) for events in (mixed_traffic(30), mixed_traffic(30, seed=2, first_sequence=100))]
    assert failures(ingest.handle(batches[0])) == []
    with psycopg.connect(ingest.url, autocommit=True) as connection:
        connection.execute(DISK_FULL)
        for _ in range(3):
            answer = ingest.handle(batches[1])
            assert sorted(failures(answer)) == sorted(message_ids(batches[1], range(30)))
        connection.execute("DROP TRIGGER disk_is_full ON events")
    assert ingest.dead_letters.sent == []
    assert ingest.rows("SELECT count(*) FROM events") == [(30,)]
    assert failures(ingest.handle(batches[1])) == []
    assert ingest.rows("SELECT count(*), count(DISTINCT event_id) FROM events") == [(60, 60)]
    assert ingest.rows(RECOUNT) == []
