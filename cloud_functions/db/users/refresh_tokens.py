"""Refresh tokens. The tokens of one log-in are a family; each token can be used once.

A token that is used twice has been copied, by the client or by someone else, so its whole family is revoked.

A transaction that adds or revokes tokens locks their user first. Otherwise a token that is being exchanged while the
sessions of the user end would leave a new one, which the end of the sessions has not seen.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final
from uuid import UUID

from cloud_functions.db.types import Connection
from cloud_functions.db.users.accounts import User, find_user

_INSERT: Final = """
INSERT INTO refresh_tokens (token_hash, family, user_id, expires_at) VALUES (%s, %s, %s, now() + %s)
"""
_REVOKE: Final = "UPDATE refresh_tokens SET revoked_at = now() WHERE revoked_at IS NULL AND "
_LOCK_USER: Final = """
SELECT FROM users WHERE id = (SELECT user_id FROM refresh_tokens WHERE token_hash = %s) FOR NO KEY UPDATE
"""
_GOES_ON: Final = """
SELECT FROM refresh_tokens
WHERE family = %s AND user_id = %s AND revoked_at IS NULL AND expires_at > now() LIMIT 1
"""
_DELETE_EXPIRED: Final = """
DELETE FROM refresh_tokens WHERE token_hash IN (
    SELECT token_hash FROM refresh_tokens WHERE expires_at < now() LIMIT %s FOR UPDATE SKIP LOCKED)
"""


def add_refresh_token(
    connection: Connection, token_hash: bytes, *, family: UUID, user_id: UUID, lifetime: timedelta
) -> None:
    """Store a new token of the family."""
    connection.execute(_INSERT, [token_hash, family, user_id, lifetime])


def use_refresh_token(connection: Connection, token_hash: bytes) -> tuple[UUID, UUID] | None:
    """Mark the token as used and return its family and user; None if it is unknown, expired, used or revoked.

    If it was used before, its family is revoked. The caller commits in either case.
    """
    connection.execute(_LOCK_USER, [token_hash])
    row = connection.execute(
        "SELECT family, user_id, used_at IS NOT NULL, revoked_at IS NOT NULL OR expires_at <= now()"
        " FROM refresh_tokens WHERE token_hash = %s FOR UPDATE",
        [token_hash],
    ).fetchone()
    if row is None:
        return None
    family, user_id, is_used, is_void = row
    if is_used:
        revoke_family(connection, family)
    if is_used or is_void:
        return None
    connection.execute("UPDATE refresh_tokens SET used_at = now() WHERE token_hash = %s", [token_hash])
    return family, user_id


def revoke_token(connection: Connection, token_hash: bytes) -> UUID | None:
    """Revoke the family of the token and return its user; None if the token is unknown."""
    connection.execute(_LOCK_USER, [token_hash])
    row = connection.execute(
        "SELECT family, user_id FROM refresh_tokens WHERE token_hash = %s", [token_hash]
    ).fetchone()
    if row is None:
        return None
    revoke_family(connection, row[0])
    return row[1]


def revoke_family(connection: Connection, family: UUID) -> None:
    """Revoke all tokens of one log-in."""
    connection.execute(_REVOKE + "family = %s", [family])


def revoke_user_tokens(connection: Connection, user_id: UUID) -> None:
    """Revoke all tokens of a user, whose row the caller has changed or locked."""
    connection.execute(_REVOKE + "user_id = %s", [user_id])


def find_token_user(connection: Connection, user_id: UUID, *, family: UUID | None) -> User | None:
    """Return the user of an access token as stored now; None if the user is disabled or the token's session has ended.

    ``family``: the session; None for a token that names none, whose user alone counts.
    """
    if family is not None and connection.execute(_GOES_ON, [family, user_id]).fetchone() is None:
        return None
    user = find_user(connection, user_id)
    return user if user is not None and user.is_active else None


def delete_expired_tokens(connection: Connection, *, limit: int) -> None:
    """Delete at most ``limit`` expired tokens, and skip those that another session uses."""
    connection.execute(_DELETE_EXPIRED, [limit])
