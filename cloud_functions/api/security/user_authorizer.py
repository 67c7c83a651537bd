"""Authorizes users by their access token or session cookie, programs by their API key, and others by a role.

What a caller may do is what the database says now: tokens, cookies and keys end at once with their session or user.
Tokens and keys are accepted as ``Authorization: Bearer …``, and an API key also as ``X-API-Key``. The cookie counts in
requests without them.
"""

from __future__ import annotations

import hmac
import math
from dataclasses import replace
from typing import Final, Protocol

from fastapi import Request

from cloud_functions.api.http.problems import Problem
from cloud_functions.api.security.api_keys import KEY_START, hash_of, prefix_of
from cloud_functions.api.security.login_throttle import address_subject
from cloud_functions.api.security.permissions import (
    PERMISSIONS,
    Credential,
    Permission,
    Principal,
    RequestCaller,
    caller_of,
    missing_permission,
)
from cloud_functions.api.security.rate_limit.limiters import RateLimiter
from cloud_functions.api.security.roles import Role, is_permission, permissions_of
from cloud_functions.api.security.session_cookie import session_hash, session_token
from cloud_functions.api.security.tokens import AccessTokens, InvalidTokenError
from cloud_functions.db.types import Connection, QueryRunner
from cloud_functions.db.users.accounts import User
from cloud_functions.db.users.api_keys import ApiKey, find_api_key, record_key_use
from cloud_functions.db.users.refresh_tokens import find_token_user
from cloud_functions.db.users.web_sessions import find_session_user

ALL_SCOPES: Final = "*"
CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="vedette"'}


class OidcAuthorizer(Protocol):
    """Verifies tokens of an OpenID Connect issuer; ``oidc.tokens.OidcTokens`` does."""

    def accepts(self, token: str) -> bool:
        """Return whether the token says that it is of the issuer. That alone proves nothing."""
        ...

    async def principal(self, token: str) -> Principal:
        """Return the caller; raise InvalidTokenError for a token that is not valid now."""
        ...


class UserAuthorizer:
    """Accepts the access tokens and API keys in the database."""

    def __init__(
        self,
        *,
        database: QueryRunner,
        tokens: AccessTokens,
        anonymous_role: Role | None = None,
        limiter: RateLimiter | None = None,
        oidc: OidcAuthorizer | None = None,
    ) -> None:
        """``anonymous_role``: the role of a caller without credentials; None rejects such a caller."""
        self._database = database
        self._tokens = tokens
        self._anonymous_role = anonymous_role
        self._limiter = limiter
        self._oidc = oidc

    async def authorize(self, request: Request, permission: Permission) -> Principal:
        """Return the caller.

        Raises:
            Problem: 401, the credentials are missing or invalid; 403, the caller does not have the permission;
                429, too many requests.
        """
        caller = caller_of(request)
        if caller.principal is None:  # else the route requires a second permission
            principal = await self._identified(request) or self._anonymous(permission)
            await self._limit(caller, principal, request)
            caller.principal = principal
        principal = caller.principal
        if principal.kind == "anonymous" and permission not in principal.permissions:
            raise _not_authenticated()
        if permission not in principal.permissions:
            raise missing_permission(permission)
        return principal

    def _anonymous(self, permission: Permission) -> Principal:
        permissions = frozenset[Permission]() if self._anonymous_role is None else permissions_of(self._anonymous_role)
        if permission not in permissions:
            raise _not_authenticated()
        return Principal(name="anonymous", permissions=permissions)

    async def _identified(self, request: Request) -> Principal | None:
        """Return the caller; None for a request without credentials."""
        credential = _credential(request)
        if credential is None:
            session = session_token(request)
            return None if session is None else await self._session(session)
        if credential.startswith(KEY_START):
            return await self._key(credential)
        if self._oidc is not None and self._oidc.accepts(credential):
            try:
                return await self._oidc.principal(credential)
            except InvalidTokenError:
                raise _invalid("The token of the issuer is invalid or has expired. Get another one.") from None
        return await self._user(credential)

    async def _limit(self, caller: RequestCaller, principal: Principal, request: Request) -> None:
        """Count the request; raise the 429 Problem if there were too many."""
        if self._limiter is None:
            return
        decision = await self._limiter.count(_subject(principal, request))
        caller.headers = decision.headers()
        if not decision.is_allowed:
            detail = f"You sent more than {decision.limit} requests at once. Retry after the time in Retry-After."
            wait_s = max(1, math.ceil(decision.retry_after_s))
            raise Problem(429, "too-many-requests", detail, headers={"Retry-After": str(wait_s)})

    async def _user(self, token: str) -> Principal:
        if self._tokens.needs_keys(token):
            await self._database.run(self._tokens.load_keys)
        try:
            claims = self._tokens.verify(token)
        except InvalidTokenError:
            raise _invalid("The access token is invalid or has expired. Refresh it, or log in again.") from None
        user = await self._database.run(
            lambda connection: find_token_user(connection, claims.user_id, family=claims.session)
        )
        if user is None:
            raise _invalid("The session of the access token has ended. Log in again.")
        return replace(principal_of(user), credential=Credential("token", family=claims.session))

    async def _session(self, token: str) -> Principal:
        hashed = session_hash(token)
        user = await self._database.run(lambda connection: find_session_user(connection, hashed))
        if user is None:
            raise _invalid("The session has ended. Log in again.")
        return replace(principal_of(user), credential=Credential("session", session_hash=hashed))

    async def _key(self, text: str) -> Principal:
        prefix = prefix_of(text)
        key = (
            None
            if prefix is None
            else await self._database.run(lambda connection: _valid_key(connection, prefix, text))
        )
        if key is None:
            raise _invalid("The API key is invalid, has expired or was revoked.")
        scopes = PERMISSIONS if ALL_SCOPES in key.scopes else key.scopes
        return Principal(
            name=key.name,
            kind="api_key",
            permissions=frozenset(scope for scope in scopes if is_permission(scope)),
            groups=None if key.groups is None else tuple(key.groups),
            credential=Credential("api_key", key_id=key.id),
        )


def principal_of(user: User) -> Principal:
    """Return the user as a caller."""
    return Principal(
        name=user.username,
        kind="user",
        permissions=permissions_of(user.role),
        user_id=user.id,
        groups=None if user.groups is None else tuple(user.groups),
    )


def _subject(principal: Principal, request: Request) -> str:
    """Return whose requests are counted: those of a user, of a key, or without credentials of an address."""
    if principal.kind == "anonymous":
        return address_subject(request)
    return f"{principal.kind}:{principal.user_id or principal.name}"


def _valid_key(connection: Connection, prefix: str, text: str) -> ApiKey | None:
    key = find_api_key(connection, prefix)
    if key is None or not hmac.compare_digest(key.key_hash, hash_of(text)):
        return None
    record_key_use(connection, key.id)
    return key


def _credential(request: Request) -> str | None:
    """Return the token or key of the request; None if it has none. Other schemes than Bearer are ignored."""
    keys = request.headers.getlist("x-api-key")
    bearers = [
        value.strip()
        for scheme, _, value in (header.strip().partition(" ") for header in request.headers.getlist("authorization"))
        if scheme.lower() == "bearer"
    ]
    given = [*keys, *bearers]
    if len(given) > 1:
        raise _invalid("The request has several credentials. Send one access token or one API key.")
    if keys and not keys[0].startswith(KEY_START):
        raise _invalid("X-API-Key is not an API key.")
    return given[0] if given else None


def _not_authenticated() -> Problem:
    detail = "Log in and send the access token as Authorization: Bearer TOKEN, or send an API key as X-API-Key."
    return Problem(401, "not-authenticated", detail, headers=CHALLENGE)


def _invalid(detail: str) -> Problem:
    headers = {"WWW-Authenticate": CHALLENGE["WWW-Authenticate"] + ', error="invalid_token"'}
    return Problem(401, "invalid-token", detail, headers=headers)
