"""The event with which AWS invokes a function for an SQS queue, and the function's response."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from infra.local.servers.aws import ACCOUNT, REGION

_CACHED_MESSAGES = 1_000
_CACHED_CHARS = 4_096


@dataclass(frozen=True, slots=True)
class QueueMessage:
    """One message of a queue."""

    message_id: str
    body: str
    sent_at_ms: int
    receive_count: int = 1
    receipt_handle: str = "local"
    attributes: str = "{}"
    """SNS or SQS message attributes, as JSON."""


def sqs_event(queue: str, messages: Sequence[QueueMessage]) -> bytes:
    """Return the event's JSON."""
    return f'{{"Records":[{",".join(_record(queue, message) for message in messages)}]}}'.encode()


def _record(queue: str, message: QueueMessage) -> str:
    content = _content if len(message.body) <= _CACHED_CHARS else _content.__wrapped__
    return (
        f'{{"messageId":"{message.message_id}","receiptHandle":"{message.receipt_handle}",'
        f'"attributes":{{"ApproximateReceiveCount":"{message.receive_count}","SentTimestamp":"{message.sent_at_ms}",'
        f'"SenderId":"{ACCOUNT}","ApproximateFirstReceiveTimestamp":"{message.sent_at_ms}"}},'
        f'"eventSource":"aws:sqs","eventSourceARN":"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}","awsRegion":"{REGION}",'
        f"{content(message.body, message.attributes)}}}"
    )


@functools.lru_cache(maxsize=_CACHED_MESSAGES)
def _content(body: str, attributes: str) -> str:
    """Return the members of a record that are the same in each queue: a message of the topic has a copy in several."""
    members = {
        "body": body,
        "messageAttributes": {
            name: {"dataType": value.get("DataType"), "stringValue": value.get("StringValue")}
            for name, value in json.loads(attributes).items()
        },
        "md5OfBody": hashlib.md5(body.encode(), usedforsecurity=False).hexdigest(),
    }
    return json.dumps(members, separators=(",", ":"))[1:-1]


def has_failures(answer: bytes) -> bool:
    """Return whether the function reports that a message failed; a malformed response means that all did."""
    return _reported_ids(answer) != set()


def failed_ids(answer: bytes, messages: Sequence[QueueMessage]) -> set[str]:
    """Return the ids of the messages that the function reports as failed.

    As on AWS: an empty response or an empty list means success; a malformed response, or one that names a message
    outside the batch, means that the whole batch failed.
    """
    everything = {message.message_id for message in messages}
    failed = _reported_ids(answer)
    return everything if failed is None or failed - everything else failed


def _reported_ids(answer: bytes) -> set[str] | None:
    """Return the ids in a function's response; None if it is malformed."""
    try:
        response = json.loads(answer or b"null") or {}
        return {str(item["itemIdentifier"]) for item in response.get("batchItemFailures") or ()}
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
