"""One event_id is one event, whatever time a second message gives it; and a picture's events, whatever their times.

The table is partitioned by time, so its primary key holds an event_id only together with a time. A UUIDv7 says when it
was minted: nearly every event has a time near that, and is looked for there. The few others are noted in
``event_odd_times``, as are those whose snapshot's key says another time or camera than the event.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from cloud_functions.db.events.insert import EventRow
from cloud_functions.db.types import Connection

_NEAR: Final = timedelta(days=2)
_SPAN: Final = timedelta(hours=1, minutes=2)
"""Events of one hour whose ids begin with the same eight digits differ by less than this in their distance."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MINTED: Final = f"{32_503_680_000_000 >> 16:08x}"  # the year 3000; what claims later says nothing

_NOTE: Final = """
INSERT INTO event_odd_times (event_id, "timestamp", device_id, snapshot_path, is_odd_id)
SELECT unnest(%b::text[])::uuid, unnest(%b::text[])::timestamptz, unnest(%b::text[]), unnest(%b::text[]),
       unnest(%b::bool[])
"""
# One probe of the primary key an event and month; OFFSET 0 keeps the planner from reading days by the index on time,
# as it does while a new month has no statistics, and from joining all noted times with all events.
_STORED_ELSEWHERE: Final = """
WITH mine AS MATERIALIZED (SELECT unnest(%s::uuid[]) AS id, unnest(%s::timestamptz[]) AS at)
SELECT mine.id::text, min(found."timestamp") FROM mine CROSS JOIN LATERAL (
    SELECT "timestamp" FROM events
    WHERE event_id = mine.id AND "timestamp" >= %s AND "timestamp" < %s AND "timestamp" <> mine.at OFFSET 0
) AS found GROUP BY 1
UNION ALL
SELECT mine.id::text, odd."timestamp" FROM mine CROSS JOIN LATERAL (
    SELECT event_id, "timestamp" FROM event_odd_times
    WHERE is_odd_id AND event_id = mine.id AND "timestamp" <> mine.at OFFSET 0
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


def record_unusual_times(connection: Connection, rows: Iterable[EventRow]) -> None:
    """Note those of the stored ``rows`` that are not where their event_id or their snapshot's key says."""
    near: dict[tuple[str, str], bool] = {}
    odd = [found for row in rows if (found := _odd(row, near=near)) is not None]
    if odd:
        connection.execute(_NOTE, [list(column) for column in zip(*odd, strict=True)])


def delete_repeated_events(connection: Connection, rows: Sequence[EventRow]) -> dict[str, datetime]:
    """Delete those of ``rows`` whose event_id is stored with another time already; return that time, by event_id.

    ``rows`` were inserted in this transaction, which has locked their outboxes (``sequences.record_sequences``), so two
    transactions never both keep one. Call before ``record_unusual_times``.
    """
    if not rows:
        return {}
    ids = [row.event_id for row in rows]
    earliest, latest = _minting_bounds(ids)
    # As array literals, which neither ids nor times need quotes in: a third of what lists of objects take.
    arrays = (_array(ids), _array(row.timestamp for row in rows))
    found: dict[str, datetime] = dict(connection.execute(_STORED_ELSEWHERE, [*arrays, earliest, latest]).fetchall())
    if found:
        repeats = [row for row in rows if row.event_id in found]
        connection.execute(_TAKE_BACK, [[row.event_id for row in repeats], [row.timestamp for row in repeats]])
    return found


def _minting_bounds(event_ids: Sequence[str]) -> tuple[datetime, datetime]:
    """Return from when to when events near the minting of these ids may be; an empty span where none says a time."""
    # The beginning of a UUIDv7 is a hexadecimal number of fixed length: it sorts as text.
    minted = [event_id for event_id in event_ids if event_id[14] == "7" and event_id < _LAST_MINTED]
    if not minted:
        return _EPOCH, _EPOCH
    return _moment(min(minted)) - _NEAR, _moment(max(minted)) + _NEAR


def _array(texts: Iterable[str]) -> str:
    return "{" + ",".join(texts) + "}"


def uuid7_time(event_id: str) -> datetime | None:
    """Return when a UUIDv7 was minted, None for another kind (or one that claims a time beyond the year 3000)."""
    return _moment(event_id) if event_id[14] == "7" and event_id < _LAST_MINTED else None


def _moment(event_id: str) -> datetime:
    return datetime.fromtimestamp(int(event_id[:8] + event_id[9:13], 16) / 1000, UTC)


def _odd(row: EventRow, *, near: dict[tuple[str, str], bool]) -> _Odd | None:
    # A batch has few hours and few beginnings of ids (which change every 65 s), so nearly all are compared once.
    span = (row.event_id[:8], row.timestamp[:13])
    surely_near = near.get(span)
    if surely_near is None:
        surely_near = near[span] = _distance(row) < _NEAR - _SPAN
    is_odd_id = row.event_id[14] != "7" or not (surely_near or _distance(row) <= _NEAR)
    path = row.snapshot_path
    is_odd_path = path is not None and not _says_its_event(path, row.camera_id, row.timestamp)
    if not is_odd_id and not is_odd_path:
        return None
    return _Odd(row.event_id, row.timestamp, row.device_id, path if is_odd_path else None, is_odd_id)


def _distance(row: EventRow) -> timedelta:
    """Return how far the event's time is from the minting of its id; as far as can be where the id says no time."""
    minted = uuid7_time(row.event_id)
    return timedelta.max if minted is None else abs(datetime.fromisoformat(row.timestamp) - minted)


def _says_its_event(path: str, camera_id: str, timestamp: str) -> bool:
    """Tell whether a snapshot's key is that of an event of this camera and time (``YYYY-MM-DDTHH:MM:SS.ffffffZ``)."""
    day, clock = timestamp[:10], timestamp[11:26].replace(":", "").replace(".", "_")
    return path.startswith(f"{camera_id}/{day}/") and f"_{clock}." in path


def parse_snapshot_path(path: str) -> tuple[str, datetime] | None:
    """Return camera and time that a snapshot's key says, None where it is no such key."""
    try:
        camera_id, day, name = path.split("/")
        clock = name.rpartition(".")[0][-13:]
        return camera_id, datetime.strptime(f"{day} {clock}", "%Y-%m-%d %H%M%S_%f").replace(tzinfo=UTC)
    except ValueError:
        return None
