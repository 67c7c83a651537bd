"""What event messages reveal about their devices: which sequence numbers arrived, and when a device was last active."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

import psycopg
from pydantic_core import from_json

from cloud_functions.db.devices.sequences import MAX_SEQUENCE, OutboxKey, ReceivedSequences, to_ranges
from cloud_functions.db.devices.status import touch_devices
from cloud_functions.ingest.sources.messages import Message
from cloud_functions.ingest.validation import ValidatedEvent
from shared.clock import Clock
from shared.errors import ContractError
from shared.topics import parse_topic

_ACTIVITY_INTERVAL_S: Final = 5.0
"""A device's last activity is written at most this often."""

DeviceKey = tuple[str, str]
"""``device_id`` and ``site_id``."""


class SequencePosition(NamedTuple):
    """A position in the sequence of one outbox."""

    site_id: str
    outbox: OutboxKey
    sequence: int


def sequence_position(message: Message) -> SequencePosition | None:
    """Return the sequence position of an invalid event, or None if it cannot be read.

    The message did arrive. If it counted as missing, ingest would request it from the device again and again.
    """
    if message.topic is None:
        return None
    try:
        address = parse_topic(message.topic)
        content: Any = from_json(message.payload)
        sequence, epoch = content["sequence"], content["sequence_epoch"]
    except (ContractError, ValueError, TypeError, KeyError):
        return None
    usable = type(sequence) is int and 1 <= sequence <= MAX_SEQUENCE and type(epoch) is str and 1 <= len(epoch) <= 64
    if not usable or not epoch.isascii() or not epoch.isprintable():
        return None
    return SequencePosition(address.site_id, OutboxKey(address.device_id, epoch), sequence)


def event_positions(events: Iterable[ValidatedEvent]) -> Iterator[SequencePosition]:
    """Yield the sequence positions of events that came over MQTT.

    Only MQTT loses messages that it has acknowledged, and a Kafka topic may carry only part of a device's events.
    """
    for event in events:
        row = event.row
        if event.message.topic is None or row.sequence is None or row.sequence_epoch is None:
            continue
        if 1 <= row.sequence <= MAX_SEQUENCE:
            yield SequencePosition(row.site_id, OutboxKey(row.device_id, row.sequence_epoch), row.sequence)


def sequences_by_outbox(positions: Iterable[SequencePosition]) -> dict[OutboxKey, ReceivedSequences]:
    """Return the arrived sequence numbers of each outbox as ranges."""
    sequences: dict[OutboxKey, list[int]] = {}
    sites: dict[OutboxKey, str] = {}
    for site_id, outbox, sequence in positions:
        sequences.setdefault(outbox, []).append(sequence)
        sites[outbox] = site_id
    return {outbox: ReceivedSequences(sites[outbox], to_ranges(numbers)) for outbox, numbers in sequences.items()}


class DeviceActivity:
    """Records when devices were last active, without a write for every batch. Not thread-safe."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._recorded_s: dict[DeviceKey, float] = {}

    def record(self, connection: psycopg.Connection[Any], events: Iterable[ValidatedEvent]) -> dict[DeviceKey, float]:
        """Record the events' devices as active, except those recorded recently; pass the result to ``committed``."""
        devices = {(event.row.device_id, event.row.site_id) for event in events if not _is_made_by_the_cloud(event)}
        now_s = self._clock.monotonic()
        recorded_s = self._recorded_s
        due = {
            device
            for device in devices
            if now_s - recorded_s.get(device, -_ACTIVITY_INTERVAL_S) >= _ACTIVITY_INTERVAL_S
        }
        if due:
            touch_devices(connection, dict(sorted(due)))
        return dict.fromkeys(due, now_s)

    def committed(self, recorded: dict[DeviceKey, float]) -> None:
        """Remember what the committed transaction recorded."""
        self._recorded_s.update(recorded)


def _is_made_by_the_cloud(event: ValidatedEvent) -> bool:
    """Return whether an event says that its device is silent or back: it is no sign of life. Agents number theirs."""
    return event.row.event_type == "camera_status" and event.row.sequence is None
