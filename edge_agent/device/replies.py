"""Publishes replies to commands, and retries unacknowledged ones."""

from __future__ import annotations

import logging
import threading
from collections import deque
from concurrent.futures import Future

from edge_agent.transport.publisher import MessagePublisher
from shared.clock import Clock
from shared.errors import TransientError

logger = logging.getLogger(__name__)

MAX_UNSENT_REPLIES = 256
REPLY_LIFETIME_S = 600.0
"""An unsent reply is dropped after this time."""


class ReplyQueue:
    """Publishes replies, and keeps unacknowledged ones for a retry, limited by age and number."""

    def __init__(self, *, publisher: MessagePublisher, clock: Clock) -> None:
        self._publisher = publisher
        self._clock = clock
        self._lock = threading.Lock()
        self._unsent: deque[tuple[str, bytes, float]] = deque(maxlen=MAX_UNSENT_REPLIES)
        publisher.add_listener(self.try_again)

    def send(self, topic: str, payload: bytes) -> None:
        """Publish now, or after the next reconnect."""
        self._publish(topic, payload, self._clock.monotonic())

    def _publish(self, topic: str, payload: bytes, since_s: float) -> None:
        future = self._publisher.publish(topic, payload)
        future.add_done_callback(lambda result: self._handle_result(result, (topic, payload, since_s)))

    def _handle_result(self, future: Future[None], reply: tuple[str, bytes, float]) -> None:
        error = future.exception()
        if error is None:
            return
        if not isinstance(error, TransientError):
            logger.error("cannot publish the reply on %s: %s", reply[0], error)
            return
        with self._lock:
            if len(self._unsent) == self._unsent.maxlen:
                logger.warning("too many unsent replies; dropping the one on %s", self._unsent[0][0])
            self._unsent.append(reply)

    def try_again(self) -> None:
        """Publish unsent replies again. Called on every reconnect and periodically."""
        if not self._publisher.connected:
            return
        with self._lock:
            unsent = list(self._unsent)
            self._unsent.clear()
        for number, (topic, payload, since_s) in enumerate(unsent):
            if self._clock.monotonic() - since_s >= REPLY_LIFETIME_S:
                logger.warning("dropping the reply on %s, unsent for %g s", topic, REPLY_LIFETIME_S)
                continue
            try:
                self._publish(topic, payload, since_s)
            except Exception:
                with self._lock:
                    self._unsent.extend(unsent[number:])
                raise
