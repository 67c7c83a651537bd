"""Rows in, rows settled, rows grown old: each function runs inside the caller's transaction and keeps the tally."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edge_agent.outbox.database import Database
from edge_agent.outbox.room import Tally, drop_aged, forget_sent, is_expendable
from edge_agent.outbox.settings import OutboxSettings
from shared.errors import ContractError
from shared.events import MAX_EVENT_BYTES, Event, dump_event
from shared.storage_keys import snapshot_object, thumbnail_object
from shared.topics import DeviceTopics

BELIEVABLE_S = 1_735_689_600.0
"""2025-01-01: a clock that shows less has not been set since power-on, and nothing is judged by its age."""
_CLOCK_SLACK_S = 86_400.0
_LARGEST = 2**63 - 1


def check_event(event: Event, epoch: str) -> None:
    """Raise ContractError, in the thread of the one who puts it, for an event that the cloud would refuse."""
    payload = dump_event(event.model_copy(update={"sequence": _LARGEST, "sequence_epoch": epoch}))
    if len(payload) > MAX_EVENT_BYTES:
        raise ContractError(f"an event of {len(payload)} bytes; the limit is {MAX_EVENT_BYTES}", reason="too_large")
    if b"\\u0000" in payload:
        raise ContractError("an event may not hold a NUL character", reason="nul_character")


@dataclass(frozen=True, slots=True)
class ImageToStore:
    object_key: str
    content_type: str
    body: bytes


def images_of(event: Event, *, snapshot: bytes | None, thumbnail: bytes | None) -> list[ImageToStore]:
    """Name the objects of the images given; raise ContractError for an event that does not refer to any."""
    if snapshot is None and thumbnail is None:
        return []
    reference = event.snapshot
    if reference is None:
        raise ContractError("an image needs an event whose snapshot names its key", reason="no_snapshot_reference")
    images: list[ImageToStore] = []
    if snapshot is not None:
        object_key = snapshot_object(event.device_id, reference.key)
        images.append(ImageToStore(object_key, reference.content_type, snapshot))
    if thumbnail is not None:
        images.append(ImageToStore(thumbnail_object(event.device_id, reference.key), "image/jpeg", thumbnail))
    return images


def insert_event(database: Database, tally: Tally, event: Event, images: Sequence[ImageToStore], now_s: float) -> Event:
    """Give the event the next sequence, store it with its images, and return it as it will travel."""
    sequence = tally.last_sequence + 1
    numbered = event.model_copy(update={"sequence": sequence, "sequence_epoch": database.epoch})
    payload = dump_event(numbered)
    topic = DeviceTopics(event.site_id, event.device_id).events(event.camera_id, event.event_type)
    expendable = is_expendable(event)
    database.writer.execute(
        "INSERT INTO events (sequence, topic, expendable, size, put_at_s, payload) VALUES (?, ?, ?, ?, ?, ?)",
        (sequence, topic, expendable, len(payload), now_s, payload),
    )
    for place, image in enumerate(images):
        identity = (sequence * 2 + place, sequence, image.object_key, image.content_type)
        database.writer.execute(
            "INSERT INTO images (id, sequence, object_key, content_type, expendable, size, put_at_s, body)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (*identity, expendable, len(image.body), now_s, image.body),
        )
    tally.last_sequence = sequence
    tally.waiting_events += 1
    tally.waiting_event_bytes += len(payload)
    tally.images += len(images)
    tally.image_bytes += sum(len(each.body) for each in images)
    return numbered


def settle_events(database: Database, tally: Tally, keys: Iterable[int], *, now_s: float, keep_bytes: int) -> None:
    """Mark events as sent; of those that are kept, the oldest beyond ``keep_bytes`` go."""
    for key in keys:
        row = database.writer.execute(
            "UPDATE events SET sent_at_s = ? WHERE sequence = ? AND sent_at_s IS NULL RETURNING size", (now_s, key)
        ).fetchone()
        if row is not None:
            tally.waiting_events -= 1
            tally.waiting_event_bytes -= row[0]
            tally.sent_bytes += row[0]
    forget_sent(database, tally, tally.sent_bytes - keep_bytes)


def settle_images(database: Database, tally: Tally, keys: Iterable[int]) -> None:
    """Delete images that are stored elsewhere now."""
    for key in keys:
        row = database.writer.execute("DELETE FROM images WHERE id = ? RETURNING size", (key,)).fetchone()
        if row is not None:
            tally.images -= 1
            tally.image_bytes -= row[0]


def expire_rows(database: Database, tally: Tally, settings: OutboxSettings, now_s: float) -> None:
    """Give up what has waited too long, forget what was sent long ago; nothing while the clock is not believable."""
    if now_s < BELIEVABLE_S:
        return
    _restamp(database, now_s)
    drop_aged(database, tally, put_before_s=now_s - settings.max_age_s)
    aged_bytes = database.writer.execute(
        "SELECT coalesce(sum(size), 0) FROM events WHERE sent_at_s < ?", (now_s - settings.keep_sent_s,)
    ).fetchone()[0]
    forget_sent(database, tally, aged_bytes)


def _restamp(database: Database, now_s: float) -> None:
    """What was written before the clock was set, or by one that ran ahead, counts its age from now."""
    for table, column in (("events", "put_at_s"), ("images", "put_at_s"), ("events", "sent_at_s")):
        database.writer.execute(
            f"UPDATE {table} SET {column} = ? WHERE {column} < ? OR {column} > ?",  # noqa: S608
            (now_s, BELIEVABLE_S, now_s + _CLOCK_SLACK_S),
        )
