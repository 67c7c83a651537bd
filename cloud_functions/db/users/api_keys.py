"""API keys: stored as SHA-256 hashes, found by their prefix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from psycopg import errors

from cloud_functions.db.types import Connection

_INSERT: Final = """
INSERT INTO api_keys (id, prefix, key_hash, name, scopes, groups, expires_at)
VALUES (%(id)s, %(prefix)s, %(key_hash)s, %(name)s, %(scopes)s, %(groups)s, now() + %(lifetime)s::interval)
"""
_FIND: Final = """
SELECT id, key_hash, name, scopes, groups, expires_at FROM api_keys
WHERE prefix = %s AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
"""
_CONDITION: Final = "WHERE %(search)s::text IS NULL OR position(lower(%(search)s) IN lower(name)) > 0"
_LISTED: Final = "id, prefix, name, scopes, groups, created_at, expires_at, last_used, revoked_at"
_RECORD_USE: Final = """
UPDATE api_keys SET last_used = now()
WHERE id = %s AND (last_used IS NULL OR last_used < now() - interval '1 minute')
"""


class KeyNameTakenError(Exception):
    """Another API key has this name, or one that differs from it only in case."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One valid API key."""

    id: UUID
    key_hash: bytes
    name: str
    scopes: list[str]
    groups: list[str] | None
    """Slugs of the camera groups that the key is limited to; None for no limit."""
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeyRow:
    """A key to store. Without a ``lifetime`` it never expires."""

    id: UUID
    prefix: str
    key_hash: bytes = field(repr=False)
    name: str
    scopes: Sequence[str]
    groups: Sequence[str] | None = None
    """As in ``ApiKey``."""
    lifetime: timedelta | None = None


def create_api_key(connection: Connection, key: ApiKeyRow) -> None:
    """Store a key; raise KeyNameTakenError if the name is in use."""
    values = {
        "id": key.id,
        "prefix": key.prefix,
        "key_hash": key.key_hash,
        "name": key.name,
        "scopes": list(key.scopes),
        "groups": None if key.groups is None else list(key.groups),
        "lifetime": key.lifetime,
    }
    try:
        with connection.transaction():
            connection.execute(_INSERT, values)
    except errors.UniqueViolation:
        raise KeyNameTakenError from None


def find_api_key(connection: Connection, prefix: str) -> ApiKey | None:
    """Return the key with this prefix, unless it has expired or was revoked. The caller compares the hash."""
    row = connection.execute(_FIND, [prefix]).fetchone()
    return None if row is None else ApiKey(row[0], bytes(row[1]), *row[2:])


def record_key_use(connection: Connection, key_id: UUID) -> None:
    """Record that the key is used now; writes at most once a minute."""
    connection.execute(_RECORD_USE, [key_id])


@dataclass(frozen=True, slots=True)
class ListedKey:
    """An API key as an administrator sees it."""

    id: UUID
    prefix: str
    """The eight characters after ``vdk_``: they identify the key and are no secret."""
    name: str
    scopes: list[str]
    groups: list[str] | None
    """As in ``ApiKey``."""
    created_at: datetime
    expires_at: datetime | None
    last_used: datetime | None
    """At most a minute old."""
    revoked_at: datetime | None


def list_api_keys(
    connection: Connection, *, search: str | None = None, limit: int | None = None, offset: int = 0
) -> tuple[list[ListedKey], int]:
    """Return one page of the keys whose name contains ``search``, newest first, and the number of all of them."""
    values = {"search": search, "limit": limit, "offset": offset}
    rows = connection.execute(
        f"SELECT {_LISTED} FROM api_keys {_CONDITION} ORDER BY created_at DESC, id LIMIT %(limit)s OFFSET %(offset)s",  # noqa: S608
        values,
    ).fetchall()
    total = connection.execute(f"SELECT count(*) FROM api_keys {_CONDITION}", values).fetchone()  # noqa: S608
    return [ListedKey(*row) for row in rows], 0 if total is None else total[0]


def find_listed_key(connection: Connection, key_id: UUID) -> ListedKey | None:
    """Return the key with this id, valid or not, or None."""
    row = connection.execute(f"SELECT {_LISTED} FROM api_keys WHERE id = %s", [key_id]).fetchone()  # noqa: S608
    return None if row is None else ListedKey(*row)


def revoke_key_by_id(connection: Connection, key_id: UUID) -> None:
    """Revoke the key; do nothing if it is revoked already."""
    connection.execute("UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE id = %s", [key_id])


def revoke_api_key(connection: Connection, name: str) -> bool:
    """Revoke the key with this name; return False if there is none. The name stays in use."""
    updated = connection.execute(
        "UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE lower(name) = lower(%s)", [name]
    )
    return updated.rowcount > 0
