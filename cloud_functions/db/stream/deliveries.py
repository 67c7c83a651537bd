"""Claims connections that have something to receive, and records what came of it.

One process at a time delivers to a connection: it holds a lease, which ends by itself if the process dies. Whether the
caller's session goes on, and which camera groups it may see, is read anew with each claim.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from psycopg import sql

from cloud_functions.db.types import Connection

LEASE: Final = timedelta(seconds=30)
"""Longer than a round of deliveries takes."""
HEARTBEAT: Final = timedelta(seconds=30)
"""A connection to which nothing was sent for this long gets a heartbeat."""
STALLED: Final = timedelta(seconds=30)
"""A connection that has accepted nothing for this long is closed."""

# Whether what the connection was authorized by is still valid.
_GOES_ON: Final = """(ends_at IS NULL OR ends_at > now()) AND CASE caller
    WHEN 'token' THEN
        EXISTS (SELECT FROM users AS u WHERE u.id = c.user_id AND u.is_active)
        AND (family IS NULL OR EXISTS (
            SELECT FROM refresh_tokens AS t WHERE t.family = c.family AND t.user_id = c.user_id
            AND t.revoked_at IS NULL AND t.expires_at > now()))
    WHEN 'session' THEN EXISTS (
        SELECT FROM refresh_tokens AS t JOIN users AS u ON u.id = t.user_id WHERE t.token_hash = c.session_hash
        AND t.used_at IS NULL AND t.revoked_at IS NULL AND t.expires_at > now() AND u.is_active)
    WHEN 'api_key' THEN EXISTS (
        SELECT FROM api_keys AS k WHERE k.id = c.key_id AND k.revoked_at IS NULL
        AND (k.expires_at IS NULL OR k.expires_at > now()) AND k.scopes && ARRAY['*', 'events:read'])
    ELSE true END"""
_GROUPS: Final = """CASE
    WHEN caller IN ('token', 'session') THEN (SELECT u.groups FROM users AS u WHERE u.id = c.user_id)
    WHEN caller = 'api_key' THEN (SELECT k.groups FROM api_keys AS k WHERE k.id = c.key_id)
    ELSE c.groups END"""
_CLAIM: Final = sql.SQL(
    """
UPDATE websocket_connections AS c SET lease = gen_random_uuid(), leased_until = now() + %(lease)s
WHERE id IN (
    SELECT id FROM websocket_connections AS c
    WHERE (leased_until IS NULL OR leased_until < now()) AND (paused_until IS NULL OR paused_until <= now())
      AND (last_sent_at < now() - %(heartbeat)s
           OR EXISTS (SELECT FROM websocket_subscriptions AS s WHERE s.connection_id = c.id AND s.position < %(head)s)
           OR NOT ({goes_on}))
    ORDER BY id LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED)
RETURNING id, lease, ({goes_on}), ({groups}), stalled_since < now() - %(stalled)s, last_sent_at < now() - %(heartbeat)s
"""
).format(goes_on=sql.SQL(_GOES_ON), groups=sql.SQL(_GROUPS))
_LIMIT: Final = sql.SQL("SELECT {groups} FROM websocket_connections AS c WHERE id = %s AND {goes_on}").format(
    goes_on=sql.SQL(_GOES_ON), groups=sql.SQL(_GROUPS)
)
_SUBSCRIPTIONS: Final = """
SELECT connection_id, id, name, filter, position FROM websocket_subscriptions WHERE connection_id = ANY (%s) ORDER BY id
"""
_MOVE: Final = """
UPDATE websocket_subscriptions AS s SET position = moved.position
FROM unnest(%s::bigint[], %s::bigint[]) AS moved (id, position) WHERE s.id = moved.id AND s.position < moved.position
"""
_RELEASE: Final = """
UPDATE websocket_connections AS c SET lease = NULL, leased_until = NULL,
    last_sent_at = CASE WHEN done.outcome = 'sent' THEN now() ELSE last_sent_at END,
    stalled_since = CASE done.outcome WHEN 'sent' THEN NULL WHEN 'refused' THEN COALESCE(stalled_since, now())
                    ELSE stalled_since END,
    paused_until = CASE WHEN done.outcome = 'refused' THEN now() + %(pause)s END
FROM unnest(%(ids)s::text[], %(leases)s::uuid[], %(outcomes)s::text[]) AS done (id, lease, outcome)
WHERE c.id = done.id AND c.lease = done.lease
"""
_WAITING: Final = """
SELECT EXISTS (SELECT FROM websocket_subscriptions AS s WHERE s.position < %s)
"""


@dataclass(frozen=True, slots=True)
class StoredSubscription:
    """One subscription and how far it was delivered."""

    id: int
    name: str
    filter: Mapping[str, Any]
    position: int


@dataclass(frozen=True, slots=True)
class ClaimedConnection:
    """A connection that this process delivers to."""

    id: str
    lease: UUID
    goes_on: bool
    """Whether its session has not ended."""
    groups: tuple[str, ...] | None
    """The camera groups that the caller is limited to now; None for no limit."""
    is_stalled: bool
    """Whether it has accepted nothing for ``STALLED``."""
    is_quiet: bool
    """Whether nothing was sent for ``HEARTBEAT``."""
    subscriptions: tuple[StoredSubscription, ...]


@dataclass(frozen=True, slots=True)
class CallerLimit:
    """The limit of a connection's caller to camera groups, as it is now."""

    groups: tuple[str, ...] | None
    """None for no limit."""


def limit_of(connection: Connection, connection_id: str) -> CallerLimit | None:
    """Return the limit of the caller; None if the connection is not stored or its session has ended."""
    row = connection.execute(_LIMIT, [connection_id]).fetchone()
    return None if row is None else CallerLimit(None if row[0] is None else tuple(row[0]))


def claim_connections(connection: Connection, *, head: int, limit: int) -> list[ClaimedConnection]:
    """Claim connections that are behind ``head``, are due for a heartbeat, or whose session has ended."""
    parameters = {"lease": LEASE, "heartbeat": HEARTBEAT, "stalled": STALLED, "head": head, "limit": limit}
    rows = connection.execute(_CLAIM, parameters).fetchall()
    subscriptions: dict[str, list[StoredSubscription]] = {row[0]: [] for row in rows}
    if rows:
        for connection_id, *values in connection.execute(_SUBSCRIPTIONS, [list(subscriptions)]):
            subscriptions[connection_id].append(StoredSubscription(*values))
    return [
        ClaimedConnection(
            id_,
            lease,
            bool(goes_on),
            None if groups is None else tuple(groups),
            bool(is_stalled),
            bool(is_quiet),
            tuple(subscriptions[id_]),
        )
        for id_, lease, goes_on, groups, is_stalled, is_quiet in rows
    ]


def move_subscriptions(connection: Connection, positions: Mapping[int, int]) -> None:
    """Record up to which position each subscription, by id, was delivered. One that was replaced is gone."""
    if positions:
        ordered = sorted(positions.items())  # so that two processes lock in the same order
        connection.execute(_MOVE, [[id_ for id_, _ in ordered], [position for _, position in ordered]])


def release_connections(
    connection: Connection, outcomes: Sequence[tuple[ClaimedConnection, str]], *, pause: timedelta
) -> None:
    """End the claims. An outcome is ``sent``, ``idle`` (nothing to send), or ``refused``: then it pauses."""
    if outcomes:
        values = {
            "ids": [claimed.id for claimed, _ in outcomes],
            "leases": [claimed.lease for claimed, _ in outcomes],
            "outcomes": [outcome for _, outcome in outcomes],
            "pause": pause,
        }
        connection.execute(_RELEASE, values)


def is_somebody_behind(connection: Connection, *, head: int) -> bool:
    """Return whether a subscription has not been delivered up to ``head``."""
    row = connection.execute(_WAITING, [head]).fetchone()
    return row is not None and row[0]
