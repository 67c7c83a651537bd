"""Records which events go to which webhooks: the filters are those of the events API, in SQL.

Recording is idempotent: a message that the queue delivers again adds no second delivery. A replay makes a finished
delivery due again, once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

from psycopg import sql

from cloud_functions.db.events.filter import EventFilter, Parameters, all_of, event_conditions
from cloud_functions.db.types import Connection
from cloud_functions.db.webhooks.record import OfferedEvent, stored_filter

# The range of times selects the partitions.
_MATCHING: Final = sql.SQL(
    'SELECT id FROM events WHERE id = ANY (%(ids)s) AND "timestamp" BETWEEN %(earliest)s AND %(latest)s AND {}'
)
# A replay's deliveries may be old rows: they are due at once too, in the order of the replay.
_RECORD: Final = """
INSERT INTO webhook_deliveries AS known
    (webhook_id, message_id, event_id, event_time, event_type, document, replay_id, next_attempt_at)
SELECT %s, message_id, event_id, event_time, event_type, document, replay_id,
    CASE WHEN replay_id IS NULL THEN now() ELSE now() + (number - 1000000) * interval '1 microsecond' END
FROM unnest(%s::uuid[], %s::bigint[], %s::timestamptz[], %s::text[], %s::text[], %s::uuid[])
    WITH ORDINALITY AS offered (message_id, event_id, event_time, event_type, document, replay_id, number)
ORDER BY number
ON CONFLICT ON CONSTRAINT webhook_deliveries_message_key DO UPDATE
SET status = 'pending', attempts = 0, next_attempt_at = EXCLUDED.next_attempt_at, document = EXCLUDED.document,
    replay_id = EXCLUDED.replay_id
WHERE EXCLUDED.replay_id IS NOT NULL AND known.status <> 'pending'
  AND known.replay_id IS DISTINCT FROM EXCLUDED.replay_id
"""


class _Receiver(NamedTuple):
    webhook_id: UUID
    event_type: str | None
    event_filter: EventFilter


def record_deliveries(connection: Connection, offered: Sequence[OfferedEvent]) -> int:
    """Record a delivery for each enabled webhook and each event that its filter selects; return how many are new.

    An event that is not stored (any more) goes to no webhook.
    """
    receivers = _receivers(connection)
    if not receivers or not offered:
        return 0
    matching: dict[EventFilter, set[int]] = {}
    recorded = 0
    for receiver in receivers:
        candidates = [event for event in offered if _may_receive(receiver, event)]
        if not candidates:
            continue
        if receiver.event_filter not in matching:
            matching[receiver.event_filter] = _matching(connection, receiver.event_filter, offered)
        chosen = [event for event in candidates if event.event_id in matching[receiver.event_filter]]
        recorded += _record(connection, receiver.webhook_id, chosen) if chosen else 0
    return recorded


def _receivers(connection: Connection) -> list[_Receiver]:
    # Locked, so that a deletion waits and no delivery is recorded for a webhook that is gone.
    rows = connection.execute("SELECT id, filter, groups FROM webhooks WHERE enabled ORDER BY id FOR KEY SHARE")
    return [
        _Receiver(id_, conditions.get("event_type"), stored_filter(conditions, groups))
        for id_, conditions, groups in rows
    ]


def _may_receive(receiver: _Receiver, event: OfferedEvent) -> bool:
    """Return whether a replay is for this webhook, and whether the type of the document is right.

    An ``anpr`` event and its match have the same row, so the filter in SQL selects both.
    """
    if event.replay_id is not None and event.replay_to != receiver.webhook_id:
        return False
    return receiver.event_type is None or event.event_type == receiver.event_type


def _matching(connection: Connection, event_filter: EventFilter, offered: Sequence[OfferedEvent]) -> set[int]:
    conditions, parameters = event_conditions(event_filter, by_label_index=False)
    values: Parameters = {
        **parameters,
        "ids": [event.event_id for event in offered],
        "earliest": min(event.event_time for event in offered),
        "latest": max(event.event_time for event in offered),
    }
    return {number for (number,) in connection.execute(_MATCHING.format(all_of(conditions)), values)}


def _record(connection: Connection, webhook_id: UUID, events: Sequence[OfferedEvent]) -> int:
    columns: defaultdict[str, list[Any]] = defaultdict(list)
    # The queue may deliver a message twice in one batch, and a statement may change a row only once.
    chosen = {event.message_id: event for event in sorted(events, key=lambda one: one.replay_id is None)}
    for event in chosen.values():
        columns["message_id"].append(event.message_id)
        columns["event_id"].append(event.event_id)
        columns["event_time"].append(event.event_time)
        columns["event_type"].append(event.event_type)
        columns["document"].append(event.document)
        columns["replay_id"].append(event.replay_id)
    return connection.execute(_RECORD, [webhook_id, *columns.values()]).rowcount
