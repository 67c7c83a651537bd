"""Sessions of the dashboard. A session is a row of ``refresh_tokens`` that is never exchanged for new tokens.

It therefore ends with the user's other sessions: at a change of the password, or when the user is disabled.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final
from uuid import UUID, uuid4

from cloud_functions.db.types import Connection
from cloud_functions.db.users.accounts import User, find_user
from cloud_functions.db.users.refresh_tokens import add_refresh_token

_FIND: Final = """
SELECT user_id FROM refresh_tokens
WHERE token_hash = %s AND used_at IS NULL AND revoked_at IS NULL AND expires_at > now()
"""


def add_web_session(connection: Connection, token_hash: bytes, *, user_id: UUID, lifetime: timedelta) -> None:
    """Store a new session of the user."""
    add_refresh_token(connection, token_hash, family=uuid4(), user_id=user_id, lifetime=lifetime)


def find_session_user(connection: Connection, token_hash: bytes) -> User | None:
    """Return the user of the session as stored now; None if the session has ended or the user is disabled."""
    row = connection.execute(_FIND, [token_hash]).fetchone()
    user = None if row is None else find_user(connection, row[0])
    return user if user is not None and user.is_active else None
