"""Room on the disk: the outbox must neither fill it nor be stopped by it being full.

SQLite needs room even to delete: changes go to the write-ahead log first, and the log goes into the database file.
So the log is kept small, a reserve file is held that is larger than the log ever gets, and while the disk is short of
room the database file may not grow: it then refuses an insert cleanly, and what is dropped makes room inside it.
"""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
from contextlib import suppress
from pathlib import Path

from edge_agent.outbox.database import Database
from edge_agent.outbox.settings import OutboxSettings

logger = logging.getLogger(__name__)

ALWAYS_ALLOWED_BYTES = 16 * 1024 * 1024
"""The file may reach this size however little the disk has left, as long as it has anything."""
_RECHECK_EVERY_BYTES = 1024 * 1024


class Reserve:
    """A file of ballast, given up when the disk is full so that there is room to delete."""

    def __init__(self, path: Path, size_bytes: int) -> None:
        self._path = path
        self._size_bytes = size_bytes

    @property
    def held(self) -> bool:
        return self._size_bytes == 0 or self._path.exists()

    def refill(self) -> None:
        """Take the room again, where there is any."""
        if self.held:
            return
        try:
            with self._path.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, self._size_bytes)
        except OSError:
            self.release()

    def release(self) -> None:
        """Free the room."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


class DiskGuard:
    """Decides how large the database file may become, and makes room to work in when the disk is full.

    The caller holds the outbox's write lock, and no transaction is open.
    """

    def __init__(self, *, path: Path, settings: OutboxSettings) -> None:
        self._folder = path.parent
        self._settings = settings
        self._reserve = Reserve(path.with_name(f"{path.name}.reserve"), settings.reserve_bytes)
        self._written_bytes = 0

    def update_limit(self, database: Database) -> None:
        """Set the file's limit by what the disk has left now."""
        self._written_bytes = 0
        self._reserve.refill()
        ceiling = self._settings.max_file_bytes
        if not self._reserve.held:
            ceiling = min(ceiling or database.file_bytes, database.file_bytes)
        elif shutil.disk_usage(self._folder).free < self._settings.min_free_bytes:
            grown = max(database.file_bytes, ALWAYS_ALLOWED_BYTES)
            ceiling = min(ceiling or grown, grown)
        database.limit_file(ceiling)

    def record_written(self, database: Database, count: int) -> None:
        """Look again now and then, by how much was written."""
        self._written_bytes += count
        if self._written_bytes >= _RECHECK_EVERY_BYTES:
            self.update_limit(database)

    def release_reserve(self, database: Database) -> None:
        """The disk took no more: give up the reserve, empty the log into the file, and let the file grow no further."""
        self._reserve.release()
        with suppress(sqlite3.Error):
            database.checkpoint()
        with suppress(sqlite3.Error):
            database.limit_file(database.file_bytes)
