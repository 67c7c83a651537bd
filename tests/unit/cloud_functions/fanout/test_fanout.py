"""The fan-out function: it reads its queue, selects its target, and returns failed messages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cloud_functions.fanout.handler import build_fanout
from cloud_functions.fanout.messages import Delivery, read_deliveries
from cloud_functions.fanout.targets import REPEAT_EVENT, TARGETS, build_target
from cloud_functions.observability import InMemoryMetrics
from cloud_functions.settings import Environment, FanoutSettings
from infra.packaging.functions import FUNCTIONS
from shared.errors import ConfigurationError

AWS_EVENTS = Path(__file__).resolve().parents[3] / "aws_events"


class RecordingTarget:
    """Records deliveries; those of the messages in ``failing`` fail."""

    def __init__(self, *failing: str) -> None:
        self.delivered: list[Delivery] = []
        self._failing = set(failing)

    def deliver(self, deliveries: Sequence[Delivery]) -> set[str]:
        self.delivered += deliveries
        return {delivery.message_id for delivery in deliveries} & self._failing


def aws_event(name: str) -> dict[str, Any]:
    return json.loads((AWS_EVENTS / f"{name}.json").read_text())


@pytest.mark.parametrize("name", ["sns_sqs_raw", "sns_sqs_wrapped"])
def test_raw_and_wrapped_messages_deliver_the_same_document(name: str) -> None:
    """The subscription may have raw message delivery or not."""
    target = RecordingTarget()
    metrics = InMemoryMetrics()
    assert build_fanout({}, target=target, metrics=metrics).handle(aws_event(name)) == {"batchItemFailures": []}
    [delivery] = target.delivered
    assert (delivery.event_type, delivery.camera_id) == ("tracking", "camera-1")
    assert json.loads(delivery.document) == json.loads(aws_event("sns_sqs_raw")["Records"][0]["body"])
    assert metrics.counts == {"EventsDelivered": 1}


NOT_EVENTS = (
    "",
    "junk",
    "[]",
    "3",
    "{}",
    '{"event_type": 1, "camera_id": "c"}',
    '{"event_type": "motion"}',
    '{"Type": "Notification"}',
    '{"Type": "Notification", "Message": "junk"}',
    '{"Type": "Notification", "Message": 5}',
)


@pytest.mark.parametrize("body", NOT_EVENTS)
def test_only_the_message_that_is_not_an_event_is_returned(body: str) -> None:
    """SQS moves it to the dead-letter queue after some attempts. The other messages of the batch are delivered."""
    good = aws_event("sns_sqs_raw")["Records"][0]
    target = RecordingTarget()
    response = build_fanout({}, target=target).handle({"Records": [good | {"messageId": "bad", "body": body}, good]})
    assert response == {"batchItemFailures": [{"itemIdentifier": "bad"}]}
    assert len(target.delivered) == 1


def test_only_failed_deliveries_are_returned() -> None:
    """The function reports the messages that the target could not deliver, so SQS delivers only those again."""
    good = aws_event("sns_sqs_raw")["Records"][0]
    records = [good | {"messageId": name} for name in ("a", "b", "c")]
    response = build_fanout({}, target=RecordingTarget("b")).handle({"Records": records})
    assert response == {"batchItemFailures": [{"itemIdentifier": "b"}]}


def test_a_wrong_configuration_is_reported() -> None:
    """The error names the event source, the target or the variable, and never contains a password."""
    with pytest.raises(ConfigurationError, match="SQS"):
        read_deliveries({"detail": {}})
    with pytest.raises(ConfigurationError, match=r"'pigeon'; known targets: redis, webhook"):
        build_target(FanoutSettings(target="pigeon"))
    with pytest.raises(ConfigurationError, match="REDIS_URL is not set"):
        build_target(FanoutSettings())
    with pytest.raises(ConfigurationError, match="REDIS_URL must begin") as raised:
        build_target(FanoutSettings(redis_url="gopher://:sesame@h"))
    assert "sesame" not in str(raised.value)


def test_every_target_of_the_table_can_be_built() -> None:
    """A target connects on first use, not when it is built."""
    values = {
        "REDIS_URL": "redis://127.0.0.1:1",
        "PLATE_MASTER_KEY": "file:/nowhere",
        "WEBSOCKET_ENDPOINT": "http://127.0.0.1:1",
    }
    for name, entry in TARGETS.items():
        assert entry.function in FUNCTIONS
        variables = {"FANOUT_TARGET": name, entry.variable: values[entry.variable], "DATABASE_URL": "postgresql://h/d"}
        settings = FanoutSettings.from_environment(Environment(variables))
        assert hasattr(build_target(settings), "deliver")


def test_a_schedule_delivers_what_a_target_keeps() -> None:
    """The schedule's event is an empty batch for the target. The template has the same JSON."""
    target = RecordingTarget()
    batches: list[int] = []
    deliver = target.deliver

    def record(deliveries: Sequence[Delivery]) -> set[str]:
        batches.append(len(deliveries))
        return deliver(deliveries)

    target.deliver = record
    assert build_fanout({}, target=target).handle(dict(REPEAT_EVENT)) == {"batchItemFailures": []}
    assert batches == [0]
    template = (AWS_EVENTS.parents[1] / "template.yaml").read_text(encoding="utf-8")
    assert template.count(f"'{json.dumps(REPEAT_EVENT)}'") == sum(entry.repeats for entry in TARGETS.values())


def test_a_target_requires_its_variable() -> None:
    """The table names the variable without which the target cannot be built."""
    for name, entry in TARGETS.items():
        with pytest.raises(ConfigurationError, match=entry.variable):
            build_target(FanoutSettings.from_environment(Environment({"FANOUT_TARGET": name})))
