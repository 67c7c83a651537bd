"""Publishes the events of the outbox to the broker."""

from __future__ import annotations

import logging
import time
from collections import deque
from concurrent.futures import Future

from edge_agent.outbox import Outbox, WaitingEvent
from edge_agent.transport.delivery_counters import DeliveryCounters
from edge_agent.transport.delivery_threads import IDLE_S, REFUSED_DELAY_S, DeliveryThreads
from edge_agent.transport.publisher import MessagePublisher
from edge_agent.transport.settings import SenderSettings
from shared.errors import PermanentError, TransientError

logger = logging.getLogger(__name__)

_EXPIRE_EVERY_S = 60.0
_SHRINK = 8
"""After a lost connection the window is divided by this."""
_SUSPECT_DELAY_S = 5.0


class EventPublisher(DeliveryThreads):
    """Publishes events with a bounded window of unacknowledged messages.

    A broker may close the connection because of one message, without a reason. The window therefore shrinks with every
    lost connection and grows with every acknowledgement. A message that was alone in the window when the connection was
    lost is deferred, so that it does not block the others.
    """

    def __init__(
        self,
        *,
        outbox: Outbox,
        publisher: MessagePublisher,
        settings: SenderSettings,
        counters: DeliveryCounters | None = None,
    ) -> None:
        super().__init__(outbox=outbox, settings=settings, name="send-events", threads=1)
        self._counters = counters
        self._publisher = publisher
        self._window = publisher.max_in_flight
        self._in_flight = 0
        self._done: deque[tuple[WaitingEvent, bool, Future[None]]] = deque()
        self._is_losing = False
        """Whether the connection was lost and the results of some messages in flight are still outstanding."""
        self._next_expiry_s = 0.0
        publisher.add_listener(self.signal.notify)

    def _step(self) -> float | None:
        self._process_results()
        self._expire_periodically()
        finished = self.stopping and self._in_flight == 0
        if not self._publisher.connected or self._is_losing:
            return None if finished else IDLE_S
        if wait_s := self.backoff.remaining_s():
            return wait_s
        if self._fill_window():
            return 0.0
        return None if finished else IDLE_S

    def _finish(self) -> None:
        self._process_results()

    def _fill_window(self) -> bool:
        """Publish as many events as the window allows; return whether more may be available."""
        free = self._window - self._in_flight
        if free <= 0 or free < self._window // 4:  # wait until several fit
            return False
        items = self._outbox.events.take(free)
        alone = self._window == 1
        for item in items:
            self._in_flight += 1
            future = self._publish(item)
            future.add_done_callback(lambda done, item=item: self._note_done(item, alone, done))
        return bool(items)

    def _publish(self, item: WaitingEvent) -> Future[None]:
        try:
            return self._publisher.publish(item.topic, item.payload)
        except Exception as error:
            self.faults.log(error, "publishing an event failed")
            future: Future[None] = Future()
            future.set_exception(error)
            return future

    def _note_done(self, item: WaitingEvent, alone: bool, future: Future[None]) -> None:
        """Queue the result; runs on the network thread."""
        self._done.append((item, alone, future))
        self.signal.notify()

    def _process_results(self) -> None:
        acked: list[WaitingEvent] = []
        lost: list[WaitingEvent] = []
        while self._done:
            item, alone, future = self._done.popleft()
            self._in_flight -= 1
            error = future.exception()
            if error is None:
                acked.append(item)
            elif isinstance(error, PermanentError):
                self._defer(item, str(error), REFUSED_DELAY_S)
            elif alone:
                expected = isinstance(error, TransientError)
                why = "the connection was lost while only this event was in flight" if expected else "unexpected error"
                self._defer(item, why, _SUSPECT_DELAY_S)
                if not expected:
                    self.backoff.failed()  # the connection is still up: pause before the next failure
            else:
                lost.append(item)
        if acked:
            self._outbox.events.ack(acked)
            if self._counters is not None:
                self._counters.record_acknowledged(acked)
            self._window = min(self._window + len(acked), self._publisher.max_in_flight)
            self.backoff.succeeded()
        if lost:
            self._is_losing = True
            self._outbox.events.release(lost)
        if self._is_losing and self._in_flight == 0:
            self._is_losing = False
            self._window = max(1, self._window // _SHRINK)
            self.backoff.failed()

    def _defer(self, item: WaitingEvent, why: str, delay_s: float) -> None:
        logger.warning("deferring event %d (attempt %d): %s", item.key, item.attempts + 1, why)
        self._outbox.events.nack([item], delay_s=delay_s * 2 ** min(item.attempts, 16))

    def _expire_periodically(self) -> None:
        now_s = time.monotonic()
        if now_s >= self._next_expiry_s:
            self._next_expiry_s = now_s + _EXPIRE_EVERY_S
            self._outbox.expire()
