"""Reset tokens: each lets its user choose a password, once. A user has one at most."""

from __future__ import annotations

from datetime import timedelta
from typing import Final
from uuid import UUID

from cloud_functions.db.types import Connection

_INSERT: Final = """
INSERT INTO password_resets (user_id, token_hash, expires_at) VALUES (%s, %s, now() + %s)
ON CONFLICT (user_id) DO UPDATE SET token_hash = excluded.token_hash, expires_at = excluded.expires_at
"""


def set_reset_token(connection: Connection, user_id: UUID, token_hash: bytes, *, lifetime: timedelta) -> None:
    """Store the token of the user, in place of an earlier one."""
    connection.execute(_INSERT, [user_id, token_hash, lifetime])


def is_reset_token(connection: Connection, token_hash: bytes) -> bool:
    """Return whether the token can be used now."""
    statement = "SELECT FROM password_resets WHERE token_hash = %s AND expires_at > now()"
    return connection.execute(statement, [token_hash]).fetchone() is not None


def use_reset_token(connection: Connection, token_hash: bytes) -> UUID | None:
    """Delete the token and return its user; None if it is unknown or has expired."""
    row = connection.execute(
        "DELETE FROM password_resets WHERE token_hash = %s AND expires_at > now() RETURNING user_id", [token_hash]
    ).fetchone()
    return None if row is None else row[0]
