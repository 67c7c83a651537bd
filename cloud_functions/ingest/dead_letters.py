"""Dead letters: rejected messages, each with the reason, for an operator to inspect."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final, Protocol

from cloud_functions.aws import AwsClients, aws_error, entry_batches
from cloud_functions.ingest.sources.messages import Rejection

log = logging.getLogger(__name__)

_MAX_ATTRIBUTE_LENGTH: Final = 500
_ENTRY_OVERHEAD_BYTES: Final = 2048


class DeadLetters(Protocol):
    """Receives the messages that can never be stored."""

    def send(self, rejections: Sequence[Rejection]) -> set[str]:
        """Send them; return the ids of the messages that could not be sent."""
        ...


class NoDeadLetters:
    """Accepts nothing, so that every rejected message returns to the event source and its own dead-letter queue."""

    def send(self, rejections: Sequence[Rejection]) -> set[str]:
        return {rejection.message_id for rejection in rejections}


class SqsDeadLetters:
    """Sends each original message, unchanged, to an SQS queue; reason, detail and topic are message attributes."""

    def __init__(self, *, queue_url: str, aws: AwsClients) -> None:
        self._queue_url = queue_url
        self._aws = aws

    def send(self, rejections: Sequence[Rejection]) -> set[str]:
        failed: set[str] = set()
        for batch in entry_batches(rejections, _entry_bytes):
            failed |= self._send_batch(batch)
        return failed

    def _send_batch(self, rejections: Sequence[Rejection]) -> set[str]:
        entries = [
            {"Id": str(number), "MessageBody": rejection.body, "MessageAttributes": _attributes(rejection)}
            for number, rejection in enumerate(rejections)
        ]
        try:
            response = self._aws.client("sqs").send_message_batch(QueueUrl=self._queue_url, Entries=entries)
        except Exception as error:  # boto3 raises many types; after any of them the source keeps the messages
            log.warning("%s", aws_error(error, doing=f"sending {len(entries)} dead letters"))
            return {rejection.message_id for rejection in rejections}
        return {rejections[int(failure["Id"])].message_id for failure in response.get("Failed", [])}


def _entry_bytes(rejection: Rejection) -> int:
    return len(rejection.body.encode()) + _ENTRY_OVERHEAD_BYTES


def _attributes(rejection: Rejection) -> dict[str, Any]:
    texts = {
        "reason": rejection.reason,
        "detail": _printable(rejection.detail)[:_MAX_ATTRIBUTE_LENGTH],
        "topic": _printable(rejection.topic)[:_MAX_ATTRIBUTE_LENGTH],
    }
    return {name: {"DataType": "String", "StringValue": text} for name, text in texts.items() if text}


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "\ufffd" for char in text)
