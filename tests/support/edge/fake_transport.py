"""In-memory implementations of the publisher and image store protocols."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future

from shared.errors import TransientError, VedetteError


class FakePublisher:
    """Records published messages. ``answers`` selects whether to acknowledge at once, to wait, or to fail."""

    def __init__(self, *, connected: bool = True, max_in_flight: int = 10, ack: bool = True) -> None:
        self.connected = connected
        self.max_in_flight = max_in_flight
        self.ack = ack
        self.fail_with: VedetteError | None = None
        self.poison: Callable[[bytes], bool] = lambda _: False
        """Payloads at which the fake broker closes the connection and loses all unacknowledged messages."""
        self.published: list[tuple[str, bytes]] = []
        self.acknowledged: list[bytes] = []
        self.losses = 0
        self._waiting: list[tuple[Future[None], bytes]] = []
        self._listeners: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> Future[None]:
        future: Future[None] = Future()
        if not self.connected:
            future.set_exception(TransientError("not connected"))
            return future
        with self._lock:
            self.published.append((topic, payload))
            self._waiting.append((future, payload))
        if self.poison(payload):
            self.lose()
        elif self.fail_with is not None:
            self._take_out(future)
            future.set_exception(self.fail_with)
        elif self.ack:
            self._take_out(future)
            self.acknowledged.append(payload)
            future.set_result(None)
        return future

    def add_listener(self, listener: Callable[[], None]) -> None:
        self._listeners.append(listener)

    def set_connected(self, connected: bool) -> None:
        self.connected = connected
        for listener in self._listeners:
            listener()

    def lose(self) -> None:
        """Close and restore the connection: no waiting message is acknowledged."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
            self.losses += 1
        for future, _ in waiting:
            future.set_exception(TransientError("the connection was lost"))
        self.set_connected(self.connected)

    def ack_all(self) -> int:
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for future, payload in waiting:
            self.acknowledged.append(payload)
            future.set_result(None)
        return len(waiting)

    def _take_out(self, future: Future[None]) -> None:
        with self._lock:
            self._waiting = [each for each in self._waiting if each[0] is not future]


class FakeStore:
    """Keeps images in a dictionary; ``error_for`` may name an error for a key."""

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}
        self.attempts: list[str] = []
        self.error_for: Callable[[str], Exception | None] = lambda _: None

    def put(self, object_key: str, body: bytes, *, content_type: str) -> None:
        self.attempts.append(object_key)
        error = self.error_for(object_key)
        if error is not None:
            raise error
        self.stored[object_key] = body
