"""Names of the bucket, topic and queues of the one-machine stack; the template creates the same on AWS."""

from __future__ import annotations

from infra.local.servers.aws import ACCOUNT, REGION

BUCKET = "vedette-local"
HUB_TOPIC_ARN = f"arn:aws:sns:{REGION}:{ACCOUNT}:vedette-events"
INGEST_QUEUE = "vedette-ingest"
DEAD_LETTER_QUEUE = "vedette-ingest-dead"
FANOUT_QUEUE = "vedette-fanout-redis"
FANOUT_DEAD_QUEUE = "vedette-fanout-redis-dead"
QUEUES = (INGEST_QUEUE, DEAD_LETTER_QUEUE, FANOUT_QUEUE, FANOUT_DEAD_QUEUE)
HUB_SUBSCRIBERS = (FANOUT_QUEUE,)
"""The queues that receive a copy of every message published to the hub."""


def queue_url(endpoint_url: str, queue: str) -> str:
    """Return the ``QueueUrl`` for boto3."""
    return f"{endpoint_url}/{ACCOUNT}/{queue}"


def queue_arn(queue: str) -> str:
    """Return the queue's ARN, as in an event's ``eventSourceARN``."""
    return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}"
