"""Fan-out up to its target: reading the queue, choosing the target, returning what failed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cloud_functions.fanout.handler import build_fanout
from cloud_functions.fanout.messages import Delivery, read_deliveries
from cloud_functions.fanout.targets import TARGETS, build_target
from cloud_functions.observability import InMemoryMetrics
from cloud_functions.settings import FanoutSettings
from shared.errors import ConfigurationError

AWS_EVENTS = Path(__file__).resolve().parents[3] / "aws_events"


class RecordingTarget:
    """Takes everything but messages in ``refusing``."""

    def __init__(self, *refusing: str) -> None:
        self.delivered: list[Delivery] = []
        self._refusing = set(refusing)

    def deliver(self, deliveries: Sequence[Delivery]) -> set[str]:
        self.delivered += deliveries
        return {delivery.message_id for delivery in deliveries} & self._refusing


def aws_event(name: str) -> dict[str, Any]:
    return json.loads((AWS_EVENTS / f"{name}.json").read_text())


@pytest.mark.parametrize("name", ["sns_sqs_raw", "sns_sqs_wrapped"])
def test_raw_and_wrapped_deliveries_are_understood_alike(name: str) -> None:
    """Whichever way the subscription was made, receivers get the same document."""
    target = RecordingTarget()
    metrics = InMemoryMetrics()
    assert build_fanout({}, target=target, metrics=metrics).handle(aws_event(name)) == {"batchItemFailures": []}
    [delivery] = target.delivered
    assert (delivery.event_type, delivery.camera_id) == ("tracking", "camera-1")
    assert json.loads(delivery.document) == json.loads(aws_event("sns_sqs_raw")["Records"][0]["body"])
    assert metrics.counts == {"EventsDelivered": 1}


NO_EVENTS = (
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


@pytest.mark.parametrize("body", NO_EVENTS)
def test_what_is_no_event_is_returned_alone(body: str) -> None:
    """It ends in the queue's dead letters; its neighbours are delivered."""
    good = aws_event("sns_sqs_raw")["Records"][0]
    target = RecordingTarget()
    answer = build_fanout({}, target=target).handle({"Records": [good | {"messageId": "bad", "body": body}, good]})
    assert answer == {"batchItemFailures": [{"itemIdentifier": "bad"}]}
    assert len(target.delivered) == 1


def test_what_the_target_refuses_is_returned() -> None:
    """And nothing else."""
    good = aws_event("sns_sqs_raw")["Records"][0]
    records = [good | {"messageId": name} for name in ("a", "b", "c")]
    answer = build_fanout({}, target=RecordingTarget("b")).handle({"Records": records})
    assert answer == {"batchItemFailures": [{"itemIdentifier": "b"}]}


def test_wrong_wiring_is_told() -> None:
    """By name, with what there is."""
    with pytest.raises(ConfigurationError, match="SQS"):
        read_deliveries({"detail": {}})
    with pytest.raises(ConfigurationError, match=r"'pigeon'; known targets: redis"):
        build_target(FanoutSettings(target="pigeon"))
    with pytest.raises(ConfigurationError, match="REDIS_URL is not set"):
        build_target(FanoutSettings())
    with pytest.raises(ConfigurationError, match="REDIS_URL must begin") as told:
        build_target(FanoutSettings(redis_url="gopher://:sesame@h"))
    assert "sesame" not in str(told.value)


def test_every_row_of_the_table_can_be_built() -> None:
    """A name in the table leads to a target that connects only when used."""
    for name in TARGETS:
        assert hasattr(build_target(FanoutSettings(target=name, redis_url="redis://127.0.0.1:1")), "deliver")
