"""Writes events, each once: by COPY where all of a batch are new, else by a statement that leaves duplicates alone.

Counts by hour, day and month follow by trigger in the same transaction (see the migration).
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
"""Rows sent at a time: enough that sending costs little, few enough that the database need not wait."""
_DEADLOCKS: Final = 5
"""How many deadlocks a batch gives way in before the queue has to deliver it again; each takes a second to be seen."""


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
    plate_sealed: bytes | None = None
    """The event's data, sealed, where its plate is protected (see ``plates.sealing``)."""


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
FROM unnest(%b::text[], %b::text[]) AS wanted (wanted_id, wanted_time)
JOIN events ON event_id = wanted_id::uuid AND "timestamp" = wanted_time::timestamptz
"""
)


def insert_events(connection: Connection, rows: Iterable[EventRow], *, at_most: int) -> dict[str, tuple[int, datetime]]:
    """Insert the rows that are not there yet; return ``id`` and ``created_at`` of those, by ``event_id``.

    Call inside a transaction. ``rows`` is read while the first of them are on their way already, so whoever makes them
    and the database work at the same time; it is read to its end in any case. There are ``at_most`` so many.

    Nearly always all are new, and COPY is the quickest; where one is not, what COPY did is taken back and a statement
    does it, in the order of ``event_id``, so that two batches that share events wait for one another. A third that is
    still at its COPY keeps no order: whom the database picks to end a deadlock with takes back what it did and goes on.
    """
    taken: list[EventRow] = []
    try:
        with connection.transaction():  # a savepoint
            return _copy(connection, _noting(rows, taken), at_most)
    except (psycopg.errors.UniqueViolation, psycopg.errors.DeadlockDetected):
        taken.extend(rows)
        return _insert_in_order(connection, sorted(taken, key=itemgetter(0)))


def _noting(rows: Iterable[EventRow], taken: list[EventRow]) -> Iterator[EventRow]:
    for row in rows:
        taken.append(row)
        yield row


def _copy(connection: Connection, rows: Iterator[EventRow], most: int) -> dict[str, tuple[int, datetime]]:
    new: dict[str, tuple[int, datetime]] = {}
    with connection.cursor() as cursor:
        [(created_at, numbers)] = cursor.execute(_IDS, [most], binary=True)
        numbered = zip(numbers, rows, strict=False)
        with cursor.copy(_COPY) as copy:
            while part := list(islice(numbered, _ROWS_A_WRITE)):
                copy.write("".join(starmap(_copy_line, part)).encode())
                new.update((row.event_id, (number, created_at)) for number, row in part)
    return new


def _copy_line(number: int, row: EventRow) -> str:
    """Return a row as COPY's text format has it; of the columns only JSON (and bytes) can hold what must be escaped.

    (A backslash. Line ends and tabs are escaped in JSON already, and the others are of alphabets without any.)
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
    found = connection.execute(_STORED, [list(keys), list(keys.values())])
    return {event.event_id: event for event in map(FlatEvent.from_row, found)}
