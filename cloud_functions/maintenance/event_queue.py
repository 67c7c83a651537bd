"""Queues to which maintenance sends events: of ingest, as the IoT rule does, and of fan-out targets, for replays."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from cloud_functions.aws import AwsClients, aws_error, entry_batches

log = logging.getLogger(__name__)

Attributes = Mapping[str, str]
"""Message attributes by name."""
_ATTRIBUTES_BYTES: Final = 512
"""An upper bound for the attributes of a message."""


class EventQueue(Protocol):
    """Receives messages for ingest."""

    def send(self, bodies: Mapping[str, str], attributes: Mapping[str, Attributes] | None = None) -> set[str]:
        """Send message bodies, in their order, with the attributes of each; both are by id.

        Return the ids of those that could not be sent.
        """
        ...


class SqsEventQueue:
    """Sends messages to an SQS queue."""

    def __init__(self, *, queue_url: str, aws: AwsClients) -> None:
        self._queue_url = queue_url
        self._aws = aws

    def send(self, bodies: Mapping[str, str], attributes: Mapping[str, Attributes] | None = None) -> set[str]:
        failed: set[str] = set()
        for batch in entry_batches(bodies.items(), lambda item: len(item[1].encode()) + _ATTRIBUTES_BYTES):
            failed |= self._send_batch(batch, attributes or {})
        return failed

    def _send_batch(self, items: Sequence[tuple[str, str]], attributes: Mapping[str, Attributes]) -> set[str]:
        entries = [
            {"Id": str(number), "MessageBody": body, "MessageAttributes": _message_attributes(attributes.get(name, {}))}
            for number, (name, body) in enumerate(items)
        ]
        try:
            response: dict[str, Any] = self._aws.client("sqs").send_message_batch(
                QueueUrl=self._queue_url, Entries=entries
            )
        except Exception as error:  # boto3 raises many types; after any of them the events are sent again
            log.warning("%s", aws_error(error, doing=f"sending {len(entries)} events to a queue"))
            return {name for name, _ in items}
        return {items[int(failure["Id"])][0] for failure in response.get("Failed", [])}


def _message_attributes(attributes: Attributes) -> dict[str, dict[str, str]]:
    return {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()}
