"""Disk space management: the outbox must not fill the disk, and must keep working when the disk is full.

SQLite needs free space even to delete: it writes changes to the write-ahead log first, then to the database file. The
log is therefore kept small, and a reserve file larger than the log is held. While disk space is short, the database
file may not grow: inserts then fail cleanly, and eviction frees pages inside the file.
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
"""The file may grow to this size even when free disk space is below ``min_free_bytes``."""
_RECHECK_EVERY_BYTES = 1024 * 1024


class Reserve:
    """A file that reserves disk space. It is deleted when the disk is full, so that SQLite can delete rows."""

    def __init__(self, path: Path, size_bytes: int) -> None:
        self._path = path
        self._size_bytes = size_bytes

    @property
    def held(self) -> bool:
        return self._size_bytes == 0 or self._path.exists()

    def refill(self) -> None:
        """Create the reserve file again, if the disk has space for it."""
        if self.held:
            return
        try:
            with self._path.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, self._size_bytes)
        except OSError:
            self.release()

    def release(self) -> None:
        """Delete the reserve file."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


class DiskGuard:
    """Limits the size of the database file and releases the reserve when the disk is full.

    The caller holds the outbox's write lock, and no transaction is open.
    """

    def __init__(self, *, path: Path, settings: OutboxSettings) -> None:
        self._folder = path.parent
        self._settings = settings
        self._reserve = Reserve(path.with_name(f"{path.name}.reserve"), settings.reserve_bytes)
        self._written_bytes = 0

    def update_limit(self, database: Database) -> None:
        """Set the file's size limit from the free disk space."""
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
        """Count written bytes; update the limit after every megabyte."""
        self._written_bytes += count
        if self._written_bytes >= _RECHECK_EVERY_BYTES:
            self.update_limit(database)

    def release_reserve(self, database: Database) -> None:
        """Handle a full disk: release the reserve, checkpoint the log, and stop the file from growing."""
        self._reserve.release()
        with suppress(sqlite3.Error):
            database.checkpoint()
        with suppress(sqlite3.Error):
            database.limit_file(database.file_bytes)
