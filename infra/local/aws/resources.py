"""Names of the bucket, topic and queues of the one-machine stack; the template creates the same on AWS."""

from __future__ import annotations

from cloud_functions.fanout.targets import TARGETS
from infra.local.servers.aws import ACCOUNT, REGION

BUCKET = "vedette-local"
HUB_TOPIC_ARN = f"arn:aws:sns:{REGION}:{ACCOUNT}:vedette-events"
INGEST_QUEUE = "vedette-ingest"
FANOUT_QUEUES = {target: f"vedette-fanout-{target}" for target in TARGETS}
"""The queue of each fan-out target."""


def dead_letter_queue(queue: str) -> str:
    """Return the name of the dead-letter queue of ``queue``."""
    return f"{queue}-dead"


DEAD_LETTER_QUEUE = dead_letter_queue(INGEST_QUEUE)
QUEUES = tuple(name for queue in (INGEST_QUEUE, *FANOUT_QUEUES.values()) for name in (queue, dead_letter_queue(queue)))
"""All queues."""


def queue_url(endpoint_url: str, queue: str) -> str:
    """Return the ``QueueUrl`` for boto3."""
    return f"{endpoint_url}/{ACCOUNT}/{queue}"


def queue_arn(queue: str) -> str:
    """Return the queue's ARN, as in an event's ``eventSourceARN``."""
    return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}"
