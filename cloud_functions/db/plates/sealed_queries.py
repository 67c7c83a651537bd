"""Reads sealed data: of given events, of given tokens, and of each distinct protected plate that a search covers."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final, NamedTuple

from psycopg import sql

from cloud_functions.db.events.filter import all_of
from cloud_functions.db.plates.queries import PlateFilter, plate_conditions
from cloud_functions.db.types import Connection

_SEALED: Final = """
SELECT event_id::text, plate_sealed FROM unnest(%(event_ids)s::uuid[], %(times)s::timestamptz[]) AS given (given_id, at)
JOIN events ON event_id = given_id AND "timestamp" = at
WHERE plate_sealed IS NOT NULL AND "timestamp" BETWEEN %(first)s AND %(last)s
"""


class SealedPlate(NamedTuple):
    """One distinct protected plate, with the sealed data of its newest read."""

    token: str
    events: int
    event_id: str
    sealed: bytes


def sealed_data(connection: Connection, rows: Iterable[tuple[str, datetime]]) -> dict[str, bytes]:
    """Return the sealed data of the events with these ids and times, by ``event_id``."""
    time_of = dict(rows)
    if not time_of:
        return {}
    times = list(time_of.values())
    parameters = {"event_ids": list(time_of), "times": times, "first": min(times), "last": max(times)}
    sealed_rows = connection.execute(_SEALED, parameters, binary=True)
    return {event_id: bytes(sealed) for event_id, sealed in sealed_rows}


class ReadUnderToken(NamedTuple):
    """One protected read."""

    event_id: str
    token: str
    sealed: bytes


def reads_under_tokens(connection: Connection, tokens: Iterable[str], *, limit: int) -> list[ReadUnderToken]:
    """Return the protected reads that are stored under these tokens, in no particular order."""
    rows = connection.execute(
        """
        SELECT read.event_id::text, read.plate_normalized_text, events.plate_sealed FROM plate_events AS read
        JOIN events ON events.event_id = read.event_id AND events."timestamp" = read.captured_at
        WHERE read.plate_normalized_text = ANY(%(tokens)s) AND events.plate_sealed IS NOT NULL LIMIT %(limit)s
        """,
        {"tokens": list(tokens), "limit": limit},
        binary=True,
    )
    return [ReadUnderToken(event_id, token, bytes(sealed)) for event_id, token, sealed in rows]


def sealed_plates(connection: Connection, plate_filter: PlateFilter, *, limit: int) -> list[SealedPlate]:
    """Return each protected plate with matching reads once; the filter's plate and prefix must be None."""
    conditions, parameters = plate_conditions(plate_filter)
    conditions.append(sql.SQL("read.plate_normalized_text = plates.plate_normalized_text"))
    query = sql.SQL(
        """
        SELECT plates.plate_normalized_text, plates.events, newest.event_id::text, events.plate_sealed
        FROM plates CROSS JOIN LATERAL (
            SELECT event_id, captured_at FROM plate_events AS read WHERE {}
            ORDER BY captured_at DESC, id DESC LIMIT 1
        ) AS newest
        JOIN events ON events.event_id = newest.event_id AND events."timestamp" = newest.captured_at
        WHERE plates.plate_normalized_text >= '~' AND plates.plate_normalized_text < chr(127)
              AND plates.events > 0 AND events.plate_sealed IS NOT NULL
        LIMIT %(limit)s
        """
    ).format(all_of(conditions))
    rows = connection.execute(query, parameters | {"limit": limit}, binary=True).fetchall()
    return [SealedPlate(token, events, event_id, bytes(sealed)) for token, events, event_id, sealed in rows]
