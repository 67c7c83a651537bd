"""Users: created, found by name or email, changed. Names and emails are unique regardless of case."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from psycopg import errors

from cloud_functions.db.types import Connection

USERNAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
"""Has no ``@``, so that a username is never another user's email."""
_COLUMNS: Final = "id, username, email, password_hash, role, groups, is_active, created_at, last_login"


class UserTakenError(Exception):
    """Another user has this username or email, or one that differs from it only in case."""


@dataclass(frozen=True, slots=True)
class User:
    """One user. No repr of the hash, so that it is in no log."""

    id: UUID
    username: str
    email: str | None
    password_hash: str
    role: str
    groups: list[str] | None
    """Slugs of the camera groups that the user is limited to; None for no limit."""
    is_active: bool
    created_at: datetime
    last_login: datetime | None

    def __repr__(self) -> str:
        return f"User({self.username!r}, role={self.role!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUser:
    """A user to create. No repr of the hash, so that it is in no log."""

    id: UUID
    username: str
    password_hash: str = field(repr=False)
    role: str
    email: str | None = None
    groups: Sequence[str] | None = None
    """As in ``User``."""


def create_user(connection: Connection, user: NewUser) -> None:
    """Create a user; raise UserTakenError if the username or the email is in use."""
    groups = None if user.groups is None else list(user.groups)
    try:
        with connection.transaction():  # a savepoint: the caller's transaction stays usable
            connection.execute(
                "INSERT INTO users (id, username, email, password_hash, role, groups) VALUES (%s, %s, %s, %s, %s, %s)",
                [user.id, user.username, user.email, user.password_hash, user.role, groups],
            )
    except errors.UniqueViolation:
        raise UserTakenError from None


def find_login(connection: Connection, login: str) -> User | None:
    """Return the user with this username or email, active or not, or None."""
    column = "lower(email)" if "@" in login else "lower(username)"
    row = connection.execute(f"SELECT {_COLUMNS} FROM users WHERE {column} = lower(%s)", [login]).fetchone()  # noqa: S608
    return None if row is None else User(*row)


def find_user(connection: Connection, user_id: UUID) -> User | None:
    """Return the user with this id, active or not, or None."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM users WHERE id = %s", [user_id]).fetchone()  # noqa: S608
    return None if row is None else User(*row)


def list_users(connection: Connection) -> list[User]:
    """Return all users, sorted by username."""
    rows = connection.execute(f"SELECT {_COLUMNS} FROM users ORDER BY lower(username)")  # noqa: S608
    return [User(*row) for row in rows]


def has_users(connection: Connection) -> bool:
    """Return whether there is a user, active or not."""
    return connection.execute("SELECT FROM users LIMIT 1").fetchone() is not None


def lock_users(connection: Connection) -> None:
    """Let no other session create or change a user until the end of the transaction."""
    connection.execute("LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE")


def set_password(connection: Connection, user_id: UUID, password_hash: str) -> None:
    """Replace the password."""
    connection.execute(
        "UPDATE users SET password_hash = %s, updated_at = now() WHERE id = %s", [password_hash, user_id]
    )


def set_active(connection: Connection, user_id: UUID, *, is_active: bool) -> None:
    """Allow or refuse log-ins of the user."""
    connection.execute("UPDATE users SET is_active = %s, updated_at = now() WHERE id = %s", [is_active, user_id])


def record_login(connection: Connection, user_id: UUID) -> None:
    """Record that the user has logged in now."""
    connection.execute("UPDATE users SET last_login = now() WHERE id = %s", [user_id])
