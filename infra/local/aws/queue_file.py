"""Queues in one SQLite file. Messages survive ``kill -9``; a power cut may lose the most recent ones."""

from __future__ import annotations

import os
import re
import sqlite3
import threading
import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from infra.local.aws.sqs_event import QueueMessage

_SCHEMA = """
CREATE TABLE IF NOT EXISTS message (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    queue TEXT NOT NULL,
    message_id TEXT NOT NULL,
    body TEXT NOT NULL,
    attributes TEXT NOT NULL,
    sent_at_ms INTEGER NOT NULL,
    receives INTEGER NOT NULL DEFAULT 0,
    visible_at_ms INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS message_of_queue ON message (queue, id);
"""

_HANDLE = re.compile(r"[0-9]{1,18}")
"""A valid receipt handle: SQLite's row ids have 63 bits."""


class QueueFile:
    """Named queues, thread-safe. ``take`` returns the oldest visible messages; undeleted ones become visible again."""

    def __init__(self, path: Path) -> None:
        self._changed = threading.Condition()
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = NORMAL")
        self._database.executescript(_SCHEMA)

    def put(self, queue: str, messages: Iterable[tuple[str, str]]) -> list[str]:
        """Append messages (body, attributes as JSON) and return their ids after the commit."""
        return self.put_copies([queue], messages)

    def put_copies(self, queues: Sequence[str], messages: Iterable[tuple[str, str]]) -> list[str]:
        """Append the messages to each of the queues, to all or to none; return their ids after the commit."""
        now_ms = time.time_ns() // 1_000_000
        contents = list(messages)
        ids = _new_ids(len(contents))
        rows = [
            (queue, message_id, body, attributes, now_ms)
            for queue in queues
            for message_id, (body, attributes) in zip(ids, contents, strict=True)
        ]
        with self._changed:
            with self._transaction():
                self._database.executemany(
                    "INSERT INTO message (queue, message_id, body, attributes, sent_at_ms) VALUES (?, ?, ?, ?, ?)", rows
                )
            self._changed.notify_all()
        return ids

    def take(self, queue: str, *, most: int, hidden_s: float, wait_s: float = 0.0) -> list[QueueMessage]:
        """Return the oldest visible messages and hide them for ``hidden_s``; wait up to ``wait_s`` if there is none."""
        deadline = time.monotonic() + wait_s
        with self._changed:
            while not (rows := self._visible(queue, most)):
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    return []
                self._changed.wait(min(left_s, 0.25))  # a hidden message may become visible meanwhile
            hidden_until_ms = int((time.time() + hidden_s) * 1000)
            with self._transaction():
                self._database.executemany(
                    "UPDATE message SET receives = receives + 1, visible_at_ms = ? WHERE id = ?",
                    [(hidden_until_ms, row[0]) for row in rows],
                )
        return [
            QueueMessage(
                message_id=message_id,
                body=body,
                attributes=attributes,
                sent_at_ms=sent_at_ms,
                receive_count=receives + 1,
                receipt_handle=str(number),
            )
            for number, message_id, body, attributes, sent_at_ms, receives in rows
        ]

    def hide(self, messages: Sequence[QueueMessage], *, hidden_s: float) -> None:
        """Make messages that were taken visible again after ``hidden_s`` seconds."""
        visible_at_ms = int((time.time() + hidden_s) * 1000)
        with self._changed:
            with self._transaction():
                self._database.executemany(
                    "UPDATE message SET visible_at_ms = ? WHERE id = ?",
                    [(visible_at_ms, int(message.receipt_handle)) for message in messages],
                )
            self._changed.notify_all()

    def delete(self, receipt_handles: Iterable[str]) -> None:
        """Delete messages; ignore handles that are not valid."""
        rows = [(int(handle),) for handle in receipt_handles if _HANDLE.fullmatch(handle)]
        with self._changed, self._transaction():
            self._database.executemany("DELETE FROM message WHERE id = ?", rows)

    def show_after(self, receipt_handle: str, *, hidden_s: float) -> None:
        """Make one message visible after ``hidden_s`` seconds; ignore a handle that is not valid."""
        if not _HANDLE.fullmatch(receipt_handle):
            return
        visible_at_ms = int((time.time() + hidden_s) * 1000)
        with self._changed:
            with self._transaction():
                self._database.execute(
                    "UPDATE message SET visible_at_ms = ? WHERE id = ?", (visible_at_ms, int(receipt_handle))
                )
            self._changed.notify_all()

    def count_hidden(self, queue: str) -> int:
        """Return how many messages of the queue a reader holds."""
        now_ms = time.time_ns() // 1_000_000
        with self._changed:
            row = self._database.execute(
                "SELECT count(*) FROM message WHERE queue = ? AND visible_at_ms > ?", (queue, now_ms)
            ).fetchone()
            return int(row[0])

    def count(self, queue: str) -> int:
        with self._changed:
            row = self._database.execute("SELECT count(*) FROM message WHERE queue = ?", (queue,)).fetchone()
            return int(row[0])

    def close(self) -> None:
        with self._changed:
            self._database.close()

    @contextmanager
    def _transaction(self) -> Generator[None]:
        """Commit the block's changes; roll back if it raises (a value that SQLite cannot store, a full disk)."""
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:  # a full disk has rolled back already
                self._database.execute("ROLLBACK")
            raise

    def _visible(self, queue: str, most: int) -> list[tuple[int, str, str, str, int, int]]:
        return self._database.execute(
            "SELECT id, message_id, body, attributes, sent_at_ms, receives FROM message "
            "WHERE queue = ? AND visible_at_ms <= ? ORDER BY id LIMIT ?",
            (queue, time.time_ns() // 1_000_000, most),
        ).fetchall()


def _new_ids(count: int) -> list[str]:
    """Return random UUIDs, from one call to the kernel for all of them."""
    random = os.urandom(16 * count)
    return [str(UUID(bytes=random[at : at + 16], version=4)) for at in range(0, len(random), 16)]
