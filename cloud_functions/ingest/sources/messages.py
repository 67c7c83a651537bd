"""Takes an invocation apart into messages, whichever event source it comes from.

To add a source: one function here and one row in ``_SOURCES``; nothing after this knows where a message came from.
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
"""The message id of an invocation by the IoT rule itself, which carries one message and has no queue to leave it on."""


class Message(NamedTuple):
    """One message of a device as the event source handed it over."""

    message_id: str
    source: str | KafkaRecord
    """What the queue or the broker held."""
    topic: str | None
    """The MQTT topic that it was published on. None: the source does not say, so that the event itself must be believed
    about whose it is."""
    payload: bytes
    received_at_ms: int

    @property
    def body(self) -> str:
        """What goes to the dead letters."""
        return self.source if isinstance(self.source, str) else self.source.text()


class Rejection(NamedTuple):
    """A message that will never be acceptable, and why."""

    message_id: str
    body: str
    reason: str
    detail: str
    topic: str = ""


class Invocation(NamedTuple):
    """What one invocation brought."""

    messages: list[Message]
    rejections: list[Rejection]
    partial: bool
    """Whether the source takes back single messages (``batchItemFailures``)."""
    identify: Callable[[str], object] = str
    """Turns a message id into the ``itemIdentifier`` by which the source knows it."""


def read_invocation(event: Mapping[str, Any], *, kafka_partial: bool = False) -> Invocation:
    """Return the messages of an invocation; those without a readable envelope are rejected.

    ``kafka_partial``: whether a Kafka event source is set up to take back single records (``ReportBatchItemFailures``);
    one that is not would take any answer for success.

    Raises:
        ConfigurationError: the function was wired to a source that it does not know.
    """
    for recognises, read in _SOURCES:
        if recognises(event):
            invocation = read(event)
            return invocation if kafka_partial or read is not _read_kafka else invocation._replace(partial=False)
    raise ConfigurationError(
        "ingest takes SQS batches of IoT rule messages, one such message, or Kafka records; this is none of them"
    )


def read_records(records: Iterable[KafkaRecord]) -> Invocation:
    """Return the messages of Kafka records; those without a readable content are rejected."""
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
    """A record holds an event, any message of a device with its topic in a header, or what the IoT rule writes."""
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
    """Return what the IoT rule wrote, or None where it was not the IoT rule."""
    try:
        told = from_json(value)
    except ValueError:
        return None
    return told if isinstance(told, dict) and "payload_base64" in told and "event_id" not in told else None


def _open_envelope(message_id: str, source: str | KafkaRecord, envelope: Any) -> Message:
    try:
        topic, encoded, received_at_ms = envelope["topic"], envelope["payload_base64"], envelope.get("received_at_ms")
        payload = binascii.a2b_base64(encoded, strict_mode=True)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        message = "the message is not what the IoT rule writes: topic, payload_base64, received_at_ms"
        raise ContractError(message, reason="bad_envelope") from error
    if type(topic) is not str or type(received_at_ms) is not int:
        raise ContractError("topic must be text and received_at_ms a whole number", reason="bad_envelope")
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
