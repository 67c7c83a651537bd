"""How the API reaches the fan-out of WebSockets, and where clients connect."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Protocol

from cloud_functions.aws import AwsClients, aws_error
from cloud_functions.db.stream.wake import WAKE_MESSAGE

logger = logging.getLogger(__name__)


class StreamSignal(Protocol):
    """Signals to fan-out that a subscription waits for events that it missed."""

    def wake(self) -> None:
        """Send the signal. Raises nothing: without it, the events come with the next event or scheduled run."""
        ...


class NoSignal:
    """For a deployment without a queue."""

    def wake(self) -> None:
        pass


class QueueSignal:
    """Puts a message on the queue of the fan-out function."""

    def __init__(self, *, queue_url: str, aws: AwsClients) -> None:
        self._queue_url = queue_url
        self._aws = aws

    def wake(self) -> None:
        try:
            self._aws.client("sqs").send_message(QueueUrl=self._queue_url, MessageBody=WAKE_MESSAGE)
        except Exception as error:  # boto3 raises many types
            logger.warning("%s", aws_error(error, doing="waking the WebSocket fan-out"))


@dataclass(frozen=True, slots=True)
class StreamBackend:
    """What the WebSocket needs of its deployment."""

    signal: StreamSignal = field(default_factory=NoSignal)
    url: str | None = None
    """Where clients connect (``wss://…``); None: at the path ``/api/v1/websocket`` of this API."""
    needs_ticket: bool = False
    """Whether a gateway that is not in front of the WebSocket authorizes callers: only a ticket identifies them."""
