"""Kafka records are read from Lambda events, and converted into messages for ingest."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import pytest
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from hypothesis import given
from hypothesis import strategies as st

from cloud_functions.aws import MAX_BATCH_BYTES
from cloud_functions.ingest.sources.kafka_records import TOPIC_HEADER, KafkaRecord, item_identifier, record_from_lambda
from cloud_functions.ingest.sources.messages import read_invocation, read_records
from shared.iot_envelope import encode_ingest_message
from tests.support.wire_events import encoded, topic_of, wire_event

AWS_EVENTS = Path(__file__).resolve().parents[4] / "aws_events"
TOPIC = "alpr.plates.detected"


def aws_event(name: str) -> dict[str, Any]:
    return json.loads((AWS_EVENTS / name).read_text(encoding="utf-8"))


def record(value: bytes | None, **headers: bytes | None) -> KafkaRecord:
    named = [(name.replace("_", "-"), content) for name, content in headers.items()]
    return KafkaRecord(TOPIC, 3, 42, 1_795_170_645_500, b"gate-01", value, named)


def test_an_msk_event_is_read_into_messages() -> None:
    """A message has the record's offset, timestamp and exact bytes, and the MQTT topic if a header contains it."""
    invocation = read_invocation(aws_event("kafka_msk.json"))
    assert [message.message_id for message in invocation.messages] == [f"{TOPIC}-0@15", f"{TOPIC}-0@16", f"{TOPIC}-1@7"]
    plate, tracking, junk = invocation.messages
    assert json.loads(plate.payload)["event_type"] == "anpr"
    assert plate.topic is None
    assert plate.received_at_ms == 1_795_170_645_500
    assert tracking.topic == topic_of(json.loads(tracking.payload))
    assert json.loads(tracking.body)["headers"][1] == ["trace", b64encode("ü".encode()).decode()]
    assert junk.payload == b"not an event"
    assert invocation.rejections == []


def test_an_event_of_a_self_managed_cluster_is_read() -> None:
    """It has another event source, and its record has no key and no headers."""
    [message] = read_invocation(aws_event("kafka_self_managed.json")).messages
    assert (message.message_id, message.topic) == (f"{TOPIC}-0@3", None)
    assert json.loads(message.body)["key"] is None


@pytest.mark.parametrize("partial", [True, False])
def test_single_records_are_returned_only_if_the_mapping_supports_it(partial: bool) -> None:
    """Lambda treats any response as success if the mapping does not have ``ReportBatchItemFailures``."""
    assert read_invocation(aws_event("kafka_msk.json"), kafka_partial=partial).partial is partial


def test_item_identifiers_equal_those_of_powertools() -> None:
    """The format is ``{"partition": "TOPIC-PARTITION", "offset": OFFSET}``."""

    def fail(_: object) -> None:
        raise ValueError

    event = aws_event("kafka_msk.json")
    processor = BatchProcessor(event_type=EventType.Kafka, raise_on_entire_batch_failure=False)
    theirs = process_partial_response(event=event, record_handler=fail, processor=processor)
    invocation = read_invocation(event, kafka_partial=True)
    ours = [{"itemIdentifier": invocation.identify(message.message_id)} for message in invocation.messages]
    assert ours == theirs["batchItemFailures"]


@given(st.from_regex(r"[a-zA-Z0-9._-]{1,60}", fullmatch=True), st.integers(0, 10_000), st.integers(0, 2**63 - 1))
def test_an_item_identifier_is_derived_from_the_record_id(topic: str, partition: int, offset: int) -> None:
    """This works for every valid name of a topic."""
    only = KafkaRecord(topic, partition, offset, 0, None, b"", ())
    assert item_identifier(only.record_id) == {"partition": f"{topic}-{partition}", "offset": offset}


@given(
    st.none() | st.binary(max_size=50),
    st.none() | st.binary(max_size=50),
    st.lists(st.tuples(st.text(max_size=8), st.binary(max_size=8)), max_size=3),
)
def test_bytes_survive_the_json_of_lambda(key, value, headers) -> None:
    """Lambda encodes keys and values as base64, and headers as lists of signed bytes."""
    encoded_record = {
        "topic": TOPIC,
        "partition": 1,
        "offset": 2,
        "timestamp": 3,
        "timestampType": "CREATE_TIME",
        "headers": [{name: [byte - 256 if byte > 127 else byte for byte in content]} for name, content in headers],
    }
    encoded_record |= {} if key is None else {"key": b64encode(key).decode()}
    encoded_record |= {} if value is None else {"value": b64encode(value).decode()}
    decoded = record_from_lambda(json.loads(json.dumps(encoded_record)))
    assert decoded == KafkaRecord(TOPIC, 1, 2, 3, key, value, headers)


@pytest.mark.parametrize("field", ["key", "value"])
def test_only_the_record_with_invalid_base64_is_rejected(field: str) -> None:
    """AWS does not send such a record. The other records of the batch are read."""
    event = aws_event("kafka_msk.json")
    event["records"][f"{TOPIC}-0"][0][field] = "***"
    invocation = read_invocation(event)
    assert [message.message_id for message in invocation.messages] == [f"{TOPIC}-0@16", f"{TOPIC}-1@7"]
    [rejection] = invocation.rejections
    assert (rejection.message_id, rejection.reason) == (f"{TOPIC}-0@15", "bad_envelope")
    assert json.loads(rejection.body)[field] == "***"


def test_an_iot_rule_envelope_is_read() -> None:
    """The rule's Kafka action writes the same JSON as its SQS action."""
    event = wire_event()
    text = encode_ingest_message(topic=topic_of(event), payload=encoded(event), client_id="x", received_at_ms=7)
    [message] = read_records([record(text.encode(), vedette_topic=b"not this one")]).messages
    assert (message.topic, message.payload, message.received_at_ms) == (topic_of(event), encoded(event), 7)
    assert json.loads(message.body)["offset"] == 42


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "no_value"),
        (b'{"payload_base64": "***", "topic": "t", "received_at_ms": 1}', "bad_envelope"),
        (b'{"payload_base64": "e30="}', "bad_envelope"),
        (b'{"payload_base64": "e30=", "topic": "t", "received_at_ms": "now"}', "bad_envelope"),
    ],
)
def test_a_record_without_readable_content_is_rejected(value: bytes | None, reason: str) -> None:
    """The rejection contains the reason, and the record's partition and offset."""
    invocation = read_records([record(value)])
    assert invocation.messages == []
    [rejection] = invocation.rejections
    assert (rejection.message_id, rejection.reason) == (f"{TOPIC}-3@42", reason)


@pytest.mark.parametrize(
    "value", [b'{"payload_base64"', b'["payload_base64"]', b'{"event_id": 1, "payload_base64": 2}']
)
def test_a_value_that_only_resembles_an_envelope_is_an_event(value: bytes) -> None:
    """The contract decides later whether the event is valid."""
    [message] = read_records([record(value)]).messages
    assert (message.topic, message.payload) == (None, value)


def test_the_last_header_with_a_name_is_used() -> None:
    """Kafka's own clients do the same. Bytes that are not UTF-8 are replaced."""
    only = KafkaRecord(TOPIC, 0, 0, 0, None, b"", [(TOPIC_HEADER, b"a"), ("other", None), (TOPIC_HEADER, b"\xff")])
    [message] = read_records([only]).messages
    assert message.topic == "\ufffd"
    assert read_records([only._replace(headers=[(TOPIC_HEADER, None)])]).messages[0].topic is None


@given(st.integers(0, 2_000_000), st.integers(0, 100_000), st.integers(0, 40_000))
def test_a_dead_letter_fits_into_its_queue(value: int, key: int, header: int) -> None:
    """A truncated value is a prefix of the original, and ``value_bytes`` contains the original length."""
    large = KafkaRecord(TOPIC, 0, 9, 0, b"k" * key, b"\xff" * value, [("h", b"x" * header), ("small", b"y")])
    text = large.text()
    assert len(text.encode()) + 2048 <= MAX_BATCH_BYTES
    dead_letter = json.loads(text)
    assert dead_letter.get("value_bytes", value) == value
    assert large.value is not None
    assert large.value.startswith(b64decode(dead_letter["value"]))
    assert ("value_bytes" in dead_letter) == (len(b64decode(dead_letter["value"])) < value)
