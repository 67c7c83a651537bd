"""What sites want for themselves (protected plates, retention) and their wrapped keys."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cloud_functions.db.types import Connection
from cloud_functions.plates.master_keys import WrappedKey

_WRITERS_LOCK: Final = 8459402173
"""Shared by every transaction that stores plates (see migration 0006); whoever holds it alone has waited for them."""


@dataclass(frozen=True, slots=True)
class Site:
    """One site's settings; days are None where the deployment's apply."""

    site_id: str
    plates_protected: bool
    plate_retention_days: int | None
    event_retention_days: int | None


@dataclass(frozen=True, slots=True)
class StoredKey:
    """One wrapped data key."""

    key_id: int
    site_id: str
    key: WrappedKey
    wrapped_at: datetime


def sites_version(connection: Connection) -> int:
    """Return a number that grows with every committed change of a site or a key."""
    row = connection.execute("SELECT version FROM sites_version").fetchone()
    return 0 if row is None else row[0]


def list_sites(connection: Connection) -> list[Site]:
    """Return the sites that have settings of their own, by name."""
    query = "SELECT site_id, plates_protected, plate_retention_days, event_retention_days FROM sites ORDER BY site_id"
    return [Site(*row) for row in connection.execute(query)]


def list_keys(connection: Connection) -> list[StoredKey]:
    """Return all wrapped keys, the oldest first."""
    query = "SELECT key_id, site_id, wrapped_key, wrapped_by, wrapped_at FROM site_keys ORDER BY key_id"
    return [
        StoredKey(number, site_id, WrappedKey(bytes(wrapped), by), at)
        for number, site_id, wrapped, by, at in connection.execute(query)
    ]


def set_protected(connection: Connection, site_id: str, *, protected: bool) -> None:
    """Protect a site's plates or stop it; returns once nobody is storing plates who does not know of it yet.

    Call in a transaction of its own, and again later where somebody has been storing plates for seconds: everybody else
    would wait as well.
    """
    connection.execute("SET LOCAL lock_timeout = '5s'")
    connection.execute("SELECT pg_advisory_xact_lock(%s)", [_WRITERS_LOCK])
    connection.execute(
        """
        INSERT INTO sites (site_id, plates_protected) VALUES (%s, %s)
        ON CONFLICT (site_id) DO UPDATE SET plates_protected = EXCLUDED.plates_protected, updated_at = now()
        """,
        [site_id, protected],
    )


def set_retention(connection: Connection, site_id: str, *, plate_days: int | None, event_days: int | None) -> None:
    """Say how many days a site keeps plates, and events of any kind; None as the deployment does."""
    connection.execute(
        """
        INSERT INTO sites (site_id, plate_retention_days, event_retention_days) VALUES (%s, %s, %s)
        ON CONFLICT (site_id) DO UPDATE SET plate_retention_days = EXCLUDED.plate_retention_days,
            event_retention_days = EXCLUDED.event_retention_days, updated_at = now()
        """,
        [site_id, plate_days, event_days],
    )


def add_key(connection: Connection, site_id: str, key: WrappedKey) -> int:
    """Keep a new wrapped key, from now on the one that seals; return its number."""
    connection.execute("INSERT INTO sites (site_id) VALUES (%s) ON CONFLICT DO NOTHING", [site_id])
    row = connection.execute(
        "INSERT INTO site_keys (site_id, wrapped_key, wrapped_by) VALUES (%s, %s, %s) RETURNING key_id",
        [site_id, key.wrapped, key.wrapped_by],
    ).fetchone()
    assert row is not None  # noqa: S101 - RETURNING after a plain INSERT
    return row[0]


def rewrap_key(connection: Connection, key_id: int, key: WrappedKey) -> None:
    """Put another wrapping in the place of a key's; the key itself stays the same."""
    connection.execute(
        "UPDATE site_keys SET wrapped_key = %s, wrapped_by = %s, wrapped_at = now() WHERE key_id = %s",
        [key.wrapped, key.wrapped_by, key_id],
    )


def delete_keys(connection: Connection, site_id: str) -> int:
    """Delete all keys of a site: what was sealed under them can never be read again. Return how many there were."""
    return connection.execute("DELETE FROM site_keys WHERE site_id = %s", [site_id]).rowcount
