"""Entry point and composition root of the fan-out function: ``cloud_functions.fanout.handler.handler``.

Each target has its own function and queue with this code; ``FANOUT_TARGET`` selects the target. A schedule may invoke a
function with ``REPEAT_EVENT``.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cloud_functions.fanout.messages import read_deliveries
from cloud_functions.fanout.targets import RECEIPTS_TARGET, REPEAT_EVENT, Target, build_target
from cloud_functions.observability import Metrics, NoMetrics, build_metrics, configure_logging, invocation_ids
from cloud_functions.settings import Environment, FanoutSettings, warn_of_obsolete_variables
from shared.event_types import CANARY

if TYPE_CHECKING:
    from cloud_functions.db.connect import Database
    from cloud_functions.fanout.canary_receipts import CanaryReceipts

log = logging.getLogger(__name__)


class Fanout:
    """Delivers the events of a queue to one target."""

    def __init__(self, *, target: Target, metrics: Metrics, receipts: CanaryReceipts | None = None) -> None:
        """``receipts``: where the receipt of canaries is recorded; without it they are ignored."""
        self._target = target
        self._metrics = metrics
        self._receipts = receipts

    def handle(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Deliver one batch and return its ``batchItemFailures``, including unreadable messages.

        SQS delivers those again a few times, then moves them to the dead-letter queue.
        """
        if event == REPEAT_EVENT:
            self._target.deliver([])
            return {"batchItemFailures": []}
        deliveries, unreadable = read_deliveries(event)
        if unreadable:
            log.warning("%d messages on the queue are not events", len(unreadable))
        failed = set(unreadable)
        canaries = [delivery for delivery in deliveries if delivery.event_type == CANARY]
        if canaries:  # no target delivers them to its users
            deliveries = [delivery for delivery in deliveries if delivery.event_type != CANARY]
            if self._receipts is not None:
                self._receipts.record(canaries)
        if deliveries:
            failed |= self._target.deliver(deliveries)
        self._metrics.count("EventsDelivered", len(deliveries) + len(unreadable) - len(failed))
        self._metrics.count("DeliveriesReturned", len(failed))
        self._metrics.flush()
        return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in sorted(failed)]}


def build_fanout(
    environment: Mapping[str, str] | None = None,
    *,
    target: Target | None = None,
    metrics: Metrics | None = None,
    database: Database | None = None,
) -> Fanout:
    """Build fan-out from environment variables; arguments replace the defaults. Opens no connection."""
    settings = FanoutSettings.from_environment(Environment(environment))
    receipts = None
    if settings.database is not None and settings.target == RECEIPTS_TARGET:
        from cloud_functions.db import connect
        from cloud_functions.fanout.canary_receipts import CanaryReceipts

        receipts = CanaryReceipts(database or connect.Database.from_settings(settings.database))
    return Fanout(target=target or build_target(settings), metrics=metrics or NoMetrics(), receipts=receipts)


@functools.cache
def _fanout() -> Fanout:
    configure_logging(service="fanout", variables=os.environ)
    warn_of_obsolete_variables()
    return build_fanout(metrics=build_metrics(service="fanout", variables=os.environ))


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Handle one Lambda invocation."""
    invocation_ids().begin(context)
    return _fanout().handle(event)
