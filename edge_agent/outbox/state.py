"""The open outbox file with its counters and clocks, shared by the parts of one outbox."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from edge_agent.outbox.clocks import ClockHistory
from edge_agent.outbox.database import Database, FileLock, is_unreadable, is_unwritable, open_database, quarantine
from edge_agent.outbox.disk import DiskGuard
from edge_agent.outbox.eviction import UsageCounters, read_usage
from edge_agent.outbox.rows import has_stale
from edge_agent.outbox.settings import OutboxSettings
from shared.clock import Clock
from shared.errors import ConfigurationError

logger = logging.getLogger(__name__)

_LOG_INTERVAL_S = 60.0

Row = TypeVar("Row")


class OutboxState:
    """The open database file, its usage counters and its clock history.

    All writes use one connection under ``write_lock``. Reads use a second connection. A damaged file is replaced with
    an empty one. Raises ConfigurationError when the folder is not writable, when the file was written by an
    incompatible version, or when another agent holds it.
    """

    def __init__(self, *, path: Path, settings: OutboxSettings, clock: Clock) -> None:
        self.path = path
        self.settings = settings
        self.write_lock = threading.RLock()
        self.take_lock = threading.RLock()
        """Held while items are taken from a queue, so that they do not change."""
        self.uncounted_drops = 0
        """Number of dropped events that are not recorded in the file, because it could not be written."""
        self.closed = False
        self._clock = clock
        self._read_lock = threading.Lock()
        self._logged_s: dict[str, float] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file_lock = FileLock(path.with_name(f"{path.name}.lock"))
        except OSError as error:
            raise ConfigurationError(
                f"cannot write to the outbox folder {path.parent}: {error.strerror};"
                " choose a folder that this user can write to"
            ) from error
        self.disk = DiskGuard(path=path, settings=settings)
        try:
            self._open()
        except BaseException:
            self._file_lock.release()
            raise

    @property
    def epoch(self) -> str:
        """Identifier of the file's sequence numbering; each new file gets a new one."""
        return self._epoch

    def now_s(self) -> float:
        """Return outbox time in seconds (see ``clocks.py``)."""
        return self.clock_history.now_s()

    def read(self, action: Callable[[sqlite3.Connection], list[Row]]) -> list[Row]:
        """Run ``action`` on the read-only connection. Returns an empty list when the file is closed or damaged."""
        with self._read_lock:
            database = self.database
            try:
                return [] if self.closed else action(self.reader)
            except sqlite3.Error as error:
                if not is_unreadable(error):
                    raise
                damage = error
        self.replace_damaged_file(database, damage)
        return []

    def write(self, action: Callable[[UsageCounters], object]) -> bool:
        """Run ``action`` in a transaction that a power failure may undo; return whether it was committed."""
        with self.write_lock:
            if self.closed:
                return False
            database, usage = self.database, replace(self.usage)
            try:
                with database.transaction(durable=False):
                    action(usage)
            except sqlite3.Error as error:
                self.handle_write_error(database, error)
                return False
            self.usage = usage
            return True

    def handle_write_error(self, database: Database, error: sqlite3.Error) -> None:
        """Replace a damaged file, log a full or read-only disk, and raise any other error."""
        if is_unreadable(error):
            self.replace_damaged_file(database, error)
        elif is_unwritable(error):
            self.log_throttled(logging.WARNING, "cannot write to the outbox %s: %s", error)
        else:
            raise error

    def replace_damaged_file(self, damaged: Database, error: sqlite3.Error) -> None:
        """Move the damaged file away and open an empty one, unless another thread has already done so."""
        with self.write_lock, self._read_lock:
            if self.closed or self.database is not damaged:
                return
            damaged.close()
            quarantine(self.path, self._clock, why=str(error))
            self._open()

    def apply_clock_step(self) -> bool:
        """Detect a step of the wall clock and record it; return False when it could not be recorded.

        The caller holds ``write_lock``.
        """
        step_s = self.clock_history.step_s()
        if not step_s:
            return True
        updated: list[ClockHistory] = []
        if not self.write(lambda _: updated.append(self.clock_history.after_step(self.database.writer, step_s))):
            return False
        self.clock_history, self.has_stale_times = updated[0], True
        logger.warning(
            "the device's clock was set %s by %.1f s; correcting the times of pending events",
            "forward" if step_s > 0 else "back",
            abs(step_s),
        )
        return True

    def log_throttled(self, level: int, message: str, *details: object) -> None:
        """Log a disk problem, each message at most once a minute. The first argument of ``message`` is the path."""
        now_s = self._clock.monotonic()
        if now_s - self._logged_s.get(message, -_LOG_INTERVAL_S) >= _LOG_INTERVAL_S:
            self._logged_s[message] = now_s
            logger.log(level, message, self.path, *details)

    def close(self) -> None:
        """Close the file and release its lock; safe to call twice."""
        with self.write_lock:
            if self.closed:
                return
            with suppress(sqlite3.Error):
                self.write(lambda _: self.database.write_number("outbox_time_s", self.now_s()))
            with self._read_lock:
                self.closed = True
                self.database.close()
                self._file_lock.release()

    def _open(self) -> None:
        database = open_database(self.path, self._clock)
        try:
            usage = read_usage(database)
        except sqlite3.Error as error:
            database.close()
            if not is_unreadable(error):
                raise
            quarantine(self.path, self._clock, why=str(error))
            database = open_database(self.path, self._clock)
            usage = read_usage(database)
        self.database, self.usage = database, usage
        self._epoch = database.epoch
        self.last_sequence_at_open = usage.last_sequence
        self.clock_history = self._open_clock_history(database)
        self.has_stale_times = has_stale(database.writer, self.clock_history)
        """Whether a pending event has times from a clock that was stepped since."""
        self.reader = database.reader()
        self.disk.update_limit(database)

    def _open_clock_history(self, database: Database) -> ClockHistory:
        try:
            with database.transaction(durable=False):
                return ClockHistory.open(database.writer, self._clock)
        except sqlite3.Error as error:
            if not is_unwritable(error):
                raise
            self.log_throttled(logging.WARNING, "cannot write to the outbox %s: %s", error)
            return ClockHistory.unwritten(database.writer, self._clock)
