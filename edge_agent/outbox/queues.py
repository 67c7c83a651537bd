"""The two ways out of the outbox: events and images, each taken, acknowledged or put back on its own.

What is taken is leased in memory only: after a crash it is simply there again. Lanes are thread-safe.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

MAX_NACK_DELAY_S = 3600.0


@dataclass(frozen=True, slots=True)
class WaitingEvent:
    """One event to be published; ``payload`` is the exact bytes."""

    sequence_epoch: str
    key: int
    """The sequence."""
    attempts: int
    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class WaitingImage:
    """One image to be stored under ``object_key``."""

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
Row = TypeVar("Row")


class QueueStore(Protocol):
    """What a lane needs of the outbox around it."""

    @property
    def epoch(self) -> str: ...
    @property
    def take_lock(self) -> threading.RLock:
        """Held while anything is taken: what is being taken must not change."""
        ...

    def now_s(self) -> float:
        """Return outbox time."""
        ...

    def correct_times(self, table: str, keys: list[int]) -> None:
        """Bring the times of what is about to be taken up to date with the clock."""
        ...

    def read(self, action: Callable[[sqlite3.Connection], list[Row]]) -> list[Row]:
        """Run the action on a reading connection."""
        ...

    def mark_delivered(self, table: str, keys: list[int]) -> bool:
        """Mark as delivered; tell whether that could be written."""
        ...

    def postpone(self, table: str, keys: list[int], due_at_s: float) -> None:
        """Count one more attempt and set the time before which not to try again."""
        ...

    def notify_listeners(self) -> None:
        """Say that something can be taken."""
        ...


class DeliveryQueue(Generic[Item]):
    """One way out. Take, then settle each item in one of three ways: ack, nack or release."""

    def __init__(
        self,
        *,
        store: QueueStore,
        name: str,
        find: str,
        load: str,
        build: Callable[[str, tuple[int, int, str, str, bytes]], Item],
    ) -> None:
        self._store = store
        self._name = name
        self._find = find
        self._load = load
        self._build = build
        self._lock = threading.Lock()
        self._leased: set[tuple[str, int]] = set()
        """Epoch and key: what was taken from a file since replaced stands in nobody's way."""
        self._highest = ("", 0)
        """Epoch and highest key that was ever handed out."""
        self._unwritten: list[Item] = []

    def take(self, limit: int) -> list[Item]:
        """Return up to ``limit`` items that are due and not taken yet, oldest first."""
        with self._store.take_lock, self._lock:
            epoch = self._store.epoch
            due = [key for (key,) in self._store.read(lambda connection: self._due(connection, epoch, limit))]
            if not due:
                return []
            self._store.correct_times(self._name, due)
            items = self._store.read(lambda connection: self._loaded(connection, epoch, due))
            self._leased.update((item.sequence_epoch, item.key) for item in items)
            self._highest = max(self._highest, (epoch, due[-1])) if self._highest[0] == epoch else (epoch, due[-1])
        return items

    def was_handed_out(self, key: int) -> bool:
        """Tell whether this item may have been taken since the outbox was opened."""
        return self._highest[0] == self._store.epoch and key <= self._highest[1]

    def ack(self, items: Iterable[Item]) -> None:
        """The other side has them: nothing more to do for these.

        Where that cannot be written (a full or read-only disk) they stay leased, so that they are not sent again and
        again, and are written with a later call.
        """
        with self._lock:
            chosen = [*self._unwritten, *items]
            self._unwritten = []
        if self._store.mark_delivered(self._name, self._current(chosen)):
            self._free(chosen)
        else:
            with self._lock:
                self._unwritten += chosen

    @property
    def unwritten(self) -> int:
        """Acknowledgements that could not be written yet."""
        return len(self._unwritten)

    def nack(self, items: Iterable[Item], *, delay_s: float) -> None:
        """They were refused: count an attempt, and hand them out again after ``delay_s`` (an hour at most)."""
        chosen = list(items)
        due_at_s = self._store.now_s() + min(delay_s, MAX_NACK_DELAY_S)
        self._store.postpone(self._name, self._current(chosen), due_at_s)
        self._free(chosen)

    def release(self, items: Iterable[Item]) -> None:
        """They could not be tried, or nobody knows how it ended: hand them out again at once."""
        self._free(items)
        self._store.notify_listeners()

    def _due(self, connection: sqlite3.Connection, epoch: str, limit: int) -> list[tuple[int]]:
        now_s = self._store.now_s()
        # A time further ahead than any nack can set was written by a clock that has since been put right.
        found = connection.execute(self._find, (now_s, now_s + MAX_NACK_DELAY_S, limit + len(self._leased)))
        return [(row[0],) for row in found if (epoch, row[0]) not in self._leased][:limit]

    def _loaded(self, connection: sqlite3.Connection, epoch: str, due: list[int]) -> list[Item]:
        if self._store.epoch != epoch:  # the file was replaced meanwhile
            return []
        return [self._build(epoch, row) for row in connection.execute(self._load, (json.dumps(due),))]

    def _current(self, items: Iterable[Item]) -> list[int]:
        epoch = self._store.epoch
        return [item.key for item in items if item.sequence_epoch == epoch]

    def _free(self, items: Iterable[Item]) -> None:
        with self._lock:
            self._leased.difference_update((item.sequence_epoch, item.key) for item in items)


EventQueue = DeliveryQueue[WaitingEvent]
ImageQueue = DeliveryQueue[WaitingImage]


def event_queue(store: QueueStore) -> EventQueue:
    return DeliveryQueue(
        store=store,
        name="events",
        find="SELECT sequence FROM events INDEXED BY events_waiting WHERE sent_at_s IS NULL"
        " AND (due_at_s <= ? OR due_at_s > ?) ORDER BY sequence LIMIT ?",
        load="SELECT sequence, attempts, topic, '', payload FROM events"
        " WHERE sequence IN (SELECT value FROM json_each(?)) ORDER BY sequence",
        build=lambda epoch, row: WaitingEvent(epoch, row[0], row[1], row[2], row[4]),
    )


def image_queue(store: QueueStore) -> ImageQueue:
    return DeliveryQueue(
        store=store,
        name="images",
        find="SELECT id FROM images INDEXED BY images_waiting WHERE due_at_s <= ? OR due_at_s > ? ORDER BY id LIMIT ?",
        load="SELECT id, attempts, object_key, content_type, body FROM images"
        " WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id",
        build=lambda epoch, row: WaitingImage(epoch, row[0], row[1], row[2], row[3], row[4]),
    )
