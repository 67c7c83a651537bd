"""Reads the messages of an invocation, from any event source.

To add a source, add a function here and a row in ``_SOURCES``. Later steps do not depend on the source.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from pydantic_core import from_json, to_json

from cloud_functions.ingest.sources.kafka_records import (
    SOURCES,
    TOPIC_HEADER,
    KafkaRecord,
    item_identifier,
    record_from_lambda,
    record_id,
)
from shared.errors import ConfigurationError, ContractError

DIRECT: Final = "direct"
"""The message id of a direct invocation by the IoT rule, which carries one message and has no queue."""


class Message(NamedTuple):
    """One device message, as the event source delivered it."""

    message_id: str
    source: str | KafkaRecord
    """The body of the queue message, or the Kafka record."""
    topic: str | None
    """The MQTT topic of the message. With None, as in most Kafka records, the device ids in the event are trusted."""
    payload: bytes
    received_at_ms: int

    @property
    def body(self) -> str:
        """The body of the dead letter."""
        return self.source if isinstance(self.source, str) else self.source.text()


class Rejection(NamedTuple):
    """A message that can never be stored, and the reason."""

    message_id: str
    body: str
    reason: str
    detail: str
    topic: str = ""


class Invocation(NamedTuple):
    """The messages of one invocation."""

    messages: list[Message]
    rejections: list[Rejection]
    partial: bool
    """Whether the source delivers single messages again (``batchItemFailures``)."""
    identify: Callable[[str], object] = str
    """Converts a message id to the ``itemIdentifier`` of the source."""


def read_invocation(event: Mapping[str, Any], *, kafka_partial: bool = False) -> Invocation:
    """Return the messages of an invocation; those without a readable envelope are rejected.

    ``kafka_partial``: whether the Kafka event source mapping has ``ReportBatchItemFailures``. Without it, Lambda treats
    every response as a success.

    Raises:
        ConfigurationError: the event source is unknown.
    """
    for recognises, read in _SOURCES:
        if recognises(event):
            invocation = read(event)
            return invocation if kafka_partial or read is not _read_kafka else invocation._replace(partial=False)
    raise ConfigurationError(
        "unknown event source: ingest accepts SQS batches of IoT rule messages, one such message, or Kafka records"
    )


def read_records(records: Iterable[KafkaRecord]) -> Invocation:
    """Return the messages of Kafka records; those without readable content are rejected."""
    messages: list[Message] = []
    rejections: list[Rejection] = []
    for record in records:
        try:
            messages.append(_open_record(record))
        except ContractError as error:
            rejections.append(Rejection(record.record_id, record.text(), error.reason, str(error)))
    return Invocation(messages, rejections, partial=True, identify=item_identifier)


def _read_sqs(event: Mapping[str, Any]) -> Invocation:
    messages: list[Message] = []
    rejections: list[Rejection] = []
    for record in event["Records"]:
        message_id, body = record["messageId"], record["body"]
        try:
            messages.append(_open_envelope(message_id, body, from_json(body)))
        except ContractError as error:
            rejections.append(Rejection(message_id, body, error.reason, str(error)))
        except ValueError:
            rejections.append(Rejection(message_id, body, "bad_envelope", "the queue message is not JSON"))
    return Invocation(messages, rejections, partial=True)


def _read_direct(event: Mapping[str, Any]) -> Invocation:
    body = to_json(event).decode()
    try:
        return Invocation([_open_envelope(DIRECT, body, event)], [], partial=False)
    except ContractError as error:
        return Invocation([], [Rejection(DIRECT, body, error.reason, str(error))], partial=False)


def _read_kafka(event: Mapping[str, Any]) -> Invocation:
    records: list[KafkaRecord] = []
    unreadable: list[Rejection] = []
    for given in (one for batch in event["records"].values() for one in batch):
        try:
            records.append(record_from_lambda(given))
        except ContractError as error:
            name = record_id(given["topic"], given["partition"], given["offset"])
            unreadable.append(Rejection(name, to_json(given).decode(), error.reason, str(error)))
    invocation = read_records(records)
    return invocation._replace(rejections=[*unreadable, *invocation.rejections])


def _open_record(record: KafkaRecord) -> Message:
    """Return the message in a record: an event, a message with its topic in a header, or an IoT rule envelope."""
    value = record.value
    if value is None:
        raise ContractError("a record without a value", reason="no_value")
    if b'"payload_base64"' in value:
        envelope = _envelope(value)
        if envelope is not None:
            return _open_envelope(record.record_id, record, envelope)
    header = record.header(TOPIC_HEADER) if record.headers else None
    topic = None if header is None else header.decode(errors="replace")
    return Message(record.record_id, record, topic, value, record.timestamp_ms)


def _envelope(value: bytes) -> Mapping[str, Any] | None:
    """Return the IoT rule envelope, or None if the value is not one."""
    try:
        content = from_json(value)
    except ValueError:
        return None
    is_envelope = isinstance(content, dict) and "payload_base64" in content and "event_id" not in content
    return content if is_envelope else None


def _open_envelope(message_id: str, source: str | KafkaRecord, envelope: Any) -> Message:
    try:
        topic, encoded, received_at_ms = envelope["topic"], envelope["payload_base64"], envelope.get("received_at_ms")
        payload = binascii.a2b_base64(encoded, strict_mode=True)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        message = "the message is not an IoT rule envelope with topic, payload_base64 and received_at_ms"
        raise ContractError(message, reason="bad_envelope") from error
    if type(topic) is not str or type(received_at_ms) is not int:
        raise ContractError("topic must be a string and received_at_ms an integer", reason="bad_envelope")
    return Message(message_id, source, topic, payload, received_at_ms)


def _is_sqs(event: Mapping[str, Any]) -> bool:
    records = event.get("Records")
    return isinstance(records, list) and all(record.get("eventSource") == "aws:sqs" for record in records)


def _is_kafka(event: Mapping[str, Any]) -> bool:
    return event.get("eventSource") in SOURCES and isinstance(event.get("records"), dict)


def _is_direct(event: Mapping[str, Any]) -> bool:
    return "payload_base64" in event


_SOURCES: Final[tuple[tuple[Callable[[Mapping[str, Any]], bool], Callable[[Mapping[str, Any]], Invocation]], ...]] = (
    (_is_sqs, _read_sqs),
    (_is_kafka, _read_kafka),
    (_is_direct, _read_direct),
)
