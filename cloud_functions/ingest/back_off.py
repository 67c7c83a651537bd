"""The pause before a message that ingest returns to its SQS queue is delivered again.

Without it, the message stays hidden for the queue's visibility timeout, six times the function's timeout, even if the
database was away for seconds only.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from cloud_functions.aws import MAX_BATCH_ENTRIES, AwsClients, aws_error

log = logging.getLogger(__name__)

FIRST_PAUSE_S: Final = 15
"""Pause after the first delivery: what a paused Aurora cluster needs to resume. It doubles with each delivery."""
LONGEST_PAUSE_S: Final = 360
_BUDGET_S: Final = 5.0
"""Time for the requests of a batch. Messages that are left wait for the visibility timeout."""


class QueueBackOff:
    """Shortens the visibility timeout of returned messages. It never fails: a message comes back in any case."""

    def __init__(self, *, queue_url: str, aws: AwsClients, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._queue_url = queue_url
        self._aws = aws
        self._monotonic = monotonic

    def apply(self, event: Mapping[str, Any], failed: Collection[str]) -> None:
        """Set the pause of the messages with the ids ``failed`` in an event of SQS; other events have no queue."""
        records = [record for record in event.get("Records", ()) if record.get("messageId") in failed]
        entries = [
            {"Id": str(number), "ReceiptHandle": record["receiptHandle"], "VisibilityTimeout": pause_s(record)}
            for number, record in enumerate(records)
            if "receiptHandle" in record
        ]
        ends_s = self._monotonic() + _BUDGET_S
        for start in range(0, len(entries), MAX_BATCH_ENTRIES):
            if self._monotonic() > ends_s or not self._send(entries[start : start + MAX_BATCH_ENTRIES]):
                log.warning("%d returned messages wait for the visibility timeout", len(entries) - start)
                return

    def _send(self, entries: Sequence[dict[str, Any]]) -> bool:
        try:
            self._aws.client("sqs").change_message_visibility_batch(QueueUrl=self._queue_url, Entries=entries)
        except Exception as error:  # boto3 raises many types
            log.warning("%s", aws_error(error, doing="setting the pause of returned messages"))
            return False
        return True


def pause_s(record: Mapping[str, Any]) -> int:
    """Return the seconds until the next delivery of an SQS record, by the number of its deliveries so far."""
    deliveries = int(record.get("attributes", {}).get("ApproximateReceiveCount", 1))
    return min(FIRST_PAUSE_S * 2 ** min(max(deliveries, 1) - 1, 10), LONGEST_PAUSE_S)
