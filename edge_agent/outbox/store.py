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

from edge_agent.outbox.clocks import ClockBook
from edge_agent.outbox.database import Database, FileLock, is_no_room, is_unreadable, open_database, set_aside
from edge_agent.outbox.disk import DiskGuard
from edge_agent.outbox.lanes import EventLane, ImageLane, event_lane, image_lane
from edge_agent.outbox.ranges import Range, merge_ranges
from edge_agent.outbox.resend import ResendOutcome, requeue
from edge_agent.outbox.room import Tally, make_room, read_tally, record_dropped
from edge_agent.outbox.rows import (
    ImageToStore,
    Stamp,
    check_event,
    correct_times,
    expire_rows,
    has_stale,
    images_of,
    insert_event,
    settle_events,
    settle_images,
)
from edge_agent.outbox.settings import OutboxSettings
from edge_agent.outbox.times import shift_event
from edge_agent.outbox.visits import closing_event, note_seen, open_visits
from shared.clock import Clock, SystemClock, TracedClock
from shared.errors import ConfigurationError, PermanentError, TransientError
from shared.events import Event
from shared.heartbeat import OutboxHealth

logger = logging.getLogger(__name__)

MAX_GROUP = 64
MAX_GROUP_BYTES = 1024 * 1024
_COMPLAIN_EVERY_S = 60.0
_WRITE_SEEN_EVERY_S = 5.0
"""After a crash, the time at which an open visit was last seen is right to about this."""

Row = TypeVar("Row")


class OutboxFullError(PermanentError):
    """The disk takes nothing more, even after dropping; this event was given up and counted. Do not put it again."""


@dataclass(slots=True)
class _Put:
    """One event on its way in; settled when ``stored`` or ``error`` is set."""

    event: Event
    snapshot: bytes | None
    thumbnail: bytes | None
    stamped_by: TracedClock | None
    """Which clock its times were taken from; None: from the wall clock as it is set now."""
    stored: Event | None = None
    error: Exception | None = None

    @property
    def image_bytes(self) -> int:
        return len(self.snapshot or b"") + len(self.thumbnail or b"")

    def corrected(self, book: ClockBook) -> Event:
        """Return the event with its times by the clock as it is set now."""
        clock = self.stamped_by
        if clock is None:
            return self.event
        try:
            return shift_event(
                self.event, lambda moment: clock.corrected(moment, offset_s=book.offset_s), move_picture=True
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
        self.taking = threading.RLock()
        self._read_lock = threading.Lock()
        self._queue: deque[_Put] = deque()
        self._listeners: list[Callable[[], None]] = []
        self._uncounted = 0
        """Events given up while not even a count could be written."""
        self._closed = False
        self._complained_s: dict[str, float] = {}
        self._seen_lock = threading.Lock()
        self._seen: dict[str, float] = {}
        self._seen_written_s = 0.0
        self._disk = DiskGuard(path=path, settings=self._settings)
        try:
            self._open()
        except BaseException:
            self._file_lock.release()
            raise
        self.events: EventLane = event_lane(self)
        self.images: ImageLane = image_lane(self)

    @property
    def epoch(self) -> str:
        """Names this outbox's count of sequences; a new file has a new one."""
        return self._epoch

    @property
    def clock_is_set(self) -> bool:
        """Whether the device's clock shows a time that can be; before 2025 it has not been set since power-on."""
        return self._book.is_set

    def put(
        self,
        event: Event,
        *,
        snapshot: bytes | None = None,
        thumbnail: bytes | None = None,
        stamped_by: TracedClock | None = None,
    ) -> Event:
        """Store the event and its images durably and return it with its ``sequence`` and ``sequence_epoch``.

        ``stamped_by`` is the clock that the event's times were taken from: those taken before the wall clock was set
        are put right.

        Once this returns, the event survives power loss, and is delivered unless the bounds of the outbox force it
        out (then it is counted). Raises ContractError for an event the cloud would refuse (too large, an image without
        a snapshot reference), OutboxFullError where the disk takes nothing.
        """
        check_event(event, self._epoch)
        entry = _Put(event, snapshot, thumbnail, stamped_by)
        entry.images_of(event)  # raises here, in the thread of the one who puts it
        self._queue.append(entry)
        with self._write_lock:
            while not entry.settled:
                self._commit_puts(self._next_group())
        self.wake()
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
            written = self._write(lambda tally: outcomes.append(requeue(self._database, tally, wanted)))
        if not written or self.events.unwritten:
            raise TransientError(f"the outbox {self._path} cannot be written just now")
        self.wake()
        return outcomes[0]

    def health(self) -> OutboxHealth:
        """Return what the heartbeat says about the outbox."""
        with self._write_lock:
            tally, epoch, uncounted = self._tally, self._epoch, self._uncounted
        latest = "SELECT first, last FROM dropped ORDER BY first DESC LIMIT ?"
        rows = self.read(lambda connection: connection.execute(latest, (self._settings.reported_ranges,)).fetchall())
        return OutboxHealth(
            sequence_epoch=epoch,
            last_sequence=tally.last_sequence,
            pending_events=tally.waiting_events,
            pending_bytes=tally.waiting_bytes,
            dropped_events=tally.dropped_events + uncounted,
            dropped_ranges=sorted((int(first), int(last)) for first, last in rows),
            pending_images=tally.images,
            dropped_images=tally.dropped_images,
        )

    def expire(self) -> None:
        """Give up what has waited too long, forget what was sent long ago. Call it now and then."""
        with self._write_lock:
            if self._closed:
                return
            self._disk.look(self._database)
            self._follow_clock()
            now_s, is_set = self.now_s(), self._book.is_set
            self._write(
                lambda tally: expire_rows(self._database, tally, self._settings, now_s=now_s, clock_is_set=is_set)
            )
        self._write_acknowledgements()

    def note_seen(self, visits: Iterable[str]) -> None:
        """Note that these visits (track uids, ``motion_visit``) go on. Cheap: written every few seconds only."""
        now_s = self.now_s()
        with self._seen_lock:
            self._seen.update(dict.fromkeys(visits, now_s))
            if now_s < self._seen_written_s + _WRITE_SEEN_EVERY_S or not self._seen:
                return
            self._seen_written_s = now_s
            seen, self._seen = list(self._seen.items()), {}
        with self._write_lock:
            self._write(lambda _: note_seen(self._database.writer, seen))

    def close_visits(self, new_id: Callable[[], UUID], *, camera_id: str | None = None) -> int:
        """Close what an earlier run left open (of one camera, or of all) with events of their own; return how many.

        Call before anything opens visits anew. Each is closed once, however often the process is killed meanwhile.
        """
        with self._write_lock:
            if self._closed:
                return 0
            database = self._database
            try:
                closed = self._close_visits(database, new_id, camera_id)
            except sqlite3.Error as error:
                if is_unreadable(error):
                    self._start_over(database, error)
                elif is_no_room(error):
                    self._complain(logging.WARNING, "the outbox %s cannot be written: %s", error)
                else:
                    raise
                return 0
        if closed:
            self.wake()
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
                self._write(lambda _: self._database.note("outbox_time_s", self.now_s()))
            with self._read_lock:
                self._closed = True
                self._database.close()
                self._file_lock.release()

    def _close_visits(self, database: Database, new_id: Callable[[], UUID], camera_id: str | None) -> int:
        tally, now_s = replace(self._tally), self.now_s()
        with database.transaction(durable=True):
            found = open_visits(database.writer, camera_id)
            for open_visit in found:
                event = closing_event(open_visit, new_id)
                insert_event(database, tally, event, (), Stamp(now_s, open_visit.clock))
            make_room(database, tally, self._settings.max_bytes)
        self._tally = tally
        self._stale = has_stale(database.writer, self._book)
        return len(found)

    # What the lanes use.

    def now_s(self) -> float:
        return self._book.now_s()

    def correct_times(self, lane: str, keys: list[int]) -> None:
        if not self._stale and not self._book.step_s():
            return
        sequences = keys if lane == "events" else sorted({key // 2 for key in keys})
        with self._write_lock:
            if self._closed:
                return
            self._follow_clock()
            book = self._book
            self._write(
                lambda tally: correct_times(self._database, tally, book, sequences, untouched=self._is_untouched)
            )
            self._stale = has_stale(self._database.writer, book)

    def _is_untouched(self, sequence: int) -> bool:
        """Tell whether neither the event nor its images can have left; of an earlier run nobody knows."""
        handed_out = self.events.was_handed_out(sequence) or self.images.was_handed_out(sequence * 2)
        return sequence > self._opened_at and not handed_out

    def wake(self) -> None:
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
        self._start_over(database, damage)
        return []

    def settle(self, lane: str, keys: list[int]) -> bool:
        keep_bytes = self._settings.keep_sent_bytes
        with self._write_lock:
            if lane == "images":
                return self._write(lambda tally: settle_images(self._database, tally, keys))
            now_s = self.now_s()
            return self._write(
                lambda tally: settle_events(self._database, tally, keys, now_s=now_s, keep_bytes=keep_bytes)
            )

    def postpone(self, lane: str, keys: list[int], due_at_s: float) -> None:
        key = {"events": "sequence", "images": "id"}[lane]
        change = f"UPDATE {lane} SET due_at_s = ?, attempts = attempts + 1 WHERE {key} = ?"  # noqa: S608
        with self._write_lock:
            self._write(lambda _: self._database.writer.executemany(change, [(due_at_s, each) for each in keys]))

    def _open(self) -> None:
        database = open_database(self._path, self._clock)
        try:
            tally = read_tally(database)
        except sqlite3.Error as error:
            database.close()
            if not is_unreadable(error):
                raise
            set_aside(self._path, self._clock, why=str(error))
            database = open_database(self._path, self._clock)
            tally = read_tally(database)
        self._database, self._tally = database, tally
        self._epoch = database.epoch
        self._opened_at = tally.last_sequence
        self._book = self._open_book(database)
        self._stale = has_stale(database.writer, self._book)
        self._reader = database.reader()
        self._disk.look(database)

    def _open_book(self, database: Database) -> ClockBook:
        try:
            with database.transaction(durable=False):
                return ClockBook.open(database.writer, self._clock)
        except sqlite3.Error as error:
            if not is_no_room(error):
                raise
            self._complain(logging.WARNING, "the outbox %s cannot be written: %s", error)
            return ClockBook.unwritten(database.writer, self._clock)

    def _follow_clock(self) -> bool:
        """Go by the wall clock as it is set now, and tell whether that could be noted; the caller holds the lock."""
        step_s = self._book.step_s()
        if not step_s:
            return True
        books: list[ClockBook] = []
        if not self._write(lambda _: books.append(self._book.stepped(self._database.writer, step_s))):
            return False
        self._book, self._stale = books[0], True
        logger.warning(
            "the device's clock was set %s by %.1f s; the times of events that wait are corrected",
            "forward" if step_s > 0 else "back",
            abs(step_s),
        )
        return True

    def _write_acknowledgements(self) -> None:
        """Write those that could not be written when they came."""
        for lane in (self.events, self.images):
            if lane.unwritten:
                lane.ack(())

    def _complain(self, level: int, message: str, *details: object) -> None:
        """Log trouble with the disk, each kind once a minute: it comes with every single put."""
        now_s = self._clock.monotonic()
        if now_s - self._complained_s.get(message, -_COMPLAIN_EVERY_S) >= _COMPLAIN_EVERY_S:
            self._complained_s[message] = now_s
            logger.log(level, message, self._path, *details)

    def _start_over(self, damaged: Database, error: sqlite3.Error) -> None:
        """Set the damaged file aside and go on with a new one, unless another thread has done so already."""
        with self._write_lock, self._read_lock:
            if self._closed or self._database is not damaged:
                return
            damaged.close()
            set_aside(self._path, self._clock, why=str(error))
            self._open()

    def _write(self, action: Callable[[Tally], object]) -> bool:
        """Run a change that may be lost to a power cut, and tell whether it is written; the caller holds the lock."""
        if self._closed:
            return False
        database, tally = self._database, replace(self._tally)
        try:
            with database.transaction(durable=False):
                action(tally)
        except sqlite3.Error as error:
            if is_unreadable(error):
                self._start_over(database, error)
            elif is_no_room(error):
                self._complain(logging.WARNING, "the outbox %s cannot be written: %s", error)
            else:
                raise
            return False
        self._tally = tally
        return True

    def _next_group(self) -> list[_Put]:
        """Take from the queue what fits into one transaction."""
        group: list[_Put] = []
        size_bytes = 0
        while self._queue and len(group) < MAX_GROUP and size_bytes < MAX_GROUP_BYTES:
            entry = self._queue.popleft()
            size_bytes += entry.image_bytes
            group.append(entry)
        return group

    def _commit_puts(self, group: Sequence[_Put]) -> None:
        """Settle every entry of the group, one way or the other."""
        try:
            self._try_puts(group, self._first_aid)
        except Exception as error:
            self._fail(group, error)

    def _first_aid(self, database: Database, error: sqlite3.Error, group: Sequence[_Put]) -> None:
        """Make it possible to try once more, or raise."""
        if is_unreadable(error):
            self._start_over(database, error)
        elif is_no_room(error):
            self._free_disk(group)
        else:
            raise error

    def _try_puts(
        self, group: Sequence[_Put], first_aid: Callable[[Database, sqlite3.Error, Sequence[_Put]], None] | None
    ) -> None:
        if self._closed:
            raise PermanentError(f"the outbox {self._path} is closed")
        database = self._database
        try:
            stored = self._insert(database, group)
        except sqlite3.Error as error:
            if first_aid is None:
                raise
            first_aid(database, error, group)
            self._try_puts(group, None)
            return
        for entry, event in zip(group, stored, strict=True):
            entry.stored = event

    def _insert(self, database: Database, group: Sequence[_Put]) -> list[Event]:
        followed = self._follow_clock()
        book, tally = self._book, replace(self._tally)
        stamp = Stamp(book.now_s(), book.current if followed else None)
        before = tally.total_bytes
        with database.transaction(durable=True):
            if self._uncounted:
                first = tally.last_sequence + 1
                tally.last_sequence += self._uncounted
                record_dropped(database, tally, [(first, tally.last_sequence)])
                database.set_meta("last_sequence", tally.last_sequence)
            stored: list[Event] = []
            for entry in group:
                event = entry.corrected(book)
                stored.append(insert_event(database, tally, event, entry.images_of(event), stamp))
            put_bytes = tally.total_bytes - before
            make_room(database, tally, self._settings.max_bytes)
        self._tally = tally
        self._uncounted = 0
        self._disk.note_written(database, put_bytes)
        return stored

    def _fail(self, group: Sequence[_Put], error: Exception) -> None:
        if not isinstance(error, sqlite3.Error | OSError):
            for entry in group:
                entry.error = error
            return
        self._complain(logging.ERROR, "the outbox %s takes nothing more: %s", error)
        self._uncounted += len(group)
        for entry in group:
            entry.error = OutboxFullError(f"the outbox {self._path} cannot be written: {error}")
            entry.error.__cause__ = error

    def _free_disk(self, group: Sequence[_Put]) -> None:
        """The disk or the file is full: drop as much as twice what is to go in, and at least a megabyte."""
        wanted = 2 * sum(entry.image_bytes for entry in group) + MAX_GROUP_BYTES
        self._complain(logging.WARNING, "the disk of the outbox %s is full; the least important %d bytes go", wanted)
        self._disk.relieve(self._database)
        self._write(lambda tally: make_room(self._database, tally, max(0, tally.total_bytes - wanted)))
