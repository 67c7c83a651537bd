"""Changes to event and image rows. All run inside the caller's transaction and update the usage counters."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from edge_agent.outbox.clocks import ClockHistory
from edge_agent.outbox.database import Database
from edge_agent.outbox.event_times import shift_by, shift_event
from edge_agent.outbox.eviction import UsageCounters, drop_aged, evict_sent, is_expendable
from edge_agent.outbox.open_stays import record_stay
from edge_agent.outbox.settings import OutboxSettings
from shared.clock import CLOCK_STEP_S
from shared.errors import ContractError
from shared.events import MAX_EVENT_BYTES, Event, dump_event, parse_event
from shared.storage_keys import snapshot_object_key, thumbnail_object_key
from shared.topics import DeviceTopics

logger = logging.getLogger(__name__)

_MAX_SEQUENCE = 2**63 - 1


def check_event(event: Event, epoch: str) -> None:
    """Raise ContractError for an event that the cloud would reject: too large, or with a NUL character."""
    payload = dump_event(event.model_copy(update={"sequence": _MAX_SEQUENCE, "sequence_epoch": epoch}))
    if len(payload) > MAX_EVENT_BYTES:
        raise ContractError(f"an event of {len(payload)} bytes; the limit is {MAX_EVENT_BYTES}", reason="too_large")
    if b"\\u0000" in payload:
        raise ContractError("an event must not contain a NUL character", reason="nul_character")


@dataclass(frozen=True, slots=True)
class ImageToStore:
    object_key: str
    content_type: str
    body: bytes


def images_of(event: Event, *, snapshot: bytes | None, thumbnail: bytes | None) -> list[ImageToStore]:
    """Return the images with their object keys. Raises ContractError if the event has no snapshot reference."""
    if snapshot is None and thumbnail is None:
        return []
    reference = event.snapshot
    if reference is None:
        raise ContractError("an image requires an event with a snapshot reference", reason="no_snapshot_reference")
    images: list[ImageToStore] = []
    if snapshot is not None:
        object_key = snapshot_object_key(event.device_id, reference.key)
        images.append(ImageToStore(object_key, reference.content_type, snapshot))
    if thumbnail is not None:
        images.append(ImageToStore(thumbnail_object_key(event.device_id, reference.key), "image/jpeg", thumbnail))
    return images


@dataclass(frozen=True, slots=True)
class PutStamp:
    """When an event is stored, in outbox time, and the row of the clock that produced its times."""

    put_at_s: float
    clock: int | None


def append_event(
    database: Database, usage: UsageCounters, event: Event, images: Sequence[ImageToStore], stamp: PutStamp
) -> Event:
    """Assign the next sequence, store the event with its images, and return the event as it will be published."""
    sequence = usage.last_sequence + 1
    numbered = event.model_copy(update={"sequence": sequence, "sequence_epoch": database.epoch})
    payload = dump_event(numbered)
    topic = DeviceTopics(event.site_id, event.device_id).events(event.camera_id, event.event_type)
    expendable = is_expendable(event)
    database.writer.execute(
        "INSERT INTO events (sequence, topic, expendable, size, put_at_s, clock, payload) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (sequence, topic, expendable, len(payload), stamp.put_at_s, stamp.clock, payload),
    )
    record_stay(database.writer, event, payload, put_at_s=stamp.put_at_s, clock=stamp.clock)
    for number, image in enumerate(images):
        identity = (sequence * 2 + number, sequence, image.object_key, image.content_type)
        database.writer.execute(
            "INSERT INTO images (id, sequence, object_key, content_type, expendable, size, put_at_s, body)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (*identity, expendable, len(image.body), stamp.put_at_s, image.body),
        )
    usage.last_sequence = sequence
    usage.waiting_events += 1
    usage.waiting_event_bytes += len(payload)
    usage.images += len(images)
    usage.image_bytes += sum(len(image.body) for image in images)
    return numbered


def mark_events_sent(
    database: Database, usage: UsageCounters, keys: Iterable[int], *, now_s: float, keep_bytes: int
) -> None:
    """Mark events as sent, then delete the oldest sent events beyond ``keep_bytes``."""
    for key in keys:
        row = database.writer.execute(
            "UPDATE events SET sent_at_s = ? WHERE sequence = ? AND sent_at_s IS NULL RETURNING size", (now_s, key)
        ).fetchone()
        if row is not None:
            usage.waiting_events -= 1
            usage.waiting_event_bytes -= row[0]
            usage.sent_bytes += row[0]
    evict_sent(database, usage, usage.sent_bytes - keep_bytes)


def delete_uploaded_images(database: Database, usage: UsageCounters, keys: Iterable[int]) -> None:
    """Delete images that were uploaded."""
    for key in keys:
        row = database.writer.execute("DELETE FROM images WHERE id = ? RETURNING size", (key,)).fetchone()
        if row is not None:
            usage.images -= 1
            usage.image_bytes -= row[0]


def expire_rows(
    database: Database, usage: UsageCounters, settings: OutboxSettings, *, now_s: float, clock_is_set: bool
) -> None:
    """Drop rows older than ``max_age_s`` and delete sent events older than ``keep_sent_s``.

    Nothing expires while the wall clock is not set. The age of pending rows counts from the time it is set.
    """
    database.write_number("outbox_time_s", now_s)
    if not clock_is_set:
        database.write_number("clock_was_unset", 1)
        return
    if database.read_number("clock_was_unset"):
        database.write_number("clock_was_unset", 0)
        for table in ("events", "images"):
            database.writer.execute(f"UPDATE {table} SET put_at_s = ?", (now_s,))  # noqa: S608 - names from this line
    drop_aged(database, usage, put_before_s=now_s - settings.max_age_s)
    aged_bytes = database.writer.execute(
        "SELECT coalesce(sum(size), 0) FROM events WHERE sent_at_s < ?", (now_s - settings.keep_sent_s,)
    ).fetchone()[0]
    evict_sent(database, usage, aged_bytes)


def has_stale(connection: sqlite3.Connection, clock_history: ClockHistory) -> bool:
    """Return whether a pending event was stamped by another clock than the current one."""
    stale = "SELECT 1 FROM events WHERE sent_at_s IS NULL AND clock IS NOT NULL AND clock IS NOT ? LIMIT 1"
    return connection.execute(stale, (clock_history.current,)).fetchone() is not None


def correct_times(
    database: Database,
    usage: UsageCounters,
    clock_history: ClockHistory,
    sequences: Iterable[int],
    *,
    untouched: Callable[[int], bool],
) -> None:
    """Correct the times of pending events that were stamped before the clock was set.

    ``untouched`` returns whether neither the event nor any of its images was taken before.
    """
    stale = "SELECT payload, clock FROM events WHERE sequence = ? AND sent_at_s IS NULL AND clock != ?"
    for sequence in sequences:
        row = database.writer.execute(stale, (sequence, clock_history.current)).fetchone()
        if row is None:
            continue
        correction = clock_history.correction(database.writer, row[1])
        payload = row[0]
        if abs(correction.shift_s) > CLOCK_STEP_S:
            payload = _with_times_shifted(database, sequence, row[0], correction.shift_s, untouched=untouched(sequence))
        usage.waiting_event_bytes += len(payload) - len(row[0])
        database.writer.execute(
            "UPDATE events SET payload = ?, size = ?, clock = ? WHERE sequence = ?",
            (payload, len(payload), correction.clock, sequence),
        )


def _with_times_shifted(database: Database, sequence: int, payload: bytes, shift_s: float, *, untouched: bool) -> bytes:
    try:
        event = parse_event(payload)
        shifted = shift_event(event, shift_by(shift_s), move_snapshot=untouched, maybe_received=not untouched)
    except (ContractError, OverflowError) as error:
        logger.warning("cannot correct the times of event %d, keeping them: %s", sequence, error)
        return payload
    if shifted.snapshot is not None and event.snapshot is not None and shifted.snapshot.key != event.snapshot.key:
        for name_object in (snapshot_object_key, thumbnail_object_key):
            old, new = (name_object(event.device_id, key) for key in (event.snapshot.key, shifted.snapshot.key))
            rename = "UPDATE images SET object_key = ? WHERE id IN (?, ?) AND object_key = ?"
            database.writer.execute(rename, (new, sequence * 2, sequence * 2 + 1, old))
    return dump_event(shifted)
