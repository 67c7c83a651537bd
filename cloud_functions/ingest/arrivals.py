"""Turns messages into events fit for storing: the contract, the topic's owner, and the clock are checked here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from pydantic_core import from_json, to_json

from cloud_functions.db.events import EventRow
from cloud_functions.db.sequences import MAX_SEQUENCE, Outbox
from cloud_functions.ingest.messages import Message
from shared.clock import format_utc
from shared.errors import ContractError
from shared.events import Event, parse_event
from shared.topics import ROOT, TopicAddress, parse_topic

EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""A device without a clock battery wakes up here; before it there were no devices."""


class ArrivedEvent(NamedTuple):
    """One event that keeps the contract, ready for the table."""

    message: Message
    row: EventRow
    class_names: Sequence[str]
    license_plate: str | None
    """With ``class_names``, what subscribers filter by; the plate in normal form."""


class PlaceInSequence(NamedTuple):
    """Where in which outbox's sequence something stands."""

    site_id: str
    outbox: Outbox
    sequence: int


class Arrived(NamedTuple):
    """A chunk of messages, parsed."""

    events: list[ArrivedEvent]
    rejected: list[PlaceInSequence]
    """Places of events that arrived and were rejected."""


def accept_event(message: Message, *, latest: datetime) -> ArrivedEvent:
    """Return the event in ``message``; raise ContractError for what must not be stored.

    ``latest``: the latest acceptable capture time. Reasons are those of ``shared.events.parse_event``, and
    ``topic_mismatch``, ``timestamp_out_of_range``.
    """
    event = parse_event(message.payload)
    expected = f"{ROOT}/{event.site_id}/{event.device_id}/events/{event.camera_id}/{event.event_type}"
    if message.topic != expected:
        raise ContractError(_mismatch(parse_topic(message.topic), event), reason="topic_mismatch")
    _check_time(event.timestamp, latest)
    snapshot = event.snapshot
    row = EventRow(
        str(event.event_id),
        event.site_id,
        event.device_id,
        event.camera_id,
        event.event_type,
        format_utc(event.timestamp),
        event.frame_number,
        event.sequence,
        event.sequence_epoch,
        snapshot.key if snapshot else None,
        to_json(snapshot).decode() if snapshot else None,
        to_json(event.event_data).decode(),
    )
    # The parsed event itself is let go: thousands of them alive at once would keep the garbage collector busy.
    return ArrivedEvent(message, row, _class_names(event), _license_plate(event))


def _class_names(event: Event) -> Sequence[str]:
    if event.event_type == "tracking":
        return (event.event_data.class_name,)
    if event.event_type == "detection":
        return tuple(dict.fromkeys(found.class_name for found in event.event_data.detections))
    return ()


def _license_plate(event: Event) -> str | None:
    return event.event_data.plate_normalized if event.event_type == "anpr" else None


def place_in_sequence(message: Message) -> PlaceInSequence | None:
    """Return the place of a rejected event, as far as it can be read.

    It did arrive: were it counted as missing, the device would be asked for it for ever.
    """
    try:
        address = parse_topic(message.topic)
        told: Any = from_json(message.payload)
        sequence, epoch = told["sequence"], told["sequence_epoch"]
    except (ContractError, ValueError, TypeError, KeyError):
        return None
    usable = type(sequence) is int and 1 <= sequence <= MAX_SEQUENCE and type(epoch) is str and 1 <= len(epoch) <= 64
    if not usable or not epoch.isascii() or not epoch.isprintable():
        return None
    return PlaceInSequence(address.site_id, Outbox(address.device_id, epoch), sequence)


def _check_time(timestamp: datetime, latest: datetime) -> None:
    # Compared before any conversion: the far ends of the calendar have no UTC form.
    if timestamp > latest:
        ahead = timestamp - latest
        raise ContractError(
            f"timestamp is {ahead / timedelta(days=1):.1f} days beyond what the clocks allow",
            reason="timestamp_out_of_range",
        )
    if timestamp < EARLIEST:
        raise ContractError("timestamp is before 1970", reason="timestamp_out_of_range")


def _mismatch(address: TopicAddress, event: Event) -> str:
    if address.kind != "events":
        return "an event on a topic that is not for events"
    told = (event.site_id, event.device_id, event.camera_id, str(event.event_type))
    bound = (address.site_id, address.device_id, *address.rest)
    names = ("site_id", "device_id", "camera_id", "event_type")
    wrong = [name for name, one, other in zip(names, told, bound, strict=True) if one != other]
    return f"not the publisher's own: {', '.join(wrong)} of the event and of its topic differ"
