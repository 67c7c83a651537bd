"""The log of a webhook's deliveries: list, read, deliver again, send a test, purge."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, LiteralString
from uuid import UUID

from cloud_functions.db.types import Connection

_COLUMNS: Final[LiteralString] = (
    "message_id, event_id, event_type, status, attempts, next_attempt_at, last_attempt_at, response_status, error,"
    " duration_ms, created_at"
)
_WHERE: Final[LiteralString] = (
    " FROM webhook_deliveries WHERE webhook_id = %(id)s AND (%(status)s::text IS NULL OR status = %(status)s)"
)
_WHERE_ONE: Final[LiteralString] = " FROM webhook_deliveries WHERE webhook_id = %s AND message_id = %s"
_AGAIN: Final = """
UPDATE webhook_deliveries SET status = 'pending', attempts = 0, next_attempt_at = now()
WHERE webhook_id = %s AND message_id = %s
"""
_TEST: Final = (
    "INSERT INTO webhook_deliveries (webhook_id, message_id, event_type, document) VALUES (%s, %s, 'test', %s)"
)
# A document is not kept longer than its event.
_OLD: Final = """
DELETE FROM webhook_deliveries WHERE number = ANY (ARRAY(
    SELECT number FROM webhook_deliveries AS d
    WHERE (status <> 'pending' AND created_at < now() - %(age)s)
       OR (event_id IS NOT NULL AND NOT EXISTS (
               SELECT FROM events AS e WHERE e.id = d.event_id AND e."timestamp" = d.event_time))
    LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
"""
_EXCESS: Final = """
DELETE FROM webhook_deliveries WHERE number = ANY (ARRAY(
    SELECT d.number FROM webhooks AS w
    JOIN webhook_deliveries AS d ON d.webhook_id = w.id AND d.status <> 'pending' AND d.number <= (
        SELECT number FROM webhook_deliveries AS kept WHERE kept.webhook_id = w.id
        ORDER BY number DESC OFFSET %(kept)s LIMIT 1)
    LIMIT %(limit)s FOR UPDATE OF d SKIP LOCKED))
"""


@dataclass(frozen=True, slots=True)
class LoggedDelivery:
    """One delivery without its document."""

    message_id: UUID
    event_id: int | None
    event_type: str
    status: str
    attempts: int
    next_attempt_at: datetime
    last_attempt_at: datetime | None
    response_status: int | None
    error: str | None
    duration_ms: int | None
    created_at: datetime


def list_deliveries(
    connection: Connection, webhook_id: UUID, *, status: str | None, limit: int, offset: int
) -> tuple[list[LoggedDelivery], int]:
    """Return one page of the deliveries to a webhook, newest first, and their number."""
    parameters = {"id": webhook_id, "status": status, "limit": limit, "offset": offset}
    query = "SELECT " + _COLUMNS + _WHERE + " ORDER BY number DESC LIMIT %(limit)s OFFSET %(offset)s"
    rows = connection.execute(query, parameters).fetchall()
    counted = connection.execute("SELECT count(*)" + _WHERE, parameters).fetchone()
    return [LoggedDelivery(*row) for row in rows], 0 if counted is None else counted[0]


def find_delivery(connection: Connection, webhook_id: UUID, message_id: UUID) -> LoggedDelivery | None:
    """Return one delivery, or None."""
    query = "SELECT " + _COLUMNS + _WHERE_ONE
    row = connection.execute(query, [webhook_id, message_id]).fetchone()
    return None if row is None else LoggedDelivery(*row)


def deliver_again(connection: Connection, webhook_id: UUID, message_id: UUID) -> bool:
    """Make a delivery due now, with all its attempts; return whether there is one."""
    return connection.execute(_AGAIN, [webhook_id, message_id]).rowcount > 0


def add_test(connection: Connection, webhook_id: UUID, message_id: UUID, document: str) -> None:
    """Record the delivery of a test message."""
    connection.execute(_TEST, [webhook_id, message_id, document])


def purge_old_deliveries(connection: Connection, *, older_than: timedelta, limit: int) -> int:
    """Delete finished deliveries that are older, and those whose event was deleted; return how many."""
    return connection.execute(_OLD, {"age": older_than, "limit": limit}).rowcount


def purge_excess_deliveries(connection: Connection, *, kept: int, limit: int) -> int:
    """Delete finished deliveries that are not among the newest ``kept`` of their webhook; return how many."""
    return connection.execute(_EXCESS, {"kept": kept, "limit": limit}).rowcount
