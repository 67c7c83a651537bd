"""The size of events with their pictures, and the time before which a policy's size has expired them.

What counts of an event: its ``event_data`` as stored, 200 bytes for the other columns and the indexes, and the bytes of
its snapshot as the device reported them. Thumbnails and plate crops are not counted. The bytes of a day are measured
once and kept in ``event_sizes`` until its number of events changes.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter
from typing import Final, LiteralString, NamedTuple

from cloud_functions.db.types import Connection

BYTES: Final[LiteralString] = (
    "(pg_column_size(events.event_data) + 200 + CASE WHEN jsonb_typeof(events.snapshot -> 'bytes') = 'number'"
    " THEN (events.snapshot ->> 'bytes')::numeric ELSE 0 END)::bigint"
)
"""Bytes of one event."""
_LIMITED: Final[LiteralString] = """
WITH combinations AS MATERIALIZED (
    SELECT DISTINCT camera_id, event_type, site_id FROM event_counts_monthly WHERE events > 0
), limited AS MATERIALIZED (
    SELECT combinations.*, retention_policy(camera_id, event_type, site_id, true) AS policy_id FROM combinations
)
"""
_UNMEASURED: Final[LiteralString] = (
    _LIMITED
    + """
SELECT DISTINCT c.day FROM limited JOIN event_counts_daily AS c USING (camera_id, event_type, site_id)
LEFT JOIN event_sizes AS s USING (day, camera_id, event_type, site_id)
WHERE limited.policy_id IS NOT NULL AND c.events > 0 AND s.events IS DISTINCT FROM c.events ORDER BY c.day DESC
"""
)
_MEASURE: Final[LiteralString] = (
    "INSERT INTO event_sizes (day, camera_id, event_type, site_id, events, bytes)"  # noqa: S608
    " SELECT %(day)s, camera_id, event_type, site_id, count(*), sum(" + BYTES + ")"
    ' FROM events WHERE "timestamp" >= %(day)s AND "timestamp" < %(end)s GROUP BY camera_id, event_type, site_id'
    " ORDER BY camera_id, event_type, site_id ON CONFLICT (day, camera_id, event_type, site_id)"
    " DO UPDATE SET events = EXCLUDED.events, bytes = EXCLUDED.bytes"
)
_FORGET: Final = """
DELETE FROM event_sizes AS s WHERE NOT EXISTS (
    SELECT FROM event_counts_daily AS c WHERE c.day = s.day AND c.camera_id = s.camera_id
    AND c.event_type = s.event_type AND c.site_id = s.site_id AND c.events > 0)
"""
_DAYS: Final[LiteralString] = (
    _LIMITED
    + """
SELECT p.policy_id, p.max_bytes, s.day, sum(s.bytes)::bigint
FROM limited JOIN event_sizes AS s USING (camera_id, event_type, site_id)
JOIN retention_policies AS p ON p.policy_id = limited.policy_id
GROUP BY 1, 2, 3 ORDER BY 1, 3 DESC
"""
)
# The newest events of a day are summed until they exceed the room; the event that does so is the first to go.
_LAST_EXPIRED: Final[LiteralString] = (
    _LIMITED  # noqa: S608
    + ', sized AS (SELECT events."timestamp", sum('
    + BYTES
    + ') OVER (ORDER BY events."timestamp" DESC, events.id DESC) AS running'
    " FROM events JOIN limited USING (camera_id, event_type, site_id) WHERE limited.policy_id = %(policy_id)s"
    ' AND events."timestamp" >= %(day)s AND events."timestamp" < %(end)s)'
    ' SELECT max("timestamp") FROM sized WHERE running > %(room)s'
)


class PolicyDay(NamedTuple):
    """The measured bytes of a UTC day, of the events whose size a policy limits."""

    policy_id: int
    max_bytes: int
    day: datetime
    bytes: int


def unmeasured_days(connection: Connection) -> list[datetime]:
    """Return the UTC days whose size is limited and out of date, newest first."""
    return [day for (day,) in connection.execute(_UNMEASURED)]


def measure_day(connection: Connection, day: datetime) -> None:
    """Measure the events of a UTC day."""
    connection.execute(_MEASURE, {"day": day, "end": day + timedelta(days=1)})


def forget_sizes(connection: Connection) -> int:
    """Delete the sizes of days without events; return how many."""
    return connection.execute(_FORGET).rowcount


def measured_days(connection: Connection) -> list[PolicyDay]:
    """Return the measured days of each policy that limits a size, newest first."""
    return [PolicyDay(*row) for row in connection.execute(_DAYS)]


def size_cutoffs(connection: Connection) -> dict[int, datetime]:
    """Return, by policy, the time before which events exceed its size; policies that have room are left out.

    The newest events that fit together stay. Events of the same microsecond go together.
    """
    cutoffs: dict[int, datetime] = {}
    for policy_id, days in groupby(measured_days(connection), key=attrgetter("policy_id")):
        cutoff = _cutoff(connection, days)
        if cutoff is not None:
            cutoffs[policy_id] = cutoff
    return cutoffs


def _cutoff(connection: Connection, days: Iterable[PolicyDay]) -> datetime | None:
    newer = 0
    for day in days:
        if newer + day.bytes > day.max_bytes:
            return _cutoff_in(connection, day, room=day.max_bytes - newer)
        newer += day.bytes
    return None


def _cutoff_in(connection: Connection, day: PolicyDay, *, room: int) -> datetime:
    parameters = {"policy_id": day.policy_id, "day": day.day, "end": day.day + timedelta(days=1), "room": room}
    row = connection.execute(_LAST_EXPIRED, parameters).fetchone()
    # None: the day has changed since it was measured. Its older days do not fit in any case.
    return day.day if row is None or row[0] is None else row[0] + timedelta(microseconds=1)
