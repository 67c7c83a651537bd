"""Inserts events, each once: by COPY if all events of a batch are new, else by INSERT … ON CONFLICT DO NOTHING.

Triggers update the rollups by hour, day and month in the same transaction (see the migration).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import islice, starmap
from operator import itemgetter
from typing import Final, NamedTuple

import psycopg

from cloud_functions.db.events.record import FLAT_EVENT_COLUMNS, FlatEvent
from cloud_functions.db.types import Connection

_NULL: Final = "\\N"
_BYTES: Final = r"\\x"
_ROWS_A_WRITE: Final = 64
"""Rows per write. A smaller number costs more per row; a larger one delays the start of the database's work."""
_DEADLOCKS: Final = 5
"""Deadlocks after which a batch fails and the queue delivers it again; PostgreSQL detects each after a second."""


class EventRow(NamedTuple):
    """One event to insert; times, ids and JSON as text."""

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
    plate_sealed: bytes | None = None
    """The event's sealed data if its plate is protected (see ``privacy.sealing``)."""


_COPY: Final = """
COPY events (id, event_id, site_id, device_id, camera_id, event_type, "timestamp", frame_number, sequence,
             sequence_epoch, snapshot_path, snapshot, event_data, plate_sealed) FROM STDIN
"""

_IDS: Final = "SELECT now(), array_agg(nextval('events_id_seq')) FROM generate_series(1, %s)"

# ``unnest`` in the select list streams the arrays; ``%b`` sends them binary, three times faster than ``%s``.
_INSERT: Final = """
INSERT INTO events (event_id, site_id, device_id, camera_id, event_type, "timestamp", frame_number, sequence,
                    sequence_epoch, snapshot_path, snapshot, event_data, plate_sealed)
SELECT unnest(%b::text[])::uuid, unnest(%b::text[]), unnest(%b::text[]), unnest(%b::text[]), unnest(%b::text[]),
       unnest(%b::text[])::timestamptz, unnest(%b::bigint[]), unnest(%b::bigint[]), unnest(%b::text[]),
       unnest(%b::text[]), unnest(%b::text[])::jsonb, unnest(%b::text[])::jsonb, unnest(%b::bytea[])
ON CONFLICT DO NOTHING
RETURNING event_id::text, id, created_at
"""

_STORED: Final = (
    "SELECT "
    + FLAT_EVENT_COLUMNS
    + """
FROM unnest(%b::text[], %b::text[]) AS given (given_id, given_time)
JOIN events ON event_id = given_id::uuid AND "timestamp" = given_time::timestamptz
"""
)


def insert_events(connection: Connection, rows: Iterable[EventRow], *, at_most: int) -> dict[str, tuple[int, datetime]]:
    """Insert the rows that are not stored yet; return their ``id`` and ``created_at``, by ``event_id``.

    Call inside a transaction. ``rows`` is consumed while the first rows are already being sent, so that producing them
    overlaps with the database's work; it is always consumed completely. ``at_most`` is an upper bound of its length.

    Usually all rows are new, and COPY is the fastest. If one is not, COPY is rolled back to a savepoint and an INSERT
    runs in the order of ``event_id``, so that two batches that share events wait for each other. A concurrent COPY has
    no order and may deadlock; the transaction that the database aborts rolls back to its savepoint and retries.
    """
    consumed: list[EventRow] = []
    try:
        with connection.transaction():  # a savepoint
            return _copy(connection, _recording(rows, consumed), at_most)
    except (psycopg.errors.UniqueViolation, psycopg.errors.DeadlockDetected):
        consumed.extend(rows)
        return _insert_in_order(connection, sorted(consumed, key=itemgetter(0)))


def _recording(rows: Iterable[EventRow], consumed: list[EventRow]) -> Iterator[EventRow]:
    for row in rows:
        consumed.append(row)
        yield row


def _copy(connection: Connection, rows: Iterator[EventRow], at_most: int) -> dict[str, tuple[int, datetime]]:
    new: dict[str, tuple[int, datetime]] = {}
    with connection.cursor() as cursor:
        [(created_at, numbers)] = cursor.execute(_IDS, [at_most], binary=True)
        numbered = zip(numbers, rows, strict=False)
        with cursor.copy(_COPY) as copy:
            while part := list(islice(numbered, _ROWS_A_WRITE)):
                copy.write("".join(starmap(_copy_line, part)).encode())
                new.update((row.event_id, (number, created_at)) for number, row in part)
    return new


def _copy_line(number: int, row: EventRow) -> str:
    """Return a row in COPY's text format. Only backslashes in JSON must be escaped.

    JSON escapes line ends and tabs itself, and the other columns contain no special characters.
    """
    frame, sequence, snapshot, sealed = row.frame_number, row.sequence, row.snapshot_json, row.plate_sealed
    return (
        f"{number}\t{row.event_id}\t{row.site_id}\t{row.device_id}\t{row.camera_id}\t{row.event_type}\t{row.timestamp}"
        f"\t{_NULL if frame is None else frame}\t{_NULL if sequence is None else sequence}"
        f"\t{row.sequence_epoch or _NULL}\t{row.snapshot_path or _NULL}"
        f"\t{_NULL if snapshot is None else _escape(snapshot)}\t{_escape(row.event_data_json)}"
        f"\t{_NULL if sealed is None else _BYTES + sealed.hex()}\n"
    )


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\")


def _insert_in_order(connection: Connection, rows: list[EventRow]) -> dict[str, tuple[int, datetime]]:
    for _ in range(_DEADLOCKS):
        with suppress(psycopg.errors.DeadlockDetected), connection.transaction():
            return _insert(connection, rows)
    return _insert(connection, rows)


def _insert(connection: Connection, rows: Sequence[EventRow]) -> dict[str, tuple[int, datetime]]:
    columns = [list(column) for column in zip(*rows, strict=True)]
    return {event_id: (number, created_at) for event_id, number, created_at in connection.execute(_INSERT, columns)}


def stored_events(connection: Connection, keys: Mapping[str, str]) -> dict[str, FlatEvent]:
    """Return the stored events among ``keys`` (timestamp by event_id), by event_id."""
    rows = connection.execute(_STORED, [list(keys), list(keys.values())])
    return {event.event_id: event for event in map(FlatEvent.from_row, rows)}
