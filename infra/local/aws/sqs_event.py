"""The event with which AWS invokes a function for an SQS queue, and the function's response."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from infra.local.servers.aws import ACCOUNT, REGION


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
    return json.dumps({"Records": [_record(queue, message) for message in messages]}, separators=(",", ":")).encode()


def _record(queue: str, message: QueueMessage) -> dict[str, object]:
    return {
        "messageId": message.message_id,
        "receiptHandle": message.receipt_handle,
        "body": message.body,
        "attributes": {
            "ApproximateReceiveCount": str(message.receive_count),
            "SentTimestamp": str(message.sent_at_ms),
            "SenderId": ACCOUNT,
            "ApproximateFirstReceiveTimestamp": str(message.sent_at_ms),
        },
        "messageAttributes": {
            name: {"dataType": value.get("DataType"), "stringValue": value.get("StringValue")}
            for name, value in json.loads(message.attributes).items()
        },
        "md5OfBody": hashlib.md5(message.body.encode(), usedforsecurity=False).hexdigest(),
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}",
        "awsRegion": REGION,
    }


def failed_ids(answer: bytes, messages: Sequence[QueueMessage]) -> set[str]:
    """Return the ids of the messages that the function reports as failed.

    As on AWS: an empty response or an empty list means success; a malformed response, or one that names a message
    outside the batch, means that the whole batch failed.
    """
    everything = {message.message_id for message in messages}
    try:
        response = json.loads(answer or b"null") or {}
        failed = {str(item["itemIdentifier"]) for item in response.get("batchItemFailures") or ()}
    except (ValueError, TypeError, KeyError, AttributeError):
        return everything
    return everything if failed - everything else failed
