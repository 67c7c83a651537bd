"""The Lambda handlers, configured by environment variables only, with real services and moto for AWS."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest

from cloud_functions.maintenance.schedule import TASKS
from infra.local.servers.aws import aws_environment
from tests.support.ingest_harness import rows
from tests.support.wire_events import (
    batch_of,
    body,
    detection_data,
    encoded,
    mixed_traffic,
    sequence_of,
    topic_of,
    wire_event,
)

ROOT = Path(__file__).resolve().parents[2]
AWS_EVENTS = ROOT / "tests" / "aws_events"

# Runs a handler for each line of its input, as one Lambda execution environment does.
LAMBDA = """
import importlib, json, sys
module, name = sys.argv[1].rsplit(".", 1)
handler = getattr(importlib.import_module(module), name)
for line in sys.stdin:
    try:
        answer = handler(json.loads(line), None)
    except Exception as error:
        answer = {"error": type(error).__name__, "message": str(error)}
    print("ANSWER " + json.dumps(answer), flush=True)
"""


def invoke(handler: str, *events: dict[str, Any], **variables: str) -> tuple[list[dict[str, Any]], str]:
    """Return the handler's responses and the rest of its output."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | variables
    done = subprocess.run(
        [sys.executable, "-c", LAMBDA, handler],
        input="\n".join(json.dumps(event) for event in events),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
        check=True,
    )
    lines = done.stdout.splitlines()
    answers = [json.loads(line.removeprefix("ANSWER ")) for line in lines if line.startswith("ANSWER ")]
    return answers, "\n".join(line for line in lines if not line.startswith("ANSWER ")) + done.stderr


class Cloud:
    """A topic with a queue subscribed to it, and a dead-letter queue, on moto."""

    def __init__(self, endpoint: str) -> None:
        name = f"t{uuid4().hex[:12]}"
        access = {
            "endpoint_url": endpoint,
            "region_name": "eu-central-1",
            "aws_access_key_id": "local",
            "aws_secret_access_key": "local",
        }
        self.sns = boto3.client("sns", **access)
        self.sqs = boto3.client("sqs", **access)
        self.topic_arn = self.sns.create_topic(Name=name)["TopicArn"]
        self.queue_url = self.sqs.create_queue(QueueName=name)["QueueUrl"]
        self.dead_url = self.sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=["QueueArn"])["Attributes"][
            "QueueArn"
        ]
        self.subscription = self.sns.subscribe(
            TopicArn=self.topic_arn,
            Protocol="sqs",
            Endpoint=arn,
            Attributes={"RawMessageDelivery": "true"},
            ReturnSubscriptionArn=True,
        )["SubscriptionArn"]

    def receive(self, url: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            answer = self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"])
            if not answer.get("Messages"):
                return found
            found += answer["Messages"]

    def close(self) -> None:
        for client in (self.sns, self.sqs):
            client.close()


@pytest.fixture
def cloud(moto_server: str) -> Iterator[Cloud]:
    one = Cloud(moto_server)
    yield one
    one.close()


def test_ingest_stores_and_publishes_after_a_cold_start(moto_server: str, database_url: str, cloud: Cloud) -> None:
    """Events are stored and published with attributes, dead letters have a reason, logs and metrics are JSON."""
    events = [*mixed_traffic(25), wire_event("detection", event_data=detection_data("car", "bus"))]
    poison = body(topic_of(events[0]), b"nonsense")
    invocation = batch_of([*(body(topic_of(event), encoded(event)) for event in events), poison])
    answers, printed = invoke(
        "cloud_functions.ingest.handler.handler",
        invocation,
        json.loads((AWS_EVENTS / "sqs_iot_rule.json").read_text()),
        json.loads((AWS_EVENTS / "iot_rule_direct.json").read_text()),
        {"source": "aws.s3"},
        DATABASE_URL=database_url,
        EVENTS_TOPIC_ARN=cloud.topic_arn,
        DEAD_LETTER_QUEUE_URL=cloud.dead_url,
        AWS_LAMBDA_FUNCTION_NAME="ingest",
        **aws_environment(moto_server),
    )
    assert answers[:3] == [{"batchItemFailures": []}] * 3
    assert answers[3]["error"] == "ConfigurationError"
    assert rows(database_url, "SELECT count(*) FROM events") == [(27,)]
    messages = cloud.receive(cloud.queue_url)
    documents = [json.loads(message["Body"]) for message in messages]
    assert len(documents) == 28
    assert {one["event_id"] for one in documents} >= {event["event_id"] for event in events}
    attributes = {
        json.loads(message["Body"])["event_type"]: {
            name: value["StringValue"] for name, value in message["MessageAttributes"].items()
        }
        for message in messages
    }
    assert attributes["anpr"].keys() == {"event_type", "camera_id", "site_id", "license_plate"}
    assert json.loads(attributes["detection"]["class_name"]) == ["car", "bus"]
    [dead] = cloud.receive(cloud.dead_url)
    assert dead["Body"] == poison
    assert dead["MessageAttributes"]["reason"]["StringValue"] == "not_json"
    said = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    assert any(line.get("level") == "WARNING" and "not_json" in line["message"] for line in said)
    assert any(line.get("EventsStored") == [26] for line in said)


def test_a_missing_hub_returns_the_events(moto_server: str, database_url: str, cloud: Cloud) -> None:
    """Events that are stored but cannot be published are returned for a retry."""
    events = sequence_of(1, 12)
    [answer], _ = invoke(
        "cloud_functions.ingest.handler.handler",
        batch_of(body(topic_of(event), encoded(event)) for event in events),
        DATABASE_URL=database_url,
        EVENTS_TOPIC_ARN=cloud.topic_arn.replace(cloud.topic_arn[-4:], "gone"),
        **aws_environment(moto_server),
    )
    assert len(answer["batchItemFailures"]) == 12
    assert rows(database_url, "SELECT count(*) FROM events") == [(12,)]


def test_a_resend_command_is_published_to_the_data_plane(moto_server: str, database_url: str) -> None:
    """Publishing succeeds without a logged error; a test of the one-machine stack covers the delivery to the device."""
    events = [batch_of([body(topic_of(event), encoded(event))]) for event in sequence_of(3, 4)]
    answers, printed = invoke(
        "cloud_functions.ingest.handler.handler",
        *events,
        DATABASE_URL=database_url,
        GAP_GRACE_S="0",
        **aws_environment(moto_server),
    )
    assert answers == [{"batchItemFailures": []}] * 2
    assert rows(database_url, "SELECT attempts FROM sequence_gaps") == [(1,)]
    assert "not asked" not in printed


def test_fan_out_from_the_topic_to_redis(moto_server: str, redis_url: str, cloud: Cloud) -> None:
    """Fan-out reads the messages that SNS puts on the queue, with and without raw message delivery."""
    event = json.loads((AWS_EVENTS / "sns_sqs_raw.json").read_text())["Records"][0]
    records = []
    for raw in ("true", "false"):
        cloud.sns.set_subscription_attributes(
            SubscriptionArn=cloud.subscription, AttributeName="RawMessageDelivery", AttributeValue=raw
        )
        cloud.sns.publish(TopicArn=cloud.topic_arn, Message=event["body"])
    records = [event | {"messageId": one["MessageId"], "body": one["Body"]} for one in cloud.receive(cloud.queue_url)]
    assert len(records) == 2
    answers, printed = invoke("cloud_functions.fanout.handler.handler", {"Records": records}, REDIS_URL=redis_url)
    assert answers == [{"batchItemFailures": []}]
    assert "not events" not in printed


@pytest.mark.parametrize("name", ["scheduled", "scheduled_task"])
def test_maintenance_on_schedule(database_url: str, name: str) -> None:
    """A scheduled event without input runs every task; an input with a task's name runs that one."""
    event = json.loads((AWS_EVENTS / f"{name}.json").read_text())
    [answer], _ = invoke("cloud_functions.maintenance.handler.handler", event, DATABASE_URL=database_url)
    expected = {"gaps"} if name == "scheduled_task" else set(TASKS)
    assert answer.keys() == expected
