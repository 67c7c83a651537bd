"""Delivers events to WebSocket connections, which the API accepts.

The messages of the queue announce stored events. What is sent is read from the database, from the position of each
subscription on, so events that were missed and new ones come in one order. An empty batch, which a schedule sends, and
``WAKE_MESSAGE``, which the API puts on the queue after a subscription, deliver what is left.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from cloud_functions.db.connect import Database
from cloud_functions.db.stream.order import PublishedEvent
from cloud_functions.db.stream.wake import WAKE_TYPE
from cloud_functions.db.webhooks.record import PLATE_MATCH
from cloud_functions.fanout.messages import Delivery
from cloud_functions.fanout.websocket.dispatcher import StreamDispatcher
from cloud_functions.fanout.websocket.gateway import ApiGateway
from shared.errors import ConfigurationError, VedetteError

if TYPE_CHECKING:
    from cloud_functions.settings import FanoutSettings

log = logging.getLogger(__name__)


class WebSocketTarget:
    """Appends events to the stream and brings connections up to date."""

    def __init__(self, *, dispatcher: StreamDispatcher) -> None:
        self._dispatcher = dispatcher

    def deliver(self, deliveries: Sequence[Delivery]) -> set[str]:
        published: dict[str, PublishedEvent] = {}
        failed: set[str] = set()
        for delivery in deliveries:
            if delivery.event_type == WAKE_TYPE:
                continue
            event = _published(delivery)
            if event is None:
                failed.add(delivery.message_id)
            else:
                published[delivery.message_id] = event
        try:
            self._dispatcher.deliver(list(published.values()))
        except VedetteError as error:
            log.warning("events could not be delivered to WebSocket connections: %s", error)
            failed |= set(published)
        return failed

    def close(self) -> None:
        """Close the database connection."""
        self._dispatcher.close()


def _published(delivery: Delivery) -> PublishedEvent | None:
    """Return what the stream needs, or None if the document is not a stored event."""
    try:
        flat = delivery.flat
        moment = datetime.fromisoformat(flat["timestamp"])
        number: Any = flat["id"]
        if type(number) is not int:
            return None
        message_id = UUID(flat["event_id"])
        if delivery.replay is not None:  # an entry of its own, so that connected subscribers get it again
            message_id = uuid5(message_id, delivery.replay.replay_id)
        is_stored = delivery.event_type != PLATE_MATCH and delivery.replay is None
        return PublishedEvent(
            message_id=message_id,
            number=number,
            moment=moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC),
            document=None if is_stored else delivery.document,
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def build(settings: FanoutSettings) -> WebSocketTarget:
    """Return the target for the database and the gateway of the settings. It connects on first use."""
    if settings.websocket_endpoint is None:
        raise ConfigurationError("WEBSOCKET_ENDPOINT is not set: the management API of the WebSocket connections")
    if settings.database is None:
        raise ConfigurationError("DATABASE_URL is not set: WebSocket subscriptions are in the database")
    return WebSocketTarget(
        dispatcher=StreamDispatcher(
            database=Database.from_settings(settings.database),
            gateway=ApiGateway(endpoint_url=settings.websocket_endpoint),
        )
    )
