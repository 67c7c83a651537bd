"""What our database knows of an adoption: the position in each table, the refused rows, and the adopted events."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cloud_functions.db.types import Connection
from infra.admin.adopt.mapped_row import MappedRow
from infra.admin.adopt.old_database import Position
from shared.clock import format_utc

_SAVE: Final = """
INSERT INTO adoptions (source, table_name, position, with_pictures, updated_at) VALUES (%s, %s, %s, %s, now())
ON CONFLICT (source, table_name) DO UPDATE
SET position = EXCLUDED.position, with_pictures = EXCLUDED.with_pictures, updated_at = EXCLUDED.updated_at
"""
_REFUSE: Final = """
INSERT INTO adoption_refusals (source, table_name, row_key, reason)
SELECT %s, %s, unnest(%s::text[]), unnest(%s::text[])
ON CONFLICT (source, table_name, row_key) DO UPDATE SET reason = EXCLUDED.reason
"""
_ACCEPT: Final = "DELETE FROM adoption_refusals WHERE source = %s AND table_name = %s AND row_key = ANY(%s::text[])"

# The id is kept where no other event has it. A picture that was not there at an earlier run is added.
_COMPLETE: Final = """
UPDATE events AS e
SET id = CASE WHEN g.number IS NULL OR EXISTS (SELECT FROM events AS o WHERE o.id = g.number) THEN e.id
         ELSE g.number END,
    created_at = COALESCE(g.created_at, e.created_at),
    snapshot_path = COALESCE(e.snapshot_path, g.snapshot ->> 'key'),
    snapshot = COALESCE(e.snapshot, g.snapshot)
FROM unnest(%s::uuid[], %s::timestamptz[], %s::bigint[], %s::timestamptz[], %s::jsonb[])
     AS g (event_id, at, number, created_at, snapshot)
WHERE e.event_id = g.event_id AND e."timestamp" = g.at AND (
    (g.number IS NOT NULL AND e.id <> g.number)
    OR (g.created_at IS NOT NULL AND e.created_at <> g.created_at)
    OR (e.snapshot_path IS NULL AND g.snapshot IS NOT NULL))
"""
_COMPLETE_PLATES: Final = """
UPDATE plate_events AS p
SET id = e.id, created_at = e.created_at, vehicle_image_key = COALESCE(p.vehicle_image_key, e.snapshot_path)
FROM unnest(%s::uuid[], %s::timestamptz[]) AS g (event_id, at)
JOIN events AS e ON e.event_id = g.event_id AND e."timestamp" = g.at
WHERE p.event_id = g.event_id AND p.captured_at = g.at
  AND (p.id, p.created_at, p.vehicle_image_key) IS DISTINCT FROM (e.id, e.created_at, e.snapshot_path)
"""
_STORED: Final = """
SELECT e.event_id::text, e.id FROM unnest(%s::uuid[], %s::timestamptz[]) AS g (event_id, at)
JOIN events AS e ON e.event_id = g.event_id AND e."timestamp" = g.at
"""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where an adoption of one table stands."""

    position: Position | None = None
    with_pictures: bool = False


def progress_of(connection: Connection, source: str, table: str) -> Progress:
    """Return how far an earlier run has come."""
    found = connection.execute(
        "SELECT position, with_pictures FROM adoptions WHERE source = %s AND table_name = %s", [source, table]
    ).fetchone()
    return Progress() if found is None else Progress(tuple(found[0]), bool(found[1]))


def save_progress(
    connection: Connection,
    table: tuple[str, str],
    progress: Progress,
    *,
    refused: Mapping[str, str],
    taken: Sequence[str],
) -> None:
    """Store the position after a batch, with the reasons of its refused rows. ``taken``: keys of its other rows.

    ``table``: the source and the name of the table.
    """
    connection.execute(_SAVE, [*table, list(progress.position or ()), progress.with_pictures])
    if refused:
        connection.execute(_REFUSE, [*table, list(refused), list(refused.values())])
    connection.execute(_ACCEPT, [*table, list(taken)])


def refusals(connection: Connection, source: str, table: str) -> dict[str, str]:
    """Return the reason of each refused row by its key."""
    query = "SELECT row_key, reason FROM adoption_refusals WHERE source = %s AND table_name = %s ORDER BY row_key"
    return dict(connection.execute(query, [source, table]).fetchall())


def reserve_ids(connection: Connection, highest: int) -> None:
    """Give new events ids above the highest of the old system, so that its ids stay free."""
    connection.execute(
        "SELECT setval('events_id_seq', %s) FROM events_id_seq WHERE last_value < %s", [highest + 1, highest + 1]
    )


def complete(connection: Connection, rows: Sequence[MappedRow], snapshots: Mapping[str, Mapping[str, Any]]) -> None:
    """Set the id, the time of storage and the picture of adopted events. Call it inside a transaction."""
    ids = [row.event_id for row in rows]
    times = [format_utc(row.timestamp) for row in rows]
    created = [None if row.created_at is None else format_utc(row.created_at) for row in rows]
    pictures = [json.dumps(found) if (found := snapshots.get(event_id)) else None for event_id in ids]
    connection.execute(_COMPLETE, [ids, times, [row.number for row in rows], created, pictures])
    connection.execute(_COMPLETE_PLATES, [ids, times])


def stored(connection: Connection, rows: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Return ``id`` by ``event_id`` of those events, given by ``event_id`` and time, that are stored."""
    found = connection.execute(_STORED, [[row[0] for row in rows], [row[1] for row in rows]])
    return dict(found.fetchall())
