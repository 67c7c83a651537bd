"""Drains the outbox: publishes events to the broker and uploads images to the store, independently of each other.

The sender keeps no durable state. Items that are not acknowledged return to the outbox and are taken again.
"""

from __future__ import annotations

import time

from edge_agent.outbox import Outbox
from edge_agent.transport.delivery_counters import DeliveryCounters
from edge_agent.transport.event_publisher import EventPublisher
from edge_agent.transport.image_uploader import ImageUploader
from edge_agent.transport.publisher import ImageStore, MessagePublisher
from edge_agent.transport.settings import SenderSettings


class Sender:
    """Owns the delivery threads. With ``store=None``, images stay in the outbox."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        publisher: MessagePublisher,
        store: ImageStore | None = None,
        settings: SenderSettings | None = None,
        counters: DeliveryCounters | None = None,
    ) -> None:
        settings = settings or SenderSettings()
        self._events = EventPublisher(outbox=outbox, publisher=publisher, settings=settings, counters=counters)
        self._images = (
            None if store is None else ImageUploader(outbox=outbox, store=store, settings=settings, counters=counters)
        )

    def start(self) -> None:
        """Start the delivery threads."""
        self._events.start()
        if self._images is not None:
            self._images.start()

    def close(self, timeout_s: float = 5.0) -> None:
        """Deliver for at most ``timeout_s``, then stop. Undelivered items stay in the outbox."""
        deadline_s = time.monotonic() + timeout_s
        self._events.stop(deadline_s)
        if self._images is not None:
            self._images.stop(deadline_s)
        self._events.join(deadline_s)
        if self._images is not None:
            self._images.join(deadline_s)
