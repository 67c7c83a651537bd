"""The time before which the events of a camera, type and site have expired, and their deletion.

The order in which settings apply is described in ``docs/guide/retention.md``: a hold precedes everything; the retention
of a site is a limit that nothing extends; the most specific policy replaces the default of the deployment; the size of
a policy is a limit of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, LiteralString, NamedTuple

from cloud_functions.db.retention.protection import EVENT_NOT_HELD, lock_holds, month_is_held
from cloud_functions.db.types import Connection

_LIMITS: Final[LiteralString] = """
WITH combinations AS MATERIALIZED (
    SELECT DISTINCT camera_id, event_type, site_id FROM event_counts_monthly WHERE events > 0
), policies AS MATERIALIZED (
    SELECT combinations.*, retention_policy(camera_id, event_type, site_id, false) AS by_age,
           retention_policy(camera_id, event_type, site_id, true) AS by_size
    FROM combinations
), limits AS (
    SELECT policies.camera_id, policies.event_type, policies.site_id, GREATEST(
        %(now)s::timestamptz - make_interval(days => sites.event_retention_days),
        CASE WHEN policies.event_type = 'anpr' THEN
            %(now)s::timestamptz - make_interval(days => sites.plate_retention_days) END,
        CASE WHEN policies.by_age IS NULL THEN %(default_before)s::timestamptz
             ELSE %(now)s::timestamptz - make_interval(days => aged.max_age_days) END,
        cutoffs.before) AS before
    FROM policies LEFT JOIN sites USING (site_id)
    LEFT JOIN retention_policies AS aged ON aged.policy_id = policies.by_age
    LEFT JOIN unnest(%(policy_ids)s::bigint[], %(cutoffs)s::timestamptz[]) AS cutoffs (policy_id, before)
           ON cutoffs.policy_id = policies.by_size
)
"""
_LIST: Final[LiteralString] = (
    _LIMITS + "SELECT * FROM limits WHERE before IS NOT NULL ORDER BY camera_id, event_type, site_id"  # noqa: S608
)
_EXPIRED: Final = """
SELECT c.day, c.camera_id, c.event_type, c.site_id, l.before, c.events
FROM unnest(%(cameras)s::text[], %(types)s::text[], %(sites)s::text[], %(befores)s::timestamptz[])
     AS l (camera_id, event_type, site_id, before)
JOIN event_counts_daily AS c USING (camera_id, event_type, site_id)
WHERE c.events > 0 AND c.day < l.before ORDER BY c.day, c.camera_id, c.event_type, c.site_id
"""
# An event whose camera, type and site have no limit keeps the month. The last condition is for a month without events.
_HAS_EXPIRED: Final = """
SELECT NOT EXISTS (
    SELECT FROM event_counts_monthly AS c
    LEFT JOIN unnest(%(cameras)s::text[], %(types)s::text[], %(sites)s::text[], %(befores)s::timestamptz[])
         AS l (camera_id, event_type, site_id, before) USING (camera_id, event_type, site_id)
    WHERE c.month = %(start)s AND c.events > 0 AND (l.before IS NULL OR l.before < %(end)s)
) AND (%(end)s <= %(default_before)s::timestamptz OR EXISTS (
    SELECT FROM event_counts_monthly WHERE month = %(start)s AND events > 0))
"""
# Deletes from the parent table, so that its triggers update rollups and plates, and record the pictures. Rows that
# another run is deleting are skipped.
_DELETE: Final[LiteralString] = (
    """
DELETE FROM events WHERE "timestamp" >= %(start)s AND "timestamp" < %(end)s AND (event_id, "timestamp") IN (
    SELECT event_id, "timestamp" FROM events
    WHERE camera_id = %(camera_id)s AND event_type = %(event_type)s AND site_id = %(site_id)s
      AND "timestamp" >= %(start)s AND "timestamp" < %(end)s AND """  # noqa: S608
    + EVENT_NOT_HELD
    + """
    ORDER BY "timestamp", id LIMIT %(limit)s FOR UPDATE OF events SKIP LOCKED)
"""
)


class Limit(NamedTuple):
    """The events of a camera, type and site before ``before`` have expired."""

    camera_id: str
    event_type: str
    site_id: str
    before: datetime


class ExpiredDay(NamedTuple):
    """A camera's events of one type on one UTC day; those before ``before`` have expired, unless they are held."""

    day: datetime
    camera_id: str
    event_type: str
    site_id: str
    before: datetime
    events: int
    """All events of the day, expired or not."""


class Expiry(NamedTuple):
    """All limits, at one moment; ``default_before`` is that of the deployment, or None."""

    limits: tuple[Limit, ...]
    default_before: datetime | None


def find_expiry(
    connection: Connection,
    *,
    now: datetime,
    default_before: datetime | None,
    cutoffs: Mapping[int, datetime] | None = None,
) -> Expiry:
    """Return what has expired at ``now``.

    ``default_before``: the limit of events whose age no policy limits. ``cutoffs``: those of sizes, by policy.
    """
    cutoffs = cutoffs or {}
    parameters = {
        "now": now,
        "default_before": default_before,
        "policy_ids": list(cutoffs),
        "cutoffs": list(cutoffs.values()),
    }
    return Expiry(tuple(Limit(*row) for row in connection.execute(_LIST, parameters)), default_before)


def expired_days(connection: Connection, expiry: Expiry) -> list[ExpiredDay]:
    """Return the days with events that have expired, oldest first."""
    return [ExpiredDay(*row) for row in connection.execute(_EXPIRED, limit_columns(expiry))]


def month_has_expired(connection: Connection, expiry: Expiry, *, start: datetime, end: datetime) -> bool:
    """Return whether every event of the month has expired and none is held, so that it can be dropped as a whole."""
    row = connection.execute(_HAS_EXPIRED, limit_columns(expiry) | {"start": start, "end": end}).fetchone()
    return row is not None and bool(row[0]) and not month_is_held(connection, start=start, end=end)


def delete_expired(connection: Connection, expired: ExpiredDay, *, limit: int) -> int:
    """Delete the oldest expired events of a day that are not held; return how many (at most ``limit``)."""
    lock_holds(connection)
    end = min(expired.day + timedelta(days=1), expired.before)
    return connection.execute(_DELETE, expired._asdict() | {"start": expired.day, "end": end, "limit": limit}).rowcount


def limit_columns(expiry: Expiry) -> dict[str, Any]:
    """Return the limits as parameters of a query: one array for each column."""
    columns = zip(*expiry.limits, strict=True) if expiry.limits else ((), (), (), ())
    arrays = dict(zip(("cameras", "types", "sites", "befores"), map(list, columns), strict=True))
    return arrays | {"default_before": expiry.default_before}
