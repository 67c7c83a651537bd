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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from edge_agent.outbox.database import Database, FileLock, is_no_room, is_unreadable, open_database, set_aside
from edge_agent.outbox.disk import DiskGuard
from edge_agent.outbox.lanes import EventLane, ImageLane, event_lane, image_lane
from edge_agent.outbox.ranges import Range, merge_ranges
from edge_agent.outbox.resend import ResendOutcome, requeue
from edge_agent.outbox.room import Tally, make_room, read_tally, record_dropped
from edge_agent.outbox.rows import (
    ImageToStore,
    check_event,
    expire_rows,
    images_of,
    insert_event,
    settle_events,
    settle_images,
)
from edge_agent.outbox.settings import OutboxSettings
from shared.clock import Clock, SystemClock
from shared.errors import ConfigurationError, PermanentError, TransientError
from shared.events import Event
from shared.heartbeat import OutboxHealth

logger = logging.getLogger(__name__)

MAX_GROUP = 64
MAX_GROUP_BYTES = 1024 * 1024
_COMPLAIN_EVERY_S = 60.0

Row = TypeVar("Row")


class OutboxFullError(PermanentError):
    """The disk takes nothing more, even after dropping; this event was given up and counted. Do not put it again."""


@dataclass(slots=True)
class _Put:
    """One event on its way in; settled when ``stored`` or ``error`` is set."""

    event: Event
    images: list[ImageToStore]
    stored: Event | None = None
    error: Exception | None = None

    @property
    def image_bytes(self) -> int:
        return sum(len(image.body) for image in self.images)

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
        self._read_lock = threading.Lock()
        self._queue: deque[_Put] = deque()
        self._listeners: list[Callable[[], None]] = []
        self._uncounted = 0
        """Events given up while not even a count could be written."""
        self._closed = False
        self._complained_s: dict[str, float] = {}
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

    def put(self, event: Event, *, snapshot: bytes | None = None, thumbnail: bytes | None = None) -> Event:
        """Store the event and its images durably and return it with its ``sequence`` and ``sequence_epoch``.

        Once this returns, the event survives power loss, and is delivered unless the bounds of the outbox force it
        out (then it is counted). Raises ContractError for an event the cloud would refuse (too large, an image without
        a snapshot reference), OutboxFullError where the disk takes nothing.
        """
        check_event(event, self._epoch)
        entry = _Put(event, images_of(event, snapshot=snapshot, thumbnail=thumbnail))
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
            self._write(lambda tally: expire_rows(self._database, tally, self._settings, self.now_s()))
        self._write_acknowledgements()

    def add_listener(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` (quickly, from any thread) whenever something new can be taken."""
        self._listeners.append(listener)

    def close(self) -> None:
        """Close the file and free its lock. Nothing is lost by not calling this."""
        with self._write_lock, self._read_lock:
            if not self._closed:
                self._closed = True
                self._database.close()
                self._file_lock.release()

    # What the lanes use.

    def now_s(self) -> float:
        return self._clock.now().timestamp()

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
        self._reader = database.reader()
        self._disk.look(database)

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
        tally, now_s = replace(self._tally), self.now_s()
        before = tally.total_bytes
        with database.transaction(durable=True):
            if self._uncounted:
                first = tally.last_sequence + 1
                tally.last_sequence += self._uncounted
                record_dropped(database, tally, [(first, tally.last_sequence)])
                database.set_meta("last_sequence", tally.last_sequence)
            stored = [insert_event(database, tally, entry.event, entry.images, now_s) for entry in group]
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
