"""The ingest queue, to which maintenance sends events in the same form as the IoT rule does."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from cloud_functions.aws import AwsClients, aws_error, entry_batches

log = logging.getLogger(__name__)


class EventQueue(Protocol):
    """Receives messages for ingest."""

    def send(self, bodies: Mapping[str, str]) -> set[str]:
        """Send message bodies by id; return the ids of those that could not be sent."""
        ...


class SqsEventQueue:
    """Sends messages to an SQS queue."""

    def __init__(self, *, queue_url: str, aws: AwsClients) -> None:
        self._queue_url = queue_url
        self._aws = aws

    def send(self, bodies: Mapping[str, str]) -> set[str]:
        failed: set[str] = set()
        for batch in entry_batches(bodies.items(), lambda item: len(item[1].encode())):
            failed |= self._send_batch(batch)
        return failed

    def _send_batch(self, items: Sequence[tuple[str, str]]) -> set[str]:
        entries = [{"Id": str(number), "MessageBody": body} for number, (_, body) in enumerate(items)]
        try:
            response: dict[str, Any] = self._aws.client("sqs").send_message_batch(
                QueueUrl=self._queue_url, Entries=entries
            )
        except Exception as error:  # boto3 raises many types; after any of them the events are sent again
            log.warning("%s", aws_error(error, doing=f"sending {len(entries)} events to the ingest queue"))
            return {name for name, _ in items}
        return {items[int(failure["Id"])][0] for failure in response.get("Failed", [])}
