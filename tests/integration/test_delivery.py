"""Nothing acknowledged is lost when real processes and a real broker are killed during a stream of events."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from edge_agent.outbox import Outbox
from edge_agent.transport.s3 import S3Store
from edge_agent.transport.sender import Sender
from edge_agent.transport.settings import S3Settings, SenderSettings
from infra.local.servers.aws import AwsServer
from tests.support.backing_services import BrokerFixture
from tests.support.edge.delivery_harness import DeviceProcess, pause, subscribed
from tests.support.edge.fake_transport import FakePublisher
from tests.support.edge.outbox_builders import tracking_event, with_image
from tests.support.ports import reserve_port
from tests.support.scripted_broker import ScriptedBroker
from tests.support.waiting import eventually


@pytest.fixture
def device_id() -> str:
    """A device id that only this test uses, because tests share the broker."""
    return f"gate-{uuid.uuid4().hex[:8]}"


def test_a_repeatedly_killed_device_loses_nothing(tmp_path: Path, mqtt_broker: BrokerFixture, device_id: str) -> None:
    """Every event whose put returned before ``kill -9`` arrives, and its sequence belongs to no other event."""
    returned: dict[str, int] = {}
    chance = random.Random(20261120)
    with subscribed(port=mqtt_broker.port, device_id=device_id) as cloud:
        for _ in range(4):
            device = DeviceProcess(folder=tmp_path, port=mqtt_broker.port, device_id=device_id, count=100_000)
            eventually(lambda device=device: len(device.returned) > 20)
            pause(chance.uniform(0.0, 0.4))
            device.kill()
            returned |= device.returned
        last = DeviceProcess(folder=tmp_path, port=mqtt_broker.port, device_id=device_id, count=10)
        last.finished_putting.wait(20)
        eventually(lambda: set(last.returned) <= set(cloud.events), within_s=60)
        last.stop()
        returned |= last.returned
        eventually(lambda: set(returned) <= set(cloud.events), within_s=60)
        assert cloud.holes(max(returned.values())) == []
        assert all(cloud.sequences[sequence] == event_id for event_id, sequence in returned.items())


def test_cloud_21_killed_broker_loses_nothing_after_resend(
    tmp_path: Path, mqtt_broker: BrokerFixture, device_id: str
) -> None:
    """A killed broker loses acknowledged messages; the gap is found, requested and filled."""
    with subscribed(port=mqtt_broker.port, device_id=device_id) as cloud:
        device = DeviceProcess(folder=tmp_path, port=mqtt_broker.port, device_id=device_id, count=3000)
        eventually(lambda: len(cloud.events) > 100, within_s=60)
        cloud.ready.clear()
        mqtt_broker.kill()
        pause(0.3)
        mqtt_broker.start()
        assert cloud.ready.wait(30)
        assert device.finished_putting.wait(60)
        eventually(lambda: 3000 in cloud.sequences, within_s=60)
        attempt = 0
        while holes := cloud.holes(3000):
            attempt += 1
            assert attempt < 10, holes
            cloud.ask_to_resend(holes[:1000], f"resend-{attempt}")
            pause(0.5)
        assert set(device.returned) == set(cloud.events)
        device.stop()


def test_acknowledged_messages_that_a_broker_lost_are_resent(tmp_path: Path, device_id: str) -> None:
    """A resend command for a gap delivers the same bytes again."""
    broker = ScriptedBroker()
    try:
        device = DeviceProcess(folder=tmp_path, port=broker.port, device_id=device_id, count=200)
        eventually(lambda: len(broker.payloads(topic_part="/events/")) == 200)
        first_time = broker.payloads(topic_part="/events/")
        broker.published.clear()  # as a broker that ends here would lose them
        epoch = first_time[0].split(b'"sequence_epoch":"')[1].split(b'"')[0].decode()
        command = f'{{"command":"resend","command_id":"r-1","sequence_epoch":"{epoch}","ranges":[[51,150],[201,205]]}}'
        eventually(lambda: broker.subscriptions)
        broker.send(f"vedette/hq/{device_id}/commands/resend", command.encode())
        eventually(lambda: len(broker.payloads(topic_part="/events/")) == 100)
        assert sorted(broker.payloads(topic_part="/events/")) == sorted(first_time[50:150])
        eventually(lambda: broker.payloads(topic_part="/replies/r-1"))
        assert b'"resent":100,"unavailable":[[201,205]]' in broker.payloads(topic_part="/replies/r-1")[0]
        device.stop()
    finally:
        broker.close()


def test_a_killed_device_is_offline_and_gets_queued_commands(
    tmp_path: Path, mqtt_broker: BrokerFixture, device_id: str
) -> None:
    """The last will sets a killed device offline; after its restart it executes the queued commands."""
    with subscribed(port=mqtt_broker.port, device_id=device_id) as cloud:
        device = DeviceProcess(folder=tmp_path, port=mqtt_broker.port, device_id=device_id, count=5)
        eventually(lambda: len(cloud.events) == 5 and cloud.statuses[-1:] == ["online"], within_s=60)
        device.kill()
        eventually(lambda: cloud.statuses[-1] == "offline", within_s=60)
        cloud.ask_to_resend([[2, 3]], "while-away")
        pause(0.2)
        again = DeviceProcess(folder=tmp_path, port=mqtt_broker.port, device_id=device_id, count=1)
        eventually(lambda: cloud.answered() == {"while-away"}, within_s=60)
        assert cloud.replies[0]["resent"] == 2
        eventually(lambda: cloud.events[cloud.sequences[2]] >= 2 and cloud.events[cloud.sequences[3]] >= 2)
        again.stop()
        eventually(lambda: cloud.statuses[-1] == "offline")


@pytest.fixture
def aws_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")


@pytest.fixture
def own_aws(tmp_path: Path) -> Iterator[AwsServer]:
    """An S3 server that only this test uses, because the test stops and starts it."""
    server = AwsServer(folder=tmp_path / "aws", port=reserve_port())
    yield server
    server.process.stop()


@pytest.mark.usefixtures("aws_keys")
def test_images_wait_for_an_unavailable_store(tmp_path: Path, own_aws: AwsServer) -> None:
    """S3 is down when the images are created; when it is available, all of them arrive with the right bytes."""
    settings = S3Settings(bucket="snapshots", region="us-east-1", endpoint_url=own_aws.url, connect_timeout_s=1)
    store = S3Store(settings=settings, device_id="gate-01")
    outbox = Outbox(tmp_path / "outbox.db")
    keys = [f"camera-1/2026-01-01/tracking_103045_{number:06d}.jpg" for number in range(15)]
    for key in keys:
        outbox.put(with_image(tracking_event(), key), snapshot=b"image " + key.encode(), thumbnail=b"t")
    sender = Sender(
        outbox=outbox,
        publisher=FakePublisher(connected=False),
        store=store,
        settings=SenderSettings(retry_min_s=0.05, retry_max_s=0.2),
    )
    sender.start()
    pause(0.3)
    assert outbox.health().pending_images == 30
    own_aws.process.start()
    client = boto3.client("s3", endpoint_url=own_aws.url, region_name="us-east-1")
    client.create_bucket(Bucket="snapshots")
    outbox.images.release([])
    eventually(lambda: outbox.health().pending_images == 0, within_s=60)
    for key in keys:
        body = client.get_object(Bucket="snapshots", Key=f"snapshots/gate-01/{key}")["Body"].read()
        assert body == b"image " + key.encode()
    sender.close()
    store.close()
    client.close()
    outbox.close()
