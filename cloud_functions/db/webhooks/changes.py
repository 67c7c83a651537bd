"""Lists and edits webhooks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import Any, Final, LiteralString
from uuid import UUID

from psycopg import errors
from psycopg.types.json import Jsonb

from cloud_functions.db.cameras.scope import CameraScope, limited, scope_parameters
from cloud_functions.db.types import Connection, Row
from cloud_functions.db.webhooks.record import EFFECTIVE_GROUPS, MAX_WEBHOOKS, WEBHOOK_IN_SCOPE, Webhook, WebhookFields
from cloud_functions.plates.master_keys import WrappedKey

_COLUMNS: Final[LiteralString] = (
    "id, name, url, filter, groups, enabled, disabled_reason, previous_until, created_at, updated_at, failures,"
    " failing_since, last_success_at, format, owner_id, dropped, dropped_at"
)
_PENDING: Final[LiteralString] = (
    "(SELECT count(*) FROM webhook_deliveries AS d WHERE d.webhook_id = webhooks.id AND d.status = 'pending')"
)
_SELECT: Final[LiteralString] = "SELECT " + _COLUMNS + ", " + _PENDING + " FROM webhooks WHERE "  # noqa: S608 - constants
_COUNT: Final = "SELECT count(*) FROM webhooks WHERE true"
_CREATE: Final = """
INSERT INTO webhooks (id, name, url, filter, groups, enabled, format, owner_id, secret, secret_wrapped_by)
VALUES (%(id)s, %(name)s, %(url)s, %(filter)s, %(groups)s, %(enabled)s, %(format)s, %(owner_id)s, %(secret)s,
    %(wrapped_by)s)
"""
# A receiver that is switched on again gets a fresh start.
_REPLACE: Final = """
UPDATE webhooks SET name = %(name)s, url = %(url)s, filter = %(filter)s, groups = %(groups)s, enabled = %(enabled)s,
    format = %(format)s, owner_id = %(owner_id)s, updated_at = now(), disabled_reason = NULL, failures = 0,
    failing_since = NULL, paused_until = NULL
WHERE id = %(id)s
"""
_ROTATE: Final = """
UPDATE webhooks SET previous_secret = secret, previous_wrapped_by = secret_wrapped_by,
    previous_until = now() + %(overlap)s, secret = %(secret)s, secret_wrapped_by = %(wrapped_by)s, updated_at = now()
WHERE id = %(id)s
"""
_SECRETS: Final[LiteralString] = (
    "SELECT id, secret, secret_wrapped_by, previous_secret, previous_wrapped_by FROM webhooks ORDER BY id"
)
_KEEP_LIMITS: Final[LiteralString] = (
    "UPDATE webhooks AS w SET groups = " + EFFECTIVE_GROUPS + " WHERE owner_id = %(user_id)s"  # noqa: S608 - constants
)


class WebhookNameTakenError(Exception):
    """Another webhook has this name."""


class TooManyWebhooksError(Exception):
    """There are ``MAX_WEBHOOKS`` already."""


def list_webhooks(
    connection: Connection, *, limit: int, offset: int, scope: CameraScope | None = None
) -> tuple[list[Webhook], int]:
    """Return one page of the webhooks in the scope, sorted by name, and their number."""
    where = limited(WEBHOOK_IN_SCOPE, scope)
    parameters = scope_parameters(scope) | {"limit": limit, "offset": offset}
    query = _SELECT + "true" + where + " ORDER BY lower(name) LIMIT %(limit)s OFFSET %(offset)s"
    rows = connection.execute(query, parameters).fetchall()
    counted = connection.execute(_COUNT + where, parameters).fetchone()
    return [_webhook(row) for row in rows], 0 if counted is None else counted[0]


def find_webhook(
    connection: Connection, webhook_id: UUID, *, scope: CameraScope | None = None, lock: bool = False
) -> Webhook | None:
    """Return one webhook in the scope, or None. ``lock`` keeps others from changing it in this transaction."""
    query = _SELECT + "id = %(id)s" + limited(WEBHOOK_IN_SCOPE, scope) + (" FOR UPDATE" if lock else "")
    row = connection.execute(query, scope_parameters(scope) | {"id": webhook_id}).fetchone()
    return None if row is None else _webhook(row)


def create_webhook(connection: Connection, webhook_id: UUID, fields: WebhookFields, secret: WrappedKey) -> None:
    """Create a webhook; raise WebhookNameTakenError or TooManyWebhooksError."""
    connection.execute("SELECT pg_advisory_xact_lock(hashtext('vedette webhooks'))")  # two may be created at once
    row = connection.execute("SELECT count(*) FROM webhooks").fetchone()
    if row is not None and row[0] >= MAX_WEBHOOKS:
        raise TooManyWebhooksError
    _execute_with_unique_name(
        connection,
        _CREATE,
        _parameters(webhook_id, fields) | {"secret": secret.wrapped, "wrapped_by": secret.wrapped_by},
    )


def replace_webhook(connection: Connection, webhook_id: UUID, fields: WebhookFields) -> None:
    """Replace what a caller sets, and end a pause after failures; raise WebhookNameTakenError."""
    _execute_with_unique_name(connection, _REPLACE, _parameters(webhook_id, fields))


def delete_webhook(connection: Connection, webhook_id: UUID) -> None:
    """Delete a webhook with its deliveries."""
    connection.execute("DELETE FROM webhooks WHERE id = %s", [webhook_id])


def rotate_secret(connection: Connection, webhook_id: UUID, secret: WrappedKey, *, overlap: timedelta) -> None:
    """Replace the secret. The one before signs too for the time of the overlap."""
    connection.execute(
        _ROTATE, {"id": webhook_id, "secret": secret.wrapped, "wrapped_by": secret.wrapped_by, "overlap": overlap}
    )


def keep_limits_of_owner(connection: Connection, user_id: UUID) -> None:
    """Give the webhooks of a user who is about to be deleted the camera groups that they have through the user now."""
    connection.execute(_KEEP_LIMITS, {"user_id": user_id})


def list_secrets(connection: Connection, *, lock: bool = False) -> list[tuple[UUID, WrappedKey, WrappedKey | None]]:
    """Return the wrapped secrets of all webhooks: the current one, and the one before.

    ``lock`` keeps others from changing them in this transaction.
    """
    rows = connection.execute(_SECRETS + (" FOR UPDATE" if lock else ""))
    return [
        (id_, WrappedKey(bytes(now), by), None if before is None else WrappedKey(bytes(before), before_by))
        for id_, now, by, before, before_by in rows
    ]


def rewrap_secrets(connection: Connection, webhook_id: UUID, secret: WrappedKey, previous: WrappedKey | None) -> None:
    """Replace the wrapped forms of a webhook's secrets; the secrets do not change."""
    connection.execute(
        "UPDATE webhooks SET secret = %s, secret_wrapped_by = %s, previous_secret = %s, previous_wrapped_by = %s"
        " WHERE id = %s",
        [secret.wrapped, secret.wrapped_by, *((None, None) if previous is None else previous), webhook_id],
    )


def _parameters(webhook_id: UUID, fields: WebhookFields) -> dict[str, Any]:
    return asdict(fields) | {"id": webhook_id, "filter": Jsonb(fields.filter)}


def _webhook(row: Row) -> Webhook:
    names = [*(name.strip() for name in _COLUMNS.split(",")), "pending"]
    return Webhook(**dict(zip(names, row, strict=True)))


def _execute_with_unique_name(connection: Connection, statement: LiteralString, parameters: Mapping[str, Any]) -> None:
    try:
        with connection.transaction():  # a savepoint: the caller's transaction stays usable
            connection.execute(statement, parameters)
    except errors.UniqueViolation:
        raise WebhookNameTakenError from None
