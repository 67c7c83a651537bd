"""The rules of user administration: nobody grants more than they have, and one admin always remains.

A change of a user ends the user's sessions, with their access tokens.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

from cloud_functions.api.http.problems import Problem, invalid_parameter
from cloud_functions.api.security.api_keys import hash_of
from cloud_functions.api.security.permissions import PERMISSIONS, Permission, Principal
from cloud_functions.api.security.roles import is_permission, permissions_of
from cloud_functions.api.security.user_authorizer import ALL_SCOPES
from cloud_functions.db.cameras.groups import find_group
from cloud_functions.db.types import Connection
from cloud_functions.db.users.accounts import (
    User,
    UserFields,
    UserTakenError,
    count_admins,
    delete_user,
    find_user,
    lock_user,
    replace_user,
    set_password,
)
from cloud_functions.db.users.password_resets import set_reset_token, use_reset_token
from cloud_functions.db.users.refresh_tokens import revoke_user_tokens
from cloud_functions.db.webhooks.changes import keep_limits_of_owner

RESET_LIFETIME: Final = timedelta(hours=24)
_RESET_TOKEN_BYTES: Final = 32


def change_user(connection: Connection, principal: Principal, stored: User, fields: UserFields) -> User:
    """Replace the fields of a locked user and end the user's sessions; return the user.

    Raises:
        Problem: 403, the caller has less than the user has or gets; 409, the last admin, or an email that is in use;
            422, a camera group does not exist.
    """
    require_not_more(principal, (*permissions_of(stored.role), *permissions_of(fields.role)))
    admins = count_admins(connection)
    try:
        replace_user(connection, stored.id, fields)
    except UserTakenError:
        raise name_taken() from None
    _require_admin(connection, before=admins)
    revoke_user_tokens(connection, stored.id)
    return _existing(find_user(connection, stored.id))


def remove_user(connection: Connection, principal: Principal, stored: User) -> None:
    """Delete a locked user; raises the 403 or 409 Problem as ``change_user`` does."""
    require_not_more(principal, permissions_of(stored.role))
    admins = count_admins(connection)
    keep_limits_of_owner(connection, stored.id)
    delete_user(connection, stored.id)
    _require_admin(connection, before=admins)


def new_reset_token(connection: Connection, user_id: UUID) -> str:
    """Return a new token with which the user chooses a password."""
    token = secrets.token_urlsafe(_RESET_TOKEN_BYTES)
    set_reset_token(connection, user_id, hash_of(token), lifetime=RESET_LIFETIME)
    return token


def reset_password(connection: Connection, token: str, password_hash: str) -> User | None:
    """Set the password of the token's user and end the user's sessions; None if the token is not valid."""
    user_id = use_reset_token(connection, hash_of(token))
    if user_id is None:
        return None
    set_password(connection, user_id, password_hash)
    revoke_user_tokens(connection, user_id)
    return find_user(connection, user_id)


def locked_user(connection: Connection, ref: str) -> User:
    """Return the user with this id or username; raise the 404 Problem. No other session can change users meanwhile."""
    return _existing(lock_user(connection, ref))


def require_not_more(principal: Principal, permissions: Iterable[Permission]) -> None:
    """Raise the 403 Problem if one of the permissions is not the caller's: it could be used through someone else."""
    missing = sorted(set(permissions) - principal.permissions)
    if missing:
        detail = f"You do not have {', '.join(missing)} yourself."
        raise Problem(403, "exceeds-own-permissions", detail)


def granted(scopes: Sequence[str]) -> frozenset[Permission]:
    """Return the permissions that the scopes of an API key grant."""
    if ALL_SCOPES in scopes:
        return frozenset(PERMISSIONS)
    return frozenset(scope for scope in scopes if is_permission(scope))


def existing_groups(connection: Connection, groups: Sequence[str] | None) -> list[str] | None:
    """Return the slugs of the groups; raise the 422 Problem for one that does not exist."""
    if groups is None:
        return None
    found = [find_group(connection, group) for group in groups]
    if any(group is None for group in found):
        raise invalid_parameter("groups", "names a camera group that does not exist", location="body")
    return [group.slug for group in found if group is not None]


def name_taken() -> Problem:
    """Return the 409 Problem for a name or email that is in use."""
    return Problem(409, "name-taken", "Another user has this username or email.")


def user_not_found() -> Problem:
    """Return the 404 Problem."""
    return Problem(404, "user-not-found", "There is no user with this id or username.")


def _existing(user: User | None) -> User:
    if user is None:
        raise user_not_found()
    return user


def _require_admin(connection: Connection, *, before: int) -> None:
    if before and not count_admins(connection):
        detail = "This is the last active admin without a limit to camera groups. Make another one first."
        raise Problem(409, "last-admin", detail)
