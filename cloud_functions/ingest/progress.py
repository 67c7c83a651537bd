"""The state of one batch on its way through ingest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from cloud_functions.db.devices.canaries import SentCanary
from cloud_functions.ingest.publish import Publication
from cloud_functions.ingest.sources.messages import Message, Rejection
from cloud_functions.ingest.storage.transaction import ChunkResult
from cloud_functions.ingest.validation import ValidatedEvent


class BatchResult(NamedTuple):
    """The outcome of a batch by message id. A message in neither set is done."""

    failed: set[str]
    """Messages that the event source must deliver again, including rejected ones that could not be dead-lettered."""
    rejected: set[str]


class BatchProgress:
    """Collects the outcome of each step. Only the steps in ``ingest`` change it."""

    def __init__(self, rejections: Iterable[Rejection]) -> None:
        self.rejections = list(rejections)
        self.failed: set[str] = set()
        """Ids of the messages that the event source must deliver again."""
        self.results: list[ChunkResult] = []
        self.events: list[ValidatedEvent] = []
        """All events of the stored chunks; several may have the same ``event_id``."""
        self.publications: list[Publication] = []
        self.active_devices: set[str] = set()
        """Devices that sent a heartbeat, status or reply."""
        self.canaries: list[SentCanary] = []
        """New canaries of devices."""
        self.devices_to_configure: set[str] = set()
        """Devices whose heartbeat reports another configuration than they should have."""

    def reject(self, message: Message, reason: str, detail: str) -> None:
        """Mark a message for the dead letters."""
        self.rejections.append(Rejection(message.message_id, message.body, reason, detail, message.topic or ""))

    def fail(self, messages: Iterable[Message]) -> None:
        """Mark messages for another delivery."""
        self.failed.update(message.message_id for message in messages)

    def devices_to_query(self) -> set[str]:
        """Return the devices that may have gaps whose resend is due."""
        return self.active_devices.union(*(result.due_devices for result in self.results))

    def result(self) -> BatchResult:
        return BatchResult(self.failed, {rejection.message_id for rejection in self.rejections})
