"""What the AWS template creates, made on the local endpoint: the bucket, the hub topic, the queues and subscriptions.

Made inside moto's process before it listens, in AWS's query protocol, so that whoever can connect finds it all there,
after a restart of that process as well.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from infra.local.aws import ACCOUNT, REGION

BUCKET = "vedette-local"
HUB_TOPIC = "vedette-events"
INGEST_QUEUE = "vedette-ingest"
DEAD_LETTER_QUEUE = "vedette-ingest-dead"
FANOUT_QUEUE = "vedette-fanout-redis"

HUB_TOPIC_ARN = f"arn:aws:sns:{REGION}:{ACCOUNT}:{HUB_TOPIC}"

QueryCall = Callable[[str, dict[str, str]], None]
"""Takes a service (``sns``, ``sqs``) and the parameters of one call in AWS's query protocol."""


def queue_url(endpoint_url: str, queue: str) -> str:
    return f"{endpoint_url}/{ACCOUNT}/{queue}"


def queue_arn(queue: str) -> str:
    return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}"


def create_resources(call: QueryCall) -> None:
    """Create topic, queues and subscriptions; the bucket belongs to the object store."""
    call("sns", {"Action": "CreateTopic", "Name": HUB_TOPIC})
    for queue in (INGEST_QUEUE, DEAD_LETTER_QUEUE, FANOUT_QUEUE):
        call("sqs", {"Action": "CreateQueue", "QueueName": queue})
    attributes = {"RawMessageDelivery": "true"}
    flattened = {
        f"Attributes.entry.{number}.{part}": value
        for number, pair in enumerate(attributes.items(), start=1)
        for part, value in zip(("key", "value"), pair, strict=True)
    }
    call(
        "sns",
        {
            "Action": "Subscribe",
            "TopicArn": HUB_TOPIC_ARN,
            "Protocol": "sqs",
            "Endpoint": queue_arn(FANOUT_QUEUE),
            **flattened,
        },
    )


def describe() -> str:
    """Return what there is, for the log."""
    return json.dumps(
        {"bucket": BUCKET, "topic": HUB_TOPIC_ARN, "queues": [INGEST_QUEUE, DEAD_LETTER_QUEUE, FANOUT_QUEUE]}
    )
