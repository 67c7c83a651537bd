"""Takes messages from the ingest queue to the ingest function, by way of the broker.

On AWS the IoT rule and maintenance put messages into one queue. Here the rule's messages go to the function directly,
so those of maintenance are published to the broker under their topics, and take the same way.
"""

from __future__ import annotations

import base64
import functools
import json
import logging
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from infra.local.aws.earlier_reasons import EarlierReasons
from infra.local.aws.fanout_event_source import FanoutEventSourceMapping
from infra.local.aws.queue_file import QueueFile
from infra.local.aws.resources import DEAD_LETTER_QUEUE, INGEST_QUEUE
from shared.errors import VedetteError

if TYPE_CHECKING:
    from cloud_functions.device_commands import CommandPublisher

log = logging.getLogger(__name__)

Publish = Callable[[str, bytes], None]


def run_ingest_queue(queues: QueueFile, stopped: threading.Event, reasons: EarlierReasons) -> None:
    """Forward messages until ``stopped`` is set."""
    ingest_queue_mapping(queues, lambda topic, payload: _publisher().publish(topic, payload), reasons).run(stopped)


@functools.cache
def _publisher() -> CommandPublisher:
    """Make the publisher with the first message: what it imports takes half the time of this process's start."""
    from cloud_functions.aws import AwsClients
    from cloud_functions.device_commands import IotCommandPublisher

    return IotCommandPublisher(aws=AwsClients(), endpoint_url=os.environ.get("IOT_DATA_ENDPOINT"))


def ingest_queue_mapping(
    queues: QueueFile, publish: Publish, reasons: EarlierReasons | None = None
) -> FanoutEventSourceMapping:
    """Return the event source mapping of the ingest queue, with a function that publishes each message.

    ``reasons`` keeps the earlier reasons of messages that were dead letters.
    """
    kept = reasons or EarlierReasons()
    return FanoutEventSourceMapping(
        queues=queues,
        queue=INGEST_QUEUE,
        dead_queue=DEAD_LETTER_QUEUE,
        invoke=lambda event: _forward(event, publish, kept),
    )


def _forward(event: bytes, publish: Publish, reasons: EarlierReasons) -> bytes:
    """Publish the messages of an SQS event; return those that failed, as a Lambda function does."""
    failed: list[dict[str, str]] = []
    for record in json.loads(event)["Records"]:
        try:
            envelope: dict[str, Any] = json.loads(record["body"])
            reasons.remember(envelope)
            publish(envelope["topic"], base64.b64decode(envelope["payload_base64"]))
        except (VedetteError, ValueError, KeyError, TypeError) as error:
            log.warning("a message of the ingest queue was not published: %s", error)
            failed.append({"itemIdentifier": record["messageId"]})
    return json.dumps({"batchItemFailures": failed}).encode()
