"""Nothing acknowledged is lost: real processes, a real broker, ``kill -9`` in mid-stream."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from edge_agent.outbox import Outbox
from edge_agent.transport.s3 import S3Store
from edge_agent.transport.sender import Sender, SenderSettings
from edge_agent.transport.settings import S3Settings
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
    """A device of this test alone: the broker is shared."""
    return f"gate-{uuid.uuid4().hex[:8]}"


def test_a_device_killed_again_and_again_loses_nothing(
    tmp_path: Path, mqtt_broker: BrokerFixture, device_id: str
) -> None:
    """Every put that returned before a kill -9 arrives, and its sequence names one event only."""
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


def test_cloud_21_a_broker_killed_in_mid_stream_costs_nothing_in_the_end(
    tmp_path: Path, mqtt_broker: BrokerFixture, device_id: str
) -> None:
    """The broker takes acknowledged messages with it; the hole is seen, asked for, and filled."""
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


def test_a_broker_that_forgets_what_it_acknowledged_is_healed_by_resend(tmp_path: Path, device_id: str) -> None:
    """Acknowledged and thrown away: a resend command for the hole brings the very same messages back."""
    broker = ScriptedBroker()
    try:
        device = DeviceProcess(folder=tmp_path, port=broker.port, device_id=device_id, count=200)
        eventually(lambda: len(broker.payloads(topic_part="/events/")) == 200)
        first_time = broker.payloads(topic_part="/events/")
        broker.published.clear()  # a broker that died here would have forgotten them just so
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


def test_a_device_that_was_away_is_seen_to_be_and_finds_its_commands(
    tmp_path: Path, mqtt_broker: BrokerFixture, device_id: str
) -> None:
    """Killed, it is offline by its last will; back, it carries out what it was asked meanwhile."""
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
    """An S3 of this test's own, because it is stopped and started."""
    server = AwsServer(folder=tmp_path / "aws", port=reserve_port())
    yield server
    server.process.stop()


@pytest.mark.usefixtures("aws_keys")
def test_images_wait_for_a_store_that_is_away(tmp_path: Path, own_aws: AwsServer) -> None:
    """S3 is down when the images are made; once it is there they all arrive, each with its own bytes."""
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
