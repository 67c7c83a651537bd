"""Queues in one SQLite file. Messages survive ``kill -9``; a power cut may lose the most recent ones.

Which messages are hidden, and how often each was received, is kept in memory: taking a message writes nothing, and
after a restart all messages are visible.
"""

from __future__ import annotations

import os
import re
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
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
    sent_at_ms INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS message_of_queue ON message (queue, id);
"""

_HANDLE = re.compile(r"[0-9]{1,18}")
"""A valid receipt handle: SQLite's row ids have 63 bits."""


_Row = tuple[int, str, str, str, int]
"""Row id, message id, body, attributes and time of sending."""


@dataclass(slots=True)
class _Receipt:
    """What happened to a message that was taken and not deleted."""

    queue: str
    count: int
    visible_at_s: float
    """By ``time.monotonic``."""


class QueueFile:
    """Named queues, thread-safe. ``take`` returns the oldest visible messages; undeleted ones become visible again.

    One process at a time may take messages from a file; others may put and count.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._changed: defaultdict[str, threading.Condition] = defaultdict(lambda: threading.Condition(self._lock))
        """By queue, so that a message wakes only those who wait for one of its queue."""
        self._receipts: dict[int, _Receipt] = {}
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
        with self._lock:
            with self._transaction():
                self._database.executemany(
                    "INSERT INTO message (queue, message_id, body, attributes, sent_at_ms) VALUES (?, ?, ?, ?, ?)", rows
                )
            for queue in queues:
                self._changed[queue].notify_all()
        return ids

    def take(self, queue: str, *, most: int, hidden_s: float, wait_s: float = 0.0) -> list[QueueMessage]:
        """Return the oldest visible messages and hide them for ``hidden_s``; wait up to ``wait_s`` if there is none."""
        deadline_s = time.monotonic() + wait_s
        with self._lock:
            while not (rows := self._visible(queue, most)):
                left_s = deadline_s - time.monotonic()
                if left_s <= 0:
                    return []
                self._changed[queue].wait(min(left_s, 0.25))  # a hidden message may become visible meanwhile
            return [self._receive(queue, row, time.monotonic() + hidden_s) for row in rows]

    def hide(self, messages: Sequence[QueueMessage], *, hidden_s: float) -> None:
        """Make messages that were taken visible again after ``hidden_s`` seconds."""
        self._show_after([int(message.receipt_handle) for message in messages], hidden_s)

    def delete(self, receipt_handles: Iterable[str]) -> None:
        """Delete messages; ignore handles that are not valid."""
        numbers = [int(handle) for handle in receipt_handles if _HANDLE.fullmatch(handle)]
        with self._lock:
            with self._transaction():
                self._database.executemany("DELETE FROM message WHERE id = ?", [(number,) for number in numbers])
            for number in numbers:
                self._receipts.pop(number, None)

    def show_after(self, receipt_handle: str, *, hidden_s: float) -> None:
        """Make one message visible after ``hidden_s`` seconds; ignore a handle that is not valid."""
        if _HANDLE.fullmatch(receipt_handle):
            self._show_after([int(receipt_handle)], hidden_s)

    def count_hidden(self, queue: str) -> int:
        """Return how many messages of the queue a reader holds."""
        with self._lock:
            return len(self._hidden(queue))

    def count(self, queue: str) -> int:
        with self._lock:
            row = self._database.execute("SELECT count(*) FROM message WHERE queue = ?", (queue,)).fetchone()
            return int(row[0])

    def close(self) -> None:
        with self._lock:
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

    def _visible(self, queue: str, most: int) -> list[_Row]:
        hidden = self._hidden(queue)
        rows: list[_Row] = self._database.execute(
            "SELECT id, message_id, body, attributes, sent_at_ms FROM message WHERE queue = ? ORDER BY id LIMIT ?",
            (queue, most + len(hidden)),
        ).fetchall()
        return [row for row in rows if row[0] not in hidden][:most]

    def _hidden(self, queue: str) -> set[int]:
        """Return the row ids of the messages that a reader holds."""
        now_s = time.monotonic()
        return {
            number
            for number, receipt in self._receipts.items()
            if receipt.queue == queue and receipt.visible_at_s > now_s
        }

    def _show_after(self, numbers: Sequence[int], hidden_s: float) -> None:
        visible_at_s = time.monotonic() + hidden_s
        with self._lock:
            receipts = [self._receipts[number] for number in numbers if number in self._receipts]
            for receipt in receipts:
                receipt.visible_at_s = visible_at_s
            for queue in {receipt.queue for receipt in receipts}:
                self._changed[queue].notify_all()

    def _receive(self, queue: str, row: _Row, visible_at_s: float) -> QueueMessage:
        number, message_id, body, attributes, sent_at_ms = row
        receipt = self._receipts.setdefault(number, _Receipt(queue, 0, 0.0))
        receipt.count += 1
        receipt.visible_at_s = visible_at_s
        return QueueMessage(
            message_id=message_id,
            body=body,
            attributes=attributes,
            sent_at_ms=sent_at_ms,
            receive_count=receipt.count,
            receipt_handle=str(number),
        )


def _new_ids(count: int) -> list[str]:
    """Return random UUIDs, from one call to the kernel for all of them."""
    random = os.urandom(16 * count)
    return [str(UUID(bytes=random[at : at + 16], version=4)) for at in range(0, len(random), 16)]
