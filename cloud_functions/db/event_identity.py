"""One event_id is one event, whatever time a second message gives it; and a picture's events, whatever their times.

The table is partitioned by time, so its primary key holds an event_id only together with a time. A UUIDv7 says when it
was minted: nearly every event has a time near that, and is looked for there. The few others are noted in
``event_odd_times``, as are those whose snapshot's key says another time or camera than the event.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from psycopg import Connection

from cloud_functions.db.events import EventRow

Row = tuple[Any, ...]

_NEAR: Final = timedelta(days=2)
_LAST_MINTED_MS: Final = 32_503_680_000_000  # the year 3000; what claims later says nothing

_NOTE: Final = """
INSERT INTO event_odd_times (event_id, "timestamp", device_id, snapshot_path, is_odd_id)
SELECT unnest(%b::text[])::uuid, unnest(%b::text[])::timestamptz, unnest(%b::text[]), unnest(%b::text[]),
       unnest(%b::bool[])
"""
# One probe of the primary key an event and month; OFFSET 0 keeps the planner from reading days by the index on time,
# as it does while a new month has no statistics.
_NEAR_MINTING: Final = """
SELECT mine.id::text, min(found."timestamp")
FROM (SELECT unnest(%b::uuid[]) AS id, unnest(%b::timestamptz[]) AS at) AS mine CROSS JOIN LATERAL (
    SELECT "timestamp" FROM events
    WHERE event_id = mine.id AND "timestamp" >= %b AND "timestamp" < %b OFFSET 0
) AS found WHERE found."timestamp" <> mine.at GROUP BY 1
"""
# Likewise: without statistics the planner joined all noted times with all events.
_AMONG_ODD: Final = """
SELECT odd.event_id::text, odd."timestamp" FROM (SELECT unnest(%b::uuid[]) AS id) AS mine CROSS JOIN LATERAL (
    SELECT event_id, "timestamp" FROM event_odd_times WHERE is_odd_id AND event_id = mine.id OFFSET 0
) AS odd CROSS JOIN LATERAL (
    SELECT FROM events WHERE event_id = odd.event_id AND events."timestamp" = odd."timestamp" OFFSET 0
) AS stored
"""
_TAKE_BACK: Final = """
DELETE FROM events USING unnest(%s::uuid[], %s::timestamptz[]) AS doomed (doomed_id, at)
WHERE event_id = doomed_id AND "timestamp" = at
"""


class _Odd(NamedTuple):
    event_id: str
    timestamp: str
    device_id: str
    snapshot_path: str | None
    is_odd_id: bool


def note_odd_times(connection: Connection[Row], rows: Iterable[EventRow]) -> None:
    """Note those of the stored ``rows`` that are not where their event_id or their snapshot's key says."""
    odd = [found for row in rows if (found := _odd(row)) is not None]
    if odd:
        connection.execute(_NOTE, [list(column) for column in zip(*odd, strict=True)])


def take_back_repeats(connection: Connection[Row], rows: Sequence[EventRow]) -> dict[str, datetime]:
    """Delete those of ``rows`` whose event_id is stored with another time already; return that time, by event_id.

    ``rows`` were inserted in this transaction, which has locked their outboxes (``sequences.record_arrivals``), so two
    transactions never both keep one. Call before ``note_odd_times``.
    """
    if not rows:
        return {}
    times = {row.event_id: datetime.fromisoformat(row.timestamp) for row in rows}
    ids = [UUID(event_id) for event_id in times]
    found: dict[str, datetime] = {
        event_id: moment for event_id, moment in connection.execute(_AMONG_ODD, [ids]) if moment != times[event_id]
    }
    found |= _stored_near_minting(connection, ids, times)
    if found:
        repeats = [row for row in rows if row.event_id in found]
        connection.execute(_TAKE_BACK, [[row.event_id for row in repeats], [row.timestamp for row in repeats]])
    return found


def _stored_near_minting(
    connection: Connection[Row], ids: Sequence[UUID], times: Mapping[str, datetime]
) -> dict[str, datetime]:
    minted = [moment for event_id in times if (moment := minted_at(event_id)) is not None]
    if not minted:
        return {}
    bounds = [min(minted) - _NEAR, max(minted) + _NEAR]
    return dict(connection.execute(_NEAR_MINTING, [ids, list(times.values()), *bounds]).fetchall())


def minted_at(event_id: str) -> datetime | None:
    """Return when a UUIDv7 was minted, None for another kind (or one that claims a time beyond the year 3000)."""
    if event_id[14] != "7":
        return None
    minted_ms = int(event_id[:8] + event_id[9:13], 16)
    return datetime.fromtimestamp(minted_ms / 1000, UTC) if minted_ms < _LAST_MINTED_MS else None


def _odd(row: EventRow) -> _Odd | None:
    minted = minted_at(row.event_id)
    is_odd_id = minted is None or abs(datetime.fromisoformat(row.timestamp) - minted) > _NEAR
    path = row.snapshot_path
    is_odd_path = path is not None and not _says_its_event(path, row.camera_id, row.timestamp)
    if not is_odd_id and not is_odd_path:
        return None
    return _Odd(row.event_id, row.timestamp, row.device_id, path if is_odd_path else None, is_odd_id)


def _says_its_event(path: str, camera_id: str, timestamp: str) -> bool:
    """Tell whether a snapshot's key is that of an event of this camera and time (``YYYY-MM-DDTHH:MM:SS.ffffffZ``)."""
    day, clock = timestamp[:10], timestamp[11:26].replace(":", "").replace(".", "_")
    return path.startswith(f"{camera_id}/{day}/") and f"_{clock}." in path


def place_of_picture(path: str) -> tuple[str, datetime] | None:
    """Return camera and time that a snapshot's key says, None where it is no such key."""
    try:
        camera_id, day, name = path.split("/")
        clock = name.rpartition(".")[0][-13:]
        return camera_id, datetime.strptime(f"{day} {clock}", "%Y-%m-%d %H%M%S_%f").replace(tzinfo=UTC)
    except ValueError:
        return None
