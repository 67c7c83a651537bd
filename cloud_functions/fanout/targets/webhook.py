"""Delivers events to webhooks, which the API manages: HTTP requests to any number of receivers.

A batch is recorded in the database, one delivery for each webhook that it concerns, and is then done: what a receiver
does cannot return it to the queue. Then everything that is due is delivered, retries included. An empty batch, which
a schedule sends, does only that.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from cloud_functions.db.connect import Database
from cloud_functions.db.webhooks.record import OfferedEvent
from cloud_functions.db.webhooks.recording import record_deliveries
from cloud_functions.fanout.messages import Delivery
from cloud_functions.fanout.webhooks.addresses import AddressPolicy
from cloud_functions.fanout.webhooks.dispatcher import Dispatcher
from cloud_functions.fanout.webhooks.receiver import Receiver
from cloud_functions.plates.master_keys import master_keys
from cloud_functions.privacy.webhook_secrets import WebhookSecrets
from shared.clock import SystemClock
from shared.errors import ConfigurationError, PermanentError, VedetteError

if TYPE_CHECKING:
    from cloud_functions.settings import FanoutSettings

log = logging.getLogger(__name__)

_WAIT_S: Final = 40.0
"""How long an invocation waits for its deliveries: their budget, and one attempt that hangs."""


class WebhookTarget:
    """Records deliveries to webhooks and makes them."""

    def __init__(self, *, dispatcher: Dispatcher, in_background: bool, max_pending: int = 10_000) -> None:
        """``in_background``: whether the process runs on between invocations, so it need not wait for deliveries.

        ``max_pending``: deliveries that may be pending for one webhook. The others are dropped.
        """
        self._dispatcher = dispatcher
        self._max_pending = max_pending
        self._in_background = in_background

    def deliver(self, deliveries: Sequence[Delivery]) -> set[str]:
        offered: dict[str, OfferedEvent] = {}
        failed: set[str] = set()
        for delivery in deliveries:
            event = _offered(delivery)
            if event is None:
                failed.add(delivery.message_id)
            else:
                offered[delivery.message_id] = event
        failed |= self._record(offered)
        self._deliver_due()
        return failed

    def close(self) -> None:
        """Close the database connection, when no delivery is being made any more."""
        self._dispatcher.close()

    def _record(self, offered: dict[str, OfferedEvent]) -> set[str]:
        """Record all; return the ids of the messages that could not be recorded."""
        if not offered:
            return set()
        try:
            with self._dispatcher.transaction() as connection:
                dropped = record_deliveries(connection, list(offered.values()), max_pending=self._max_pending)
        except PermanentError as error:
            if len(offered) == 1:
                log.warning("an event cannot be recorded for webhooks: %s", error)
                return set(offered)
            return set().union(*(self._record({message_id: event}) for message_id, event in offered.items()))
        except VedetteError as error:
            log.warning("%d events could not be recorded for webhooks: %s", len(offered), error)
            return set(offered)
        for webhook_id, count in dropped.items():
            log.warning("dropped %d deliveries to webhook %s: too many are pending", count, webhook_id)
        return set()

    def _deliver_due(self) -> None:
        try:
            threads = self._dispatcher.start()
        except VedetteError as error:
            log.warning("webhooks are not delivered to for now: %s", error)
            return
        if not self._in_background:
            end_s = time.monotonic() + _WAIT_S
            for thread in threads:
                thread.join(max(end_s - time.monotonic(), 0.0))


def _offered(delivery: Delivery) -> OfferedEvent | None:
    """Return what the filters need, or None if the document is not a stored event."""
    replay = delivery.replay
    try:
        flat = delivery.flat
        event_time = datetime.fromisoformat(flat["timestamp"])
        event_id: Any = flat["id"]
        if type(event_id) is not int:
            return None
        return OfferedEvent(
            message_id=UUID(flat["event_id"]),
            event_id=event_id,
            event_time=event_time if event_time.tzinfo is not None else event_time.replace(tzinfo=UTC),
            event_type=delivery.event_type,
            document=delivery.document,
            replay_id=replay and UUID(replay.replay_id),
            low_value=replay is not None or _is_low_value(delivery.event_type, flat),
            replay_to=UUID(replay.webhook_id) if replay and replay.webhook_id else None,
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _is_low_value(event_type: str, flat: Mapping[str, Any]) -> bool:
    """Return whether the event only repeats that something is still there; what begins or ends is of value."""
    if event_type == "tracking":
        return flat["event_data"].get("tracking_action") == "updated"
    return event_type in {"motion", "detection"}


def build(settings: FanoutSettings) -> WebhookTarget:
    """Return the target for the database of the settings. It connects on first use."""
    if settings.master_key is None:
        raise ConfigurationError("PLATE_MASTER_KEY is not set: it wraps the secrets that sign deliveries to webhooks")
    if settings.database is None:
        raise ConfigurationError("DATABASE_URL is not set: webhooks and their deliveries are in the database")
    policy = AddressPolicy.parse(settings.webhook_networks)
    dispatcher = Dispatcher(
        database=Database.from_settings(settings.database),
        secrets=WebhookSecrets(master_keys=master_keys(settings.master_key)),
        open_receiver=partial(Receiver, policy=policy),
        clock=SystemClock(),
    )
    return WebhookTarget(
        dispatcher=dispatcher,
        in_background=settings.webhooks_in_background,
        max_pending=settings.webhook_max_pending,
    )
