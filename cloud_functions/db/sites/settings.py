"""The settings of sites (protected plates, retention) and their wrapped keys."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cloud_functions.db.types import Connection
from cloud_functions.plates.master_keys import WrappedKey

_WRITERS_LOCK: Final = 8459402173
"""Advisory lock that transactions that store plates share (see migration 0006); the exclusive lock waits for them."""


@dataclass(frozen=True, slots=True)
class Site:
    """One site's settings; None for days means the deployment's default."""

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
    """Return a number that increases with every committed change of a site or a key."""
    row = connection.execute("SELECT version FROM sites_version").fetchone()
    return 0 if row is None else row[0]


def list_sites(connection: Connection) -> list[Site]:
    """Return the sites that have their own settings, sorted by name."""
    query = "SELECT site_id, plates_protected, plate_retention_days, event_retention_days FROM sites ORDER BY site_id"
    return [Site(*row) for row in connection.execute(query)]


def shows_protected_plates(connection: Connection, *, device_id: str, camera_id: str, at: datetime) -> bool:
    """Return whether a picture that the device took at ``at`` may show plates that are protected.

    That is so if its site protects plates, or the one at which it was then: the snapshot's event names it.
    """
    query = """
        SELECT EXISTS (
            SELECT 1 FROM sites WHERE plates_protected AND site_id IN (
                SELECT site_id FROM devices WHERE device_id = %(device_id)s
                UNION ALL
                SELECT site_id FROM events
                WHERE device_id = %(device_id)s AND camera_id = %(camera_id)s AND "timestamp" = %(at)s))
    """
    row = connection.execute(query, {"device_id": device_id, "camera_id": camera_id, "at": at}).fetchone()
    return row is not None and row[0]


def list_keys(connection: Connection) -> list[StoredKey]:
    """Return all wrapped keys, the oldest first."""
    query = "SELECT key_id, site_id, wrapped_key, wrapped_by, wrapped_at FROM site_keys ORDER BY key_id"
    return [
        StoredKey(number, site_id, WrappedKey(bytes(wrapped), by), at)
        for number, site_id, wrapped, by, at in connection.execute(query)
    ]


def set_protected(connection: Connection, site_id: str, *, protected: bool) -> None:
    """Set whether a site's plates are protected; return after all transactions that use the old setting have ended.

    Call in a separate transaction. If a transaction holds the lock for more than 5 s, this raises a lock timeout, so
    that other writers do not wait; call it again later.
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
    """Set how many days a site keeps plates, and events of any type; None means the deployment's default."""
    connection.execute(
        """
        INSERT INTO sites (site_id, plate_retention_days, event_retention_days) VALUES (%s, %s, %s)
        ON CONFLICT (site_id) DO UPDATE SET plate_retention_days = EXCLUDED.plate_retention_days,
            event_retention_days = EXCLUDED.event_retention_days, updated_at = now()
        """,
        [site_id, plate_days, event_days],
    )


def add_key(connection: Connection, site_id: str, key: WrappedKey) -> int:
    """Store a new wrapped key, which seals the site's future plates; return its id."""
    connection.execute("INSERT INTO sites (site_id) VALUES (%s) ON CONFLICT DO NOTHING", [site_id])
    row = connection.execute(
        "INSERT INTO site_keys (site_id, wrapped_key, wrapped_by) VALUES (%s, %s, %s) RETURNING key_id",
        [site_id, key.wrapped, key.wrapped_by],
    ).fetchone()
    assert row is not None  # noqa: S101 - RETURNING after a plain INSERT
    return row[0]


def rewrap_key(connection: Connection, key_id: int, key: WrappedKey) -> None:
    """Replace the wrapped form of a key; the key itself does not change."""
    connection.execute(
        "UPDATE site_keys SET wrapped_key = %s, wrapped_by = %s, wrapped_at = now() WHERE key_id = %s",
        [key.wrapped, key.wrapped_by, key_id],
    )


def delete_keys(connection: Connection, site_id: str) -> int:
    """Delete all keys of a site and return how many; data sealed with them can never be read again."""
    return connection.execute("DELETE FROM site_keys WHERE site_id = %s", [site_id]).rowcount
