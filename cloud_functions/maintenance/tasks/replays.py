"""Sends the events of replays to the queue of their target, chunk by chunk, at a limited rate.

Fan-out then delivers them as any event, with its retries and dead letters. A chunk and the position after it are one
transaction: a process that dies has sent at most one chunk that the next one sends again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from cloud_functions.aws import MAX_BATCH_BYTES
from cloud_functions.db.events.json_size import short_numbers
from cloud_functions.db.events.record import FlatEvent, event_without_data
from cloud_functions.db.replays.record import StoredReplay
from cloud_functions.db.replays.sending import (
    advance_replay,
    fail_replay,
    is_webhook_enabled,
    next_events,
    next_replay,
)
from cloud_functions.event_messages import (
    CONTENT_ENCODING,
    GZIP_BASE64,
    REPLAY_ID,
    WEBHOOK_ID,
    as_replayed,
    compressed,
    for_xml,
)
from cloud_functions.maintenance.event_queue import EventQueue
from cloud_functions.maintenance.tasks.context import MaintenanceContext
from shared.errors import TransientError

_BUDGET_S: Final = 20.0
"""Of each minute. Other tasks of the one-machine stack wait so long."""
_PAUSE_S: Final = 1.0
_COMPRESS_ABOVE_BYTES: Final = 64 * 1024
_OVERHEAD_BYTES: Final = 1024


def send_replays(context: MaintenanceContext) -> int:
    """Send chunks of open replays, one each second, until none is left or the time is up; return how many events.

    Raises:
        TransientError: a queue did not take a chunk. The next run sends it again.
    """
    end_s = time.monotonic() + _BUDGET_S
    total = 0
    while (sent := _send_chunk(context)) is not None:
        total += sent
        if time.monotonic() >= end_s:
            break
        context.sleep(_PAUSE_S)
    return total


def _send_chunk(context: MaintenanceContext) -> int | None:
    """Send the next chunk of one replay; return how many events, or None if no replay can send now."""
    with context.database.transaction() as connection:
        chosen = next_replay(connection)
        if chosen is None:
            return None
        queue = context.fanout_queues.get(chosen.target)
        if queue is None:
            fail_replay(connection, chosen.id, error="target-not-deployed")
            return 0
        if chosen.webhook_id is not None and not is_webhook_enabled(connection, chosen.webhook_id):
            fail_replay(connection, chosen.id, error="webhook-disabled")
            return 0
        limit = context.settings.replay_events_per_s
        events = next_events(connection, chosen, limit=limit)
        _send(queue, chosen, events)
        advance_replay(connection, chosen, events, is_complete=len(events) < limit)
    return len(events)


def _send(queue: EventQueue, chosen: StoredReplay, events: Sequence[FlatEvent]) -> None:
    marks = {REPLAY_ID: str(chosen.id)}
    if chosen.webhook_id is not None:
        marks[WEBHOOK_ID] = str(chosen.webhook_id)
    bodies: dict[str, str] = {}
    attributes: dict[str, Mapping[str, str]] = {}
    for event in events:
        body, encoding = _body(event, chosen)
        bodies[event.event_id] = body
        attributes[event.event_id] = marks | encoding
    failed = queue.send(bodies, attributes) if bodies else set[str]()
    if failed:
        raise TransientError(f"{len(failed)} events of a replay could not be sent to the queue of {chosen.target}")


def _body(event: FlatEvent, chosen: StoredReplay) -> tuple[str, dict[str, str]]:
    """Return the message of an event, and the attribute of its encoding; compressed or shortened if it is large."""
    document = replace(event, event_data_json=short_numbers(event.event_data_json)).to_json()
    body = for_xml(as_replayed(document, str(chosen.id)))
    if len(body.encode()) <= _COMPRESS_ABOVE_BYTES:
        return body, {}
    small = compressed(body)
    if len(small) > MAX_BATCH_BYTES - _OVERHEAD_BYTES:
        small = compressed(as_replayed(_shortened(document), str(chosen.id)))
    return small, {CONTENT_ENCODING: GZIP_BASE64}


def _shortened(document: str) -> str:
    return json.dumps(event_without_data(document)[0], ensure_ascii=False, separators=(",", ":"))
