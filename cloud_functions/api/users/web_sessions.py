"""Sessions of the dashboard, which are kept by a cookie: log-in and log-out."""

from __future__ import annotations

import secrets
from typing import Final

from fastapi import Request

from cloud_functions.api.dependencies import Dependencies
from cloud_functions.api.security.session_cookie import LIFETIME, session_hash
from cloud_functions.api.users.sessions import checked_user, require_log_ins, session_end, wrong_credentials
from cloud_functions.db.types import Connection
from cloud_functions.db.users.accounts import User, record_login
from cloud_functions.db.users.refresh_tokens import delete_expired_tokens
from cloud_functions.db.users.web_sessions import add_web_session

_DELETED_PER_LOGIN: Final = 20
_TOKEN_BYTES: Final = 32


async def begin_web_session(deps: Dependencies, request: Request, *, login: str, password: str) -> tuple[User, str]:
    """Return the user and the token of a new session.

    Raises:
        Problem: 401, the user does not exist, is disabled, or the password is wrong; 404, there are no log-ins;
            429, too many attempts.
    """
    require_log_ins(deps)
    user = await checked_user(deps, request, login=login, password=password)
    token = secrets.token_urlsafe(_TOKEN_BYTES)

    def begin(connection: Connection) -> None:
        if not record_login(connection, user):
            raise wrong_credentials()
        add_web_session(connection, session_hash(token), user_id=user.id, lifetime=LIFETIME)
        delete_expired_tokens(connection, limit=_DELETED_PER_LOGIN)

    await deps.database.run(begin)
    return user, token


async def end_web_session(deps: Dependencies, token: str) -> None:
    """End the session; do nothing for an unknown one."""
    await deps.database.run(session_end(session_hash(token)))
