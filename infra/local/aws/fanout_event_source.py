"""The event source mapping of the fan-out function: takes messages from a queue and invokes the function with them.

For a target that repeats its deliveries itself, it also takes the place of the schedule that does this on AWS.

Messages that fail repeatedly (Redis is down for minutes, a message is unreadable) are moved to the queue's dead-letter
queue, as on AWS. The events themselves are stored in PostgreSQL.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from infra.local.aws.queue_file import QueueFile
from infra.local.aws.sqs_event import QueueMessage, failed_ids, sqs_event
from shared.errors import TransientError
from shared.retry import Backoff, FaultLog

log = logging.getLogger(__name__)

_MAX_BATCH = 250
_HIDDEN_S = 60.0
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 10.0
_MAX_RECEIVES = 30  # about four minutes
_LONGEST_POLL_PAUSE_S = 2.0
"""Between batches of which nothing was delivered: a target that is down is not asked again for each new event."""
_REPEAT_EVERY_S = 2.0
"""More often than on AWS, because an invocation costs nothing here."""
_FIRST_REPEAT_AFTER_S = 5.0  # a new stack is creating its tables


class FanoutEventSourceMapping:
    """Invokes the function with batches; deletes delivered messages and retries failed ones with a backoff."""

    def __init__(
        self,
        *,
        queues: QueueFile,
        queue: str,
        dead_queue: str,
        invoke: Callable[[bytes], bytes],
        repeat_event: Mapping[str, str] | None = None,
    ) -> None:
        """``repeat_event``: what a schedule invokes the function with; None without one."""
        self._queues = queues
        self._queue = queue
        self._dead_queue = dead_queue
        self._invoke = invoke
        self._repeat_event = repeat_event
        self._repeat_due_s = time.monotonic() + _FIRST_REPEAT_AFTER_S
        self._faults = FaultLog(log)

    def run(self, stopped: threading.Event) -> None:
        """Process batches until ``stopped`` is set."""
        backoff = Backoff(min_s=_FIRST_PAUSE_S, max_s=_LONGEST_POLL_PAUSE_S)
        while not stopped.is_set():
            try:
                has_succeeded = self.step()
            except Exception as error:  # the queue's file cannot be read or written
                self._faults.log(error, f"processing the queue {self._queue} failed")
                has_succeeded = False
            if has_succeeded:
                backoff.succeeded()
            else:
                stopped.wait(backoff.failed())

    def step(self, *, wait_s: float = 0.25) -> bool:
        """Wait up to ``wait_s`` for messages and process one batch. Return False if no message of it was delivered."""
        messages = self._queues.take(self._queue, most=_MAX_BATCH, hidden_s=_HIDDEN_S, wait_s=wait_s)
        if not messages:
            self._repeat()
            return True
        try:
            failed = failed_ids(self._invoke(sqs_event(self._queue, messages)), messages)
        except TransientError as error:
            log.warning("%d messages remain on %s: %s", len(messages), self._queue, error)
            failed = {message.message_id for message in messages}
        except Exception as error:
            self._faults.log(error, "invoking the fan-out function failed")
            failed = {message.message_id for message in messages}
        self._queues.delete(message.receipt_handle for message in messages if message.message_id not in failed)
        self._put_back([message for message in messages if message.message_id in failed])
        return len(failed) < len(messages)

    def _repeat(self) -> None:
        """Invoke the function with the schedule's event if that is due. A batch of messages has the same effect."""
        if self._repeat_event is None or time.monotonic() < self._repeat_due_s:
            return
        self._repeat_due_s = time.monotonic() + _REPEAT_EVERY_S
        try:
            self._invoke(json.dumps(dict(self._repeat_event)).encode())
        except TransientError as error:
            log.warning("repeating deliveries of %s failed: %s", self._queue, error)

    def _put_back(self, left: Sequence[QueueMessage]) -> None:
        dead = [message for message in left if message.receive_count >= _MAX_RECEIVES]
        if dead:
            log.error(
                "%d messages of %s failed %d times: moved to %s",
                len(dead),
                self._queue,
                _MAX_RECEIVES,
                self._dead_queue,
            )
            self._queues.put(self._dead_queue, [(message.body, message.attributes) for message in dead])
            self._queues.delete(message.receipt_handle for message in dead)
        alive = [message for message in left if message.receive_count < _MAX_RECEIVES]
        if alive:
            tries = min(min(message.receive_count for message in alive) - 1, 10)
            self._queues.hide(alive, hidden_s=min(_FIRST_PAUSE_S * 2**tries, _LONGEST_PAUSE_S))
