"""Sends replays chunk by chunk: the position is stored with each chunk, so a process that dies loses none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from psycopg import sql

from cloud_functions.db.events.filter import all_of, event_conditions
from cloud_functions.db.events.record import FLAT_EVENT_COLUMNS, FlatEvent
from cloud_functions.db.events.time_buckets import time_conditions
from cloud_functions.db.replays.record import StoredReplay, stored_replay
from cloud_functions.db.types import Connection

MAX_PENDING: Final = 500
"""Events of replays that may be pending for one webhook. A replay waits while there are more, so that a slow receiver
is not flooded."""

# The replay that has waited longest. The lock lasts as long as its chunk is sent, and ends with the process.
_NEXT: Final = """
SELECT r.id, r.target, r.webhook_id, r.start_time, r.end_time, r.filter, r.groups, r.requested_by, r.events, r.status,
    r.error, r.sent, r.position_time, r.position_id, r.created_at, r.finished_at
FROM replays AS r
WHERE r.status IN ('pending', 'running')
  AND (r.webhook_id IS NULL OR (
        SELECT count(*) FROM webhook_deliveries AS d
        WHERE d.webhook_id = r.webhook_id AND d.status = 'pending' AND d.replay_id IS NOT NULL) < %s)
ORDER BY r.last_sent_at NULLS FIRST, r.created_at LIMIT 1
FOR UPDATE OF r SKIP LOCKED
"""
_EVENTS: Final = sql.SQL('SELECT {} FROM events WHERE {} ORDER BY "timestamp", id LIMIT %(limit)s')
_AFTER: Final = sql.SQL('"timestamp" >= %(after_time)s AND ("timestamp", id) > (%(after_time)s, %(after_id)s)')
_ADVANCE: Final = """
UPDATE replays SET status = %(status)s, sent = sent + %(sent)s, position_time = COALESCE(%(time)s, position_time),
    position_id = COALESCE(%(number)s, position_id), last_sent_at = clock_timestamp(),
    finished_at = CASE WHEN %(status)s = 'done' THEN clock_timestamp() END
WHERE id = %(id)s
"""
_FAIL: Final = "UPDATE replays SET status = 'failed', error = %s, finished_at = now() WHERE id = %s"
_WEBHOOK_ENABLED: Final = "SELECT enabled FROM webhooks WHERE id = %s"


def next_replay(connection: Connection) -> StoredReplay | None:
    """Return the open replay that sends its next chunk, locked for this transaction; None if none can send now."""
    row = connection.execute(_NEXT, [MAX_PENDING]).fetchone()
    return None if row is None else stored_replay(row)


def next_events(connection: Connection, replay: StoredReplay, *, limit: int) -> list[FlatEvent]:
    """Return the next events of a replay, oldest first."""
    event_filter = replay.event_filter
    conditions, parameters = event_conditions(event_filter)
    conditions += time_conditions(event_filter.span, "timestamp", parameters, "span")
    if replay.position_time is not None:
        conditions.append(_AFTER)
        parameters |= {"after_time": replay.position_time, "after_id": replay.position_id}
    query = _EVENTS.format(sql.SQL(FLAT_EVENT_COLUMNS), all_of(conditions))
    return [FlatEvent.from_row(row) for row in connection.execute(query, parameters | {"limit": limit})]


def advance_replay(
    connection: Connection, replay: StoredReplay, sent: Sequence[FlatEvent], *, is_complete: bool
) -> None:
    """Record that these events, the next ones in order, were sent."""
    last = sent[-1] if sent else None
    parameters = {
        "id": replay.id,
        "status": "done" if is_complete else "running",
        "sent": len(sent),
        "time": last and last.timestamp,
        "number": last and last.id,
    }
    connection.execute(_ADVANCE, parameters)


def fail_replay(connection: Connection, replay_id: UUID, *, error: str) -> None:
    """End a replay that cannot be sent; ``error`` is a short code."""
    connection.execute(_FAIL, [error, replay_id])


def is_webhook_enabled(connection: Connection, webhook_id: UUID) -> bool:
    """Return whether the webhook takes deliveries."""
    row = connection.execute(_WEBHOOK_ENABLED, [webhook_id]).fetchone()
    return row is not None and row[0]
