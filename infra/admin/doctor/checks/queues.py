"""The topic of events, and how many messages wait in the queues and for how long."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from infra.admin.doctor.checks.storage import aws_cause
from infra.admin.doctor.context import DoctorContext
from infra.local.aws import resources
from shared.diagnosis import Finding
from shared.errors import TransientError

LATE_S: Final = 300.0
"""Age from which a waiting message is a warning, as for ``IngestDelayAlarm``; a fault from twelve times that."""
_TOPIC_CODES: Final = {"NotFound": ("does not exist", "correct EVENTS_TOPIC_ARN and AWS_REGION")}
_NO_QUEUE: Final = ("does not exist", "correct its variable and AWS_REGION")
_QUEUE_CODES: Final = {"AWS.SimpleQueueService.NonExistentQueue": _NO_QUEUE, "QueueDoesNotExist": _NO_QUEUE}
_DEAD_SUFFIX: Final = "-dead"
_LOCAL: Final = "SELECT queue, count(*), min(sent_at_ms) FROM message GROUP BY queue"


class Depth(NamedTuple):
    """The messages of one queue."""

    name: str
    waiting: int
    oldest_s: float | None
    """Age of the oldest one; None if there is none, or if it is not known."""
    is_dead_letters: bool


def topic(context: DoctorContext) -> Iterator[Finding]:
    """Whether the topic of events exists and has subscriptions."""
    arn = context.variable("EVENTS_TOPIC_ARN")
    if arn is None:
        yield Finding("topic", "skipped", "EVENTS_TOPIC_ARN is not set: events are stored and not published")
        return
    name = arn.rpartition(":")[2]
    client = context.aws("sns")
    try:
        attributes = client.get_topic_attributes(TopicArn=arn)["Attributes"]
    except Exception as error:
        where = urlsplit(client.meta.endpoint_url).netloc
        yield Finding("topic", "fault", *aws_cause(error, what=f"the topic {name}", where=where, codes=_TOPIC_CODES))
        return
    count = int(attributes.get("SubscriptionsConfirmed", 0))
    if count:
        yield Finding("topic", "ok", f"the topic {name} has {count} subscriptions")
    else:
        text = f"the topic {name} has no subscription: nobody receives events"
        yield Finding("topic", "warning", text, "deploy a fan-out target, or subscribe a queue or an endpoint")


def queues(context: DoctorContext) -> Iterator[Finding]:
    """How many messages wait for ingest and fan-out, for how long, and what is in the dead letters."""
    depths = _local_depths(context) if context.state is not None else list(_aws_depths(context))
    if not depths:
        yield Finding("queues", "skipped", "INGEST_QUEUE_URL and DEAD_LETTER_QUEUE_URL are not set")
    for depth in depths:
        yield _finding(depth)


def _finding(depth: Depth) -> Finding:
    name = f"queue-{depth.name}"
    if depth.is_dead_letters:
        if not depth.waiting:
            return Finding(name, "ok", "no dead letters")
        text = f"{depth.waiting} dead letters: messages that were rejected, or failed repeatedly"
        return Finding(
            name, "warning", text, "read their reasons, correct the cause, then send them back or delete them"
        )
    if not depth.waiting:
        return Finding(name, "ok", "empty")
    age_s = depth.oldest_s
    since = "" if age_s is None else f", the oldest for {timedelta(seconds=round(age_s))}"
    text = f"{depth.waiting} messages wait{since}"
    if age_s is None or age_s < LATE_S:
        return Finding(name, "ok", text)
    remedy = "does its function run? See its log, its concurrency limit and the lines about the database above"
    return Finding(name, "fault" if age_s > 12 * LATE_S else "warning", text, remedy)


def _local_depths(context: DoctorContext) -> list[Depth]:
    assert context.state is not None  # noqa: S101 - the caller has checked it
    path = context.state.path / "queues.db"
    if not path.is_file():
        return []
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=2)) as database:
        rows = {queue: (count, oldest_ms) for queue, count, oldest_ms in database.execute(_LOCAL)}
    now_s = context.clock.now().timestamp()
    return [
        Depth(
            name.removeprefix("vedette-"),
            rows.get(name, (0, 0))[0],
            now_s - rows[name][1] / 1000 if name in rows else None,
            is_dead_letters=name.endswith(_DEAD_SUFFIX),
        )
        for name in resources.QUEUES
    ]


def _aws_depths(context: DoctorContext) -> Iterator[Depth]:
    for variable, is_dead in (("INGEST_QUEUE_URL", False), ("DEAD_LETTER_QUEUE_URL", True)):
        if (url := context.variable(variable)) is None:
            continue
        client = context.aws("sqs")
        name = url.rpartition("/")[2]
        try:
            found = client.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
        except Exception as error:
            where = urlsplit(client.meta.endpoint_url).netloc
            cause = aws_cause(error, what=f"the queue {name}", where=where, codes=_QUEUE_CODES)
            raise TransientError(f"{cause.text}; {cause.remedy}") from error
        count = int(found["Attributes"]["ApproximateNumberOfMessages"])
        yield Depth(name, count, _oldest_s(context, name) if count and not is_dead else None, is_dead_letters=is_dead)


def _oldest_s(context: DoctorContext, queue: str) -> float | None:
    """Return the age of a queue's oldest message by CloudWatch; None if these credentials may not read it."""
    now = context.clock.now()
    try:
        found: Any = context.aws("cloudwatch").get_metric_statistics(
            Namespace="AWS/SQS",
            MetricName="ApproximateAgeOfOldestMessage",
            Dimensions=[{"Name": "QueueName", "Value": queue}],
            StartTime=now - timedelta(minutes=15),
            EndTime=now,
            Period=60,
            Statistics=["Maximum"],
        )
    except Exception:
        return None
    points = sorted(found.get("Datapoints", []), key=lambda point: point["Timestamp"])
    return float(points[-1]["Maximum"]) if points else None
