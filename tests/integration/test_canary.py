"""The canary: from a device through broker, ingest, topic and fan-out to a receipt, and what is late when it breaks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from cloud_functions.db.devices.canaries import CanaryAge, canary_ages
from cloud_functions.db.health_report import build_health_report
from cloud_functions.fanout.handler import build_fanout
from cloud_functions.fanout.messages import Delivery
from cloud_functions.ingest.publish import Publication
from cloud_functions.maintenance.handler import build_maintenance
from cloud_functions.observability import InMemoryMetrics
from edge_agent.device.canary import CanarySchedule
from edge_agent.device.health import HeartbeatLoop
from edge_agent.outbox import Outbox
from edge_agent.transport.mqtt import MqttPublisher
from edge_agent.transport.publisher import MessagePublisher
from edge_agent.transport.settings import MqttSettings
from infra.local.aws.sqs_event import QueueMessage, sqs_event
from shared.clock import ManualClock, SystemClock
from shared.heartbeat import Heartbeat
from shared.iot_envelope import encode_ingest_message
from shared.topics import DeviceTopics
from tests.support.backing_services import BrokerFixture
from tests.support.edge.delivery_harness import Subscriber
from tests.support.edge.fake_transport import FakePublisher
from tests.support.ingest_harness import IngestHarness, open_ingest
from tests.support.waiting import eventually

EVERY_S = 300.0


class RecordingTarget:
    """What users would receive."""

    def __init__(self) -> None:
        self.delivered: list[Delivery] = []

    def deliver(self, deliveries: Sequence[Delivery]) -> set[str]:
        self.delivered += deliveries
        return set()


class Device:
    """The heartbeat of a device that sends canaries."""

    def __init__(self, folder: Path, *, publisher: MessagePublisher | None = None) -> None:
        self.topics = DeviceTopics("hq", f"canary-{uuid4().hex[:8]}")
        self.clock = ManualClock(SystemClock().now())
        self.outbox = Outbox(folder / "outbox.db")
        schedule = CanarySchedule(every_s=EVERY_S, new_id=uuid4, clock=self.clock)
        self.heartbeat = HeartbeatLoop(
            topics=self.topics,
            publisher=publisher or FakePublisher(),
            outbox=self.outbox,
            cameras=list,
            canary=schedule.current,
            clock=SystemClock(),
        )

    def payload(self, *, later_s: float = 0.0) -> bytes:
        """Return a heartbeat after this time."""
        self.clock.advance(later_s)
        return self.heartbeat.build().model_dump_json().encode()


class Cloud:
    """Ingest and the fan-out function that records receipts, on one database."""

    def __init__(self, ingest: IngestHarness) -> None:
        self.harness = ingest
        self.target = RecordingTarget()
        variables = {"FANOUT_TARGET": "webhook", "DATABASE_URL": ingest.url}
        self._fanout = build_fanout(variables, target=self.target, database=ingest.database)

    def ingest(self, topics: DeviceTopics, payload: bytes) -> list[Publication]:
        """Process a heartbeat; return what was published."""
        body = encode_ingest_message(
            topic=topics.heartbeat,
            payload=payload,
            client_id=topics.device_id,
            received_at_ms=int(SystemClock().now().timestamp() * 1000),
        )
        self.harness.publisher.published.clear()
        assert not self.harness.handle(_event(body))["batchItemFailures"]
        assert self.harness.dead_letters.sent == []
        return list(self.harness.publisher.published)

    def fan_out(self, publications: Sequence[Publication]) -> None:
        for publication in publications:
            assert self._fanout.handle(_event(publication.document)) == {"batchItemFailures": []}

    def age(self, topics: DeviceTopics) -> CanaryAge:
        with self.harness.database.transaction() as connection:
            return next(age for age in canary_ages(connection) if age.device_id == topics.device_id)

    def wait(self, seconds: float) -> None:
        """Let time pass, for the rows."""
        shift = "= {0} - make_interval(secs => %s)"
        columns = ", ".join(f"{name} {shift.format(name)}" for name in ("stored_at", "first_stored_at", "received_at"))
        self.harness.rows(f"UPDATE canary_receipts SET {columns} RETURNING 1", [seconds] * 3)


def _event(body: str) -> dict[str, Any]:
    return json.loads(sqs_event("queue", [QueueMessage(message_id="1", body=body, sent_at_ms=0)]))


@pytest.fixture
def cloud(database_url: str) -> Iterator[Cloud]:
    with open_ingest(database_url) as harness:
        yield Cloud(harness)


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    device = Device(tmp_path)
    yield device
    device.outbox.close()


def test_a_canary_passes_from_the_device_to_its_receipt(
    cloud: Cloud, mqtt_broker: BrokerFixture, device: Device
) -> None:
    """Through a real broker and database; the same canary is published once, and users see nothing of it."""
    topics = device.topics
    subscriber = Subscriber(port=mqtt_broker.port, device_id=topics.device_id)
    publisher = MqttPublisher(settings=MqttSettings(host=mqtt_broker.host, port=mqtt_broker.port), topics=topics)
    publisher.start()
    eventually(lambda: publisher.connected)
    publisher.publish(topics.heartbeat, device.payload()).result(20)
    eventually(lambda: subscriber.heartbeats)
    publisher.close()
    received = Heartbeat.model_validate(subscriber.heartbeats[0])
    assert received.canary is not None

    published = cloud.ingest(topics, received.model_dump_json().encode())
    assert [one.event_id for one in published] == [str(received.canary.canary_id)]
    cloud.fan_out(published)
    found = cloud.harness.rows("SELECT device_id, received_id, every_s FROM canary_receipts")
    assert found == [(topics.device_id, received.canary.canary_id, EVERY_S)]
    assert cloud.age(topics).late_s == 0
    assert cloud.ingest(topics, device.payload(later_s=EVERY_S - 1)) == []
    assert len(cloud.ingest(topics, device.payload(later_s=1))) == 1
    assert cloud.target.delivered == []
    assert cloud.harness.rows("SELECT count(*) FROM events") == [(0,)]
    assert cloud.harness.rows("SELECT count(*) FROM webhook_deliveries") == [(0,)]


@pytest.mark.parametrize("broken", ["device", "topic", "queue", "receipt"])
def test_a_broken_part_makes_the_receipt_late(cloud: Cloud, device: Device, broken: str) -> None:
    """The age grows wherever the way ends; alarm and health report name it, and it falls when the part is back."""
    topics = device.topics
    cloud.fan_out(cloud.ingest(topics, device.payload()))
    cloud.wait(2 * EVERY_S + 100)
    assert cloud.age(topics).late_s == 0
    cloud.wait(100)
    if broken != "device":
        heartbeat = Heartbeat.model_validate_json(device.payload(later_s=EVERY_S))
        assert heartbeat.canary is not None
        if broken == "topic":
            cloud.harness.publisher.refusing = {str(heartbeat.canary.canary_id)}
        published = cloud.ingest(topics, heartbeat.model_dump_json().encode())
        assert len(published) == (broken != "topic")
        if broken == "receipt":  # a receipt of an earlier canary is none of this one
            document = published[0].document.replace(published[0].event_id, str(uuid4()))
            cloud.fan_out([published[0]._replace(document=document)])
    age = cloud.age(topics)
    assert age.age_s >= 2 * EVERY_S + 200
    assert age.late_s >= 80
    metrics = InMemoryMetrics()
    variables = {"DATABASE_URL": cloud.harness.url}
    maintenance = build_maintenance(variables, database=cloud.harness.database, metrics=metrics)
    maintenance.handle({"task": "devices"})
    assert metrics.values["CanaryLateSeconds"][-1] >= 80
    with cloud.harness.database.transaction() as connection:
        report = build_health_report(connection, now=SystemClock().now())
    assert [late["device_id"] for late in report["late_canaries"]] == [topics.device_id]

    cloud.fan_out(cloud.ingest(topics, device.payload(later_s=EVERY_S)))
    assert cloud.age(topics).age_s < 80
    assert cloud.age(topics).late_s == 0


def test_a_device_whose_canaries_are_switched_off_is_not_late(cloud: Cloud, device: Device) -> None:
    """Its row goes with its next heartbeat; a canary that never arrived counts from the first one."""
    cloud.ingest(device.topics, device.payload())
    cloud.wait(2 * EVERY_S + 500)
    assert cloud.age(device.topics).late_s >= 300
    heartbeat = Heartbeat.model_validate_json(device.payload()).model_copy(update={"canary": None})
    cloud.ingest(device.topics, heartbeat.model_dump_json().encode())
    assert cloud.harness.rows("SELECT count(*) FROM canary_receipts") == [(0,)]
