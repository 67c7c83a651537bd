"""Users and API keys, as ``vedette-admin`` changes them. Each function is one transaction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from cloud_functions.api.security.api_keys import new_api_key
from cloud_functions.api.security.passwords import MAX_PASSWORD, MIN_PASSWORD, hash_password
from cloud_functions.api.security.permissions import PERMISSIONS
from cloud_functions.api.security.roles import is_permission
from cloud_functions.api.security.user_authorizer import ALL_SCOPES
from cloud_functions.db.cameras.groups import find_group
from cloud_functions.db.types import Connection
from cloud_functions.db.users.accounts import (
    USERNAME,
    NewUser,
    User,
    UserTakenError,
    create_user,
    find_login,
    list_users,
    set_active,
    set_password,
)
from cloud_functions.db.users.api_keys import ApiKeyRow, KeyNameTakenError, create_api_key, revoke_api_key
from cloud_functions.db.users.refresh_tokens import revoke_user_tokens
from infra.admin.audit import record_command
from infra.admin.database import transaction
from shared.clock import format_utc
from shared.errors import ConfigurationError, PermanentError
from shared.ids import Uuid7Generator

_new_id = Uuid7Generator()
_MAX_KEY_NAME = 100


def create(
    url: str, username: str, *, role: str, email: str | None, groups: Sequence[str] | None, password: str
) -> None:
    """Create a user; raise ConfigurationError for invalid values and PermanentError if the name is in use."""
    if not USERNAME.fullmatch(username):
        raise ConfigurationError("a username has at most 64 letters, digits, dots, hyphens and underscores")
    if email is not None and not (email.find("@") > 0 and 3 <= len(email) <= 254):
        raise ConfigurationError("--email is not an email address")
    password_hash = _hash(password)
    with transaction(url) as connection:
        try:
            user = NewUser(
                id=_new_id(),
                username=username,
                email=email,
                role=role,
                groups=_slugs(connection, groups),
                password_hash=password_hash,
            )
            create_user(connection, user)
            record_command(connection, "create_user", target=f"user={username}", role=role, groups=user.groups)
        except UserTakenError:
            raise PermanentError("another user has this username or email") from None


def user_lines(url: str) -> Iterator[str]:
    """Yield one line for each user: name, role, groups, state, last log-in, separated by tabs."""
    with transaction(url) as connection:
        users, _ = list_users(connection)
    for user in users:
        groups = "all cameras" if user.groups is None else ",".join(user.groups)
        last_login = "never" if user.last_login is None else format_utc(user.last_login)
        yield "\t".join((user.username, user.role, groups, "active" if user.is_active else "disabled", last_login))


def set_enabled(url: str, username: str, *, is_enabled: bool) -> None:
    """Allow or refuse log-ins of a user; end the sessions of a user that is disabled."""
    with transaction(url) as connection:
        user = _existing(connection, username)
        set_active(connection, user.id, is_active=is_enabled)
        if not is_enabled:
            revoke_user_tokens(connection, user.id)
        record_command(connection, "change_user", target=f"user={user.username}", is_active=is_enabled)


def reset_password(url: str, username: str, password: str) -> None:
    """Replace the password of a user and end the user's sessions."""
    password_hash = _hash(password)
    with transaction(url) as connection:
        user = _existing(connection, username)
        set_password(connection, user.id, password_hash)
        revoke_user_tokens(connection, user.id)
        record_command(connection, "change_password", target=f"user={user.username}")


def create_key(url: str, name: str, *, scopes: Sequence[str], groups: Sequence[str] | None, days: int | None) -> str:
    """Create an API key and return its text, which is stored nowhere."""
    if not 0 < len(name) <= _MAX_KEY_NAME or not name.isprintable():
        raise ConfigurationError(f"the name of a key is one line of at most {_MAX_KEY_NAME} characters")
    unknown = [scope for scope in scopes if scope != ALL_SCOPES and not is_permission(scope)]
    if unknown or not scopes:
        raise ConfigurationError(f"--scopes takes {ALL_SCOPES} or some of {', '.join(PERMISSIONS)}")
    key = new_api_key()
    with transaction(url) as connection:
        try:
            new = ApiKeyRow(
                id=_new_id(),
                prefix=key.prefix,
                key_hash=key.key_hash,
                name=name,
                scopes=scopes,
                groups=_slugs(connection, groups),
                lifetime=None if days is None else timedelta(days=days),
            )
            create_api_key(connection, new)
            record_command(connection, "create_api_key", target=f"key={name}", scopes=list(scopes), groups=new.groups)
        except KeyNameTakenError:
            raise PermanentError("another API key has this name") from None
    return key.text


def revoke_key(url: str, name: str) -> None:
    """Revoke an API key; raise PermanentError if there is none with this name."""
    with transaction(url) as connection:
        if not revoke_api_key(connection, name):
            raise PermanentError(f"there is no API key {name}")
        record_command(connection, "revoke_api_key", target=f"key={name}")


def _hash(password: str) -> str:
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise ConfigurationError(f"a password has {MIN_PASSWORD} to {MAX_PASSWORD} characters")
    return hash_password(password)


def _existing(connection: Connection, username: str) -> User:
    user = find_login(connection, username)
    if user is None:
        raise PermanentError(f"there is no user {username}")
    return user


def _slugs(connection: Connection, groups: Sequence[str] | None) -> list[str] | None:
    """Return the slugs of the groups; raise ConfigurationError for a group that does not exist."""
    if groups is None:
        return None
    found = {name: find_group(connection, name) for name in groups}
    missing = [name for name, group in found.items() if group is None]
    if missing or not groups:
        raise ConfigurationError(f"there is no camera group {', '.join(missing) or 'in --groups'}")
    return [group.slug for group in found.values() if group is not None]
