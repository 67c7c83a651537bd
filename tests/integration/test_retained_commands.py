"""Retained messages on a device's command topics, with a real broker."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Iterator

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from edge_agent.device.commands import CommandDispatcher, CommandHandlers
from edge_agent.transport.mqtt import MqttPublisher
from edge_agent.transport.settings import MqttSettings
from shared.topics import DeviceTopics
from tests.support.backing_services import BrokerFixture
from tests.support.edge.delivery_harness import Subscriber, subscribed
from tests.support.relay import Relay
from tests.support.waiting import eventually

GARBAGE = {
    "reload": b"\xff\xfe\x00 not text",
    "snapshot": b"[" * 20_000,
    "resend": b'{"command": "resend", "command_id": "r-1", "sequence_epoch": "e", "ranges": []}',
    "format_disk": b'{"command": "format_disk", "command_id": "f-1"}',
    "x": b"{}",
}


class Retained:
    """Publishes retained messages on one device's command topics, until ``clear``."""

    def __init__(self, *, port: int, topics: DeviceTopics) -> None:
        self._topics = topics
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"litter-{uuid.uuid4().hex[:8]}")
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._kept: set[str] = set()

    def keep(self, command: str, payload: bytes) -> None:
        topic = self._topics.command(command)
        self._kept.add(topic)
        self._client.publish(topic, payload, qos=1, retain=True).wait_for_publish(20)

    def clear(self) -> None:
        for topic in self._kept:
            self._client.publish(topic, b"", qos=1, retain=True).wait_for_publish(20)
        self._client.disconnect()
        self._client.loop_stop()


class Device:
    """The command handling of an agent, which counts executed reload commands."""

    def __init__(self, *, port: int, topics: DeviceTopics) -> None:
        self.reloads: list[str] = []
        self._relay = Relay(target=port)
        settings = MqttSettings(host="127.0.0.1", port=self._relay.port, reconnect_min_s=0.05, reconnect_max_s=0.2)
        self._dispatcher = CommandDispatcher(
            topics=topics,
            handlers=CommandHandlers(
                snapshot=lambda _: None,
                test_connection=lambda _: None,
                reload=lambda command: self.reloads.append(command.command_id),
                resend=lambda _: None,
            ),
        )
        self.publisher = MqttPublisher(settings=settings, topics=topics, on_command=self._dispatcher.receive)
        self._dispatcher.start(self.publisher)
        self.publisher.start()

    def interrupt(self) -> None:
        """Cut the connection and wait until the publisher has reconnected."""
        before = self.publisher.health().reconnects
        self._relay.cut()
        eventually(lambda: self.publisher.health().reconnects > before and self.publisher.connected, within_s=60)

    def close(self) -> None:
        self.publisher.close()
        self._relay.close()
        self._dispatcher.close()


@pytest.fixture
def topics() -> DeviceTopics:
    return DeviceTopics("hq", f"gate-{uuid.uuid4().hex[:8]}")


@pytest.fixture
def retained(mqtt_broker: BrokerFixture, topics: DeviceTopics) -> Iterator[Retained]:
    one = Retained(port=mqtt_broker.port, topics=topics)
    yield one
    one.clear()


@pytest.fixture
def cloud(mqtt_broker: BrokerFixture, topics: DeviceTopics) -> Iterator[Subscriber]:
    with subscribed(port=mqtt_broker.port, device_id=topics.device_id) as one:
        yield one


def test_edge_34_invalid_retained_messages_are_logged_once(
    retained: Retained,
    mqtt_broker: BrokerFixture,
    topics: DeviceTopics,
    cloud: Subscriber,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each invalid message is logged once, also after several reconnects, and valid commands are executed."""
    caplog.set_level(logging.WARNING, "edge_agent.device.commands")
    for command, payload in GARBAGE.items():
        retained.keep(command, payload)
    device = Device(port=mqtt_broker.port, topics=topics)
    try:
        eventually(lambda: len(_refused(caplog)) == len(GARBAGE))
        for number in range(3):
            device.interrupt()
            cloud.ask("reload", f"after-{number}")
            eventually(lambda number=number: f"after-{number}" in device.reloads)
    finally:
        device.close()
    assert sorted(_refused(caplog)) == sorted(topics.command(command) for command in GARBAGE)
    assert device.reloads == ["after-0", "after-1", "after-2"]


def test_edge_34_retained_command_is_executed_once(
    retained: Retained, mqtt_broker: BrokerFixture, topics: DeviceTopics, cloud: Subscriber
) -> None:
    """The broker sends it at every connection; the device executes it only at the first."""
    retained.keep("reload", json.dumps({"command": "reload", "command_id": "kept"}).encode())
    device = Device(port=mqtt_broker.port, topics=topics)
    try:
        eventually(lambda: device.reloads)
        for number in range(3):
            device.interrupt()
            cloud.ask("reload", f"after-{number}")
            eventually(lambda number=number: f"after-{number}" in device.reloads)
    finally:
        device.close()
    assert device.reloads == ["kept", "after-0", "after-1", "after-2"]


def _refused(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the topics of the messages that the log reports as refused."""
    lines = [record.getMessage() for record in caplog.records if record.name == "edge_agent.device.commands"]
    topics = [line.removeprefix("refusing a message on ").partition(": ")[0] for line in lines if "refusing" in line]
    return [topic for topic in topics if "/commands/" in topic]
