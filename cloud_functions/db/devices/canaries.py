"""The canaries of devices: when each was last stored, and when a subscriber last received one.

A row of its own for each device, so that canaries are no events: no list, count or subscriber of users has them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString
from uuid import UUID

from cloud_functions.db.types import Connection

# A device without this heartbeat's canary has a new one, which is published. The age counts from the first canary.
_STORE: Final = """
INSERT INTO canary_receipts AS known (device_id, site_id, canary_id, every_s, sent_at)
VALUES (%(device_id)s, %(site_id)s, %(canary_id)s, %(every_s)s, %(sent_at)s)
ON CONFLICT (device_id) DO UPDATE SET site_id = EXCLUDED.site_id, canary_id = EXCLUDED.canary_id,
    every_s = EXCLUDED.every_s, sent_at = EXCLUDED.sent_at, stored_at = now()
WHERE known.canary_id <> EXCLUDED.canary_id
RETURNING 1
"""
_RECEIVE: Final = """
UPDATE canary_receipts SET received_at = now(), received_id = %s
WHERE device_id = %s AND canary_id = %s AND received_id IS DISTINCT FROM %s
"""
AGE_S: Final[LiteralString] = "extract(epoch FROM now() - coalesce(received_at, first_stored_at))::float8"
"""Seconds since a subscriber received a canary of the device; since the first canary if none ever did."""
LATE_S: Final[LiteralString] = f"({AGE_S} - 2 * every_s - 120)"
"""By how many seconds a receipt is late: two intervals, and two minutes for the heartbeat and the way, are in time."""
_AGES: Final = f"SELECT device_id, {AGE_S}, greatest({LATE_S}, 0) FROM canary_receipts ORDER BY device_id LIMIT %s"  # noqa: S608


@dataclass(frozen=True, slots=True, kw_only=True)
class SentCanary:
    """A canary as a heartbeat has it."""

    device_id: str
    site_id: str
    canary_id: UUID
    every_s: float
    sent_at: datetime


@dataclass(frozen=True, slots=True)
class CanaryAge:
    """The age of a device's last receipt."""

    device_id: str
    age_s: float
    late_s: float
    """By how much it is late; 0 if it is in time."""


def store_canary(connection: Connection, canary: SentCanary) -> bool:
    """Store the canary of a heartbeat; return whether it is new, and so must be published."""
    values = {
        "device_id": canary.device_id,
        "site_id": canary.site_id,
        "canary_id": canary.canary_id,
        "every_s": canary.every_s,
        "sent_at": canary.sent_at,
    }
    return connection.execute(_STORE, values).fetchone() is not None


def remove_canary(connection: Connection, device_id: str) -> None:
    """Forget the receipts of a device that sends no canaries (any more), so that they do not become late."""
    connection.execute("DELETE FROM canary_receipts WHERE device_id = %s", [device_id])


def record_receipt(connection: Connection, device_id: str, canary_id: UUID) -> None:
    """Record that a subscriber has received the latest canary of a device; an earlier one changes nothing."""
    connection.execute(_RECEIVE, [canary_id, device_id, canary_id, canary_id])


def canary_ages(connection: Connection, *, limit: int = 10_000) -> list[CanaryAge]:
    """Return the ages of the devices that send canaries."""
    return [CanaryAge(*row) for row in connection.execute(_AGES, [limit])]
