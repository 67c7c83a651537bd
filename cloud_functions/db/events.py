"""Writes events: one statement a batch, duplicates left alone.

Hourly and daily counts follow by trigger in the same transaction (see the migration). Rows are written in the order of
``event_id``, so that two batches that share events wait for one another instead of deadlocking.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any, Final, NamedTuple

import psycopg

from cloud_functions.db.flat_event import FLAT_EVENT_COLUMNS, FlatEvent


class EventRow(NamedTuple):
    """One event as the table takes it; times and ids as text, JSON as text."""

    event_id: str
    site_id: str
    device_id: str
    camera_id: str
    event_type: str
    timestamp: str
    frame_number: int | None
    sequence: int | None
    sequence_epoch: str | None
    snapshot_path: str | None
    snapshot_json: str | None
    event_data_json: str


# ``unnest`` in the select list streams the arrays; ``%b`` sends them binary, three times faster than ``%s``.
_INSERT: Final = """
INSERT INTO events (event_id, site_id, device_id, camera_id, event_type, "timestamp", frame_number, sequence,
                    sequence_epoch, snapshot_path, snapshot, event_data)
SELECT unnest(%b::text[])::uuid, unnest(%b::text[]), unnest(%b::text[]), unnest(%b::text[]), unnest(%b::text[]),
       unnest(%b::text[])::timestamptz, unnest(%b::bigint[]), unnest(%b::bigint[]), unnest(%b::text[]),
       unnest(%b::text[]), unnest(%b::text[])::jsonb, unnest(%b::text[])::jsonb
ON CONFLICT DO NOTHING
RETURNING event_id::text, id, created_at
"""

_STORED: Final = (
    "SELECT "
    + FLAT_EVENT_COLUMNS
    + """
FROM unnest(%b::text[], %b::text[]) AS wanted (wanted_id, wanted_time)
JOIN events ON event_id = wanted_id::uuid AND "timestamp" = wanted_time::timestamptz
"""
)


def insert_events(connection: psycopg.Connection[Any], rows: Sequence[EventRow]) -> dict[str, tuple[int, datetime]]:
    """Insert the rows that are not there yet; return ``id`` and ``created_at`` of those, by ``event_id``."""
    ordered = sorted(rows, key=itemgetter(0))
    columns = [list(column) for column in zip(*ordered, strict=True)]
    return {event_id: (number, created_at) for event_id, number, created_at in connection.execute(_INSERT, columns)}


def stored_events(connection: psycopg.Connection[Any], keys: Mapping[str, str]) -> dict[str, FlatEvent]:
    """Return the stored events among ``keys`` (timestamp by event_id), by event_id."""
    found = connection.execute(_STORED, [list(keys), list(keys.values())])
    return {event.event_id: event for event in map(FlatEvent.from_row, found)}
