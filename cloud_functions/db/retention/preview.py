"""What retention applies to, without deleting anything: the settings of one camera, and what the next run deletes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString, NamedTuple

from cloud_functions.db.retention.limits import find_expiry, limit_columns
from cloud_functions.db.retention.policies import RetentionPolicy, find_policy
from cloud_functions.db.retention.protection import EVENT_NOT_HELD, has_active_holds
from cloud_functions.db.retention.sizes import size_cutoffs, unmeasured_days
from cloud_functions.db.types import Connection

_APPLYING: Final = """
SELECT retention_policy(%(camera_id)s::text, %(event_type)s::text, %(site_id)s::text, false),
       retention_policy(%(camera_id)s::text, %(event_type)s::text, %(site_id)s::text, true),
       (SELECT CASE %(event_type)s::text WHEN 'anpr' THEN LEAST(event_retention_days, plate_retention_days)
               ELSE event_retention_days END FROM sites WHERE site_id = %(site_id)s::text)
"""
_SITE_OF_CAMERA: Final = """
SELECT site_id FROM event_counts_monthly WHERE camera_id = %s AND events > 0 ORDER BY month DESC LIMIT 1
"""
_HOLDS_ON_CAMERA: Final = """
SELECT DISTINCT name FROM active_holds WHERE event_id IS NULL AND (camera_id IS NULL OR camera_id = %s) ORDER BY 1
"""
_LIMITS: Final[LiteralString] = (
    "FROM unnest(%(cameras)s::text[], %(types)s::text[], %(sites)s::text[], %(befores)s::timestamptz[])"
    " AS l (camera_id, event_type, site_id, before) "
)
# Whole days are summed from the counts; only the day in which the limit lies is counted.
_EXPIRED: Final[LiteralString] = (
    "SELECT l.camera_id, l.event_type, l.site_id, l.before, COALESCE((SELECT sum(c.events) FROM event_counts_daily AS c"  # noqa: S608
    " WHERE c.camera_id = l.camera_id AND c.event_type = l.event_type AND c.site_id = l.site_id"
    " AND c.day < date_trunc('day', l.before, 'UTC')), 0)::bigint + (SELECT count(*) FROM events"
    " WHERE events.camera_id = l.camera_id AND events.event_type = l.event_type AND events.site_id = l.site_id"
    """ AND events."timestamp" >= date_trunc('day', l.before, 'UTC') AND events."timestamp" < l.before) """
    + _LIMITS
    + "ORDER BY 5 DESC, 1, 2, 3"
)
_HELD: Final[LiteralString] = (
    "SELECT l.camera_id, l.event_type, l.site_id, count(*) "
    + _LIMITS
    + 'JOIN events USING (camera_id, event_type, site_id) WHERE events."timestamp" < l.before AND NOT '
    + EVENT_NOT_HELD
    + " GROUP BY 1, 2, 3"
)


@dataclass(frozen=True, slots=True)
class Effective:
    """What applies to the events of one camera, type and site."""

    site_id: str | None
    by_age: RetentionPolicy | None
    by_size: RetentionPolicy | None
    site_days: int | None
    """The retention of the site itself."""
    holds: list[str]
    """Names of active holds on times of the camera."""


class ExpiredEvents(NamedTuple):
    """The events of a camera, type and site that have expired; ``held`` of them are kept."""

    camera_id: str
    event_type: str
    site_id: str
    before: datetime
    events: int
    held: int


class Preview(NamedTuple):
    """What the next run deletes."""

    expired: list[ExpiredEvents]
    unmeasured_days: int
    """Days whose size is not measured yet, so that a limit on sizes may delete more."""


def effective_retention(
    connection: Connection, *, camera_id: str | None, event_type: str | None, site_id: str | None
) -> Effective:
    """Return what applies to events of a camera and type; None: one without settings of its own.

    Without ``site_id``: at the site of the camera's newest events.
    """
    if site_id is None:
        known = connection.execute(_SITE_OF_CAMERA, [camera_id]).fetchone()
        site_id = None if known is None else known[0]
    parameters = {"camera_id": camera_id, "event_type": event_type, "site_id": site_id}
    row = connection.execute(_APPLYING, parameters).fetchone()
    assert row is not None  # noqa: S101 - a query without FROM
    by_age, by_size = (None if number is None else find_policy(connection, number) for number in row[:2])
    holds = [name for (name,) in connection.execute(_HOLDS_ON_CAMERA, [camera_id])]
    return Effective(site_id=site_id, by_age=by_age, by_size=by_size, site_days=row[2], holds=holds)


def preview_retention(connection: Connection, *, now: datetime, default_before: datetime | None) -> Preview:
    """Count what a run at ``now`` deletes. Sizes are those that the last run measured."""
    cutoffs = size_cutoffs(connection)
    expiry = find_expiry(connection, now=now, default_before=default_before, cutoffs=cutoffs)
    columns = limit_columns(expiry)
    held: dict[tuple[str, ...], int] = {}
    if has_active_holds(connection):
        held = {tuple(names): count for *names, count in connection.execute(_HELD, columns)}
    expired = [
        ExpiredEvents._make((*row, held.get(tuple(row[:3]), 0))) for row in connection.execute(_EXPIRED, columns)
    ]
    return Preview([one for one in expired if one.events], len(unmeasured_days(connection)))
