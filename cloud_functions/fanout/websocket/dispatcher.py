"""Brings connections up to date with the event stream: what they missed and what is new, by the same reading.

A round claims the connections that are behind, reads the next events of each from its position, sends one message, and
records the new position. Rounds go on until nobody is behind or the time is up. A connection that refuses a message is
left out for a moment, so it delays no other; one that refuses all of them for too long is closed. Nothing is kept in
memory between rounds.

A process that dies after sending and before recording sends the same events again: clients ignore an ``event_id`` that
they have.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from cloud_functions.db.connect import Database
from cloud_functions.db.stream.connections import remove_connection
from cloud_functions.db.stream.deliveries import (
    ClaimedConnection,
    StoredSubscription,
    claim_connections,
    is_somebody_behind,
    move_subscriptions,
    release_connections,
)
from cloud_functions.db.stream.order import PublishedEvent, append_events
from cloud_functions.db.stream.reading import StreamBatch, StreamFilter, read_stream
from cloud_functions.db.types import Connection
from cloud_functions.fanout.websocket.gateway import MAX_PARALLEL, ConnectionGateway, Outcome
from cloud_functions.fanout.websocket.messages import MAX_EVENTS, closing_message, events_message, heartbeat_message

log = logging.getLogger(__name__)

_CONNECTIONS_AT_ONCE: Final = 200
_PAUSE: Final = timedelta(milliseconds=200)
"""After a refused message."""
_POLL_S: Final = 0.05
"""While the only connections that are behind pause."""
_ENDED: Final = "Your session has ended, or your access was withdrawn. Log in again."
_SLOW: Final = "The connection accepted no message for too long. Resume from the cursors."


@dataclass(slots=True)
class _Delivery:
    """What one connection is sent in a round, and what came of it."""

    claimed: ClaimedConnection
    messages: list[tuple[StoredSubscription, str, int]] = field(default_factory=list[Any])
    """Subscription, text, and the position that it reaches."""
    positions: dict[int, int] = field(default_factory=dict[int, int])
    """Position by the id of a subscription: up to there nothing is left to deliver."""
    is_sent: bool = False
    outcome: Outcome = Outcome.SENT

    def cursors(self) -> dict[str, int]:
        """Return the position of each subscription by its name."""
        return {one.name: self.positions.get(one.id, one.position) for one in self.claimed.subscriptions}


class StreamDispatcher:
    """Delivers to the connections of all callers. Not thread-safe."""

    def __init__(
        self, *, database: Database, gateway: ConnectionGateway, budget_s: float = 5.0, busy_budget_s: float = 1.0
    ) -> None:
        """``budget_s``: how long a call goes on while connections are behind; ``busy_budget_s``: one with events."""
        self._database = database
        self._gateway = gateway
        self._budget_s = budget_s
        self._busy_budget_s = busy_budget_s
        self._pool: ThreadPoolExecutor | None = None

    def deliver(self, published: Sequence[PublishedEvent]) -> None:
        """Append what ingest published to the stream, and deliver until nobody is behind or the time is up.

        Raises VedetteError if the events could not be appended; they must be passed again.
        """
        with self._database.transaction() as connection:
            head = append_events(connection, published)
        # With events, further messages wait for this call; without, it may wait for connections that pause.
        end_s = time.monotonic() + (self._busy_budget_s if published else self._budget_s)
        while True:
            found = self._round(head)
            if time.monotonic() >= end_s or (published and not found):
                return
            with self._database.transaction() as connection:
                head = append_events(connection)
                if not found and not is_somebody_behind(connection, head=head):
                    return
            if not found:
                time.sleep(_POLL_S)

    def close(self) -> None:
        """Close the database connection and the threads."""
        if self._pool is not None:
            self._pool.shutdown()
        self._database.close()

    def _round(self, head: int) -> bool:
        """Send to every connection that is behind; return whether one got further."""
        with self._database.transaction() as connection:
            claimed = claim_connections(connection, head=head, limit=_CONNECTIONS_AT_ONCE)
        if not claimed:
            return False
        with self._database.transaction() as connection:
            deliveries = _read(connection, claimed, head)
        self._send_all(deliveries)
        with self._database.transaction() as connection:
            _record(connection, deliveries)
        return any(one.positions or one.is_sent or one.outcome is Outcome.GONE for one in deliveries)

    def _send_all(self, deliveries: Sequence[_Delivery]) -> None:
        if len(deliveries) == 1:
            self._send(deliveries[0])
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(MAX_PARALLEL, thread_name_prefix="websocket")
        list(self._pool.map(self._send, deliveries))

    def _send(self, delivery: _Delivery) -> None:
        """Send what the connection is due; close it if its session has ended or it is stalled."""
        claimed = delivery.claimed
        if not claimed.goes_on:
            self._close(delivery, "session-ended", _ENDED)
            return
        for subscription, text, reached in delivery.messages:
            delivery.outcome = self._gateway.send(claimed.id, text)
            if delivery.outcome is not Outcome.SENT:
                break
            delivery.is_sent = True
            delivery.positions[subscription.id] = reached
        if not delivery.messages and claimed.is_quiet:
            delivery.outcome = self._gateway.send(claimed.id, heartbeat_message(delivery.cursors()))
            delivery.is_sent = delivery.outcome is Outcome.SENT
        if delivery.outcome is Outcome.REFUSED and claimed.is_stalled and not delivery.is_sent:
            self._close(delivery, "slow-reader", _SLOW)

    def _close(self, delivery: _Delivery, code: str, detail: str) -> None:
        log.info("closing a WebSocket connection: %s", code)
        self._gateway.send(delivery.claimed.id, closing_message(code, detail, delivery.cursors()))
        self._gateway.close(delivery.claimed.id)
        delivery.outcome = Outcome.GONE


def _read(connection: Connection, claimed: Sequence[ClaimedConnection], head: int) -> list[_Delivery]:
    """Return what each connection is sent next. Subscriptions with the same filter and position share one query."""
    known: dict[str, StreamBatch] = {}
    deliveries = [_Delivery(one) for one in claimed]
    for delivery in deliveries:
        if not delivery.claimed.goes_on:
            continue
        for subscription in delivery.claimed.subscriptions:
            if subscription.position >= head:
                continue
            key = repr((subscription.filter, delivery.claimed.groups, subscription.position))
            if key not in known:
                known[key] = _next(connection, subscription, delivery.claimed.groups, head)
            message = events_message(subscription.name, known[key])
            if message is None:
                delivery.positions[subscription.id] = known[key].until
            else:
                delivery.messages.append((subscription, *message))
    return deliveries


def _next(
    connection: Connection, subscription: StoredSubscription, groups: tuple[str, ...] | None, head: int
) -> StreamBatch:
    """Return the next matching events; parts of the stream without any are passed at once."""
    stream_filter = StreamFilter.stored(subscription.filter)
    after = subscription.position
    end_s = time.monotonic() + 0.2
    while True:
        batch = read_stream(connection, stream_filter, limited_to=groups, after=after, head=head, limit=MAX_EVENTS)
        if batch.events or batch.until >= head or time.monotonic() >= end_s:
            return batch
        after = batch.until


def _record(connection: Connection, deliveries: Sequence[_Delivery]) -> None:
    for delivery in deliveries:
        if delivery.outcome is Outcome.GONE:
            remove_connection(connection, delivery.claimed.id)
    moved: dict[int, int] = {}
    for delivery in deliveries:
        moved |= delivery.positions
    move_subscriptions(connection, moved)
    outcomes = [(delivery.claimed, _released(delivery)) for delivery in deliveries]
    release_connections(connection, outcomes, pause=_PAUSE)


def _released(delivery: _Delivery) -> str:
    if delivery.is_sent:  # also if a further message was refused: it is no stalled connection
        return "sent"
    return "refused" if delivery.outcome is Outcome.REFUSED else "idle"
