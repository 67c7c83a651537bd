"""The flat JSON documents of stored events, as subscribers receive them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from cloud_functions.db.events.json_size import short_numbers
from cloud_functions.db.events.record import FlatEvent, flat_event_json
from cloud_functions.ingest.validation import ValidatedEvent
from shared.clock import format_utc


class EventDocument(NamedTuple):
    """A stored event and its document."""

    event: ValidatedEvent
    document: str


def new_documents(
    events: Mapping[str, ValidatedEvent], new: Mapping[str, tuple[int, datetime]]
) -> Iterator[EventDocument]:
    """Yield the documents of events that were inserted now; ``new`` gives ``id`` and ``created_at`` by event id."""
    formatted: datetime | None = None
    created_at = ""
    for event_id, (number, moment) in new.items():
        if moment is not formatted:  # all rows of a transaction share one time: format it once
            formatted, created_at = moment, format_utc(moment)
        event = events[event_id]
        row = event.row
        document = flat_event_json(row, id=number, timestamp=row.timestamp, created_at=created_at)
        yield EventDocument(event, document)


def repeated_documents(events: Mapping[str, ValidatedEvent], known: Mapping[str, FlatEvent]) -> Iterator[EventDocument]:
    """Yield the documents of events that were stored before, with the stored content."""
    for event_id, stored in known.items():
        event = events[event_id]
        if stored.device_id != event.row.device_id:
            continue  # another device's event has this id: the message is refused
        data_json = stored.event_data_json
        if event.plate_token is not None:  # it may have been stored in the clear, before its site was protected
            data_json = event.row.event_data_json
        yield EventDocument(event, replace(stored, event_data_json=short_numbers(data_json)).to_json())
