"""Usage counters of the outbox, and eviction by size and by age.

Eviction order, oldest first within each step:

1. sent events that are kept only for a resend (no data is lost);
2. images of expendable events (``motion``, ``detection`` and ``updated`` tracking events);
3. expendable events;
4. all other events, each with its images.

Steps 2 to 4 count every dropped event and image in the transaction that deletes it, and record the dropped sequences as
ranges. All functions of this module run inside the caller's transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edge_agent.outbox.database import Database
from edge_agent.outbox.ranges import Range, merge_ranges
from shared.events import DetectionEvent, Event, MotionEvent, TrackingEvent

MAX_REMEMBERED_RANGES = 1000
_ROWS_PER_QUERY = 200


@dataclass(slots=True)
class UsageCounters:
    """Number and size of stored rows. Every function that changes the tables updates them."""

    last_sequence: int
    waiting_events: int = 0
    waiting_event_bytes: int = 0
    images: int = 0
    image_bytes: int = 0
    sent_bytes: int = 0
    dropped_events: int = 0
    dropped_images: int = 0

    @property
    def waiting_bytes(self) -> int:
        return self.waiting_event_bytes + self.image_bytes

    @property
    def total_bytes(self) -> int:
        return self.waiting_bytes + self.sent_bytes


def read_usage(database: Database) -> UsageCounters:
    """Count the rows of the tables. This reads every page once and so detects most damage."""
    connection = database.writer
    highest, waiting, waiting_bytes, sent_bytes = connection.execute(
        "SELECT coalesce(max(sequence), 0), coalesce(sum(sent_at_s IS NULL), 0),"
        " coalesce(sum(CASE WHEN sent_at_s IS NULL THEN size END), 0),"
        " coalesce(sum(CASE WHEN sent_at_s IS NOT NULL THEN size END), 0) FROM events"
    ).fetchone()
    images, image_bytes = connection.execute("SELECT count(*), coalesce(sum(size), 0) FROM images").fetchone()
    return UsageCounters(
        last_sequence=max(int(database.meta("last_sequence")), highest),
        waiting_events=waiting,
        waiting_event_bytes=waiting_bytes,
        images=images,
        image_bytes=image_bytes,
        sent_bytes=sent_bytes,
        dropped_events=int(database.meta("dropped_events")),
        dropped_images=int(database.meta("dropped_images")),
    )


def is_expendable(event: Event) -> bool:
    """Return whether the event is dropped before ``entered``, ``left``, plate and snapshot events."""
    if isinstance(event, TrackingEvent):
        return event.event_data.tracking_action == "updated"
    return isinstance(event, MotionEvent | DetectionEvent)


def evict(database: Database, usage: UsageCounters, limit_bytes: int) -> None:
    """Delete rows in the order above until at most ``limit_bytes`` are stored."""
    if usage.total_bytes <= limit_bytes:
        return
    evict_sent(database, usage, usage.total_bytes - limit_bytes)
    _drop_expendable_images(database, usage, limit_bytes)
    _drop_expendable_events(database, usage, limit_bytes)
    while usage.total_bytes > limit_bytes and (oldest := _oldest_sequence(database.writer)) is not None:
        drop_events(database, usage, [oldest])
        _drop_images_of(database, usage, [oldest])
    _save_drop_counts(database, usage)


def evict_sent(database: Database, usage: UsageCounters, surplus_bytes: int) -> None:
    """Delete sent events, oldest first, until ``surplus_bytes`` are freed or none is left."""
    while surplus_bytes > 0:
        rows = database.writer.execute(
            "SELECT sequence, size FROM events INDEXED BY events_sent WHERE sent_at_s IS NOT NULL"
            " ORDER BY sent_at_s, sequence LIMIT ?",
            (_ROWS_PER_QUERY,),
        ).fetchall()
        if not rows:
            return
        chosen, freed = _first_rows(rows, surplus_bytes)
        _delete(database, usage, "events", "sequence", chosen)
        usage.sent_bytes -= freed
        surplus_bytes -= freed


def drop_events(database: Database, usage: UsageCounters, sequences: Sequence[int]) -> None:
    """Drop these events if they are still pending, and record their sequences as dropped."""
    dropped: list[int] = []
    for sequence in sequences:
        row = database.writer.execute(
            "DELETE FROM events WHERE sequence = ? AND sent_at_s IS NULL RETURNING size", (sequence,)
        ).fetchone()
        if row is not None:
            dropped.append(sequence)
            usage.waiting_events -= 1
            usage.waiting_event_bytes -= row[0]
    if dropped:
        database.set_meta("last_sequence", usage.last_sequence)
        record_dropped(database, usage, [(sequence, sequence) for sequence in dropped])


def drop_aged(database: Database, usage: UsageCounters, *, put_before_s: float) -> None:
    """Drop pending events and images that were stored before that time."""
    connection = database.writer
    rows = connection.execute(
        "SELECT sequence FROM events WHERE sent_at_s IS NULL AND put_at_s < ?", (put_before_s,)
    ).fetchall()
    drop_events(database, usage, [row[0] for row in rows])
    images = connection.execute("SELECT id, size FROM images WHERE put_at_s < ?", (put_before_s,)).fetchall()
    _drop_images(database, usage, images)
    _save_drop_counts(database, usage)


def record_dropped(database: Database, usage: UsageCounters, ranges: Iterable[Range]) -> None:
    """Count these sequences as dropped, and keep the latest ranges."""
    connection = database.writer
    for first, last in merge_ranges(ranges):
        usage.dropped_events += last - first + 1
        neighbours = connection.execute(
            "DELETE FROM dropped WHERE last = ? OR first = ? RETURNING first, last", (first - 1, last + 1)
        ).fetchall()
        joined = merge_ranges([*neighbours, (first, last)])[0]
        connection.execute("INSERT INTO dropped VALUES (?, ?)", joined)
    connection.execute(
        "DELETE FROM dropped WHERE first <= (SELECT first FROM dropped ORDER BY first DESC LIMIT 1 OFFSET ?)",
        (MAX_REMEMBERED_RANGES,),
    )
    _save_drop_counts(database, usage)


def _drop_expendable_images(database: Database, usage: UsageCounters, limit_bytes: int) -> None:
    while (surplus := usage.total_bytes - limit_bytes) > 0:
        rows = database.writer.execute(
            "SELECT id, size FROM images INDEXED BY images_expendable WHERE expendable = 1 ORDER BY id LIMIT ?",
            (_ROWS_PER_QUERY,),
        ).fetchall()
        if not rows:
            return
        chosen, _ = _first_rows(rows, surplus)
        _drop_images(database, usage, [row for row in rows if row[0] in set(chosen)])


def _drop_expendable_events(database: Database, usage: UsageCounters, limit_bytes: int) -> None:
    while (surplus := usage.total_bytes - limit_bytes) > 0:
        rows = database.writer.execute(
            "SELECT sequence, size FROM events INDEXED BY events_expendable"
            " WHERE sent_at_s IS NULL AND expendable = 1 ORDER BY sequence LIMIT ?",
            (_ROWS_PER_QUERY,),
        ).fetchall()
        if not rows:
            return
        drop_events(database, usage, _first_rows(rows, surplus)[0])


def _drop_images_of(database: Database, usage: UsageCounters, sequences: Sequence[int]) -> None:
    for sequence in sequences:
        rows = database.writer.execute("SELECT id, size FROM images WHERE sequence = ?", (sequence,)).fetchall()
        _drop_images(database, usage, rows)


def _drop_images(database: Database, usage: UsageCounters, rows: Sequence[tuple[int, int]]) -> None:
    _delete(database, usage, "images", "id", [row[0] for row in rows])
    usage.images -= len(rows)
    usage.image_bytes -= sum(row[1] for row in rows)
    usage.dropped_images += len(rows)


def _oldest_sequence(connection: sqlite3.Connection) -> int | None:
    row = connection.execute(
        "SELECT min(oldest) FROM (SELECT min(sequence) AS oldest FROM events WHERE sent_at_s IS NULL"
        " UNION ALL SELECT min(sequence) FROM images)"
    ).fetchone()
    return None if row[0] is None else int(row[0])


def _first_rows(rows: Sequence[tuple[int, int]], surplus_bytes: int) -> tuple[list[int], int]:
    """Return the keys of the first rows that together have at least ``surplus_bytes``, and their total size."""
    chosen: list[int] = []
    freed = 0
    for key, size in rows:
        if freed >= surplus_bytes:
            break
        chosen.append(key)
        freed += size
    return chosen, freed


def _delete(database: Database, usage: UsageCounters, table: str, key: str, values: Sequence[int]) -> None:
    database.writer.executemany(f"DELETE FROM {table} WHERE {key} = ?", [(value,) for value in values])  # noqa: S608
    if table == "events" and values:
        database.set_meta("last_sequence", usage.last_sequence)


def _save_drop_counts(database: Database, usage: UsageCounters) -> None:
    database.set_meta("dropped_events", usage.dropped_events)
    database.set_meta("dropped_images", usage.dropped_images)
