"""AWS's event source mapping on one machine: takes messages off a queue and hands them to the fan-out function."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from infra.local.queue_file import QueueFile
from infra.local.sqs_event import failed_ids, sqs_event
from shared.errors import TransientError

log = logging.getLogger(__name__)

_MOST = 250
_HIDDEN_S = 60.0
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 10.0


class FanoutFeed:
    """Take, invoke, delete what went well; what failed comes again after a growing pause."""

    def __init__(self, *, queues: QueueFile, queue: str, invoke: Callable[[bytes], bytes]) -> None:
        self._queues = queues
        self._queue = queue
        self._invoke = invoke

    def run(self, stopped: threading.Event) -> None:
        """Feed until told to stop."""
        while not stopped.is_set():
            self.step()

    def step(self, *, wait_s: float = 0.25) -> None:
        """Wait a little for messages and hand them over."""
        messages = self._queues.take(self._queue, most=_MOST, hidden_s=_HIDDEN_S, wait_s=wait_s)
        if not messages:
            return
        try:
            failed = failed_ids(self._invoke(sqs_event(self._queue, messages)), messages)
        except TransientError as error:
            log.warning("%d messages stay on %s: %s", len(messages), self._queue, error)
            failed = {message.message_id for message in messages}
        self._queues.delete(message.receipt_handle for message in messages if message.message_id not in failed)
        left = [message for message in messages if message.message_id in failed]
        if left:
            tries = min(min(message.receive_count for message in left) - 1, 10)
            self._queues.hide(left, hidden_s=min(_FIRST_PAUSE_S * 2**tries, _LONGEST_PAUSE_S))
