"""The key pairs that sign and verify access tokens. The current one signs; retired ones verify for a while."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cloud_functions.db.types import Connection

_CURRENT: Final = """
SELECT kid, algorithm, public_key, private_key, wrapped_by, created_at FROM signing_keys WHERE retired_at IS NULL
"""
_INSERT: Final = """
INSERT INTO signing_keys (kid, algorithm, public_key, private_key, wrapped_by) VALUES (%s, %s, %s, %s, %s)
"""


@dataclass(frozen=True, slots=True, repr=False)
class StoredSigningKey:
    """A key pair. No repr, to protect the private key."""

    kid: str
    algorithm: str
    public_key: bytes
    private_key: bytes
    """Raw, or wrapped by a master key."""
    wrapped_by: str | None
    """``kms:ARN`` or ``file:NAME`` of the master key; None for a raw private key."""
    created_at: datetime | None = None


def current_signing_key(connection: Connection) -> StoredSigningKey | None:
    """Return the key that signs, or None before the first log-in."""
    row = connection.execute(_CURRENT).fetchone()
    return None if row is None else StoredSigningKey(row[0], row[1], bytes(row[2]), bytes(row[3]), row[4], row[5])


def lock_signing_keys(connection: Connection) -> None:
    """Let no other session add a key until the end of the transaction."""
    connection.execute("LOCK TABLE signing_keys IN SHARE ROW EXCLUSIVE MODE")


def replace_signing_key(connection: Connection, key: StoredSigningKey, *, keep: timedelta) -> None:
    """Retire the current key, store ``key`` as the current one, and delete keys that were retired ``keep`` ago."""
    connection.execute("DELETE FROM signing_keys WHERE retired_at < now() - %s", [keep])
    connection.execute("UPDATE signing_keys SET retired_at = now() WHERE retired_at IS NULL")
    connection.execute(_INSERT, [key.kid, key.algorithm, key.public_key, key.private_key, key.wrapped_by])


def verification_keys(connection: Connection, *, keep: timedelta) -> dict[str, bytes]:
    """Return the public keys by their ids: the current one, and those that were retired less than ``keep`` ago."""
    rows = connection.execute(
        "SELECT kid, public_key FROM signing_keys WHERE retired_at IS NULL OR retired_at > now() - %s", [keep]
    )
    return {kid: bytes(public_key) for kid, public_key in rows}
