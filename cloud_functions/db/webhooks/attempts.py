"""Claims webhooks that have due deliveries, and records what came of each attempt.

One process at a time delivers to a webhook: it holds a lease, which ends by itself if the process dies. After a failure
the webhook is paused, so that a receiver that is down gets one attempt at a time.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final, LiteralString, NamedTuple
from uuid import UUID

from cloud_functions.db.cameras.scope import CAMERA_ID_IN_SCOPE, CameraScope, scope_parameters
from cloud_functions.db.types import Connection
from cloud_functions.db.webhooks.record import EFFECTIVE_GROUPS, OWNER_IS_ACTIVE, ClaimedWebhook, DueDelivery
from cloud_functions.plates.master_keys import WrappedKey

LEASE: Final = timedelta(seconds=60)
"""Longer than one attempt may take. Each recorded attempt renews it."""
DISABLED_AFTER: Final = timedelta(days=5)
"""A webhook whose attempts have failed for this long, without one success, is disabled."""
_RESUMED_AFTER: Final = 3
"""Failures in a row that count as an outage of the receiver. The first success then makes all that failed due again."""

_CLAIM: Final[LiteralString] = """
UPDATE webhooks AS w SET lease = gen_random_uuid(), leased_until = now() + %(lease)s
WHERE id IN (
    SELECT id FROM webhooks AS w
    WHERE enabled AND (leased_until IS NULL OR leased_until < now()) AND (paused_until IS NULL OR paused_until <= now())
      AND (%(id)s::uuid IS NULL OR id = %(id)s) AND owner_is_active
      AND EXISTS (SELECT FROM webhook_deliveries AS d
                  WHERE d.webhook_id = w.id AND d.status = 'pending' AND d.next_attempt_at <= now())
    FOR NO KEY UPDATE SKIP LOCKED)
RETURNING id, lease, name, url, failures, format, effective_groups, secret, secret_wrapped_by, previous_secret,
    previous_wrapped_by, previous_until > now()
""".replace("effective_groups", EFFECTIVE_GROUPS).replace("owner_is_active", OWNER_IS_ACTIVE)
_RELEASE: Final = "UPDATE webhooks SET leased_until = NULL, paused_until = {} WHERE id = %(id)s AND lease = %(lease)s"
# What a replay sends again waits for everything else.
_DUE: Final = """
SELECT message_id, event_type, document, attempts, is_inside FROM webhook_deliveries AS d
WHERE webhook_id = %(id)s AND status = 'pending' AND next_attempt_at <= now()
ORDER BY replay_id IS NOT NULL, next_attempt_at, number LIMIT %(limit)s
"""
# Its groups, those of its owner, or the group of the camera may have changed since the event was recorded.
_INSIDE: Final[LiteralString] = (
    """(event_id IS NULL OR EXISTS (
    SELECT FROM events AS e WHERE e.id = d.event_id AND e."timestamp" = d.event_time AND """
    + CAMERA_ID_IN_SCOPE
    + "))"
)
_OUTSIDE: Final = """
UPDATE webhook_deliveries SET status = 'failed', error = 'outside-groups'
WHERE webhook_id = %s AND message_id = ANY (%s) AND status = 'pending'
"""
_ATTEMPTED: Final = """
UPDATE webhook_deliveries SET status = %(status)s, attempts = attempts + 1, last_attempt_at = now(),
    next_attempt_at = now() + %(wait)s, response_status = %(response_status)s, error = %(error)s,
    duration_ms = %(duration_ms)s
WHERE webhook_id = %(id)s AND message_id = %(message_id)s AND status = 'pending'
"""
_SUCCEEDED: Final = """
UPDATE webhooks SET failures = 0, failing_since = NULL, last_success_at = now(), leased_until = now() + %(lease_time)s
WHERE id = %(id)s AND lease = %(lease)s
"""
_RESUME: Final = """
UPDATE webhook_deliveries SET next_attempt_at = now()
WHERE webhook_id = %s AND status = 'pending' AND attempts > 0 AND next_attempt_at > now()
"""
# The lease ends with the pause, so that a process that dies in between delays nothing further.
_FAILED: Final = """
UPDATE webhooks SET failures = failures + 1, failing_since = COALESCE(failing_since, now()),
    paused_until = now() + %(pause)s, leased_until = NULL
WHERE id = %(id)s AND lease = %(lease)s
RETURNING failing_since < now() - %(limit)s
"""
_DISABLE: Final = "UPDATE webhooks SET enabled = false, disabled_reason = %s, leased_until = NULL WHERE id = %s"
_ABANDON: Final = (
    "UPDATE webhook_deliveries SET status = 'failed', error = 'webhook-disabled'"
    " WHERE webhook_id = %s AND status = 'pending'"
)


class Attempted(NamedTuple):
    """What came of one attempt."""

    response_status: int | None
    """None if no response arrived."""
    error: str | None
    """A short code; None for a success."""
    duration_ms: int


class Retry(NamedTuple):
    """What follows a failure."""

    wait: timedelta | None
    """Until the next attempt of this delivery; None if this was the last one."""
    pause: timedelta
    """In which the webhook gets no attempt at all."""


def claim_webhooks(connection: Connection, webhook_id: UUID | None = None) -> list[ClaimedWebhook]:
    """Claim all webhooks with due deliveries that no other process delivers to, or only the one with this id."""
    rows = connection.execute(_CLAIM, {"lease": LEASE, "id": webhook_id}).fetchall()
    return [_claimed(*row) for row in rows]


def _claimed(webhook_id: UUID, lease: UUID, name: str, url: str, failures: int, *others: Any) -> ClaimedWebhook:
    webhook_format, groups, secret, wrapped_by, previous, previous_by, is_previous_valid = others
    keys = [WrappedKey(bytes(secret), wrapped_by)]
    if is_previous_valid and previous is not None:
        keys.append(WrappedKey(bytes(previous), previous_by))
    return ClaimedWebhook(
        id=webhook_id,
        lease=lease,
        name=name,
        url=url,
        secrets=tuple(keys),
        failures=failures,
        format=webhook_format,
        groups=None if groups is None else tuple(groups),
    )


def due_deliveries(connection: Connection, webhook: ClaimedWebhook, *, limit: int) -> list[DueDelivery]:
    """Return the deliveries to attempt next, in the order in which they became due.

    Those of cameras outside of the webhook's camera groups fail instead.
    """
    scope = None if webhook.groups is None else CameraScope(webhook.groups)
    query = _DUE.replace("is_inside", "true" if scope is None else _INSIDE)
    parameters = scope_parameters(scope) | {"id": webhook.id, "limit": limit}
    while rows := connection.execute(query, parameters).fetchall():
        outside = [row[0] for row in rows if not row[4]]
        if outside:
            connection.execute(_OUTSIDE, [webhook.id, outside])
        if len(outside) < len(rows):
            return [
                DueDelivery(message_id=message_id, event_type=event_type, document=document, attempts=attempts)
                for message_id, event_type, document, attempts, is_inside in rows
                if is_inside
            ]
    return []


def record_success(
    connection: Connection, webhook: ClaimedWebhook, delivery: DueDelivery, attempted: Attempted, *, failures: int
) -> None:
    """Record a success. After an outage (several ``failures`` in a row), all that failed meanwhile is due again."""
    _record(connection, webhook, delivery, attempted, status="delivered", wait=timedelta(0))
    connection.execute(_SUCCEEDED, {"id": webhook.id, "lease": webhook.lease, "lease_time": LEASE})
    if failures >= _RESUMED_AFTER:
        connection.execute(_RESUME, [webhook.id])


def record_failure(
    connection: Connection, webhook: ClaimedWebhook, delivery: DueDelivery, attempted: Attempted, *, retry: Retry
) -> bool:
    """Record a failure, pause the webhook and end the lease; return whether the webhook was disabled by it."""
    status = "pending" if retry.wait is not None else "failed"
    _record(connection, webhook, delivery, attempted, status=status, wait=retry.wait or timedelta(0))
    parameters = {"id": webhook.id, "lease": webhook.lease, "pause": retry.pause, "limit": DISABLED_AFTER}
    row = connection.execute(_FAILED, parameters).fetchone()
    if row is None or not row[0]:
        return False
    disable_webhook(connection, webhook.id, reason="failing")
    return True


def disable_webhook(connection: Connection, webhook_id: UUID, *, reason: str) -> None:
    """Disable a webhook. Its pending deliveries count as failed."""
    connection.execute(_DISABLE, [reason, webhook_id])
    connection.execute(_ABANDON, [webhook_id])


def release_webhook(connection: Connection, webhook: ClaimedWebhook, *, pause: timedelta | None = None) -> None:
    """End the lease, so that any process can deliver to the webhook: at once, or after the pause."""
    until: LiteralString = "paused_until" if pause is None else "now() + %(pause)s"
    query = _RELEASE.format(until)
    connection.execute(query, {"id": webhook.id, "lease": webhook.lease, "pause": pause})


def _record(
    connection: Connection,
    webhook: ClaimedWebhook,
    delivery: DueDelivery,
    attempted: Attempted,
    *,
    status: str,
    wait: timedelta,
) -> None:
    connection.execute(
        _ATTEMPTED,
        attempted._asdict() | {"status": status, "wait": wait, "id": webhook.id, "message_id": delivery.message_id},
    )
