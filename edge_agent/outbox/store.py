"""The outbox: a durable store-and-forward buffer for events and images.

``state.py`` owns the open file, ``group_commit.py`` stores events, ``queues.py`` returns them for delivery.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from uuid import UUID

from edge_agent.outbox.database import Database
from edge_agent.outbox.eviction import evict
from edge_agent.outbox.group_commit import GroupCommit, OutboxFullError, PutRequest
from edge_agent.outbox.open_stays import LastSeenBuffer, closing_event, read_open_stays, update_last_seen
from edge_agent.outbox.queues import EVENT_TABLE, IMAGE_TABLE, DeliveryQueue, EventQueue, ImageQueue
from edge_agent.outbox.ranges import Range, merge_ranges
from edge_agent.outbox.resend import ResendOutcome, requeue
from edge_agent.outbox.rows import PutStamp, append_event, check_event, correct_times, expire_rows, has_stale
from edge_agent.outbox.settings import OutboxSettings
from edge_agent.outbox.state import OutboxState
from edge_agent.outbox.usage import OLDEST_WAITING, OutboxUsage, QueueUsage
from shared.clock import Clock, StepAwareClock, SystemClock
from shared.errors import TransientError
from shared.events import Event
from shared.heartbeat import OutboxHealth

__all__ = ["Outbox", "OutboxFullError"]


class Outbox:
    """Events and their images, stored until the receiver has acknowledged them. Thread-safe; one process at a time.

    Raises ConfigurationError when the folder is not writable, when the file was written by an incompatible version,
    or when another agent holds it.
    """

    def __init__(self, path: Path, *, settings: OutboxSettings | None = None, clock: Clock | None = None) -> None:
        self._state = OutboxState(path=path, settings=settings or OutboxSettings(), clock=clock or SystemClock())
        self._commits = GroupCommit(self._state)
        self._listeners: list[Callable[[], None]] = []
        self._last_seen = LastSeenBuffer()
        before_take, notify = self._correct_times, self._notify_listeners
        self.events: EventQueue = DeliveryQueue(
            state=self._state, table=EVENT_TABLE, before_take=before_take, notify=notify
        )
        self.images: ImageQueue = DeliveryQueue(
            state=self._state, table=IMAGE_TABLE, before_take=before_take, notify=notify
        )

    @property
    def epoch(self) -> str:
        """Identifier of this outbox's sequence numbering; a new file gets a new one."""
        return self._state.epoch

    @property
    def clock_is_set(self) -> bool:
        """Whether the device's clock is plausible. A year before 2025 means it was not set since power-on."""
        return self._state.clock_history.is_set

    def put(
        self,
        event: Event,
        *,
        snapshot: bytes | None = None,
        thumbnail: bytes | None = None,
        timestamp_clock: StepAwareClock | None = None,
    ) -> Event:
        """Store the event and its images durably; return the event with its ``sequence`` and ``sequence_epoch``.

        ``timestamp_clock`` is the clock that produced the event's times. Times taken before a clock step are corrected.

        After this returns, the event survives power loss. It is delivered unless the size or age limits of the outbox
        evict it, in which case it is counted as dropped. Raises ContractError for an event that the cloud would reject
        (too large, or an image without a snapshot reference) and OutboxFullError when the disk accepts no more data.
        """
        check_event(event, self._state.epoch)
        request = PutRequest(event, snapshot, thumbnail, timestamp_clock)
        request.images_of(event)  # raises ContractError before the request enters the group
        try:
            return self._commits.commit(request)
        finally:
            self._notify_listeners()

    def resend(self, sequence_epoch: str, ranges: Iterable[Range]) -> ResendOutcome:
        """Queue sent events of these sequences again, if they are still stored. Another epoch has none available.

        Raises TransientError when the outbox cannot be written.
        """
        requested = merge_ranges(ranges)
        if sequence_epoch != self._state.epoch:
            return ResendOutcome(resent=0, unavailable=requested)
        self._write_acknowledgements()
        outcomes: list[ResendOutcome] = []
        state = self._state
        written = state.write(lambda usage: outcomes.append(requeue(state.database, usage, requested)))
        if not written or self.events.unwritten:
            raise TransientError(f"cannot write to the outbox {state.path} at the moment")
        self._notify_listeners()
        return outcomes[0]

    def health(self) -> OutboxHealth:
        """Return the outbox section of the heartbeat."""
        state = self._state
        with state.write_lock:
            usage, epoch, uncounted = state.usage, state.epoch, state.uncounted_drops
        latest = "SELECT first, last FROM dropped ORDER BY first DESC LIMIT ?"
        rows = state.read(lambda connection: connection.execute(latest, (state.settings.reported_ranges,)).fetchall())
        return OutboxHealth(
            sequence_epoch=epoch,
            last_sequence=usage.last_sequence,
            pending_events=usage.waiting_events,
            pending_bytes=usage.waiting_bytes,
            dropped_events=usage.dropped_events + uncounted,
            dropped_ranges=sorted((int(first), int(last)) for first, last in rows),
            pending_images=usage.images,
            dropped_images=usage.dropped_images,
        )

    def usage(self) -> OutboxUsage:
        """Return what waits for delivery and since when, for the metrics. Reads two index entries."""
        state = self._state
        with state.write_lock:
            counters, uncounted = state.usage, state.uncounted_drops
        now_s = state.now_s()
        rows = state.read(lambda connection: connection.execute(OLDEST_WAITING).fetchall()) or [(None, None)]
        event_age_s, image_age_s = (0.0 if put_at_s is None else max(now_s - put_at_s, 0.0) for put_at_s in rows[0])
        return OutboxUsage(
            events=QueueUsage(
                rows=counters.waiting_events,
                bytes=counters.waiting_event_bytes,
                dropped=counters.dropped_events + uncounted,
                oldest_s=event_age_s,
            ),
            images=QueueUsage(
                rows=counters.images,
                bytes=counters.image_bytes,
                dropped=counters.dropped_images,
                oldest_s=image_age_s,
            ),
            limit_bytes=state.settings.max_bytes,
        )

    def expire(self) -> None:
        """Drop events and images older than ``max_age_s`` and delete sent events past ``keep_sent_s``.

        Call this periodically, for example once a minute.
        """
        state = self._state
        with state.write_lock:
            if state.closed:
                return
            state.disk.update_limit(state.database)
            state.apply_clock_step()
            now_s, is_set = state.now_s(), state.clock_history.is_set
            state.write(
                lambda usage: expire_rows(state.database, usage, state.settings, now_s=now_s, clock_is_set=is_set)
            )
        self._write_acknowledgements()

    def update_last_seen(self, stays: Iterable[str]) -> None:
        """Record that these stays (track uids, ``motion_stay_key``) continue. Cheap: written every few seconds only."""
        if pending := self._last_seen.update(stays, self._state.now_s()):
            self._state.write(lambda _: update_last_seen(self._state.database.writer, pending))

    def close_open_stays(self, new_id: Callable[[], UUID], *, camera_id: str | None = None) -> int:
        """Store a closing event for each stay that an earlier run left open; return how many.

        ``camera_id`` restricts this to one camera. Call this before new stays are opened. Each stay is closed exactly
        once, even if the process is killed in between.
        """
        state = self._state
        with state.write_lock:
            if state.closed:
                return 0
            database = state.database
            try:
                closed = self._close_open_stays(database, new_id, camera_id)
            except sqlite3.Error as error:
                state.handle_write_error(database, error)
                return 0
        if closed:
            self._notify_listeners()
        return closed

    def add_listener(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` whenever new items become available. It runs on any thread and must return quickly."""
        self._listeners.append(listener)

    def close(self) -> None:
        """Close the file and release its lock. No data is lost if this is not called."""
        self._state.close()

    def _close_open_stays(self, database: Database, new_id: Callable[[], UUID], camera_id: str | None) -> int:
        state = self._state
        usage, now_s = replace(state.usage), state.now_s()
        with database.transaction(durable=True):
            stays = read_open_stays(database.writer, camera_id)
            for stay in stays:
                append_event(database, usage, closing_event(stay, new_id), (), PutStamp(now_s, stay.clock))
            evict(database, usage, state.settings.max_bytes)
        state.usage = usage
        state.has_stale_times = has_stale(database.writer, state.clock_history)
        return len(stays)

    def _correct_times(self, sequences: list[int]) -> None:
        """Correct the times of events that are about to be taken, if the clock was stepped since."""
        state = self._state
        if not state.has_stale_times and not state.clock_history.step_s():
            return
        with state.write_lock:
            if state.closed:
                return
            state.apply_clock_step()
            history = state.clock_history
            state.write(
                lambda usage: correct_times(state.database, usage, history, sequences, untouched=self._is_untouched)
            )
            state.has_stale_times = has_stale(state.database.writer, history)

    def _is_untouched(self, sequence: int) -> bool:
        """Return whether neither the event nor its images can have been sent. Unknown for events of an earlier run."""
        taken = self.events.was_taken(sequence) or self.images.was_taken(sequence * 2)
        return sequence > self._state.last_sequence_at_open and not taken

    def _notify_listeners(self) -> None:
        for listener in self._listeners:
            listener()

    def _write_acknowledgements(self) -> None:
        """Write acknowledgements that could not be written earlier."""
        for queue in (self.events, self.images):
            if queue.unwritten:
                queue.ack(())
