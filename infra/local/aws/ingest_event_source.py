"""Invokes the ingest function with batches of MQTT messages, and acknowledges messages that ingest has stored.

The subscription and the function are passed in as collaborators.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from infra.local.aws.batch_journal import BatchJournal
from infra.local.aws.sqs_event import QueueMessage, failed_ids, has_failures, sqs_event
from shared.errors import TransientError
from shared.iot_envelope import encode_ingest_message
from shared.retry import Backoff, FaultLog

log = logging.getLogger(__name__)

BATCH_WINDOW_S = 0.020
LARGEST_BATCH = 1000
LARGEST_BATCH_BYTES = 4 * 1024 * 1024  # Lambda takes events of up to 6 MB
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_MAX_FINISH_FAILURES = 20  # a minute and a half, in which no other message is processed


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """One unacknowledged MQTT message; ``packet_id`` is valid on connection number ``connection`` only."""

    topic: str
    payload: bytes
    packet_id: int
    connection: int
    received_at_ms: int

    def body(self) -> str:
        """Return the message body that the IoT rule puts on the queue.

        MQTT does not name the publisher to a subscriber, so the device in the topic is used as the client id. On AWS
        the device's policy binds topic and client id.
        """
        levels = self.topic.split("/")
        return encode_ingest_message(
            topic=self.topic,
            payload=self.payload,
            client_id=levels[2] if len(levels) > 2 else "",
            received_at_ms=self.received_at_ms,
        )


class Inbox:
    """A thread-safe queue between the network thread and the thread that invokes ingest."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._messages: deque[ReceivedMessage] = deque()

    def put(self, message: ReceivedMessage) -> None:
        with self._changed:
            self._messages.append(message)
            self._changed.notify()

    def __len__(self) -> int:
        return len(self._messages)

    def wait(self, timeout_s: float) -> None:
        """Return as soon as a message is available, or after ``timeout_s``."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._messages) > 0, timeout_s)

    def take(self, *, most: int, most_bytes: int) -> list[ReceivedMessage]:
        """Remove and return the oldest messages within the limits, but at least one if any is available."""
        taken: list[ReceivedMessage] = []
        size = 0
        with self._changed:
            while self._messages and len(taken) < most:
                size += len(self._messages[0].payload) * 4 // 3 + 300
                if taken and size > most_bytes:
                    break
                taken.append(self._messages.popleft())
        return taken


class Acknowledger(Protocol):
    """Acknowledges a message to the broker."""

    def acknowledge(self, arrival: ReceivedMessage) -> None: ...


@dataclass(slots=True)
class _Queued:
    arrival: ReceivedMessage
    message: QueueMessage
    attempts: int = 0
    due_s: float = 0.0


class IngestEventSourceMapping:
    """The loop between the broker and ingest. A message is acknowledged only after ingest has stored it.

    When a whole batch fails (the database is down, one message crashes the function), the batch size is halved until a
    bad message is in a batch of its own. An unexpected exception counts as such a failure. Messages are never given up.
    """

    def __init__(
        self,
        *,
        inbox: Inbox,
        invoke: Callable[[bytes], bytes],
        acknowledger: Acknowledger,
        journal: BatchJournal,
        queue: str = "vedette-ingest",
        window_s: float = BATCH_WINDOW_S,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._inbox = inbox
        self._invoke = invoke
        self._acknowledger = acknowledger
        self._journal = journal
        self._queue = queue
        self._window_s = window_s
        self._monotonic = monotonic
        self._sleep = sleep
        self._retries: list[_Queued] = []
        self._most = LARGEST_BATCH
        self._number = 0
        self._faults = FaultLog(log, monotonic=monotonic)

    def run(self, stopped: threading.Event) -> None:
        """Process batches until ``stopped`` is set; first the one that the last process did not finish."""
        backoff = Backoff(min_s=_FIRST_PAUSE_S, max_s=_LONGEST_PAUSE_S)
        while not stopped.is_set() and not self._finish_last_batch():
            if backoff.failures == _MAX_FINISH_FAILURES:
                log.error("the batch that was interrupted failed %d times and is given up", backoff.failures + 1)
                self._journal.clear()
                break
            stopped.wait(backoff.failed())
        backoff.succeeded()
        while not stopped.is_set():
            try:
                self.step()
            except Exception as error:
                self._faults.log(error, "processing messages for ingest failed")
                stopped.wait(backoff.failed())
            else:
                backoff.succeeded()

    def step(self, *, idle_s: float = 0.2) -> None:
        """Wait up to ``idle_s`` for new or due messages, and invoke ingest with one batch."""
        self._inbox.wait(min(idle_s, self._until_next_retry()))
        due = self._due_retries()
        if not due and not len(self._inbox):
            return
        if len(self._inbox) < self._most:
            self._sleep(self._window_s)
        fresh = self._inbox.take(most=max(self._most - len(due), 1), most_bytes=LARGEST_BATCH_BYTES)
        self._invoke_batch([*due, *(self._enqueue(arrival) for arrival in fresh)])

    def _finish_last_batch(self) -> bool:
        """Invoke ingest with the batch of the journal, if there is one; return whether nothing is left of it."""
        try:
            event = self._journal.left()
            if event is None:
                return True
            if not has_failures(self._invoke(event)):
                self._journal.clear()
                return True
            log.warning("messages of the batch that was interrupted failed; it will be retried")
        except TransientError as error:
            log.warning("the batch that was interrupted will be retried: %s", error)
        except Exception as error:
            self._faults.log(error, "finishing the batch that was interrupted failed")
        return False

    def _enqueue(self, arrival: ReceivedMessage) -> _Queued:
        self._number += 1
        message = QueueMessage(
            message_id=f"local-{self._number}", body=arrival.body(), sent_at_ms=arrival.received_at_ms
        )
        return _Queued(arrival=arrival, message=message)

    def _invoke_batch(self, batch: Sequence[_Queued]) -> None:
        messages = [queued.message for queued in batch]
        event = sqs_event(self._queue, messages)
        try:
            self._journal.write(event)
            failed = failed_ids(self._invoke(event), messages)
            self._journal.clear()
        except TransientError as error:
            log.warning("ingest failed for %d messages, which will be retried: %s", len(batch), error)
            failed = {message.message_id for message in messages}
        except Exception as error:
            self._faults.log(error, "invoking ingest failed")
            failed = {message.message_id for message in messages}
        if len(failed) == len(batch):
            self._most = max(min(self._most, len(batch)) // 2, 1)
        else:
            self._most = min(self._most * 4, LARGEST_BATCH)
        for queued in batch:
            if queued.message.message_id in failed:
                self._put_back(queued)
            else:
                self._acknowledge(queued)

    def _acknowledge(self, queued: _Queued) -> None:
        """Acknowledge a message. If that fails, ingest receives the message again, which has no effect."""
        try:
            self._acknowledger.acknowledge(queued.arrival)
        except Exception as error:
            self._faults.log(error, "acknowledging a message failed")
            self._put_back(queued)

    def _put_back(self, queued: _Queued) -> None:
        queued.attempts += 1
        pause_s = min(_FIRST_PAUSE_S * 2 ** min(queued.attempts - 1, 10), _LONGEST_PAUSE_S)
        queued.due_s = self._monotonic() + pause_s
        self._retries.append(queued)

    def _due_retries(self) -> list[_Queued]:
        now = self._monotonic()
        due = [queued for queued in self._retries if queued.due_s <= now][: self._most]
        chosen = set(map(id, due))
        self._retries = [queued for queued in self._retries if id(queued) not in chosen]
        return due

    def _until_next_retry(self) -> float:
        earliest = min((queued.due_s for queued in self._retries), default=float("inf"))
        return max(earliest - self._monotonic(), 0.0)
