"""Keeps what is rejected, with its reason, for a person to look at."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol

from cloud_functions.aws import AwsClients, aws_error
from cloud_functions.ingest.sources.messages import Rejection

log = logging.getLogger(__name__)

MAX_BATCH_ENTRIES: Final = 10
MAX_BATCH_BYTES: Final = 256 * 1024
_DETAIL_LENGTH: Final = 500
_ENTRY_OVERHEAD_BYTES: Final = 2048


class DeadLetters(Protocol):
    """Takes messages that will never be acceptable."""

    def send(self, rejections: Sequence[Rejection]) -> set[str]:
        """Keep them; return the ids of the messages for which it did not work."""
        ...


class NoDeadLetters:
    """For a deployment without a queue of its own: the event source keeps what is returned to it."""

    def send(self, rejections: Sequence[Rejection]) -> set[str]:
        return {rejection.message_id for rejection in rejections}


class SqsDeadLetters:
    """Sends each original message, unchanged, to a queue; reason, detail and topic travel as attributes."""

    def __init__(self, *, queue_url: str, aws: AwsClients) -> None:
        self._queue_url = queue_url
        self._aws = aws

    def send(self, rejections: Sequence[Rejection]) -> set[str]:
        failed: set[str] = set()
        for call in _calls(rejections):
            failed |= self._call(call)
        return failed

    def _call(self, rejections: Sequence[Rejection]) -> set[str]:
        entries = [
            {"Id": str(number), "MessageBody": rejection.body, "MessageAttributes": _attributes(rejection)}
            for number, rejection in enumerate(rejections)
        ]
        try:
            answer = self._aws.client("sqs").send_message_batch(QueueUrl=self._queue_url, Entries=entries)
        except Exception as error:  # boto3 raises a dozen kinds; whichever it is, the source keeps the messages
            log.warning("%s", aws_error(error, doing=f"keeping {len(entries)} dead letters"))
            return {rejection.message_id for rejection in rejections}
        return {rejections[int(failure["Id"])].message_id for failure in answer.get("Failed", [])}


def _attributes(rejection: Rejection) -> dict[str, Any]:
    told = {
        "reason": rejection.reason,
        "detail": _printable(rejection.detail)[:_DETAIL_LENGTH],
        "topic": _printable(rejection.topic)[:_DETAIL_LENGTH],
    }
    return {name: {"DataType": "String", "StringValue": value} for name, value in told.items() if value}


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "\ufffd" for char in text)


def _calls(rejections: Sequence[Rejection]) -> Iterator[list[Rejection]]:
    call: list[Rejection] = []
    size = 0
    for rejection in rejections:
        bytes_ = len(rejection.body.encode()) + _ENTRY_OVERHEAD_BYTES
        if call and (len(call) == MAX_BATCH_ENTRIES or size + bytes_ > MAX_BATCH_BYTES):
            yield call
            call, size = [], 0
        call.append(rejection)
        size += bytes_
    if call:
        yield call
