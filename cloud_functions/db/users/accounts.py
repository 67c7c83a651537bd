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
from shared.ids import is_uuid

USERNAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
"""Has no ``@``, so that a username is never another user's email."""
_COLUMNS: Final = "id, username, email, password_hash, role, groups, is_active, created_at, last_login"


_CONDITIONS: Final = """
WHERE (%(search)s::text IS NULL OR position(lower(%(search)s) IN lower(username)) > 0
       OR position(lower(%(search)s) IN lower(email)) > 0)
  AND (%(role)s::text IS NULL OR role = %(role)s) AND (%(is_active)s::boolean IS NULL OR is_active = %(is_active)s)
"""


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


@dataclass(frozen=True, slots=True)
class UserFilter:
    """Conditions of a list of users, all of which must be met; None for no condition."""

    search: str | None = None
    """Part of the username or email, in any case."""
    role: str | None = None
    is_active: bool | None = None


def list_users(
    connection: Connection, where: UserFilter | None = None, *, limit: int | None = None, offset: int = 0
) -> tuple[list[User], int]:
    """Return one page of the users that meet the conditions, sorted by username, and the number of all of them."""
    where = where or UserFilter()
    values = {"search": where.search, "role": where.role, "is_active": where.is_active}
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM users {_CONDITIONS} ORDER BY lower(username) LIMIT %(limit)s OFFSET %(offset)s",  # noqa: S608
        values | {"limit": limit, "offset": offset},
    ).fetchall()
    total = connection.execute(f"SELECT count(*) FROM users {_CONDITIONS}", values).fetchone()  # noqa: S608
    return [User(*row) for row in rows], 0 if total is None else total[0]


def lock_user(connection: Connection, ref: str) -> User | None:
    """Return the user with this id or username, or None; no other session can change users meanwhile."""
    lock_users(connection)
    return find_user_by_ref(connection, ref)


def find_user_by_ref(connection: Connection, ref: str) -> User | None:
    """Return the user with this id or username, active or not, or None."""
    return find_user(connection, UUID(ref)) if is_uuid(ref) else find_login(connection, ref)


def count_admins(connection: Connection) -> int:
    """Return the number of active admins who are not limited to camera groups."""
    row = connection.execute(
        "SELECT count(*) FROM users WHERE role = 'admin' AND is_active AND groups IS NULL"
    ).fetchone()
    return 0 if row is None else row[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class UserFields:
    """What an administrator sets for a user."""

    email: str | None
    role: str
    groups: Sequence[str] | None
    """As in ``User``."""
    is_active: bool


def replace_user(connection: Connection, user_id: UUID, fields: UserFields) -> None:
    """Replace the fields; raise UserTakenError if the email is in use."""
    groups = None if fields.groups is None else list(fields.groups)
    try:
        with connection.transaction():
            connection.execute(
                "UPDATE users SET email = %s, role = %s, groups = %s, is_active = %s, updated_at = now() WHERE id = %s",
                [fields.email, fields.role, groups, fields.is_active, user_id],
            )
    except errors.UniqueViolation:
        raise UserTakenError from None


def delete_user(connection: Connection, user_id: UUID) -> None:
    """Delete the user and the user's sessions."""
    connection.execute("DELETE FROM users WHERE id = %s", [user_id])


def has_users(connection: Connection) -> bool:
    """Return whether there is a user, active or not."""
    return connection.execute("SELECT FROM users LIMIT 1").fetchone() is not None


def lock_users(connection: Connection) -> None:
    """Let no other session create or change a user until the end of the transaction."""
    connection.execute("LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE")


def set_password(connection: Connection, user_id: UUID, password_hash: str) -> None:
    """Replace the password. A reset token of the user becomes invalid."""
    connection.execute(
        "UPDATE users SET password_hash = %s, updated_at = now() WHERE id = %s", [password_hash, user_id]
    )
    connection.execute("DELETE FROM password_resets WHERE user_id = %s", [user_id])


def change_own_password(connection: Connection, checked: User, password_hash: str) -> bool:
    """Replace the password that ``checked`` has; return False if the user has another by now, or is disabled."""
    updated = connection.execute(
        "UPDATE users SET password_hash = %s, updated_at = now() WHERE id = %s AND is_active AND password_hash = %s",
        [password_hash, checked.id, checked.password_hash],
    )
    if updated.rowcount:
        connection.execute("DELETE FROM password_resets WHERE user_id = %s", [checked.id])
    return updated.rowcount > 0


def set_active(connection: Connection, user_id: UUID, *, is_active: bool) -> None:
    """Allow or refuse log-ins of the user."""
    connection.execute("UPDATE users SET is_active = %s, updated_at = now() WHERE id = %s", [is_active, user_id])


def record_login(connection: Connection, checked: User) -> bool:
    """Record that the user has logged in now; return False if the user is disabled or has another password by now.

    ``checked`` is the user whose password was checked, in an earlier transaction. The row stays locked.
    """
    updated = connection.execute(
        "UPDATE users SET last_login = now() WHERE id = %s AND is_active AND password_hash = %s",
        [checked.id, checked.password_hash],
    )
    return updated.rowcount > 0
