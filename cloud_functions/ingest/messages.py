"""Takes an invocation apart into messages, whichever event source it comes from.

To add a source (Kafka): one function here and one row in ``_SOURCES``; nothing after this knows where a message came
from.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from pydantic_core import from_json, to_json

from shared.errors import ConfigurationError, ContractError

DIRECT: Final = "direct"
"""The message id of an invocation by the IoT rule itself, which carries one message and has no queue to leave it on."""


class Message(NamedTuple):
    """One MQTT message as the IoT rule handed it over."""

    message_id: str
    body: str
    """What the queue held, exactly: this is what goes to the dead letters."""
    topic: str
    payload: bytes
    received_at_ms: int


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


def read_invocation(event: Mapping[str, Any]) -> Invocation:
    """Return the messages of an invocation; those without a readable envelope are rejected.

    Raises:
        ConfigurationError: the function was wired to a source that it does not know.
    """
    for recognises, read in _SOURCES:
        if recognises(event):
            return read(event)
    raise ConfigurationError("ingest takes SQS batches of IoT rule messages, or one such message; this is neither")


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


def _open_envelope(message_id: str, body: str, envelope: Any) -> Message:
    try:
        topic, encoded, received_at_ms = envelope["topic"], envelope["payload_base64"], envelope.get("received_at_ms")
        payload = binascii.a2b_base64(encoded, strict_mode=True)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        message = "the queue message is not what the IoT rule writes: topic, payload_base64, received_at_ms"
        raise ContractError(message, reason="bad_envelope") from error
    if type(topic) is not str or type(received_at_ms) is not int:
        raise ContractError("topic must be text and received_at_ms a whole number", reason="bad_envelope")
    return Message(message_id, body, topic, payload, received_at_ms)


def _is_sqs(event: Mapping[str, Any]) -> bool:
    records = event.get("Records")
    return isinstance(records, list) and all(record.get("eventSource") == "aws:sqs" for record in records)


def _is_direct(event: Mapping[str, Any]) -> bool:
    return "payload_base64" in event


_SOURCES: Final[tuple[tuple[Callable[[Mapping[str, Any]], bool], Callable[[Mapping[str, Any]], Invocation]], ...]] = (
    (_is_sqs, _read_sqs),
    (_is_direct, _read_direct),
)
