"""The outbox: durable before anything is sent, and the only memory of what is still to be sent.

One writing connection under one lock. Puts that meet are committed together: the thread that holds the lock writes for
those that wait, so many cameras share one flush of the disk. Lanes read on a connection of their own.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from edge_agent.outbox.clocks import ClockHistory
from edge_agent.outbox.database import Database, FileLock, is_no_room, is_unreadable, open_database, quarantine
from edge_agent.outbox.disk import DiskGuard
from edge_agent.outbox.event_times import shift_event
from edge_agent.outbox.eviction import UsageCounters, evict, read_usage, record_dropped
from edge_agent.outbox.open_stays import closing_event, read_open_stays, update_last_seen
from edge_agent.outbox.queues import EventQueue, ImageQueue, event_queue, image_queue
from edge_agent.outbox.ranges import Range, merge_ranges
from edge_agent.outbox.resend import ResendOutcome, requeue
from edge_agent.outbox.rows import (
    ImageToStore,
    PutStamp,
    check_event,
    correct_times,
    delete_uploaded_images,
    expire_rows,
    has_stale,
    images_of,
    insert_event,
    mark_events_sent,
)
from edge_agent.outbox.settings import OutboxSettings
from shared.clock import Clock, StepAwareClock, SystemClock
from shared.errors import ConfigurationError, PermanentError, TransientError
from shared.events import Event
from shared.heartbeat import OutboxHealth

logger = logging.getLogger(__name__)

MAX_GROUP = 64
MAX_GROUP_BYTES = 1024 * 1024
_LOG_INTERVAL_S = 60.0
_WRITE_SEEN_EVERY_S = 5.0
"""After a crash, the time at which an open visit was last seen is right to about this."""

Row = TypeVar("Row")


class OutboxFullError(PermanentError):
    """The disk takes nothing more, even after dropping; this event was given up and counted. Do not put it again."""


@dataclass(slots=True)
class _PutRequest:
    """One event on its way in; settled when ``stored`` or ``error`` is set."""

    event: Event
    snapshot: bytes | None
    thumbnail: bytes | None
    timestamp_clock: StepAwareClock | None
    """Which clock its times were taken from; None: from the wall clock as it is set now."""
    stored: Event | None = None
    error: Exception | None = None

    @property
    def image_bytes(self) -> int:
        return len(self.snapshot or b"") + len(self.thumbnail or b"")

    def corrected(self, clock_history: ClockHistory) -> Event:
        """Return the event with its times by the clock as it is set now."""
        clock = self.timestamp_clock
        if clock is None:
            return self.event
        try:
            return shift_event(
                self.event, lambda moment: clock.corrected(moment, offset_s=clock_history.offset_s), move_snapshot=True
            )
        except OverflowError:  # no such time; better a wrong one than no event
            return self.event

    def images_of(self, event: Event) -> list[ImageToStore]:
        return images_of(event, snapshot=self.snapshot, thumbnail=self.thumbnail)

    @property
    def settled(self) -> bool:
        return self.stored is not None or self.error is not None


class Outbox:
    """Events and their images, kept until the other side has them. Thread-safe; one process at a time.

    Raises ConfigurationError where the folder cannot be written, the file belongs to another version, or another
    agent holds it.
    """

    def __init__(self, path: Path, *, settings: OutboxSettings | None = None, clock: Clock | None = None) -> None:
        self._path = path
        self._settings = settings or OutboxSettings()
        self._clock = clock or SystemClock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file_lock = FileLock(path.with_name(f"{path.name}.lock"))
        except OSError as error:
            raise ConfigurationError(
                f"cannot write the outbox folder {path.parent}: {error.strerror}; name a folder this user may write"
            ) from error
        self._write_lock = threading.RLock()
        self.take_lock = threading.RLock()
        self._read_lock = threading.Lock()
        self._queue: deque[_PutRequest] = deque()
        self._listeners: list[Callable[[], None]] = []
        self._uncounted = 0
        """Events given up while not even a count could be written."""
        self._closed = False
        self._logged_s: dict[str, float] = {}
        self._seen_lock = threading.Lock()
        self._seen: dict[str, float] = {}
        self._seen_written_s = 0.0
        self._disk = DiskGuard(path=path, settings=self._settings)
        try:
            self._open()
        except BaseException:
            self._file_lock.release()
            raise
        self.events: EventQueue = event_queue(self)
        self.images: ImageQueue = image_queue(self)

    @property
    def epoch(self) -> str:
        """Names this outbox's count of sequences; a new file has a new one."""
        return self._epoch

    @property
    def clock_is_set(self) -> bool:
        """Whether the device's clock shows a time that can be; before 2025 it has not been set since power-on."""
        return self._clock_history.is_set

    def put(
        self,
        event: Event,
        *,
        snapshot: bytes | None = None,
        thumbnail: bytes | None = None,
        timestamp_clock: StepAwareClock | None = None,
    ) -> Event:
        """Store the event and its images durably and return it with its ``sequence`` and ``sequence_epoch``.

        ``timestamp_clock`` is the clock that produced the event's times. Times taken before a clock step are corrected.

        Once this returns, the event survives power loss, and is delivered unless the bounds of the outbox force it
        out (then it is counted). Raises ContractError for an event the cloud would refuse (too large, an image without
        a snapshot reference), OutboxFullError where the disk takes nothing.
        """
        check_event(event, self._epoch)
        entry = _PutRequest(event, snapshot, thumbnail, timestamp_clock)
        entry.images_of(event)  # raises here, in the thread of the one who puts it
        self._queue.append(entry)
        with self._write_lock:
            while not entry.settled:
                self._commit_puts(self._next_group())
        self.notify_listeners()
        if entry.error is not None:
            raise entry.error
        assert entry.stored is not None  # noqa: S101 - settled without an error
        return entry.stored

    def resend(self, sequence_epoch: str, ranges: Iterable[Range]) -> ResendOutcome:
        """Put kept events of these sequences back among the waiting; of another epoch nothing is available."""
        wanted = merge_ranges(ranges)
        if sequence_epoch != self._epoch:
            return ResendOutcome(resent=0, unavailable=wanted)
        self._write_acknowledgements()
        outcomes: list[ResendOutcome] = []
        with self._write_lock:
            written = self._write(lambda usage: outcomes.append(requeue(self._database, usage, wanted)))
        if not written or self.events.unwritten:
            raise TransientError(f"the outbox {self._path} cannot be written just now")
        self.notify_listeners()
        return outcomes[0]

    def health(self) -> OutboxHealth:
        """Return what the heartbeat says about the outbox."""
        with self._write_lock:
            usage, epoch, uncounted = self._usage, self._epoch, self._uncounted
        latest = "SELECT first, last FROM dropped ORDER BY first DESC LIMIT ?"
        rows = self.read(lambda connection: connection.execute(latest, (self._settings.reported_ranges,)).fetchall())
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

    def expire(self) -> None:
        """Give up what has waited too long, forget what was sent long ago. Call it now and then."""
        with self._write_lock:
            if self._closed:
                return
            self._disk.update_limit(self._database)
            self._apply_clock_step()
            now_s, is_set = self.now_s(), self._clock_history.is_set
            self._write(
                lambda usage: expire_rows(self._database, usage, self._settings, now_s=now_s, clock_is_set=is_set)
            )
        self._write_acknowledgements()

    def update_last_seen(self, visits: Iterable[str]) -> None:
        """Note that these visits (track uids, ``motion_stay_key``) go on. Cheap: written every few seconds only."""
        now_s = self.now_s()
        with self._seen_lock:
            self._seen.update(dict.fromkeys(visits, now_s))
            if now_s < self._seen_written_s + _WRITE_SEEN_EVERY_S or not self._seen:
                return
            self._seen_written_s = now_s
            seen, self._seen = list(self._seen.items()), {}
        with self._write_lock:
            self._write(lambda _: update_last_seen(self._database.writer, seen))

    def close_open_stays(self, new_id: Callable[[], UUID], *, camera_id: str | None = None) -> int:
        """Close what an earlier run left open (of one camera, or of all) with events of their own; return how many.

        Call before anything opens visits anew. Each is closed once, however often the process is killed meanwhile.
        """
        with self._write_lock:
            if self._closed:
                return 0
            database = self._database
            try:
                closed = self._close_open_stays(database, new_id, camera_id)
            except sqlite3.Error as error:
                if is_unreadable(error):
                    self._replace_damaged_file(database, error)
                elif is_no_room(error):
                    self._log_throttled(logging.WARNING, "the outbox %s cannot be written: %s", error)
                else:
                    raise
                return 0
        if closed:
            self.notify_listeners()
        return closed

    def add_listener(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` (quickly, from any thread) whenever something new can be taken."""
        self._listeners.append(listener)

    def close(self) -> None:
        """Close the file and free its lock. Nothing is lost by not calling this."""
        with self._write_lock:
            if self._closed:
                return
            with suppress(sqlite3.Error):
                self._write(lambda _: self._database.write_number("outbox_time_s", self.now_s()))
            with self._read_lock:
                self._closed = True
                self._database.close()
                self._file_lock.release()

    def _close_open_stays(self, database: Database, new_id: Callable[[], UUID], camera_id: str | None) -> int:
        usage, now_s = replace(self._usage), self.now_s()
        with database.transaction(durable=True):
            found = read_open_stays(database.writer, camera_id)
            for open_visit in found:
                event = closing_event(open_visit, new_id)
                insert_event(database, usage, event, (), PutStamp(now_s, open_visit.clock))
            evict(database, usage, self._settings.max_bytes)
        self._usage = usage
        self._stale = has_stale(database.writer, self._clock_history)
        return len(found)

    # What the lanes use.

    def now_s(self) -> float:
        return self._clock_history.now_s()

    def correct_times(self, table: str, keys: list[int]) -> None:
        if not self._stale and not self._clock_history.step_s():
            return
        sequences = keys if table == "events" else sorted({key // 2 for key in keys})
        with self._write_lock:
            if self._closed:
                return
            self._apply_clock_step()
            clock_history = self._clock_history
            self._write(
                lambda usage: correct_times(
                    self._database, usage, clock_history, sequences, untouched=self._is_untouched
                )
            )
            self._stale = has_stale(self._database.writer, clock_history)

    def _is_untouched(self, sequence: int) -> bool:
        """Tell whether neither the event nor its images can have left; of an earlier run nobody knows."""
        handed_out = self.events.was_handed_out(sequence) or self.images.was_handed_out(sequence * 2)
        return sequence > self._opened_at and not handed_out

    def notify_listeners(self) -> None:
        for listener in self._listeners:
            listener()

    def read(self, action: Callable[[sqlite3.Connection], list[Row]]) -> list[Row]:
        with self._read_lock:
            database = self._database
            try:
                return [] if self._closed else action(self._reader)
            except sqlite3.Error as error:
                if not is_unreadable(error):
                    raise
                damage = error
        self._replace_damaged_file(database, damage)
        return []

    def mark_delivered(self, table: str, keys: list[int]) -> bool:
        keep_bytes = self._settings.keep_sent_bytes
        with self._write_lock:
            if table == "images":
                return self._write(lambda usage: delete_uploaded_images(self._database, usage, keys))
            now_s = self.now_s()
            return self._write(
                lambda usage: mark_events_sent(self._database, usage, keys, now_s=now_s, keep_bytes=keep_bytes)
            )

    def postpone(self, table: str, keys: list[int], due_at_s: float) -> None:
        key = {"events": "sequence", "images": "id"}[table]
        change = f"UPDATE {table} SET due_at_s = ?, attempts = attempts + 1 WHERE {key} = ?"  # noqa: S608
        with self._write_lock:
            self._write(lambda _: self._database.writer.executemany(change, [(due_at_s, each) for each in keys]))

    def _open(self) -> None:
        database = open_database(self._path, self._clock)
        try:
            usage = read_usage(database)
        except sqlite3.Error as error:
            database.close()
            if not is_unreadable(error):
                raise
            quarantine(self._path, self._clock, why=str(error))
            database = open_database(self._path, self._clock)
            usage = read_usage(database)
        self._database, self._usage = database, usage
        self._epoch = database.epoch
        self._opened_at = usage.last_sequence
        self._clock_history = self._open_clock_history(database)
        self._stale = has_stale(database.writer, self._clock_history)
        self._reader = database.reader()
        self._disk.update_limit(database)

    def _open_clock_history(self, database: Database) -> ClockHistory:
        try:
            with database.transaction(durable=False):
                return ClockHistory.open(database.writer, self._clock)
        except sqlite3.Error as error:
            if not is_no_room(error):
                raise
            self._log_throttled(logging.WARNING, "the outbox %s cannot be written: %s", error)
            return ClockHistory.unwritten(database.writer, self._clock)

    def _apply_clock_step(self) -> bool:
        """Go by the wall clock as it is set now, and tell whether that could be noted; the caller holds the lock."""
        step_s = self._clock_history.step_s()
        if not step_s:
            return True
        books: list[ClockHistory] = []
        if not self._write(lambda _: books.append(self._clock_history.after_step(self._database.writer, step_s))):
            return False
        self._clock_history, self._stale = books[0], True
        logger.warning(
            "the device's clock was set %s by %.1f s; the times of events that wait are corrected",
            "forward" if step_s > 0 else "back",
            abs(step_s),
        )
        return True

    def _write_acknowledgements(self) -> None:
        """Write those that could not be written when they came."""
        for queue in (self.events, self.images):
            if queue.unwritten:
                queue.ack(())

    def _log_throttled(self, level: int, message: str, *details: object) -> None:
        """Log trouble with the disk, each kind once a minute: it comes with every single put."""
        now_s = self._clock.monotonic()
        if now_s - self._logged_s.get(message, -_LOG_INTERVAL_S) >= _LOG_INTERVAL_S:
            self._logged_s[message] = now_s
            logger.log(level, message, self._path, *details)

    def _replace_damaged_file(self, damaged: Database, error: sqlite3.Error) -> None:
        """Set the damaged file aside and go on with a new one, unless another thread has done so already."""
        with self._write_lock, self._read_lock:
            if self._closed or self._database is not damaged:
                return
            damaged.close()
            quarantine(self._path, self._clock, why=str(error))
            self._open()

    def _write(self, action: Callable[[UsageCounters], object]) -> bool:
        """Run a change that may be lost to a power cut, and tell whether it is written; the caller holds the lock."""
        if self._closed:
            return False
        database, usage = self._database, replace(self._usage)
        try:
            with database.transaction(durable=False):
                action(usage)
        except sqlite3.Error as error:
            if is_unreadable(error):
                self._replace_damaged_file(database, error)
            elif is_no_room(error):
                self._log_throttled(logging.WARNING, "the outbox %s cannot be written: %s", error)
            else:
                raise
            return False
        self._usage = usage
        return True

    def _next_group(self) -> list[_PutRequest]:
        """Take from the queue what fits into one transaction."""
        group: list[_PutRequest] = []
        size_bytes = 0
        while self._queue and len(group) < MAX_GROUP and size_bytes < MAX_GROUP_BYTES:
            entry = self._queue.popleft()
            size_bytes += entry.image_bytes
            group.append(entry)
        return group

    def _commit_puts(self, group: Sequence[_PutRequest]) -> None:
        """Settle every entry of the group, one way or the other."""
        try:
            self._try_puts(group, self._recover)
        except Exception as error:
            self._fail(group, error)

    def _recover(self, database: Database, error: sqlite3.Error, group: Sequence[_PutRequest]) -> None:
        """Make it possible to try once more, or raise."""
        if is_unreadable(error):
            self._replace_damaged_file(database, error)
        elif is_no_room(error):
            self._free_disk(group)
        else:
            raise error

    def _try_puts(
        self,
        group: Sequence[_PutRequest],
        recover: Callable[[Database, sqlite3.Error, Sequence[_PutRequest]], None] | None,
    ) -> None:
        if self._closed:
            raise PermanentError(f"the outbox {self._path} is closed")
        database = self._database
        try:
            stored = self._insert(database, group)
        except sqlite3.Error as error:
            if recover is None:
                raise
            recover(database, error, group)
            self._try_puts(group, None)
            return
        for entry, event in zip(group, stored, strict=True):
            entry.stored = event

    def _insert(self, database: Database, group: Sequence[_PutRequest]) -> list[Event]:
        followed = self._apply_clock_step()
        clock_history, usage = self._clock_history, replace(self._usage)
        stamp = PutStamp(clock_history.now_s(), clock_history.current if followed else None)
        before = usage.total_bytes
        with database.transaction(durable=True):
            if self._uncounted:
                first = usage.last_sequence + 1
                usage.last_sequence += self._uncounted
                record_dropped(database, usage, [(first, usage.last_sequence)])
                database.set_meta("last_sequence", usage.last_sequence)
            stored: list[Event] = []
            for entry in group:
                event = entry.corrected(clock_history)
                stored.append(insert_event(database, usage, event, entry.images_of(event), stamp))
            put_bytes = usage.total_bytes - before
            evict(database, usage, self._settings.max_bytes)
        self._usage = usage
        self._uncounted = 0
        self._disk.record_written(database, put_bytes)
        return stored

    def _fail(self, group: Sequence[_PutRequest], error: Exception) -> None:
        if not isinstance(error, sqlite3.Error | OSError):
            for entry in group:
                entry.error = error
            return
        self._log_throttled(logging.ERROR, "the outbox %s takes nothing more: %s", error)
        self._uncounted += len(group)
        for entry in group:
            entry.error = OutboxFullError(f"the outbox {self._path} cannot be written: {error}")
            entry.error.__cause__ = error

    def _free_disk(self, group: Sequence[_PutRequest]) -> None:
        """The disk or the file is full: drop as much as twice what is to go in, and at least a megabyte."""
        wanted = 2 * sum(entry.image_bytes for entry in group) + MAX_GROUP_BYTES
        self._log_throttled(
            logging.WARNING, "the disk of the outbox %s is full; the least important %d bytes go", wanted
        )
        self._disk.release_reserve(self._database)
        self._write(lambda usage: evict(self._database, usage, max(0, usage.total_bytes - wanted)))
