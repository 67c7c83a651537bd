"""The outbox's database file: opening, locking, schema, and quarantine of a damaged file.

The folder also has SQLite's ``-wal`` and ``-shm`` files, a lock file ``outbox.db.lock`` of the agent that owns the
outbox, and ``outbox.db.reserve``, disk space that is released when the disk is full.
"""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from edge_agent.outbox.clocks import CLOCK_TABLES
from shared.clock import Clock
from shared.errors import ConfigurationError

logger = logging.getLogger(__name__)

SCHEMA_VERSION = 1
"""Increased only for changes that an older agent cannot handle. Compatible additions are in ``_ADDITIONS``."""
LOG_BYTES = 2 * 1024 * 1024
"""Size at which the write-ahead log is checkpointed."""
_MAX_PAGES = 4_294_967_294
_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
CREATE TABLE events (
    sequence INTEGER PRIMARY KEY,
    topic TEXT NOT NULL,
    expendable INTEGER NOT NULL,          -- 1: dropped before the others when space is short
    size INTEGER NOT NULL,                -- of the payload, bytes
    put_at_s REAL NOT NULL,               -- all times are outbox time (see clocks.py)
    due_at_s REAL NOT NULL DEFAULT 0,     -- earliest time of the next attempt
    attempts INTEGER NOT NULL DEFAULT 0,
    sent_at_s REAL,                       -- null while pending; sent events are kept for resend
    payload BLOB NOT NULL                 -- the exact bytes on the wire
);
CREATE INDEX events_waiting ON events (sequence, due_at_s) WHERE sent_at_s IS NULL;
CREATE INDEX events_expendable ON events (sequence, size) WHERE sent_at_s IS NULL AND expendable = 1;
CREATE INDEX events_sent ON events (sent_at_s, sequence, size) WHERE sent_at_s IS NOT NULL;
CREATE TABLE images (
    id INTEGER PRIMARY KEY,               -- derived from the sequence, so that no id is reused
    sequence INTEGER NOT NULL,            -- of the image's event
    object_key TEXT NOT NULL,
    content_type TEXT NOT NULL,
    expendable INTEGER NOT NULL,
    size INTEGER NOT NULL,
    put_at_s REAL NOT NULL,
    due_at_s REAL NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    body BLOB NOT NULL
);
CREATE INDEX images_waiting ON images (id, due_at_s);
CREATE INDEX images_by_sequence ON images (sequence, size);
CREATE INDEX images_expendable ON images (id, size) WHERE expendable = 1;
CREATE TABLE dropped (first INTEGER PRIMARY KEY, last INTEGER NOT NULL);
"""

_ADDITIONS = (
    CLOCK_TABLES
    + """
CREATE TABLE IF NOT EXISTS open_visits (
    visit TEXT PRIMARY KEY,               -- key of the stay, see open_stays.py; a visit in earlier releases
    camera_id TEXT NOT NULL,
    clock INTEGER,                        -- clock that stamped the payload
    put_at_s REAL NOT NULL,               -- outbox time of the event below
    seen_at_s REAL NOT NULL,              -- outbox time at which the object or motion was last seen
    payload BLOB NOT NULL                 -- the latest event of the stay
) WITHOUT ROWID;
"""
)
_EVENT_CLOCK = "ALTER TABLE events ADD COLUMN clock INTEGER"
"""Row of the clock that stamped the event; null once its times are final."""

_UNREADABLE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_UNWRITABLE = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}


def primary_code(error: sqlite3.Error) -> int:
    """Return SQLite's primary result code; 0 for an error that SQLite did not raise."""
    code = getattr(error, "sqlite_errorcode", None)  # absent on errors that Python itself raises
    return code & 0xFF if isinstance(code, int) else 0


def is_unreadable(error: sqlite3.Error) -> bool:
    """Return whether the error means that the file is damaged or not a database."""
    return primary_code(error) in _UNREADABLE


def is_unwritable(error: sqlite3.Error) -> bool:
    """Return whether the error means that the disk is full or not writable."""
    return primary_code(error) in _UNWRITABLE


class FileLock:
    """An exclusive lock file. The kernel releases the lock when the process ends for any reason."""

    def __init__(self, path: Path) -> None:
        self._file: TextIO = path.open("a+", encoding="ascii")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.seek(0)
            owner = self._file.read(20).strip() or "unknown"
            self._file.close()
            raise ConfigurationError(
                f"the outbox {path.with_suffix('')} is in use by another agent (process {owner});"
                " stop that agent, or give this one its own state folder"
            ) from error
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def release(self) -> None:
        """Release the lock."""
        self._file.close()


class Database:
    """One writing connection and any number of reading connections. The caller serialises writes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connections: list[sqlite3.Connection] = []
        self._durable: bool | None = None
        try:
            self.writer = self._connect()
            self._page_bytes = int(self.writer.execute("PRAGMA page_size").fetchone()[0])
            self._prepare()
            self.epoch = str(self.meta("sequence_epoch"))
            """Random identifier of this file's sequence numbering."""
        except BaseException:
            self.close()
            raise

    def meta(self, key: str) -> str | int:
        """Return a value that every file has."""
        value: str | int = self.writer.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()[0]
        return value

    def set_meta(self, key: str, value: str | int) -> None:
        """Update a value that every file has."""
        self.writer.execute("UPDATE meta SET value = ? WHERE key = ?", (value, key))

    def write_number(self, key: str, value: float) -> None:
        """Insert or update a number; see ``read_number``."""
        self.writer.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def read_number(self, key: str) -> float:
        """Return a number that ``write_number`` stored; 0 if there is none."""
        row = self.writer.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return 0.0 if row is None else float(row[0])

    @property
    def file_bytes(self) -> int:
        """Size of the database file in bytes, including pages still in the write-ahead log."""
        return int(self.writer.execute("PRAGMA page_count").fetchone()[0]) * self._page_bytes

    def limit_file(self, limit_bytes: int | None) -> None:
        """Limit the size of the file in bytes. A limit below the current size stops further growth; None removes it."""
        pages = _MAX_PAGES if limit_bytes is None else max(1, limit_bytes // self._page_bytes)
        self.writer.execute(f"PRAGMA max_page_count = {pages}")

    def checkpoint(self) -> None:
        """Copy the write-ahead log into the file and restart the log."""
        self.writer.execute("PRAGMA wal_checkpoint(RESTART)")

    def reader(self) -> sqlite3.Connection:
        """Return a new read-only connection."""
        connection = self._connect()
        connection.execute("PRAGMA query_only = ON")
        return connection

    @contextmanager
    def transaction(self, *, durable: bool) -> Generator[sqlite3.Connection]:
        """Commit all changes made inside, or none.

        ``durable``: the changes are on the disk before this returns. Otherwise they survive the end of the process, but
        a power failure may undo them until the next durable transaction. That suits acknowledgements: a lost one only
        causes a duplicate message.
        """
        if durable is not self._durable:
            self.writer.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._durable = durable
        self.writer.execute("BEGIN IMMEDIATE")
        try:
            yield self.writer
            self.writer.execute("COMMIT")
        except BaseException:
            if self.writer.in_transaction:
                self.writer.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Close all connections."""
        for connection in reversed(self._connections):
            connection.close()
        self._connections.clear()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=10.0)
        self._connections.append(connection)
        return connection

    def _prepare(self) -> None:
        writer = self.writer
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute(f"PRAGMA wal_autocheckpoint = {LOG_BYTES // self._page_bytes}")
        version = int(writer.execute("PRAGMA user_version").fetchone()[0])
        if version == 0:
            with self.transaction(durable=True):
                for statement in _SCHEMA.split(";\n"):
                    writer.execute(statement)
                first = {"sequence_epoch": secrets.token_hex(8), "last_sequence": 0}
                first |= {"dropped_events": 0, "dropped_images": 0}
                writer.executemany("INSERT INTO meta VALUES (?, ?)", first.items())
                writer.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        elif version != SCHEMA_VERSION:
            raise ConfigurationError(
                f"the outbox {self._path} was written by another version of the agent (schema {version}, supported:"
                f" {SCHEMA_VERSION}); run that version until the outbox is empty, or move the file away"
            )
        self._add_later_tables()

    def _add_later_tables(self) -> None:
        """Add tables and columns introduced after the first version of the schema."""
        columns = {row[1] for row in self.writer.execute("PRAGMA table_info(events)")}
        with self.transaction(durable=True):
            for statement in _ADDITIONS.split(";\n"):
                self.writer.execute(statement)
            if "clock" not in columns:
                self.writer.execute(_EVENT_CLOCK)


def open_database(path: Path, clock: Clock) -> Database:
    """Open the file, or create it. A damaged file is quarantined and replaced with an empty one.

    Raises ConfigurationError when the folder is not writable.
    """
    try:
        return Database(path)
    except sqlite3.Error as error:
        reserve = path.with_name(f"{path.name}.reserve")
        if is_unwritable(error) and reserve.exists():
            reserve.unlink()
            return open_database(path, clock)
        if not is_unreadable(error):
            raise ConfigurationError(
                f"cannot open the outbox {path}: {error}; its folder must be writable for this user, and the disk"
                " must have free space"
            ) from error
        quarantine(path, clock, why=str(error))
        return Database(path)


def quarantine(path: Path, clock: Clock, *, why: str) -> Path:
    """Rename a damaged file and return its new path. Deletes an earlier quarantined file, so that only one is kept."""
    for old in path.parent.glob(f"{path.name}.damaged-*"):
        old.unlink()
    moved_to = path.with_name(f"{path.name}.damaged-{clock.now():%Y%m%dT%H%M%SZ}")
    path.rename(moved_to)
    for suffix in ("-wal", "-shm"):
        leftover = path.with_name(path.name + suffix)
        if leftover.exists():
            leftover.rename(moved_to.with_name(moved_to.name + suffix))
    logger.error(
        "the outbox %s is damaged (%s): moved it to %s; its contents are not sent, and a new sequence epoch begins",
        path,
        why,
        moved_to,
    )
    return moved_to
