"""The ingest function with a Kafka event source mapping, on a real PostgreSQL."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cloud_functions.ingest.sources.kafka_records import TOPIC_HEADER
from shared.errors import TransientError
from tests.support.ingest_harness import RECOUNT, IngestHarness, open_ingest
from tests.support.wire_events import encoded, topic_of, wire_event

AWS_EVENTS = Path(__file__).resolve().parents[1] / "aws_events"
TOPIC = "alpr.plates.detected"


@pytest.fixture
def ingest(database_url: str) -> Iterator[IngestHarness]:
    with open_ingest(database_url, KAFKA_PARTIAL_RESPONSES="true") as one:
        yield one


def lambda_event(values: Iterable[bytes], *, mqtt_topic: str | None = None) -> dict[str, Any]:
    """Return an invocation with one record for each value, in two partitions."""
    headers = [{TOPIC_HEADER: list(mqtt_topic.encode())}] if mqtt_topic is not None else []
    records: dict[str, list[dict[str, Any]]] = {}
    for number, value in enumerate(values):
        partition, offset = number % 2, 100 + number // 2
        record = {
            "topic": TOPIC,
            "partition": partition,
            "offset": offset,
            "timestamp": 1_795_170_645_500,
            "timestampType": "CREATE_TIME",
            "value": b64encode(value).decode(),
            "headers": headers,
        }
        records.setdefault(f"{TOPIC}-{partition}", []).append(record)
    return {"eventSource": "aws:kafka", "eventSourceArn": "arn:aws:kafka:…", "records": records}


def place(partition: int, offset: int) -> dict[str, Any]:
    return {"itemIdentifier": {"partition": f"{TOPIC}-{partition}", "offset": offset}}


def test_records_of_msk_are_stored_and_published(ingest: IngestHarness) -> None:
    """An MSK invocation with a plate, an event with a topic header, and an invalid record, which is dead-lettered."""
    event = json.loads((AWS_EVENTS / "kafka_msk.json").read_text(encoding="utf-8"))
    assert ingest.handle(event) == {"batchItemFailures": []}
    assert ingest.rows("SELECT event_type FROM events ORDER BY event_type") == [("anpr",), ("tracking",)]
    assert ingest.rows("SELECT count(*) FROM plate_events") == [(1,)]
    assert {document["event_type"] for document in ingest.publisher.documents()} == {"anpr", "tracking"}
    [kept] = ingest.dead_letters.sent
    assert (kept.reason, kept.message_id, kept.topic) == ("not_json", f"{TOPIC}-1@7", "")
    assert ingest.handle(event) == {"batchItemFailures": []}
    assert ingest.rows("SELECT count(*) FROM events") == [(2,)]
    assert ingest.rows(RECOUNT) == []


def test_records_to_retry_are_listed(ingest: IngestHarness) -> None:
    """The response lists each unpublished event by partition and offset, not only the first of a partition."""
    events = [wire_event() for _ in range(6)]
    ingest.publisher.refusing = {events[number]["event_id"] for number in (1, 3, 4)}
    answer = ingest.handle(lambda_event(map(encoded, events)))
    assert answer == {"batchItemFailures": [place(0, 102), place(1, 100), place(1, 101)]}


def test_a_mapping_without_partial_responses_fails_the_batch(database_url: str) -> None:
    """Lambda would treat any response as a success and commit records that were not processed."""
    events = [wire_event() for _ in range(3)]
    with open_ingest(database_url) as ingest:
        ingest.publisher.refusing = {events[1]["event_id"]}
        with pytest.raises(TransientError):
            ingest.handle(lambda_event(map(encoded, events)))
        ingest.publisher.refusing = set()
        assert ingest.handle(lambda_event(map(encoded, events))) == {"batchItemFailures": []}
        assert ingest.rows("SELECT count(*) FROM events") == [(3,)]


def test_invalid_records_are_returned_without_dead_letters(ingest: IngestHarness) -> None:
    """An invalid record is retried while the dead-letter queue is unavailable, as with SQS."""
    ingest.dead_letters.unavailable = True
    answer = ingest.handle(lambda_event([b"junk", encoded(wire_event())]))
    assert answer == {"batchItemFailures": [place(0, 100)]}
    assert ingest.rows("SELECT count(*) FROM events") == [(1,)]


def test_a_topic_in_a_header_is_compared_with_the_event(ingest: IngestHarness) -> None:
    """An event whose device differs from that of the topic header is rejected."""
    mine, theirs = wire_event(), wire_event(device_id="gate-66")
    assert (
        ingest.handle(lambda_event(map(encoded, (mine, theirs)), mqtt_topic=topic_of(mine)))["batchItemFailures"] == []
    )
    assert ingest.rows("SELECT device_id FROM events") == [("gate-01",)]
    assert [(one.reason, one.topic) for one in ingest.dead_letters.sent] == [("topic_mismatch", topic_of(mine))]


@pytest.mark.parametrize("topic", ["", "vedette/hq/gate-01/commands/x", "vedette/+/#/heartbeat", "\xff"])
def test_a_header_with_a_topic_that_is_not_for_ingest_is_a_dead_letter(ingest: IngestHarness, topic: str) -> None:
    """A topic header is used even if it is not a topic for ingest."""
    ingest.handle(lambda_event([encoded(wire_event())], mqtt_topic=topic))
    assert ingest.dead_letters.reasons() in (["bad_topic"], ["bad_segment"])


def test_device_messages_are_recognised_by_their_topic(ingest: IngestHarness) -> None:
    """A status is recognised by the topic in its header, and has the broker's time."""
    status = {"schema_version": 1, "site_id": "hq", "device_id": "gate-01", "status": "offline", "agent_version": "1"}
    status["timestamp"] = "2026-11-20T12:00:00Z"
    ingest.handle(lambda_event([json.dumps(status).encode()], mqtt_topic="vedette/hq/gate-01/status"))
    assert ingest.dead_letters.sent == []
    dated = "SELECT status, (extract(epoch FROM status_at) * 1000)::bigint FROM devices"
    assert ingest.rows(dated) == [("offline", 1_795_170_645_500)]


def test_gaps_are_detected_only_in_messages_with_a_topic(ingest: IngestHarness) -> None:
    """A Kafka topic may contain only some of a device's events; records with a topic header contain all of them."""
    events = [wire_event(sequence=number) for number in (1, 5, 9)]
    bad = wire_event(sequence=12, confidence=7, event_data={})
    ingest.handle(lambda_event(map(encoded, [*events, bad])))
    assert ingest.dead_letters.reasons() == ["invalid"]
    assert ingest.rows("SELECT array_agg(sequence ORDER BY sequence) FROM events") == [([1, 5, 9],)]
    assert ingest.rows("SELECT * FROM sequence_gaps") == []
    assert ingest.commands.sent == []
    ingest.handle(lambda_event(map(encoded, events), mqtt_topic=topic_of(events[0])))
    assert ingest.rows("SELECT count(*) FROM sequence_gaps") == [(2,)]
