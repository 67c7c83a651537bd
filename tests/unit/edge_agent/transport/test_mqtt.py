"""The MQTT publisher with a scripted broker: connecting, publishing, commands and listeners."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import ClassVar

import pytest

from edge_agent.transport.mqtt import MqttPublisher
from edge_agent.transport.settings import MqttSettings
from shared.errors import ConfigurationError, PermanentError, TransientError
from shared.topics import DeviceTopics
from tests.support.ports import reserve_port
from tests.support.relay import Relay
from tests.support.scripted_broker import ScriptedBroker
from tests.support.waiting import eventually
from tests.unit.edge_agent.transport.conftest import QUICK, TOPICS, outcome

MakePublisher = Callable[..., MqttPublisher]
STATUS = "vedette/hq/gate-01/status"


def test_connecting_publishes_online_and_subscribes(broker: ScriptedBroker, make_publisher: MakePublisher) -> None:
    """``online`` is retained, the last will is a retained ``offline``, and the client id is the device id."""
    publisher = make_publisher(broker.port, on_command=lambda *_: None)
    eventually(lambda: broker.published)
    (connect,) = broker.connects
    assert connect.client_id == "gate-01"
    assert connect.will is not None
    topic, payload, retain = connect.will
    assert (topic, json.loads(payload)["status"], retain) == (STATUS, "offline", True)
    online = broker.published[0]
    assert (online.topic, online.retain, online.qos) == (STATUS, True, 1)
    assert json.loads(online.payload)["status"] == "online"
    assert broker.subscriptions == ["vedette/hq/gate-01/commands/+"]
    eventually(lambda: publisher.connected)


def test_close_publishes_offline_and_disconnects(broker: ScriptedBroker, make_publisher: MakePublisher) -> None:
    """Brokers publish the last will only after an unclean end, so close publishes the status itself."""
    publisher = make_publisher(broker.port)
    eventually(lambda: publisher.connected)
    publisher.close()
    publisher.close()
    eventually(lambda: broker.goodbyes == 1)
    last = broker.published[-1]
    assert (json.loads(last.payload)["status"], last.retain) == ("offline", True)
    assert not publisher.connected


def test_publish_completes_on_puback(broker: ScriptedBroker, make_publisher: MakePublisher) -> None:
    """The future completes with the acknowledgement."""
    publisher = make_publisher(broker.port)
    eventually(lambda: publisher.connected)
    assert outcome(publisher.publish("vedette/a", b"1")) == "acked"
    broker.script.ack = False
    future = publisher.publish("vedette/a", b"2")
    eventually(lambda: b"2" in broker.payloads())
    assert not future.done()


def test_a_lost_connection_fails_unacknowledged_messages(broker: ScriptedBroker, make_publisher: MakePublisher) -> None:
    """The publisher keeps no messages and publishes none of them again."""
    publisher = make_publisher(broker.port)
    eventually(lambda: publisher.connected)
    broker.script.ack = False
    futures = [publisher.publish("vedette/a", b"%d" % number) for number in range(5)]
    eventually(lambda: len(broker.payloads(topic_part="vedette/a")) == 5)
    broker.script.ack = True
    broker.drop_connections()
    assert {outcome(future) for future in futures} == {"TransientError"}
    eventually(lambda: publisher.connected and len(broker.connects) == 2)
    assert outcome(publisher.publish("vedette/a", b"after")) == "acked"
    assert broker.payloads(topic_part="vedette/a") == [b"0", b"1", b"2", b"3", b"4", b"after"]


def test_publishing_while_disconnected_fails_at_once(make_publisher: MakePublisher) -> None:
    """Without a connection, publish fails with TransientError and queues nothing."""
    publisher = make_publisher(reserve_port())
    assert outcome(publisher.publish("vedette/a", b"1")) == "TransientError"


def test_an_unavailable_broker_does_not_block_start_or_close(
    make_publisher: MakePublisher, caplog: pytest.LogCaptureFixture
) -> None:
    """The reason is logged once and available as last_error."""
    publisher = make_publisher(reserve_port())
    eventually(lambda: publisher.last_error is not None)
    assert "refused" in str(publisher.last_error)
    eventually(lambda: len(caplog.records) >= 1)
    publisher.close()
    assert len([r for r in caplog.records if r.levelno == logging.WARNING]) == 1


def test_the_publisher_connects_once_the_broker_is_available(make_publisher: MakePublisher) -> None:
    """It keeps reconnecting."""
    port = reserve_port()
    publisher = make_publisher(port)
    eventually(lambda: publisher.last_error is not None)
    broker = ScriptedBroker()
    relay = Relay(target=broker.port, port=port)
    try:
        eventually(lambda: publisher.connected)
        assert publisher.last_error is None
    finally:
        publisher.close()
        relay.close()
        broker.close()


@pytest.mark.parametrize(("code", "words"), [(4, "bad user name"), (5, "not auth")])
def test_a_refused_connection_is_explained_and_retried(
    broker: ScriptedBroker, make_publisher: MakePublisher, code: int, words: str
) -> None:
    """Wrong credentials are reported; the publisher connects once the broker accepts them."""
    broker.script.connect_code = code
    publisher = make_publisher(broker.port)
    eventually(lambda: publisher.last_error is not None and words in publisher.last_error.lower())
    assert not publisher.connected
    broker.script.connect_code = 0
    eventually(lambda: publisher.connected)


def test_a_broker_without_connack_is_disconnected(broker: ScriptedBroker, make_publisher: MakePublisher) -> None:
    """Without a CONNACK the publisher connects again."""
    broker.script.answer_connect = False
    publisher = make_publisher(broker.port, connect_timeout_s=0.1)
    eventually(lambda: len(broker.connects) >= 2)
    assert "does not answer" in str(publisher.last_error)
    broker.script.answer_connect = True
    eventually(lambda: publisher.connected)


def test_a_broker_without_acknowledgements_is_disconnected(
    broker: ScriptedBroker, make_publisher: MakePublisher
) -> None:
    """After ack_timeout_s the publisher connects again."""
    publisher = make_publisher(broker.port, ack_timeout_s=0.2)
    eventually(lambda: publisher.connected)
    broker.script.ack = False
    future = publisher.publish("vedette/a", b"1")
    assert outcome(future) == "TransientError"
    broker.script.ack = True
    eventually(lambda: len(broker.connects) >= 2 and publisher.connected)
    assert outcome(publisher.publish("vedette/a", b"2")) == "acked"


def test_commands_are_passed_to_the_listener(broker: ScriptedBroker, make_publisher: MakePublisher) -> None:
    """With topic and payload as received."""
    calls: list[tuple[str, bytes]] = []
    publisher = make_publisher(broker.port, on_command=lambda topic, payload: calls.append((topic, payload)))
    eventually(lambda: publisher.connected and broker.subscriptions)
    broker.send("vedette/hq/gate-01/commands/reload", b"{}")
    eventually(lambda: calls == [("vedette/hq/gate-01/commands/reload", b"{}")])


def test_edge_34_messages_of_other_topics_are_ignored(broker: ScriptedBroker, make_publisher: MakePublisher) -> None:
    """The listener does not receive a retained status or another device's command."""
    calls: list[str] = []
    publisher = make_publisher(broker.port, on_command=lambda topic, _: calls.append(topic))
    eventually(lambda: publisher.connected and broker.subscriptions)
    broker.send("vedette/hq/gate-01/status", b'{"status": "offline"}')
    broker.send("vedette/hq/gate-02/commands/reload", b"{}")
    broker.send("vedette/hq/gate-01/commands/reload", b"{}")
    eventually(lambda: calls)
    assert calls == ["vedette/hq/gate-01/commands/reload"]


def test_a_listener_that_raises_does_not_end_the_network_thread(
    broker: ScriptedBroker, make_publisher: MakePublisher, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither a command listener nor a connection listener."""

    def raise_for_connection(*_: object) -> None:
        raise ZeroDivisionError

    def raise_for_command(*_: object) -> None:
        raise ZeroDivisionError

    publisher = make_publisher(broker.port, on_command=raise_for_command)
    publisher.add_listener(raise_for_connection)
    eventually(lambda: publisher.connected)
    broker.send("vedette/hq/gate-01/commands/reload", b"{}")
    eventually(lambda: "handling a message from the broker failed" in caplog.text)
    assert outcome(publisher.publish("vedette/a", b"1")) == "acked"
    broker.drop_connections()
    eventually(lambda: "a listener of the MQTT publisher failed" in caplog.text)
    eventually(lambda: publisher.connected and len(broker.connects) == 2)


def test_a_callback_that_publishes_does_not_deadlock(broker: ScriptedBroker, make_publisher: MakePublisher) -> None:
    """Messages published from callbacks of several threads are all acknowledged."""
    publisher = make_publisher(broker.port)
    eventually(lambda: publisher.connected)
    second: list[Future[None]] = []

    def publish_many() -> None:
        for _ in range(50):
            first = publisher.publish("vedette/a", b"first")
            first.add_done_callback(lambda _: second.append(publisher.publish("vedette/b", b"second")))

    threads = [threading.Thread(target=publish_many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    eventually(lambda: len(second) == 200)
    assert {outcome(future) for future in second} == {"acked"}


def test_listeners_are_called_on_connect_and_disconnect(broker: ScriptedBroker, make_publisher: MakePublisher) -> None:
    """Every change of the connection calls the listeners."""
    calls: list[bool] = []
    publisher = make_publisher(broker.port)
    eventually(lambda: publisher.connected)
    publisher.add_listener(lambda: calls.append(publisher.connected))
    broker.drop_connections()
    eventually(lambda: False in calls and calls[-1] is True)


def test_an_invalid_topic_is_a_permanent_error(broker: ScriptedBroker, make_publisher: MakePublisher) -> None:
    """A topic with a wildcard is not retried."""
    publisher = make_publisher(broker.port)
    eventually(lambda: publisher.connected)
    assert isinstance(publisher.publish("vedette/#", b"1").exception(timeout=5), PermanentError)


def test_the_password_is_read_from_a_file(
    tmp_path: Path, broker: ScriptedBroker, make_publisher: MakePublisher
) -> None:
    """It is sent to the broker and not shown in settings or reprs."""
    (tmp_path / "password").write_text("s3cret\n")
    settings = {"username": "gate", "password_file": tmp_path / "password"}
    make_publisher(broker.port, **settings)
    eventually(lambda: broker.connects)
    assert (broker.connects[0].username, broker.connects[0].password) == ("gate", "s3cret")
    configured = MqttSettings.model_validate({"host": "h", **settings})
    assert "s3cret" not in configured.model_dump_json()
    assert "s3cret" not in repr(configured.read_password())


def test_a_missing_password_file_is_a_configuration_error(tmp_path: Path) -> None:
    """The constructor raises, with the path."""
    settings = MqttSettings(host="h", username="gate", password_file=tmp_path / "nowhere")
    with pytest.raises(ConfigurationError, match="nowhere"):
        MqttPublisher(settings=settings, topics=TOPICS)


class FaultyTopics(DeviceTopics):
    """Raises an unexpected error the first ``faults`` times."""

    faults: ClassVar[list[int]] = []

    @property
    def status(self) -> str:
        if self.faults:
            raise RuntimeError(f"fault {self.faults.pop()}")
        return super().status


def test_python_the_publisher_recovers_from_an_unexpected_fault(
    broker: ScriptedBroker, caplog: pytest.LogCaptureFixture
) -> None:
    """It backs off, logs one traceback, and connects once the fault is gone."""
    FaultyTopics.faults[:] = [4, 3, 2, 1]
    settings = MqttSettings.model_validate({**QUICK, "port": broker.port})
    publisher = MqttPublisher(settings=settings, topics=FaultyTopics(TOPICS.site_id, TOPICS.device_id))
    publisher.start()
    try:
        eventually(lambda: publisher.connected)
    finally:
        publisher.close(10.0)
    assert caplog.text.count("Traceback") == 1
    assert "connecting to the MQTT broker failed unexpectedly" in caplog.text


def test_python_a_listener_that_fails_is_logged_once(
    broker: ScriptedBroker, make_publisher: MakePublisher, caplog: pytest.LogCaptureFixture
) -> None:
    """A listener that always fails is logged once, and the other listeners are still called."""
    publisher = make_publisher(broker.port)
    calls: list[int] = []

    def fail() -> None:
        raise RuntimeError("fault")

    publisher.add_listener(fail)
    publisher.add_listener(lambda: calls.append(1))
    eventually(lambda: publisher.connected)
    for connections in (2, 3):
        broker.drop_connections()
        eventually(lambda: publisher.connected and len(broker.connects) == connections)  # noqa: B023
    eventually(lambda: len(calls) >= 4)
    assert caplog.text.count("Traceback") == 1


def test_acknowledgements_before_publish_returns_are_handled(
    broker: ScriptedBroker, make_publisher: MakePublisher
) -> None:
    """Every future completes, also if the broker answers very quickly."""
    publisher = make_publisher(broker.port)
    eventually(lambda: publisher.connected)
    futures = [publisher.publish("vedette/a", b"x") for _ in range(500)]
    assert {outcome(future) for future in futures} == {"acked"}


def test_publish_after_close_is_a_transient_error(broker: ScriptedBroker, make_publisher: MakePublisher) -> None:
    """After close nothing is published."""
    publisher = make_publisher(broker.port)
    eventually(lambda: publisher.connected)
    publisher.close()
    assert isinstance(publisher.publish("vedette/a", b"1").exception(timeout=5), TransientError)
