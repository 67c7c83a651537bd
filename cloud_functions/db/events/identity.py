"""Keeps event_id unique across times, and finds the events of a snapshot regardless of their times.

The table is partitioned by time, so its primary key is the event_id together with the time. A UUIDv7 contains its
creation time; nearly every event has a time near it and is searched there. The other events are recorded in
``event_odd_times``, as are events whose snapshot's key contains another time or camera than the event.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from cloud_functions.db.events.insert import EventRow
from cloud_functions.db.types import Connection
from shared.storage_keys import snapshot_key_matches

MINTED_WITHIN: Final = timedelta(days=2)
"""The difference between an event's time and the creation of its UUIDv7 up to which the event has a usual time."""
_SPAN: Final = timedelta(hours=1, minutes=2)
"""Maximum difference of the distances of two events of the same hour whose ids share the first eight digits."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MINTED: Final = f"{32_503_680_000_000 >> 16:08x}"  # the year 3000; later times in an id are ignored

_RECORD: Final = """
INSERT INTO event_odd_times (event_id, "timestamp", device_id, snapshot_path, is_odd_id)
SELECT unnest(%b::text[])::uuid, unnest(%b::text[])::timestamptz, unnest(%b::text[]), unnest(%b::text[]),
       unnest(%b::bool[])
"""
# One lookup of the primary key per event and month. OFFSET 0 keeps the planner from reading days by the index on time
# (which it does while a new month has no statistics) and from joining all recorded times with all events.
_STORED_ELSEWHERE: Final = """
WITH mine AS MATERIALIZED (SELECT unnest(%s::uuid[]) AS id, unnest(%s::timestamptz[]) AS at)
SELECT mine.id::text, min(stored."timestamp") FROM mine CROSS JOIN LATERAL (
    SELECT "timestamp" FROM events
    WHERE event_id = mine.id AND "timestamp" >= %s AND "timestamp" < %s AND "timestamp" <> mine.at OFFSET 0
) AS stored GROUP BY 1
UNION ALL
SELECT mine.id::text, odd."timestamp" FROM mine CROSS JOIN LATERAL (
    SELECT event_id, "timestamp" FROM event_odd_times
    WHERE is_odd_id AND event_id = mine.id AND "timestamp" <> mine.at OFFSET 0
) AS odd CROSS JOIN LATERAL (
    SELECT FROM events WHERE event_id = odd.event_id AND events."timestamp" = odd."timestamp" OFFSET 0
) AS stored
"""
_DELETE_REPEATED: Final = """
DELETE FROM events USING unnest(%s::uuid[], %s::timestamptz[]) AS doomed (doomed_id, at)
WHERE event_id = doomed_id AND "timestamp" = at
"""


class _UnusualTime(NamedTuple):
    event_id: str
    timestamp: str
    device_id: str
    snapshot_path: str | None
    is_odd_id: bool


def record_unusual_times(connection: Connection, rows: Iterable[EventRow]) -> None:
    """Record those of the stored ``rows`` whose time does not agree with their event_id or their snapshot's key."""
    near: dict[tuple[str, str], bool] = {}
    odd = [unusual for row in rows if (unusual := _unusual_time(row, near=near)) is not None]
    if odd:
        connection.execute(_RECORD, [list(column) for column in zip(*odd, strict=True)])


def delete_repeated_events(connection: Connection, rows: Sequence[EventRow]) -> dict[str, datetime]:
    """Delete those of ``rows`` whose event_id is already stored with another time; return that time, by event_id.

    ``rows`` were inserted in this transaction. If it has locked their outboxes (``sequences.record_sequences``), two
    transactions cannot both keep one. Call it before ``record_unusual_times``.
    """
    if not rows:
        return {}
    ids = [row.event_id for row in rows]
    earliest, latest = _minting_bounds(ids)
    # Array literals, in which ids and times need no quotes, take a third of the time of lists of objects.
    arrays = (_array(ids), _array(row.timestamp for row in rows))
    stored_at: dict[str, datetime] = dict(connection.execute(_STORED_ELSEWHERE, [*arrays, earliest, latest]).fetchall())
    if stored_at:
        repeats = [row for row in rows if row.event_id in stored_at]
        connection.execute(_DELETE_REPEATED, [[row.event_id for row in repeats], [row.timestamp for row in repeats]])
    return stored_at


def _minting_bounds(event_ids: Sequence[str]) -> tuple[datetime, datetime]:
    """Return the time range of events near the creation of these ids; an empty range if no id contains a time."""
    # A UUIDv7 begins with a hexadecimal number of fixed length, so text order is time order.
    minted = [event_id for event_id in event_ids if event_id[14] == "7" and event_id < _LAST_MINTED]
    if not minted:
        return _EPOCH, _EPOCH
    return _time_in(min(minted)) - MINTED_WITHIN, _time_in(max(minted)) + MINTED_WITHIN


def _array(texts: Iterable[str]) -> str:
    return "{" + ",".join(texts) + "}"


def uuid7_time(event_id: str) -> datetime | None:
    """Return the creation time of a UUIDv7; None for other versions and for times after the year 3000."""
    return _time_in(event_id) if event_id[14] == "7" and event_id < _LAST_MINTED else None


def _time_in(event_id: str) -> datetime:
    return datetime.fromtimestamp(int(event_id[:8] + event_id[9:13], 16) / 1000, UTC)


def _unusual_time(row: EventRow, *, near: dict[tuple[str, str], bool]) -> _UnusualTime | None:
    # A batch has few hours and few id prefixes (they change every 65 s), so nearly all comparisons are cached.
    span = (row.event_id[:8], row.timestamp[:13])
    surely_near = near.get(span)
    if surely_near is None:
        surely_near = near[span] = _distance(row) < MINTED_WITHIN - _SPAN
    is_odd_id = row.event_id[14] != "7" or not (surely_near or _distance(row) <= MINTED_WITHIN)
    path = row.snapshot_path
    is_odd_path = path is not None and not snapshot_key_matches(path, row.camera_id, row.timestamp)
    if not is_odd_id and not is_odd_path:
        return None
    return _UnusualTime(row.event_id, row.timestamp, row.device_id, path if is_odd_path else None, is_odd_id)


def _distance(row: EventRow) -> timedelta:
    """Return the distance of the event's time from its id's creation time; the maximum if the id contains no time."""
    minted = uuid7_time(row.event_id)
    return timedelta.max if minted is None else abs(datetime.fromisoformat(row.timestamp) - minted)
