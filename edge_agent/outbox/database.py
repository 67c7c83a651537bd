"""The outbox's file: opening, locking, its tables, and what happens to a file that cannot be read.

Besides ``outbox.db`` (with SQLite's own ``-wal`` and ``-shm``) there lie ``outbox.db.lock``, held by the one agent that
owns the outbox, and ``outbox.db.reserve``, a few bytes to give up when the disk is full.
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
"""Raised only for what an older agent could not live with; tables and columns that it passes over are added below."""
LOG_BYTES = 2 * 1024 * 1024
"""The write-ahead log goes into the file when it reaches this."""
_MOST_PAGES = 4_294_967_294
_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
CREATE TABLE events (
    sequence INTEGER PRIMARY KEY,
    topic TEXT NOT NULL,
    expendable INTEGER NOT NULL,          -- 1: goes before the rest when there is no room
    size INTEGER NOT NULL,                -- of the payload, bytes
    put_at_s REAL NOT NULL,               -- all times in outbox time (see clocks.py)
    due_at_s REAL NOT NULL DEFAULT 0,     -- not to be sent before
    attempts INTEGER NOT NULL DEFAULT 0,
    sent_at_s REAL,                       -- null while it waits; then kept for a while for resend
    payload BLOB NOT NULL                 -- the exact bytes that travel
);
CREATE INDEX events_waiting ON events (sequence, due_at_s) WHERE sent_at_s IS NULL;
CREATE INDEX events_expendable ON events (sequence, size) WHERE sent_at_s IS NULL AND expendable = 1;
CREATE INDEX events_sent ON events (sent_at_s, sequence, size) WHERE sent_at_s IS NOT NULL;
CREATE TABLE images (
    id INTEGER PRIMARY KEY,               -- follows from the sequence, so that no id is ever used twice
    sequence INTEGER NOT NULL,            -- of the event that shows it
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
    visit TEXT PRIMARY KEY,               -- a track uid, or the camera whose motion goes on
    camera_id TEXT NOT NULL,
    clock INTEGER,                        -- which stamped the payload
    put_at_s REAL NOT NULL,               -- outbox time of the event below
    seen_at_s REAL NOT NULL,              -- outbox time at which the object was last seen, or something moved
    payload BLOB NOT NULL                 -- the visit's latest event
) WITHOUT ROWID;
"""
)
_EVENT_CLOCK = "ALTER TABLE events ADD COLUMN clock INTEGER"
"""Which clock stamped the event; null once nothing about its times will change any more."""

_UNREADABLE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_NO_ROOM = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}


def primary_code(error: sqlite3.Error) -> int:
    """Return SQLite's primary result code (0 where the error comes from elsewhere)."""
    code = getattr(error, "sqlite_errorcode", None)  # absent on errors that Python itself raises
    return code & 0xFF if isinstance(code, int) else 0


def is_unreadable(error: sqlite3.Error) -> bool:
    """Tell whether the file is damaged, or no database at all."""
    return primary_code(error) in _UNREADABLE


def is_no_room(error: sqlite3.Error) -> bool:
    """Tell whether the disk is full, or refuses to be written."""
    return primary_code(error) in _NO_ROOM


class FileLock:
    """Held by one process at a time; the kernel frees it when that process dies, however it dies."""

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
                " stop that one, or give this one a folder of its own"
            ) from error
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def release(self) -> None:
        self._file.close()


class Database:
    """The writing connection, and as many reading ones as asked for. The caller serialises writes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connections: list[sqlite3.Connection] = []
        self._durable: bool | None = None
        try:
            self.writer = self._connect()
            self._page_bytes = int(self.writer.execute("PRAGMA page_size").fetchone()[0])
            self._prepare()
            self.epoch = str(self.meta("sequence_epoch"))
            """The random name of this file's count of sequences."""
        except BaseException:
            self.close()
            raise

    def meta(self, key: str) -> str | int:
        value: str | int = self.writer.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()[0]
        return value

    def set_meta(self, key: str, value: str | int) -> None:
        """Set a value that is there from the beginning."""
        self.writer.execute("UPDATE meta SET value = ? WHERE key = ?", (value, key))

    def write_number(self, key: str, value: float) -> None:
        """Set a value that may not be there yet; see ``noted``."""
        self.writer.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def read_number(self, key: str) -> float:
        """Return a value that ``note`` has set; 0 where none has."""
        row = self.writer.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return 0.0 if row is None else float(row[0])

    @property
    def file_bytes(self) -> int:
        """How large the database file is, or will be once the log is written into it."""
        return int(self.writer.execute("PRAGMA page_count").fetchone()[0]) * self._page_bytes

    def limit_file(self, limit_bytes: int | None) -> None:
        """Let the file grow to this size and no further; a smaller one than it has already means: no further."""
        pages = _MOST_PAGES if limit_bytes is None else max(1, limit_bytes // self._page_bytes)
        self.writer.execute(f"PRAGMA max_page_count = {pages}")

    def checkpoint(self) -> None:
        """Write the log into the file, and use the log's room from its beginning again."""
        self.writer.execute("PRAGMA wal_checkpoint(RESTART)")

    def reader(self) -> sqlite3.Connection:
        """Return a further connection that only reads."""
        connection = self._connect()
        connection.execute("PRAGMA query_only = ON")
        return connection

    @contextmanager
    def transaction(self, *, durable: bool) -> Generator[sqlite3.Connection]:
        """Commit what is written inside, or nothing of it.

        ``durable``: on the disk before this returns. Otherwise it survives the end of the process but perhaps not a
        power cut, and becomes durable with the next transaction that is: right for acknowledgements, which only cost
        a message sent twice when they are lost.
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
                f"the outbox {self._path} was written by another version of the agent (schema {version}, this one"
                f" knows {SCHEMA_VERSION}); run that version until it is empty, or move the file away"
            )
        self._add()

    def _add(self) -> None:
        """Add what came after the first version of the schema, where it is not there yet."""
        columns = {row[1] for row in self.writer.execute("PRAGMA table_info(events)")}
        with self.transaction(durable=True):
            for statement in _ADDITIONS.split(";\n"):
                self.writer.execute(statement)
            if "clock" not in columns:
                self.writer.execute(_EVENT_CLOCK)


def open_database(path: Path, clock: Clock) -> Database:
    """Open or make the file; a damaged one is set aside and a new one begun.

    Raises ConfigurationError where the folder cannot be written.
    """
    try:
        return Database(path)
    except sqlite3.Error as error:
        reserve = path.with_name(f"{path.name}.reserve")
        if is_no_room(error) and reserve.exists():
            reserve.unlink()
            return open_database(path, clock)
        if not is_unreadable(error):
            raise ConfigurationError(
                f"cannot open the outbox {path}: {error}; its folder must be writable for this user and not full"
            ) from error
        quarantine(path, clock, why=str(error))
        return Database(path)


def quarantine(path: Path, clock: Clock, *, why: str) -> Path:
    """Move a damaged file out of the way (one is kept; an older one is deleted) and return where it lies now."""
    for old in path.parent.glob(f"{path.name}.damaged-*"):
        old.unlink()
    aside = path.with_name(f"{path.name}.damaged-{clock.now():%Y%m%dT%H%M%SZ}")
    path.rename(aside)
    for suffix in ("-wal", "-shm"):
        leftover = path.with_name(path.name + suffix)
        if leftover.exists():
            leftover.rename(aside.with_name(aside.name + suffix))
    logger.error(
        "the outbox %s is damaged (%s): moved to %s; what it held is not sent, and a new count of sequences begins",
        path,
        why,
        aside,
    )
    return aside
