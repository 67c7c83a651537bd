"""Drains the outbox: publishes events to the broker and uploads images to the store, independently of each other.

The sender keeps no durable state. Items that are not acknowledged return to the outbox and are taken again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from concurrent.futures import Future

from pydantic import Field

from edge_agent.outbox import Outbox, WaitingEvent, WaitingImage
from edge_agent.transport.problem_log import ProblemLog
from edge_agent.transport.publisher import ImageStore, MessagePublisher
from shared.errors import PermanentError, TransientError
from shared.retry import FaultLog, SharedBackoff
from shared.settings import Settings

logger = logging.getLogger(__name__)

_IDLE_S = 2.0
"""How often an idle thread checks for deferred items that are due."""
_EXPIRE_EVERY_S = 60.0
_SHRINK = 8
_SUSPECT_DELAY_S = 5.0
_REFUSED_DELAY_S = 2.0
"""Doubles with every attempt, so a problem that lasted for some time delays delivery by about the same time again."""
_REFUSED_PAUSE_S = 0.1


class SenderSettings(Settings):
    """Parallelism and retry intervals of delivery."""

    upload_threads: int = Field(
        default=2,
        ge=1,
        le=16,
        description="Number of parallel image uploads. A higher value uses more bandwidth and memory.",
    )
    retry_min_s: float = Field(
        default=1.0, gt=0, description="Wait before the first retry. It doubles with each further failure."
    )
    retry_max_s: float = Field(
        default=60.0,
        gt=0,
        description="Maximum wait between retries. A higher value sends fewer requests during an outage.",
    )
    clock_wait_s: float = Field(
        default=120.0,
        ge=0,
        le=86_400,
        description="How long delivery waits after the start for the device's clock to be set, while it shows a year "
        "before 2025. Events then carry the correct time. Raise it if network time arrives late. 0: no wait.",
    )


class Sender:
    """Owns the delivery threads. With ``store=None``, images stay in the outbox."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        publisher: MessagePublisher,
        store: ImageStore | None = None,
        settings: SenderSettings | None = None,
    ) -> None:
        settings = settings or SenderSettings()
        self._events = EventPublisher(outbox=outbox, publisher=publisher, settings=settings)
        self._images = None if store is None else ImageUploader(outbox=outbox, store=store, settings=settings)

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


class Signal:
    """Wakes all waiting threads, including those that are about to wait."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self.count = 0

    def notify(self) -> None:
        with self._condition:
            self.count += 1
            self._condition.notify_all()

    def wait(self, seen: int, timeout_s: float) -> None:
        """Return after a notification later than ``seen``, a value read from ``count``, or after ``timeout_s``."""
        with self._condition:
            self._condition.wait_for(lambda: self.count != seen, timeout_s)


class _DeliveryThreads:
    """A group of delivery threads that stops by a deadline."""

    def __init__(self, *, outbox: Outbox, settings: SenderSettings, name: str, threads: int) -> None:
        self.signal = Signal()
        self.backoff = SharedBackoff(min_s=settings.retry_min_s, max_s=settings.retry_max_s)
        self.faults = FaultLog(logger)
        self._after_fault = SharedBackoff(min_s=settings.retry_min_s, max_s=settings.retry_max_s)
        self._waits_for_clock = lambda: not outbox.clock_is_set
        self._clock_wait_until_s = time.monotonic() + settings.clock_wait_s
        self._logged_waiting = False
        self._name = name
        self._deadline_s: float | None = None
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}-{number}", daemon=True) for number in range(1, threads + 1)
        ]
        outbox.add_listener(self.signal.notify)

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self.signal.notify()

    def join(self, deadline_s: float) -> None:
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, deadline_s - time.monotonic()) + 1.0)

    @property
    def stopping(self) -> bool:
        return self._deadline_s is not None

    @property
    def out_of_time(self) -> bool:
        return self._deadline_s is not None and time.monotonic() >= self._deadline_s

    def _run(self) -> None:
        while not self.out_of_time:
            seen = self.signal.count
            wait_s = self._guarded_step()
            if wait_s is None:
                return
            if wait_s > 0:
                if self._deadline_s is not None:
                    wait_s = min(wait_s, max(0.0, self._deadline_s - time.monotonic()))
                self.signal.wait(seen, wait_s)
        self._finish()

    def _guarded_step(self) -> float | None:
        """Run one step unless an unexpected fault occurred recently. Raises nothing."""
        if wait_s := self._after_fault.remaining_s():
            return wait_s
        if self._holds_for_clock():
            return None if self.stopping else _IDLE_S
        try:
            wait_s = self._step()
        except Exception as error:
            self.faults.log(error, "sending from the outbox failed")
            self._after_fault.failed()
            return self._after_fault.remaining_s()
        self._after_fault.succeeded()
        return wait_s

    def _holds_for_clock(self) -> bool:
        """Return whether to wait for the device's clock. Events sent before it is set cannot be corrected later."""
        if time.monotonic() >= self._clock_wait_until_s or not self._waits_for_clock():
            return False
        if not self._logged_waiting:
            self._logged_waiting = True
            logger.info("%s: waiting for the device's clock to be set", self._name)
        return True

    def _finish(self) -> None:
        """Called when the deadline for stopping has passed."""

    def _step(self) -> float | None:
        """Deliver what is due; return how long to wait for a notification, or None to end the thread."""
        raise NotImplementedError


class EventPublisher(_DeliveryThreads):
    """Publishes events with a bounded window of unacknowledged messages.

    A broker may close the connection because of one message, without a reason. The window therefore shrinks with every
    lost connection and grows with every acknowledgement. A message that was alone in the window when the connection was
    lost is deferred, so that it does not block the others.
    """

    def __init__(self, *, outbox: Outbox, publisher: MessagePublisher, settings: SenderSettings) -> None:
        super().__init__(outbox=outbox, settings=settings, name="send-events", threads=1)
        self._outbox = outbox
        self._publisher = publisher
        self._window = publisher.max_in_flight
        self._in_flight = 0
        self._done: deque[tuple[WaitingEvent, bool, Future[None]]] = deque()
        self._losing = False
        """Some messages in flight were lost, and the results of the others are still outstanding."""
        self._next_expiry_s = 0.0
        publisher.add_listener(self.signal.notify)

    def _step(self) -> float | None:
        self._process_results()
        self._expire_periodically()
        finished = self.stopping and self._in_flight == 0
        if not self._publisher.connected or self._losing:
            return None if finished else _IDLE_S
        if wait_s := self.backoff.remaining_s():
            return wait_s
        if self._fill_window():
            return 0.0
        return None if finished else _IDLE_S

    def _finish(self) -> None:
        self._process_results()

    def _fill_window(self) -> bool:
        """Publish as many events as the window allows; return whether more may be available."""
        free = self._window - self._in_flight
        if free <= 0 or free < self._window // 4:  # take several at a time
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
                self._defer(item, str(error), _REFUSED_DELAY_S)
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
            self._window = min(self._window + len(acked), self._publisher.max_in_flight)
            self.backoff.succeeded()
        if lost:
            self._losing = True
            self._outbox.events.release(lost)
        if self._losing and self._in_flight == 0:
            self._losing = False
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


class ImageUploader(_DeliveryThreads):
    """Uploads images to the store. A store failure pauses all uploads; a refused image is deferred alone."""

    def __init__(self, *, outbox: Outbox, store: ImageStore, settings: SenderSettings) -> None:
        super().__init__(outbox=outbox, settings=settings, name="send-images", threads=settings.upload_threads)
        self._outbox = outbox
        self._store = store
        self._refused_in_a_row = 0
        self._problems = ProblemLog(logger, subject="image store")

    def _step(self) -> float | None:
        if wait_s := self.backoff.remaining_s():
            return None if self.stopping else wait_s
        items = self._outbox.images.take(1)
        if not items:
            return None if self.stopping else _IDLE_S
        return self._send(items[0])

    def _send(self, item: WaitingImage) -> float:
        try:
            self._store.put(item.object_key, item.body, content_type=item.content_type)
        except PermanentError as error:
            self._problems.report(_cause(error, item), f"deferring an image (attempt {item.attempts + 1}): {error}")
            self._outbox.images.nack([item], delay_s=_REFUSED_DELAY_S * 2 ** min(item.attempts, 16))
            self._refused_in_a_row += 1
            return min(_REFUSED_PAUSE_S * self._refused_in_a_row, _IDLE_S)
        except TransientError as error:
            self._problems.report(_cause(error, item), f"pausing uploads: {error}")
            self.backoff.failed()
            self._outbox.images.release([item])
            return self.backoff.remaining_s()
        except Exception as error:
            # This image alone may be the cause: try the others before it.
            self.faults.log(error, "storing an image failed")
            self.backoff.failed()
            self._outbox.images.nack([item], delay_s=_REFUSED_DELAY_S * 2 ** min(item.attempts, 5))
            return self.backoff.remaining_s()
        self._outbox.images.ack([item])
        self.backoff.succeeded()
        self._refused_in_a_row = 0
        self._problems.recovered("uploads work again")
        return 0.0


def _cause(error: Exception, item: WaitingImage) -> str:
    """Return a key that is equal for images that fail for the same reason."""
    return f"{type(error).__name__} {str(error).replace(item.object_key, '')}"
