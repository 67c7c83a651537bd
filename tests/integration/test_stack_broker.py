"""The one-machine stack's MQTT broker, the IoT rule and the IoT data plane, with real processes."""

from __future__ import annotations

import os
import signal
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from infra.local.aws.ingest_event_source import Inbox, ReceivedMessage
from infra.local.aws.iot_rule import RuleSubscription, connect, data_plane
from infra.local.processes.ports import LOOPBACK
from infra.local.processes.process import wait_until
from infra.local.servers.mqtt import MqttBroker
from tests.support.ports import reserve_port

TOPIC = "vedette/hq/gate-01/events/camera-1/tracking"


@pytest.fixture
def embedded_broker(tmp_path: Path) -> Iterator[MqttBroker]:
    """amqtt, also if mosquitto is installed."""
    broker = MqttBroker(folder=tmp_path, embedded=True, port=reserve_port())
    broker.process.start()
    yield broker
    broker.process.stop()


class Subscriber:
    """The subscription of the IoT rule, with the received messages."""

    def __init__(self, broker: MqttBroker) -> None:
        self.inbox = Inbox()
        self.client = connect(broker.url, client_id="rule", persistent=True, manual_ack=True)
        self.rule = RuleSubscription(client=self.client, inbox=self.inbox)
        self.rule.start()
        assert wait_until(self.client.is_connected, timeout_s=10)

    def received(self, count: int) -> list[ReceivedMessage]:
        assert wait_until(lambda: len(self.inbox) >= count, timeout_s=20), f"{len(self.inbox)} of {count} arrived"
        return self.inbox.take(most=1000, most_bytes=10**9)

    def die(self) -> None:
        """End without a DISCONNECT packet, as a killed process does."""
        self.client.loop_stop()
        sock = self.client.socket()
        assert sock is not None
        sock.close()


@pytest.fixture
def publish(embedded_broker: MqttBroker) -> Iterator[Callable[..., None]]:
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.connect(embedded_broker.host, embedded_broker.port)
    client.loop_start()

    def send(*payloads: str) -> None:
        for payload in payloads:
            client.publish(TOPIC, payload, qos=1).wait_for_publish(10)

    yield send
    client.disconnect()
    client.loop_stop()


def test_unacknowledged_messages_are_delivered_again(embedded_broker: MqttBroker, publish: Callable[..., None]) -> None:
    """A killed subscriber gets its unacknowledged messages and those of its absence when it reconnects."""
    first = Subscriber(embedded_broker)
    wait_until(lambda: False, timeout_s=0.3)  # the broker has processed its SUBSCRIBE
    publish("1", "2", "3")
    received = {message.payload: message for message in first.received(3)}
    first.rule.acknowledge(received[b"2"])
    wait_until(lambda: False, timeout_s=0.3)
    first.die()
    publish("4")
    second = Subscriber(embedded_broker)
    assert {message.payload for message in second.received(3)} == {b"1", b"3", b"4"}
    second.rule.stop()


def test_the_broker_waits_for_a_late_acknowledgement(embedded_broker: MqttBroker, publish: Callable[..., None]) -> None:
    """No message is lost when a subscriber is killed after six seconds without PUBACK (amqtt's own limit is five)."""
    first = Subscriber(embedded_broker)
    wait_until(lambda: False, timeout_s=0.3)
    publish("slow")
    assert len(first.received(1)) == 1
    wait_until(lambda: False, timeout_s=6)
    first.die()
    second = Subscriber(embedded_broker)
    assert [message.payload for message in second.received(1)] == [b"slow"]
    second.rule.stop()


def test_an_acknowledgement_of_the_last_connection_is_not_sent(
    embedded_broker: MqttBroker, publish: Callable[..., None]
) -> None:
    """A packet id of the last connection may belong to another message of the current one."""
    subscriber = Subscriber(embedded_broker)
    wait_until(lambda: False, timeout_s=0.3)
    publish("a")
    (stale,) = subscriber.received(1)
    sock = subscriber.client.socket()
    assert sock is not None
    sock.shutdown(2)
    (again,) = subscriber.received(1)
    assert again.connection == stale.connection + 1
    subscriber.rule.acknowledge(stale)
    subscriber.rule.stop()
    third = Subscriber(embedded_broker)
    assert [message.payload for message in third.received(1)] == [b"a"]
    third.rule.stop()


def test_a_command_over_http_reaches_the_device(embedded_broker: MqttBroker) -> None:
    """boto3's iot-data ``publish`` sends an MQTT message; invalid topics are refused."""
    received: list[tuple[str, bytes]] = []
    device = mqtt.Client(CallbackAPIVersion.VERSION2)
    subscribed = threading.Event()
    device.on_message = lambda _c, _d, message: received.append((message.topic, bytes(message.payload)))
    device.on_subscribe = lambda *_: subscribed.set()
    device.on_connect = lambda *_: device.subscribe("vedette/hq/gate-01/commands/+", qos=1)
    device.connect(embedded_broker.host, embedded_broker.port)
    device.loop_start()
    assert subscribed.wait(10)
    client = connect(embedded_broker.url, client_id="data-plane", persistent=False)
    client.loop_start()
    assert wait_until(client.is_connected, timeout_s=10)
    server = data_plane(client=client, port=reserve_port())
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    import boto3

    iot = boto3.client("iot-data", endpoint_url=url, region_name="x", aws_access_key_id="x", aws_secret_access_key="x")
    iot.publish(topic="vedette/hq/gate-01/commands/resend", qos=1, payload=b'{"command": "resend"}')
    assert wait_until(lambda: len(received) == 1, timeout_s=10)
    assert received == [("vedette/hq/gate-01/commands/resend", b'{"command": "resend"}')]
    for path in ("/topics/with/%23/wildcard", "/somewhere/else"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(urllib.request.Request(f"{url}{path}", data=b"x"))
        assert refused.value.code == 400
        refused.value.close()
    iot.close()
    for stopping in (device, client):
        stopping.disconnect()
        stopping.loop_stop()
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_broker_ends_despite_idle_connections(embedded_broker: MqttBroker) -> None:
    """A readiness probe connects without CONNECT; Python 3.12 would wait until such connections are closed."""
    for _ in range(5):
        socket.create_connection((LOOPBACK, urlsplit(embedded_broker.url).port or 0)).close()
    process = embedded_broker.process
    process.begin_stop()
    assert wait_until(lambda: not process.alive, timeout_s=60)
    assert process.exit_status == 0


def test_the_broker_ends_on_sigterm(embedded_broker: MqttBroker) -> None:
    """The broker shuts down with exit status 0."""
    assert embedded_broker.process.pid is not None
    os.kill(embedded_broker.process.pid, signal.SIGTERM)
    assert wait_until(lambda: not embedded_broker.process.alive, timeout_s=10)
    assert embedded_broker.process.exit_status == 0
