"""A group of delivery threads: waking, backoff after faults, waiting for the clock, and stopping by a deadline."""

from __future__ import annotations

import logging
import threading
import time

from edge_agent.outbox import Outbox
from edge_agent.transport.settings import SenderSettings
from shared.retry import FaultLog, SharedBackoff

logger = logging.getLogger(__name__)

IDLE_S = 2.0
"""How often an idle thread checks for deferred items that are due."""
REFUSED_DELAY_S = 2.0
"""Delay after the first refusal of an item; doubles with every attempt. After a problem is resolved, delivery is
delayed by at most about the duration of the problem."""


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


class DeliveryThreads:
    """A group of delivery threads that stops by a deadline."""

    def __init__(self, *, outbox: Outbox, settings: SenderSettings, name: str, threads: int) -> None:
        self.signal = Signal()
        self.backoff = SharedBackoff(min_s=settings.retry_min_s, max_s=settings.retry_max_s)
        self.faults = FaultLog(logger)
        self._after_fault = SharedBackoff(min_s=settings.retry_min_s, max_s=settings.retry_max_s)
        self._outbox = outbox
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
            wait_s = self._run_guarded_step()
            if wait_s is None:
                return
            if wait_s > 0:
                if self._deadline_s is not None:
                    wait_s = min(wait_s, max(0.0, self._deadline_s - time.monotonic()))
                self.signal.wait(seen, wait_s)
        self._finish()

    def _run_guarded_step(self) -> float | None:
        """Run one step unless an unexpected fault occurred recently. Raises nothing."""
        if wait_s := self._after_fault.remaining_s():
            return wait_s
        if self._must_wait_for_clock():
            return None if self.stopping else IDLE_S
        try:
            wait_s = self._step()
        except Exception as error:
            self.faults.log(error, "sending from the outbox failed")
            self._after_fault.failed()
            return self._after_fault.remaining_s()
        self._after_fault.succeeded()
        return wait_s

    def _must_wait_for_clock(self) -> bool:
        """Return whether to wait for the device's clock to be set. Times of delivered events cannot be corrected."""
        if time.monotonic() >= self._clock_wait_until_s or self._outbox.clock_is_set:
            return False
        if not self._logged_waiting:
            self._logged_waiting = True
            logger.info("%s: waiting for the device's clock to be set", self._name)
        return True

    def _finish(self) -> None:
        """Hook that runs once after the deadline for stopping."""

    def _step(self) -> float | None:
        """Deliver the items that are due; return how long to wait for a notification, or None to end the thread."""
        raise NotImplementedError
