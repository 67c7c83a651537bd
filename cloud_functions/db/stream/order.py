"""The event stream: every stored event once, in the order of delivery.

Ids of events cannot be that order. They are assigned before the transaction commits, so an event may become visible
after events with higher ids, and a reader that has passed those would never see it. A position of the stream is
assigned after the commit, by one process at a time. A reader at a position has missed nothing before it.

Events are found in two ways: those with an id above the highest one so far are read from the database, in the order of
their ids. One that becomes visible later than that is named by the message that ingest publishes after its commit.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from cloud_functions.db.types import Connection

KEPT: Final = timedelta(days=7)
"""How long an entry is kept: the age up to which a cursor can be resumed from."""
_AT_ONCE: Final = 2000
_CURSOR: Final = re.compile(r"s1-(\d{1,18})", re.ASCII)

# Locks the row until the end of the transaction. The first delivery starts behind the newest event.
_LOCK_HEAD: Final = """
INSERT INTO event_stream_head AS head (position, highest_id)
SELECT 0, CASE WHEN is_called THEN last_value ELSE 0 END FROM events_id_seq
ON CONFLICT (is_only) DO UPDATE SET position = head.position RETURNING position, highest_id
"""
_APPEND: Final = """
WITH found AS MATERIALIZED (
    (SELECT event_id AS message_id, id AS number, "timestamp" AS moment, NULL AS document
     FROM events WHERE id > %(highest_id)s ORDER BY id LIMIT %(limit)s)
    UNION ALL
    SELECT * FROM unnest(%(message_ids)s::uuid[], %(numbers)s::bigint[], %(moments)s::timestamptz[],
                         %(documents)s::text[]) AS published (message_id, number, moment, document)
    WHERE document IS NOT NULL OR number <= %(highest_id)s
)
INSERT INTO event_stream (position, message_id, number, moment, document)
SELECT %(position)s + row_number() OVER (ORDER BY number, document IS NOT NULL), message_id, number, moment, document
FROM found WHERE NOT EXISTS (SELECT FROM event_stream AS known WHERE known.message_id = found.message_id)
RETURNING position, CASE WHEN document IS NULL THEN number ELSE 0 END
"""
_MOVE_HEAD: Final = "UPDATE event_stream_head SET position = %s, highest_id = %s"
# The oldest entries have the lowest positions, so the rest of the table is not read.
_PURGE: Final = """
DELETE FROM event_stream WHERE position IN (
    SELECT position FROM (SELECT position, created_at FROM event_stream ORDER BY position LIMIT %s) AS oldest
    WHERE created_at < now() - %s)
"""


class UnknownCursorError(Exception):
    """The text is not a cursor of this stream."""


class ExpiredCursorError(Exception):
    """What follows the cursor is no longer in the stream."""


@dataclass(frozen=True, slots=True)
class PublishedEvent:
    """An event as ingest published it after its commit."""

    message_id: UUID
    """``event_id`` of the document."""
    number: int
    """``id`` of the stored event."""
    moment: datetime
    """Its capture time."""
    document: str | None = None
    """Of a match or a replay, which is not stored as an event; None for an event that is."""


def append_events(connection: Connection, published: Sequence[PublishedEvent] = ()) -> int:
    """Append the events that are not in the stream yet, published or visible; return the position of the newest.

    Idempotent. One process at a time appends; the others wait for the end of its transaction, so keep that short.
    """
    row = connection.execute(_LOCK_HEAD).fetchone()
    position, highest_id = (0, 0) if row is None else row
    distinct = {event.message_id: event for event in published}
    values = {
        "limit": _AT_ONCE,
        "message_ids": list(distinct),
        "numbers": [event.number for event in distinct.values()],
        "moments": [event.moment for event in distinct.values()],
        "documents": [event.document for event in distinct.values()],
    }
    appended = _AT_ONCE
    while appended >= _AT_ONCE:
        parameters = values | {"position": position, "highest_id": highest_id}
        rows = connection.execute(_APPEND, parameters).fetchall()
        appended = len(rows)
        if rows:
            position = max(position, *(row[0] for row in rows))
            highest_id = max(highest_id, *(row[1] for row in rows))
            connection.execute(_MOVE_HEAD, [position, highest_id])
    return position


def head_position(connection: Connection) -> int:
    """Return the position of the newest entry; 0 if there is none."""
    row = connection.execute("SELECT position FROM event_stream_head").fetchone()
    return 0 if row is None else row[0]


def cursor_text(position: int) -> str:
    """Return the position as clients see it. They treat it as opaque."""
    return f"s1-{position}"


def resumed_position(connection: Connection, cursor: str) -> int:
    """Return the position of a cursor.

    Raises:
        UnknownCursorError: the text is no cursor, or one of another database.
        ExpiredCursorError: entries after it were deleted, because they are older than ``KEPT``.
    """
    matched = _CURSOR.fullmatch(cursor)
    position = int(matched[1]) if matched else None
    head = head_position(connection)
    if position is None or position > head:
        raise UnknownCursorError
    oldest = connection.execute("SELECT min(position) FROM event_stream").fetchone()
    first = head + 1 if oldest is None or oldest[0] is None else oldest[0]
    if position < first - 1:
        raise ExpiredCursorError
    return position


def purge_stream(connection: Connection, *, older_than: timedelta, limit: int) -> int:
    """Delete at most ``limit`` of the oldest entries, if they are older; return how many."""
    return connection.execute(_PURGE, [limit, older_than]).rowcount
