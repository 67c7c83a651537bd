"""What the sender, the heartbeat and the replies need of a connection to the broker, and of an image store."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol


class MessagePublisher(Protocol):
    """Publishes at QoS 1 and remembers nothing across connections: whoever publishes keeps the message until acked."""

    @property
    def connected(self) -> bool: ...

    @property
    def max_in_flight(self) -> int:
        """Unacknowledged messages that the other side allows at a time."""
        ...

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> Future[None]:
        """Send now; the future is done on PUBACK and fails with TransientError when the connection is lost before.

        Callbacks of the future run on the network thread: they must be quick. Never raises and never blocks.
        """
        ...

    def add_listener(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` (quickly, from any thread) whenever the connection comes or goes."""
        ...


class ImageStore(Protocol):
    """Where images go."""

    def put(self, object_key: str, body: bytes, *, content_type: str) -> None:
        """Store durably; raise TransientError (try again) or PermanentError (this one will not go)."""
        ...
