"""Sessions of users: log-in, refresh, log-out, change of password.

A log-in is counted first, in a transaction of its own; then the password is checked without a connection; then the
tokens are made, in the transaction that adds the entry of the audit log, if the user still has the checked password.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID, uuid4

from fastapi import Request

from cloud_functions.api.dependencies import Dependencies
from cloud_functions.api.http.problems import Problem
from cloud_functions.api.security.api_keys import hash_of
from cloud_functions.api.security.audit.request_audit import current_audit
from cloud_functions.api.security.login_throttle import (
    account_subject,
    address_subject,
    count_login_attempt,
    login_succeeded,
    too_many_attempts,
)
from cloud_functions.api.security.passwords import check_password, hash_password
from cloud_functions.api.security.tokens import ACCESS_LIFETIME, AccessTokens
from cloud_functions.api.security.user_authorizer import CHALLENGE
from cloud_functions.api.users.administration import reset_password
from cloud_functions.db.types import Connection
from cloud_functions.db.users.accounts import User, change_own_password, find_login, find_user, record_login
from cloud_functions.db.users.password_resets import is_reset_token
from cloud_functions.db.users.refresh_tokens import (
    add_refresh_token,
    delete_expired_tokens,
    revoke_token,
    revoke_user_tokens,
    use_refresh_token,
)

REFRESH_LIFETIME: Final = timedelta(days=30)
"""Time within which a session must be refreshed; each refresh begins it anew."""
_DELETED_PER_LOGIN: Final = 20
_REFRESH_TOKEN_BYTES: Final = 32


@dataclass(frozen=True, slots=True, repr=False)
class Session:
    """The tokens of a session. No repr, to protect them."""

    user: User
    access_token: str
    refresh_token: str
    expires_in_s: int = int(ACCESS_LIFETIME.total_seconds())


async def log_in(deps: Dependencies, request: Request, *, login: str, password: str) -> Session:
    """Return a new session.

    Raises:
        Problem: 401, the user does not exist, is disabled, or the password is wrong; 404, there are no log-ins;
            429, too many attempts.
    """
    tokens = require_log_ins(deps)
    user = await checked_user(deps, request, login=login, password=password)

    def begin(connection: Connection) -> Session:
        if not record_login(connection, user):  # disabled, or the password was changed, since it was checked
            raise wrong_credentials()
        session = _new_session(connection, tokens, user, family=uuid4())
        delete_expired_tokens(connection, limit=_DELETED_PER_LOGIN)
        return session

    return await deps.database.run(begin)


async def refresh(deps: Dependencies, token: str) -> Session:
    """Return new tokens of the session; raise the 401 Problem for a token that is not valid."""
    tokens = require_log_ins(deps)

    def rotate(connection: Connection) -> Session | None:
        used = use_refresh_token(connection, hash_of(token))
        user = None if used is None else find_user(connection, used[1])
        if used is None or user is None or not user.is_active:
            return None  # not an exception: a family that was revoked stays revoked
        return _new_session(connection, tokens, user, family=used[0])

    session = await deps.database.run(rotate)
    if session is None:
        detail = "The refresh token is not valid. Log in again."
        raise Problem(401, "invalid-refresh-token", detail, headers=CHALLENGE)
    return session


async def log_out(deps: Dependencies, token: str) -> None:
    """End the session of the refresh token; do nothing for an unknown token."""
    require_log_ins(deps)
    await deps.database.run(session_end(hash_of(token)))


def session_end(token_hash: bytes) -> Callable[[Connection], None]:
    """Return the query that ends the session of a token, and names its user in the audit log."""
    audit = current_audit()

    def end(connection: Connection) -> None:
        user_id = revoke_token(connection, token_hash)
        if audit is not None and user_id is not None:
            audit.identify(find_user(connection, user_id))

    return end


async def change_password(
    deps: Dependencies, request: Request, user_id: UUID, *, current_password: str, new_password: str
) -> None:
    """Replace the user's password and end the user's sessions.

    Raises:
        Problem: 401, the current password is wrong; 429, too many attempts.
    """
    user = await deps.database.run(lambda connection: find_user(connection, user_id))
    login = "" if user is None else user.username
    user = await checked_user(deps, request, login=login, password=current_password)
    password_hash = await deps.thread_pool.run(lambda: hash_password(new_password))

    def write(connection: Connection) -> None:
        if not change_own_password(connection, user, password_hash):
            raise wrong_credentials()
        revoke_user_tokens(connection, user.id)

    await deps.database.run(write)


async def use_reset_token(deps: Dependencies, token: str, *, new_password: str) -> None:
    """Set the password of the token's user; raise the 401 Problem for a token that is not valid."""
    require_log_ins(deps)
    user, audit = None, current_audit()

    def write(connection: Connection) -> User | None:
        user = reset_password(connection, token, password_hash)
        if audit is not None and user is not None:
            audit.identify(user)
        return user

    if await deps.database.run(lambda connection: is_reset_token(connection, hash_of(token))):  # hashing is expensive
        password_hash = await deps.thread_pool.run(lambda: hash_password(new_password))
        user = await deps.database.run(write)
    if user is None:
        detail = "The reset token is not valid. Ask an administrator for another one."
        raise Problem(401, "invalid-reset-token", detail, headers=CHALLENGE)


async def checked_user(deps: Dependencies, request: Request, *, login: str, password: str) -> User:
    """Return the active user with this name and password; count the attempt.

    Raises:
        Problem: 401, the user does not exist, is disabled, or the password is wrong; 429, too many attempts.
    """
    audit = current_audit()
    address = address_subject(request)

    def count(connection: Connection) -> tuple[User | None, str, float | None]:
        user = find_login(connection, login)
        account = account_subject(login, None if user is None else user.id)
        return user, account, count_login_attempt(connection, account=account, address=address)

    with nullcontext() if audit is None else audit.paused():
        user, account, wait_s = await deps.database.run(count)
    if wait_s is not None:
        raise too_many_attempts(wait_s)
    password_hash = user.password_hash if user is not None and user.is_active else None
    is_right = await deps.thread_pool.run(lambda: check_password(password, password_hash))
    if audit is not None:
        audit.identify(user)
    if not is_right or user is None:
        raise wrong_credentials()
    with nullcontext() if audit is None else audit.paused():
        await deps.database.run(lambda connection: login_succeeded(connection, account=account, address=address))
    return user


def wrong_credentials() -> Problem:
    """Return the 401 Problem, which is the same whatever was wrong."""
    return Problem(401, "invalid-credentials", "The username or the password is wrong.", headers=CHALLENGE)


def _new_session(connection: Connection, tokens: AccessTokens, user: User, *, family: UUID) -> Session:
    refresh_token = secrets.token_urlsafe(_REFRESH_TOKEN_BYTES)
    add_refresh_token(connection, hash_of(refresh_token), family=family, user_id=user.id, lifetime=REFRESH_LIFETIME)
    access_token = tokens.issue(
        connection, user_id=user.id, username=user.username, role=user.role, groups=user.groups, session=family
    )
    return Session(user, access_token, refresh_token)


def require_log_ins(deps: Dependencies) -> AccessTokens:
    """Return what signs the tokens of users; raise the 404 Problem where a gateway authorizes callers."""
    if deps.tokens is None:
        detail = (
            "This API has no log-ins: its gateway authorizes callers. To enable them, set API_AUTHENTICATION=users."
        )
        raise Problem(404, "users-not-enabled", detail)
    return deps.tokens
