"""The subscriber of canaries: records in the database that they have passed through the topic and a queue."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from uuid import UUID

from pydantic_core import from_json

from cloud_functions.db.connect import Database
from cloud_functions.db.devices.canaries import record_receipt
from cloud_functions.fanout.messages import Delivery
from shared.errors import VedetteError

log = logging.getLogger(__name__)


class CanaryReceipts:
    """Records receipts. What cannot be recorded is not repeated: the missing receipt shows that."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, canaries: Iterable[Delivery]) -> None:
        """Record the receipt of these canaries. Raises nothing, so that events are delivered in any case."""
        for delivery in canaries:
            try:
                document = from_json(delivery.document)
                device_id, canary_id = str(document["device_id"]), UUID(document["event_id"])
                with self._database.transaction() as connection:
                    record_receipt(connection, device_id, canary_id)
            except (VedetteError, ValueError, KeyError, TypeError) as error:
                log.warning("the receipt of a canary could not be recorded: %s", error)
