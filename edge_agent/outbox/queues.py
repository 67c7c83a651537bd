"""The two queues of the outbox: events and images. Each item is taken, then acknowledged, deferred or released.

Leases of taken items are kept in memory only: after a crash the items are available again. Queues are thread-safe.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from edge_agent.outbox.eviction import UsageCounters
from edge_agent.outbox.rows import delete_uploaded_images, mark_events_sent
from edge_agent.outbox.state import OutboxState

MAX_NACK_DELAY_S = 3600.0


@dataclass(frozen=True, slots=True)
class WaitingEvent:
    """One event to publish; ``payload`` holds the exact bytes."""

    sequence_epoch: str
    key: int
    """The event's sequence."""
    attempts: int
    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class WaitingImage:
    """One image to upload under ``object_key``."""

    sequence_epoch: str
    key: int
    attempts: int
    object_key: str
    content_type: str
    body: bytes


class _Leasable(Protocol):
    @property
    def sequence_epoch(self) -> str: ...
    @property
    def key(self) -> int: ...
    @property
    def attempts(self) -> int: ...


Item = TypeVar("Item", bound=_Leasable)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueTable(Generic[Item]):
    """The statements of one queue's table."""

    find_due: str
    """Selects keys. Parameters: current outbox time, latest valid due time, limit."""
    load: str
    """Selects key, attempts, topic or object key, content type and content. Parameter: a JSON list of keys."""
    defer: str
    """Counts one attempt. Parameters: due time, key."""
    build: Callable[[str, tuple[int, int, str, str, bytes]], Item]
    mark_delivered: Callable[[OutboxState, UsageCounters, Sequence[int]], None]
    sequence_of: Callable[[int], int]
    """Returns the sequence of the item's event."""


class DeliveryQueue(Generic[Item]):
    """One queue. Take items, then pass each to ``ack``, ``nack`` or ``release``."""

    def __init__(
        self,
        *,
        state: OutboxState,
        table: QueueTable[Item],
        before_take: Callable[[list[int]], None],
        notify: Callable[[], None],
    ) -> None:
        """``before_take`` gets the sequences of items about to be taken; ``notify`` announces available items."""
        self._state = state
        self._table = table
        self._before_take = before_take
        self._notify = notify
        self._lock = threading.Lock()
        self._leased: set[tuple[str, int]] = set()
        """Epoch and key. Leases of a replaced file have another epoch and block nothing."""
        self._highest = ("", 0)
        """Epoch, and the highest key taken so far."""
        self._unwritten: list[Item] = []

    def take(self, limit: int) -> list[Item]:
        """Return up to ``limit`` items that are due and not leased, oldest first, and lease them."""
        state = self._state
        with state.take_lock, self._lock:
            epoch = state.epoch
            due = [key for (key,) in state.read(lambda connection: self._due(connection, epoch, limit))]
            if not due:
                return []
            self._before_take(sorted({self._table.sequence_of(key) for key in due}))
            items = state.read(lambda connection: self._loaded(connection, epoch, due))
            self._leased.update((item.sequence_epoch, item.key) for item in items)
            self._highest = max(self._highest, (epoch, due[-1])) if self._highest[0] == epoch else (epoch, due[-1])
        return items

    def was_taken(self, key: int) -> bool:
        """Return whether this item may have been taken since the outbox was opened."""
        return self._highest[0] == self._state.epoch and key <= self._highest[1]

    def ack(self, items: Iterable[Item]) -> None:
        """Record that the receiver has stored these items.

        If this cannot be written (the disk is full or read-only), the items stay leased, so that they are not sent
        again. A later call writes the record.
        """
        with self._lock:
            acked = [*self._unwritten, *items]
            self._unwritten = []
        keys = self._keys_of_this_file(acked)
        if self._state.write(lambda usage: self._table.mark_delivered(self._state, usage, keys)):
            self._end_leases(acked)
        else:
            with self._lock:
                self._unwritten += acked

    @property
    def unwritten(self) -> int:
        """Number of acknowledgements not written yet."""
        return len(self._unwritten)

    def nack(self, items: Iterable[Item], *, delay_s: float) -> None:
        """Record a refused attempt and defer these items by ``delay_s`` (at most one hour)."""
        refused = list(items)
        due_at_s = self._state.now_s() + min(delay_s, MAX_NACK_DELAY_S)
        rows = [(due_at_s, key) for key in self._keys_of_this_file(refused)]
        self._state.write(lambda _: self._state.database.writer.executemany(self._table.defer, rows))
        self._end_leases(refused)

    def release(self, items: Iterable[Item]) -> None:
        """Make items available again at once: they were not tried, or the outcome is unknown."""
        self._end_leases(items)
        self._notify()

    def _due(self, connection: sqlite3.Connection, epoch: str, limit: int) -> list[tuple[int]]:
        now_s = self._state.now_s()
        # A later due time cannot come from nack. It was computed with a wrong clock, so the item is due.
        latest_s = now_s + MAX_NACK_DELAY_S
        rows = connection.execute(self._table.find_due, (now_s, latest_s, limit + len(self._leased)))
        return [(row[0],) for row in rows if (epoch, row[0]) not in self._leased][:limit]

    def _loaded(self, connection: sqlite3.Connection, epoch: str, due: list[int]) -> list[Item]:
        if self._state.epoch != epoch:  # the file was replaced in the meantime
            return []
        return [self._table.build(epoch, row) for row in connection.execute(self._table.load, (json.dumps(due),))]

    def _keys_of_this_file(self, items: Iterable[Item]) -> list[int]:
        epoch = self._state.epoch
        return [item.key for item in items if item.sequence_epoch == epoch]

    def _end_leases(self, items: Iterable[Item]) -> None:
        with self._lock:
            self._leased.difference_update((item.sequence_epoch, item.key) for item in items)


EventQueue = DeliveryQueue[WaitingEvent]
ImageQueue = DeliveryQueue[WaitingImage]


def _mark_events_sent(state: OutboxState, usage: UsageCounters, keys: Sequence[int]) -> None:
    keep_bytes = state.settings.keep_sent_bytes
    mark_events_sent(state.database, usage, keys, now_s=state.now_s(), keep_bytes=keep_bytes)


EVENT_TABLE: Final[QueueTable[WaitingEvent]] = QueueTable(
    find_due="SELECT sequence FROM events INDEXED BY events_waiting WHERE sent_at_s IS NULL"
    " AND (due_at_s <= ? OR due_at_s > ?) ORDER BY sequence LIMIT ?",
    load="SELECT sequence, attempts, topic, '', payload FROM events"
    " WHERE sequence IN (SELECT value FROM json_each(?)) ORDER BY sequence",
    defer="UPDATE events SET due_at_s = ?, attempts = attempts + 1 WHERE sequence = ?",
    build=lambda epoch, row: WaitingEvent(epoch, row[0], row[1], row[2], row[4]),
    mark_delivered=_mark_events_sent,
    sequence_of=lambda key: key,
)

IMAGE_TABLE: Final[QueueTable[WaitingImage]] = QueueTable(
    find_due="SELECT id FROM images INDEXED BY images_waiting WHERE due_at_s <= ? OR due_at_s > ? ORDER BY id LIMIT ?",
    load="SELECT id, attempts, object_key, content_type, body FROM images"
    " WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id",
    defer="UPDATE images SET due_at_s = ?, attempts = attempts + 1 WHERE id = ?",
    build=lambda epoch, row: WaitingImage(epoch, row[0], row[1], row[2], row[3], row[4]),
    mark_delivered=lambda state, usage, keys: delete_uploaded_images(state.database, usage, keys),
    sequence_of=lambda key: key // 2,
)
