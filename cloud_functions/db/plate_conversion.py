"""Sealing what a site has stored already, and opening it again: events are taken out and put back, a batch at a time.

Out and in, not changed in place, so that every trigger sees both and all counts stay exact.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from psycopg import Connection

Row = tuple[Any, ...]

_FIND: Final = """
SELECT event_id, "timestamp", id FROM events
WHERE event_type = 'anpr' AND ("timestamp", id) > (%(at)s, %(id)s) AND "timestamp" >= %(at)s
  AND site_id = %(site_id)s AND (plate_sealed IS NOT NULL) = %(sealed)s
ORDER BY "timestamp", id LIMIT %(limit)s
FOR UPDATE
"""
_TAKE: Final = """
DELETE FROM events USING unnest(%(event_ids)s::uuid[], %(times)s::timestamptz[]) AS taken (taken_id, at)
WHERE event_id = taken_id AND "timestamp" = at AND "timestamp" BETWEEN %(first)s AND %(last)s
RETURNING id, event_id, site_id, device_id, camera_id, event_type, "timestamp", frame_number, sequence, sequence_epoch,
    snapshot_path, snapshot::text, event_data::text, plate_sealed, created_at
"""
_PUT: Final = """
INSERT INTO events (id, event_id, site_id, device_id, camera_id, event_type, "timestamp", frame_number, sequence,
                    sequence_epoch, snapshot_path, snapshot, event_data, plate_sealed, created_at)
SELECT unnest(%s::bigint[]), unnest(%s::uuid[]), unnest(%s::text[]), unnest(%s::text[]), unnest(%s::text[]),
       unnest(%s::text[]), unnest(%s::timestamptz[]), unnest(%s::bigint[]), unnest(%s::bigint[]), unnest(%s::text[]),
       unnest(%s::text[]), unnest(%s::text[])::jsonb, unnest(%s::text[])::jsonb, unnest(%s::bytea[]),
       unnest(%s::timestamptz[])
"""


class StoredEvent(NamedTuple):
    """A row of ``events``, JSON as text."""

    id: int
    event_id: UUID
    site_id: str
    device_id: str
    camera_id: str
    event_type: str
    timestamp: datetime
    frame_number: int | None
    sequence: int | None
    sequence_epoch: str | None
    snapshot_path: str | None
    snapshot_json: str | None
    event_data_json: str
    plate_sealed: bytes | None
    created_at: datetime


class Place(NamedTuple):
    """How far a conversion has come."""

    timestamp: datetime
    id: int


class Converted(NamedTuple):
    """What one batch did: None for ``place`` at the end."""

    place: Place | None
    events: int


def convert_events(
    connection: Connection[Row],
    site_id: str,
    *,
    sealed: bool,
    after: Place,
    limit: int,
    change: Callable[[StoredEvent], StoredEvent | None],
) -> Converted:
    """Change the next ``limit`` of a site's ``anpr`` events that are, or are not, sealed; None leaves one as it is.

    Call in a transaction of its own.
    """
    wanted = {"site_id": site_id, "sealed": sealed, "at": after.timestamp, "id": after.id, "limit": limit}
    found = connection.execute(_FIND, wanted).fetchall()
    if not found:
        return Converted(None, 0)
    times = [row[1] for row in found]
    keys = {"event_ids": [row[0] for row in found], "times": times, "first": times[0], "last": times[-1]}
    taken = [StoredEvent(*row) for row in connection.execute(_TAKE, keys)]
    changed = [change(one) for one in taken]
    put_back = [new or old for new, old in zip(changed, taken, strict=True)]
    connection.execute(_PUT, [list(column) for column in zip(*put_back, strict=True)])
    done = sum(one is not None for one in changed)
    return Converted(Place(times[-1], found[-1][2]) if len(found) == limit else None, done)


def purge_unread_plates(connection: Connection[Row]) -> int:
    """Delete plates that no read is left of, from the list of all plates; return how many."""
    return connection.execute(
        """
        DELETE FROM plates WHERE plate_normalized_text IN (
            SELECT plate_normalized_text FROM plates WHERE events = 0 FOR UPDATE SKIP LOCKED)
        """
    ).rowcount
