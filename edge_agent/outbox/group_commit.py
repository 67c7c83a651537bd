"""Group commit: puts from several threads share one transaction, and therefore one flush of the disk.

The thread that holds the write lock commits the requests of all threads that wait for it.
"""

from __future__ import annotations

import logging
import sqlite3
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from edge_agent.outbox.clocks import ClockHistory
from edge_agent.outbox.database import is_unreadable, is_unwritable
from edge_agent.outbox.event_times import shift_event
from edge_agent.outbox.eviction import evict, record_dropped
from edge_agent.outbox.rows import ImageToStore, PutStamp, append_event, images_of
from edge_agent.outbox.state import OutboxState
from shared.clock import StepAwareClock
from shared.errors import PermanentError
from shared.events import Event

MAX_GROUP = 64
MAX_GROUP_BYTES = 1024 * 1024


class OutboxFullError(PermanentError):
    """The disk accepts no more data, even after eviction. The event is dropped and counted; do not retry."""


@dataclass(slots=True)
class PutRequest:
    """One event to store; done when ``stored`` or ``error`` is set."""

    event: Event
    snapshot: bytes | None
    thumbnail: bytes | None
    timestamp_clock: StepAwareClock | None
    """The clock that produced the event's times. None: the wall clock as it is set now."""
    stored: Event | None = None
    error: Exception | None = None

    @property
    def image_bytes(self) -> int:
        return len(self.snapshot or b"") + len(self.thumbnail or b"")

    @property
    def done(self) -> bool:
        return self.stored is not None or self.error is not None

    def corrected(self, clock_history: ClockHistory) -> Event:
        """Return the event with its times converted to the current setting of the wall clock."""
        clock = self.timestamp_clock
        if clock is None:
            return self.event
        try:
            return shift_event(
                self.event, lambda moment: clock.corrected(moment, offset_s=clock_history.offset_s), move_snapshot=True
            )
        except OverflowError:  # the corrected time is out of range: keep the wrong time rather than lose the event
            return self.event

    def images_of(self, event: Event) -> list[ImageToStore]:
        return images_of(event, snapshot=self.snapshot, thumbnail=self.thumbnail)


class GroupCommit:
    """Stores put requests durably. Thread-safe."""

    def __init__(self, state: OutboxState) -> None:
        self._state = state
        self._requests: deque[PutRequest] = deque()

    def commit(self, request: PutRequest) -> Event:
        """Store the event and its images; return the event with its sequence.

        Raises OutboxFullError when the disk accepts no more data and PermanentError when the outbox is closed.
        """
        self._requests.append(request)
        with self._state.write_lock:
            while not request.done:
                self._commit_group(self._next_group())
        if request.error is not None:
            raise request.error
        assert request.stored is not None  # noqa: S101 - done without an error
        return request.stored

    def _next_group(self) -> list[PutRequest]:
        """Return the requests that fit into one transaction."""
        group: list[PutRequest] = []
        size_bytes = 0
        while self._requests and len(group) < MAX_GROUP and size_bytes < MAX_GROUP_BYTES:
            request = self._requests.popleft()
            size_bytes += request.image_bytes
            group.append(request)
        return group

    def _commit_group(self, group: Sequence[PutRequest]) -> None:
        """Finish every request of the group, with the stored event or with an error."""
        try:
            stored = self._insert_with_one_retry(group)
        except Exception as error:
            self._fail(group, error)
            return
        for request, event in zip(group, stored, strict=True):
            request.stored = event

    def _insert_with_one_retry(self, group: Sequence[PutRequest]) -> list[Event]:
        try:
            return self._insert(group)
        except sqlite3.Error as error:
            self._recover(error, group)
        return self._insert(group)

    def _recover(self, error: sqlite3.Error, group: Sequence[PutRequest]) -> None:
        """Replace a damaged file or free space on a full disk; raise any other error."""
        if is_unreadable(error):
            self._state.replace_damaged_file(self._state.database, error)
        elif is_unwritable(error):
            self._free_disk(group)
        else:
            raise error

    def _insert(self, group: Sequence[PutRequest]) -> list[Event]:
        state = self._state
        if state.closed:
            raise PermanentError(f"the outbox {state.path} is closed")
        clock_is_recorded = state.apply_clock_step()
        database, history, usage = state.database, state.clock_history, replace(state.usage)
        stamp = PutStamp(history.now_s(), history.current if clock_is_recorded else None)
        bytes_before = usage.total_bytes
        with database.transaction(durable=True):
            if state.uncounted_drops:
                first = usage.last_sequence + 1
                usage.last_sequence += state.uncounted_drops
                record_dropped(database, usage, [(first, usage.last_sequence)])
                database.set_meta("last_sequence", usage.last_sequence)
            stored: list[Event] = []
            for request in group:
                event = request.corrected(history)
                stored.append(append_event(database, usage, event, request.images_of(event), stamp))
            put_bytes = usage.total_bytes - bytes_before
            evict(database, usage, state.settings.max_bytes)
        state.usage = usage
        state.uncounted_drops = 0
        state.disk.record_written(database, put_bytes)
        return stored

    def _fail(self, group: Sequence[PutRequest], error: Exception) -> None:
        if not isinstance(error, sqlite3.Error | OSError):
            for request in group:
                request.error = error
            return
        path = self._state.path
        self._state.log_throttled(logging.ERROR, "the outbox %s accepts no more events: %s", error)
        self._state.uncounted_drops += len(group)
        for request in group:
            request.error = OutboxFullError(f"cannot write to the outbox {path}: {error}")
            request.error.__cause__ = error

    def _free_disk(self, group: Sequence[PutRequest]) -> None:
        """Evict twice the size of the group plus one megabyte, inside a file that may not grow."""
        state = self._state
        to_free = 2 * sum(request.image_bytes for request in group) + MAX_GROUP_BYTES
        state.log_throttled(
            logging.WARNING, "the disk of the outbox %s is full; dropping the %d least important bytes", to_free
        )
        state.disk.release_reserve(state.database)
        state.write(lambda usage: evict(state.database, usage, max(0, usage.total_bytes - to_free)))
