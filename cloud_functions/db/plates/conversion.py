"""Changes stored plate events in batches, for sealing, decrypting and conversion.

Events are deleted and inserted again instead of updated, so that the triggers run and all rollups stay exact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from cloud_functions.db.types import Connection

_FIND: Final = """
SELECT event_id, "timestamp", id FROM events
WHERE event_type = 'anpr' AND ("timestamp", id) > (%(at)s, %(id)s) AND "timestamp" >= %(at)s
  AND site_id = %(site_id)s AND (plate_sealed IS NOT NULL) = %(sealed)s
ORDER BY "timestamp", id LIMIT %(limit)s
FOR UPDATE
"""
_DELETE: Final = """
DELETE FROM events USING unnest(%(event_ids)s::uuid[], %(times)s::timestamptz[]) AS taken (taken_id, at)
WHERE event_id = taken_id AND "timestamp" = at AND "timestamp" BETWEEN %(first)s AND %(last)s
RETURNING id, event_id, site_id, device_id, camera_id, event_type, "timestamp", frame_number, sequence, sequence_epoch,
    snapshot_path, snapshot::text, event_data::text, plate_sealed, created_at
"""
_INSERT: Final = """
INSERT INTO events (id, event_id, site_id, device_id, camera_id, event_type, "timestamp", frame_number, sequence,
                    sequence_epoch, snapshot_path, snapshot, event_data, plate_sealed, created_at)
SELECT unnest(%s::bigint[]), unnest(%s::uuid[]), unnest(%s::text[]), unnest(%s::text[]), unnest(%s::text[]),
       unnest(%s::text[]), unnest(%s::timestamptz[]), unnest(%s::bigint[]), unnest(%s::bigint[]), unnest(%s::text[]),
       unnest(%s::text[]), unnest(%s::text[])::jsonb, unnest(%s::text[])::jsonb, unnest(%s::bytea[]),
       unnest(%s::timestamptz[])
"""
_UNPROTECTED_READS: Final = """
SELECT event_id, captured_at, id, site_id, plate_text, plate_normalized_text FROM plate_events
WHERE (captured_at, id) > (%(at)s, %(id)s) ORDER BY captured_at, id LIMIT %(limit)s
"""
_SEALED_READS: Final = """
SELECT p.event_id, p.captured_at, p.id, p.site_id, p.plate_normalized_text, e.plate_sealed
FROM plate_events AS p JOIN events AS e ON e.event_id = p.event_id AND e."timestamp" = p.captured_at
WHERE (p.captured_at, p.id) > (%(at)s, %(id)s) AND p.site_id = %(site_id)s AND e.plate_sealed IS NOT NULL
ORDER BY p.captured_at, p.id LIMIT %(limit)s
"""


class FullEventRow(NamedTuple):
    """A row of ``events`` with all columns, JSON as text."""

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


class ConversionPosition(NamedTuple):
    """The last event that a conversion has processed."""

    timestamp: datetime
    id: int


class ConvertedBatch(NamedTuple):
    """The result of one batch; ``position`` is None after the last batch."""

    position: ConversionPosition | None
    events: int


def convert_events(
    connection: Connection,
    site_id: str,
    *,
    sealed: bool,
    after: ConversionPosition,
    limit: int,
    change: Callable[[FullEventRow], FullEventRow | None],
) -> ConvertedBatch:
    """Apply ``change`` to the next ``limit`` of a site's ``anpr`` events that are sealed, or that are not.

    An event for which ``change`` returns None stays unchanged. Call in a separate transaction.
    """
    parameters = {"site_id": site_id, "sealed": sealed, "at": after.timestamp, "id": after.id, "limit": limit}
    rows = connection.execute(_FIND, parameters).fetchall()
    if not rows:
        return ConvertedBatch(None, 0)
    changed = replace_events(connection, [(event_id, at) for event_id, at, _ in rows], change)
    return ConvertedBatch(ConversionPosition(rows[-1][1], rows[-1][2]) if len(rows) == limit else None, changed)


def replace_events(
    connection: Connection,
    keys: Sequence[tuple[UUID, datetime]],
    change: Callable[[FullEventRow], FullEventRow | None],
) -> int:
    """Apply ``change`` to the events with these keys (``event_id`` and time); return how many changed.

    An event for which ``change`` returns None stays unchanged. Call in a transaction.
    """
    if not keys:
        return 0
    times = [at for _, at in keys]
    parameters = {"event_ids": [key for key, _ in keys], "times": times, "first": min(times), "last": max(times)}
    deleted = [FullEventRow(*row) for row in connection.execute(_DELETE, parameters)]
    if not deleted:
        return 0
    changed = [change(event) for event in deleted]
    rows = [new or old for new, old in zip(changed, deleted, strict=True)]
    connection.execute(_INSERT, [list(column) for column in zip(*rows, strict=True)])
    return sum(event is not None for event in changed)


class UnprotectedRead(NamedTuple):
    """A stored read whose plate is not protected."""

    event_id: UUID
    captured_at: datetime
    id: int
    site_id: str
    plate_text: str
    plate: str


class SealedRead(NamedTuple):
    """A stored read of a protected plate."""

    event_id: UUID
    captured_at: datetime
    id: int
    site_id: str
    token: str
    sealed: bytes


def next_unprotected_reads(connection: Connection, *, limit: int) -> list[UnprotectedRead]:
    """Return the next reads after the saved progress (see ``save_progress``), including protected ones."""
    progress = connection.execute("SELECT captured_at, id FROM plate_conversion FOR UPDATE").fetchone()
    at, number = progress or (None, None)
    rows = connection.execute(_UNPROTECTED_READS, {"at": at, "id": number, "limit": limit})
    return [UnprotectedRead(*row) for row in rows]


def save_progress(connection: Connection, last: UnprotectedRead | None) -> None:
    """Save the last read that was processed; None marks the conversion as complete."""
    if last is None:
        connection.execute("UPDATE plate_conversion SET completed_at = now()")
    else:
        connection.execute("UPDATE plate_conversion SET captured_at = %s, id = %s", [last.captured_at, last.id])


def restart_conversion(connection: Connection) -> None:
    """Restart a complete conversion, because an earlier release may have written reads since."""
    connection.execute(
        "UPDATE plate_conversion SET captured_at = '1900-01-01T00:00Z', id = 0, completed_at = NULL"
        " WHERE completed_at IS NOT NULL"
    )


def next_protected_reads(connection: Connection, site_id: str, *, limit: int) -> list[SealedRead]:
    """Return a site's next protected reads after the saved progress (see ``save_site_progress``)."""
    progress = connection.execute(
        "SELECT captured_at, id FROM plate_conversion_sites WHERE site_id = %s FOR UPDATE", [site_id]
    ).fetchone()
    if progress is None:
        return []
    parameters = {"at": progress[0], "id": progress[1], "site_id": site_id, "limit": limit}
    return [SealedRead(*row) for row in connection.execute(_SEALED_READS, parameters)]


def save_site_progress(connection: Connection, site_id: str, last: SealedRead | None) -> None:
    """Save the last read of a site that was processed; None marks the site as complete."""
    if last is None:
        connection.execute("DELETE FROM plate_conversion_sites WHERE site_id = %s", [site_id])
    else:
        connection.execute(
            "UPDATE plate_conversion_sites SET captured_at = %s, id = %s WHERE site_id = %s",
            [last.captured_at, last.id, site_id],
        )


def sites_to_convert(connection: Connection) -> frozenset[str]:
    """Return the sites that may have protected reads in a legacy normal form."""
    return frozenset(site_id for (site_id,) in connection.execute("SELECT site_id FROM plate_conversion_sites"))


def count_pattern_reads(connection: Connection, reads: Mapping[int, int]) -> None:
    """Add to the number of converted reads that a watch-list pattern no longer matches, by pattern id."""
    for pattern_id, number in sorted(reads.items()):
        connection.execute(
            "INSERT INTO plate_conversion_patterns AS p (pattern_id, reads) VALUES (%s, %s)"
            " ON CONFLICT (pattern_id) DO UPDATE SET reads = p.reads + EXCLUDED.reads",
            [pattern_id, number],
        )


def ambiguous_patterns(connection: Connection) -> list[tuple[int, int, str, int]]:
    """Return the existing patterns that matched reads only because letters had been dropped.

    Each row is the pattern's id, the list's id and name, and the number of reads that no longer match.
    """
    query = """
        SELECT pattern_id, watchlist_id, name, reads FROM plate_conversion_patterns
        JOIN watchlist_patterns USING (pattern_id) JOIN watchlists USING (watchlist_id) ORDER BY pattern_id
        """
    return connection.execute(query).fetchall()


def purge_unread_plates(connection: Connection) -> int:
    """Delete plates without reads from the table of distinct plates; return how many."""
    return connection.execute(
        """
        DELETE FROM plates WHERE plate_normalized_text IN (
            SELECT plate_normalized_text FROM plates WHERE events = 0 FOR UPDATE SKIP LOCKED)
        """
    ).rowcount
