"""Protocols of the two destinations: a message publisher (the broker) and an image store."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol


class MessagePublisher(Protocol):
    """Publishes at QoS 1. Keeps no messages across connections: the caller keeps a message until it is acknowledged."""

    @property
    def connected(self) -> bool: ...

    @property
    def max_in_flight(self) -> int:
        """Maximum number of unacknowledged messages that the broker accepts."""
        ...

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> Future[None]:
        """Publish now. The future completes on PUBACK.

        It fails with TransientError if the connection is lost first, and with PermanentError if the broker or MQTT
        itself rejects the message. Its callbacks run on the network thread and must return quickly. Never raises or
        blocks.
        """
        ...

    def add_listener(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` whenever the connection is made or lost. It runs on any thread and must return quickly."""
        ...


class ImageStore(Protocol):
    """Destination of images."""

    def put(self, object_key: str, body: bytes, *, content_type: str) -> None:
        """Store the image durably. Raises TransientError (retry later) or PermanentError (this image is refused)."""
        ...
