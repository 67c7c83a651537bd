"""AWS's event source mapping on one machine: takes messages off an SQS queue and hands them to a function.

What the function reports as failed stays on the queue and comes again when its visibility time-out ends.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from infra.local.lambda_function import LambdaFunction
from infra.local.sqs_event import QueueMessage, failed_ids, sqs_event
from shared.errors import TransientError

log = logging.getLogger(__name__)

_MOST = 10  # SQS gives no more at a time
_WAIT_S = 5
_VISIBILITY_S = 30
_PAUSE_S = 0.5


class QueuePoller:
    """Receive, invoke, delete what went well."""

    def __init__(self, *, queue: Any, queue_url: str, invoke: Callable[[bytes], bytes]) -> None:
        self._queue = queue
        self._url = queue_url
        self._name = queue_url.rpartition("/")[2]
        self._invoke = invoke

    def run(self, stopped: threading.Event) -> None:
        """Poll until told to stop; an endpoint that is away is asked again."""
        while not stopped.is_set():
            try:
                self.step()
            except Exception:  # boto3 raises a dozen kinds; whichever it is, the queue is asked again
                log.warning("the queue %s cannot be read", self._name, exc_info=True)
                stopped.wait(_PAUSE_S)

    def step(self) -> None:
        """Wait for messages and hand them over."""
        answer = self._queue.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=_MOST,
            WaitTimeSeconds=_WAIT_S,
            VisibilityTimeout=_VISIBILITY_S,
            MessageSystemAttributeNames=["SentTimestamp", "ApproximateReceiveCount"],
        )
        messages = [_message(told) for told in answer.get("Messages", ())]
        if messages:
            self._delete(messages, self._failed(messages))

    def _failed(self, messages: Sequence[QueueMessage]) -> set[str]:
        try:
            return failed_ids(self._invoke(sqs_event(self._name, messages)), messages)
        except TransientError as error:
            log.warning("%d messages of %s stay on the queue: %s", len(messages), self._name, error)
            return {message.message_id for message in messages}

    def _delete(self, messages: Sequence[QueueMessage], failed: set[str]) -> None:
        entries = [
            {"Id": str(number), "ReceiptHandle": message.receipt_handle}
            for number, message in enumerate(messages)
            if message.message_id not in failed
        ]
        if entries:
            self._queue.delete_message_batch(QueueUrl=self._url, Entries=entries)


def _message(told: dict[str, Any]) -> QueueMessage:
    attributes = told.get("Attributes", {})
    return QueueMessage(
        message_id=told["MessageId"],
        body=told["Body"],
        sent_at_ms=int(attributes.get("SentTimestamp", time.time() * 1000)),
        receive_count=int(attributes.get("ApproximateReceiveCount", 1)),
        receipt_handle=told["ReceiptHandle"],
    )


def main() -> None:
    """Run until SIGTERM; the environment is the function's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--queue-url", required=True)
    parser.add_argument("--function", required=True, help="its name, for the logs")
    parser.add_argument("--handler", required=True, help="package.module.function")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # breaks off the long poll; nothing is lost by it

    function = LambdaFunction(name=options.function, handler=options.handler, environment={}, folder=options.state)
    function.start()
    import boto3
    from botocore.config import Config

    patience = Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=_WAIT_S + 10)
    queue = boto3.client("sqs", config=patience)
    try:
        QueuePoller(queue=queue, queue_url=options.queue_url, invoke=function.invoke).run(threading.Event())
    finally:
        function.stop()


if __name__ == "__main__":
    main()
