"""Records which events go to which webhooks: the filters are those of the events API, in SQL.

Recording is idempotent: a message that the queue delivers again adds no second delivery. A replay makes a finished
delivery due again, once. If too many are pending for a webhook, the oldest of low value are dropped, then the oldest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

from psycopg import sql

from cloud_functions.db.events.filter import EventFilter, Parameters, all_of, event_conditions
from cloud_functions.db.types import Connection
from cloud_functions.db.webhooks.record import EFFECTIVE_GROUPS, OWNER_IS_ACTIVE, OfferedEvent, stored_filter

# The range of times selects the partitions.
_MATCHING: Final = sql.SQL(
    'SELECT id FROM events WHERE id = ANY (%(ids)s) AND "timestamp" BETWEEN %(earliest)s AND %(latest)s AND {}'
)
_RECEIVERS: Final = """
SELECT w.id, w.filter, effective_groups FROM webhooks AS w WHERE w.enabled AND owner_is_active
ORDER BY w.id FOR KEY SHARE OF w
""".replace("effective_groups", EFFECTIVE_GROUPS).replace("owner_is_active", OWNER_IS_ACTIVE)
# A replay's deliveries may be old rows: they are due at once too, in the order of the replay.
_RECORD: Final = """
INSERT INTO webhook_deliveries AS known
    (webhook_id, message_id, event_id, event_time, event_type, document, replay_id, low_value, next_attempt_at)
SELECT %s, message_id, event_id, event_time, event_type, document, replay_id, low_value,
    CASE WHEN replay_id IS NULL THEN now() ELSE now() + (number - 1000000) * interval '1 microsecond' END
FROM unnest(%s::uuid[], %s::bigint[], %s::timestamptz[], %s::text[], %s::text[], %s::uuid[],
        %s::boolean[])
    WITH ORDINALITY AS offered (message_id, event_id, event_time, event_type, document, replay_id, low_value, number)
ORDER BY number
ON CONFLICT ON CONSTRAINT webhook_deliveries_message_key DO UPDATE
SET status = 'pending', attempts = 0, next_attempt_at = EXCLUDED.next_attempt_at, document = EXCLUDED.document,
    replay_id = EXCLUDED.replay_id, low_value = EXCLUDED.low_value
WHERE EXCLUDED.replay_id IS NOT NULL AND known.status <> 'pending'
  AND known.replay_id IS DISTINCT FROM EXCLUDED.replay_id
"""
# The one that is being attempted may be dropped too; it is then delivered, and counted, all the same.
_DROP: Final = """
WITH excess AS (
    SELECT greatest(count(*) - %(kept)s, 0) AS events FROM webhook_deliveries
    WHERE webhook_id = %(id)s AND status = 'pending'
), dropped AS (
    UPDATE webhook_deliveries SET status = 'failed', error = 'dropped' WHERE number = ANY (ARRAY(
        SELECT number FROM webhook_deliveries WHERE webhook_id = %(id)s AND status = 'pending'
        ORDER BY NOT low_value, number LIMIT (SELECT events FROM excess)))
    RETURNING number
)
UPDATE webhooks SET dropped = dropped + (SELECT count(*) FROM dropped), dropped_at = now()
WHERE id = %(id)s AND (SELECT events FROM excess) > 0
RETURNING (SELECT count(*) FROM dropped)
"""


class _Receiver(NamedTuple):
    webhook_id: UUID
    event_type: str | None
    event_filter: EventFilter


def record_deliveries(connection: Connection, offered: Sequence[OfferedEvent], *, max_pending: int) -> dict[UUID, int]:
    """Record a delivery for each enabled webhook and each event that its filter selects.

    An event that is not stored (any more) goes to no webhook. ``max_pending``: deliveries that may be pending for a
    webhook. Return how many were dropped of each webhook that had more.
    """
    receivers = _receivers(connection)
    dropped: dict[UUID, int] = {}
    if not receivers or not offered:
        return dropped
    matching: dict[EventFilter, set[int]] = {}
    for receiver in receivers:
        candidates = [event for event in offered if _may_receive(receiver, event)]
        if not candidates:
            continue
        if receiver.event_filter not in matching:
            matching[receiver.event_filter] = _matching(connection, receiver.event_filter, offered)
        chosen = [event for event in candidates if event.event_id in matching[receiver.event_filter]]
        if chosen and _record(connection, receiver.webhook_id, chosen):
            row = connection.execute(_DROP, {"id": receiver.webhook_id, "kept": max_pending}).fetchone()
            if row is not None:
                dropped[receiver.webhook_id] = row[0]
    return dropped


def _receivers(connection: Connection) -> list[_Receiver]:
    # Locked, so that a deletion waits and no delivery is recorded for a webhook that is gone.
    rows = connection.execute(_RECEIVERS)
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
        columns["low_value"].append(event.low_value)
    return connection.execute(_RECORD, [webhook_id, *columns.values()]).rowcount
