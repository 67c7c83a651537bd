"""The MQTT publisher against a scripted, misbehaving broker."""

from __future__ import annotations

import json
import logging
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import ClassVar

import pytest

from edge_agent.transport.mqtt import MqttPublisher
from edge_agent.transport.settings import MqttSettings
from shared.errors import ConfigurationError, PermanentError, TransientError
from shared.topics import DeviceTopics
from tests.support.certificates import TestAuthority
from tests.support.ports import reserve_port
from tests.support.relay import Relay
from tests.support.scripted_broker import ScriptedBroker
from tests.support.waiting import eventually
from tests.unit.edge_agent.transport.conftest import QUICK, TOPICS

MakePublisher = Callable[..., MqttPublisher]
STATUS = "vedette/hq/gate-01/status"


def outcome(future: Future[None]) -> str:
    """Wait for a publication and name how it ended."""
    error = future.exception(timeout=20)
    return "acked" if error is None else type(error).__name__


def test_connecting_announces_the_device(broker: ScriptedBroker, make_publisher: MakePublisher) -> None:
    """Retained ``online``, last will ``offline`` retained, commands subscribed, the device id as client id."""
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


def test_closing_says_offline_and_goodbye(broker: ScriptedBroker, make_publisher: MakePublisher) -> None:
    """A clean stop replaces the retained status itself: brokers publish the will only after a bad end."""
    publisher = make_publisher(broker.port)
    eventually(lambda: publisher.connected)
    publisher.close()
    publisher.close()
    eventually(lambda: broker.goodbyes == 1)
    last = broker.published[-1]
    assert (json.loads(last.payload)["status"], last.retain) == ("offline", True)
    assert not publisher.connected


def test_publish_is_done_on_puback_and_not_before(broker: ScriptedBroker, make_publisher: MakePublisher) -> None:
    """The future follows the acknowledgement."""
    publisher = make_publisher(broker.port)
    eventually(lambda: publisher.connected)
    assert outcome(publisher.publish("vedette/a", b"1")) == "acked"
    broker.script.ack = False
    future = publisher.publish("vedette/a", b"2")
    eventually(lambda: b"2" in broker.payloads())
    assert not future.done()


def test_a_lost_connection_fails_what_waits_and_nothing_is_resent(
    broker: ScriptedBroker, make_publisher: MakePublisher
) -> None:
    """The publisher remembers nothing: the outbox decides what goes again."""
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
    """No broker, no waiting, no queue."""
    publisher = make_publisher(reserve_port())
    assert outcome(publisher.publish("vedette/a", b"1")) == "TransientError"


def test_a_dead_broker_holds_nobody_up(make_publisher: MakePublisher, caplog: pytest.LogCaptureFixture) -> None:
    """Start returns at once, the reason is logged once and can be asked for, and closing is quick."""
    publisher = make_publisher(reserve_port())
    eventually(lambda: publisher.last_error is not None)
    assert "refused" in str(publisher.last_error)
    eventually(lambda: len(caplog.records) >= 1)
    publisher.close()
    assert len([r for r in caplog.records if r.levelno == logging.WARNING]) == 1


def test_a_broker_that_comes_later_is_found(make_publisher: MakePublisher) -> None:
    """The publisher goes on trying."""
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
def test_a_refusal_is_said_in_words_and_tried_again(
    broker: ScriptedBroker, make_publisher: MakePublisher, code: int, words: str
) -> None:
    """Wrong credentials are named; once the broker takes them, the publisher connects."""
    broker.script.connect_code = code
    publisher = make_publisher(broker.port)
    eventually(lambda: publisher.last_error is not None and words in publisher.last_error.lower())
    assert not publisher.connected
    broker.script.connect_code = 0
    eventually(lambda: publisher.connected)


def test_a_broker_that_does_not_answer_is_given_up(broker: ScriptedBroker, make_publisher: MakePublisher) -> None:
    """An open port is no broker: without CONNACK the publisher starts over."""
    broker.script.answer_connect = False
    publisher = make_publisher(broker.port, connect_timeout_s=0.1)
    eventually(lambda: len(broker.connects) >= 2)
    assert "does not answer" in str(publisher.last_error)
    broker.script.answer_connect = True
    eventually(lambda: publisher.connected)


def test_a_broker_that_acknowledges_nothing_is_left(broker: ScriptedBroker, make_publisher: MakePublisher) -> None:
    """Past ack_timeout_s the connection is made anew, so that everything can go again."""
    publisher = make_publisher(broker.port, ack_timeout_s=0.2)
    eventually(lambda: publisher.connected)
    broker.script.ack = False
    future = publisher.publish("vedette/a", b"1")
    assert outcome(future) == "TransientError"
    broker.script.ack = True
    eventually(lambda: len(broker.connects) >= 2 and publisher.connected)
    assert outcome(publisher.publish("vedette/a", b"2")) == "acked"


def test_commands_reach_their_listener(broker: ScriptedBroker, make_publisher: MakePublisher) -> None:
    """Topic and payload, as they came."""
    heard: list[tuple[str, bytes]] = []
    publisher = make_publisher(broker.port, on_command=lambda topic, payload: heard.append((topic, payload)))
    eventually(lambda: publisher.connected and broker.subscriptions)
    broker.send("vedette/hq/gate-01/commands/reload", b"{}")
    eventually(lambda: heard == [("vedette/hq/gate-01/commands/reload", b"{}")])


def test_edge_34_what_was_not_subscribed_to_is_no_command(
    broker: ScriptedBroker, make_publisher: MakePublisher
) -> None:
    """A broker that hands out the device's own retained status, or another device's command: nobody hears of it."""
    heard: list[str] = []
    publisher = make_publisher(broker.port, on_command=lambda topic, _: heard.append(topic))
    eventually(lambda: publisher.connected and broker.subscriptions)
    broker.send("vedette/hq/gate-01/status", b'{"status": "offline"}')
    broker.send("vedette/hq/gate-02/commands/reload", b"{}")
    broker.send("vedette/hq/gate-01/commands/reload", b"{}")
    eventually(lambda: heard)
    assert heard == ["vedette/hq/gate-01/commands/reload"]


def test_a_listener_that_raises_harms_nothing(
    broker: ScriptedBroker, make_publisher: MakePublisher, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither a command listener nor a connection listener can end the network thread."""

    def explode(*_: object) -> None:
        raise ZeroDivisionError

    def explode_too(*_: object) -> None:
        raise ZeroDivisionError

    publisher = make_publisher(broker.port, on_command=explode_too)
    publisher.add_listener(explode)
    eventually(lambda: publisher.connected)
    broker.send("vedette/hq/gate-01/commands/reload", b"{}")
    eventually(lambda: "handling a message from the broker failed" in caplog.text)
    assert outcome(publisher.publish("vedette/a", b"1")) == "acked"
    broker.drop_connections()
    eventually(lambda: "a listener of the MQTT publisher failed" in caplog.text)
    eventually(lambda: publisher.connected and len(broker.connects) == 2)


def test_a_callback_that_publishes_does_not_deadlock(broker: ScriptedBroker, make_publisher: MakePublisher) -> None:
    """Replies are published from callbacks; many publishers and acknowledgements at once get through."""
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


def test_listeners_hear_of_coming_and_going(broker: ScriptedBroker, make_publisher: MakePublisher) -> None:
    """Each change of the connection calls the listeners."""
    heard: list[bool] = []
    publisher = make_publisher(broker.port)
    eventually(lambda: publisher.connected)
    publisher.add_listener(lambda: heard.append(publisher.connected))
    broker.drop_connections()
    eventually(lambda: False in heard and heard[-1] is True)


def test_what_mqtt_cannot_carry_is_refused_for_good(broker: ScriptedBroker, make_publisher: MakePublisher) -> None:
    """A topic with a wildcard will never go: a permanent error, not an endless retry."""
    publisher = make_publisher(broker.port)
    eventually(lambda: publisher.connected)
    assert isinstance(publisher.publish("vedette/#", b"1").exception(timeout=5), PermanentError)


def test_user_name_and_password_come_from_a_file(
    tmp_path: Path, broker: ScriptedBroker, make_publisher: MakePublisher
) -> None:
    """The password is read from where it lies, sent, and shown nowhere."""
    (tmp_path / "password").write_text("s3cret\n")
    settings = {"username": "gate", "password_file": tmp_path / "password"}
    make_publisher(broker.port, **settings)
    eventually(lambda: broker.connects)
    assert (broker.connects[0].username, broker.connects[0].password) == ("gate", "s3cret")
    configured = MqttSettings.model_validate({"host": "h", **settings})
    assert "s3cret" not in configured.model_dump_json()
    assert "s3cret" not in repr(configured.read_password())


def test_the_password_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the variable's name; an absent one is named."""
    settings = MqttSettings(host="h", username="gate", password_env="VEDETTE_TEST_PASSWORD")
    with pytest.raises(ConfigurationError, match="VEDETTE_TEST_PASSWORD"):
        settings.read_password()
    monkeypatch.setenv("VEDETTE_TEST_PASSWORD", "s3cret")
    password = settings.read_password()
    assert password is not None
    assert password.get_secret_value() == "s3cret"


def test_an_absent_password_file_is_named(tmp_path: Path) -> None:
    """At start, not at the first connection."""
    settings = MqttSettings(host="h", username="gate", password_file=tmp_path / "nowhere")
    with pytest.raises(ConfigurationError, match="nowhere"):
        MqttPublisher(settings=settings, topics=TOPICS)


@pytest.mark.parametrize(
    "wrong",
    [
        {"certificate_file": "/a"},
        {"username": "u", "password_file": "/a", "password_env": "B"},
        {"password_env": "B"},
        {"port": 0},
        {"host": ""},
        {"password": "plain"},
    ],
)
def test_settings_that_contradict_themselves_are_refused(wrong: dict[str, object]) -> None:
    """Half a certificate, two passwords, or a plain one in the file: said when the settings are read."""
    with pytest.raises(ValueError, match=r".+"):
        MqttSettings.model_validate({"host": "h", **wrong})


def test_ports_follow_from_tls() -> None:
    """8883 with TLS, 1883 without, unless said otherwise."""
    assert MqttSettings(host="h").effective_port == 1883
    assert MqttSettings(host="h", tls=True).effective_port == 8883
    assert MqttSettings(host="h", port=443, tls=True).effective_port == 443


@pytest.fixture
def tls_broker(server_tls: ssl.SSLContext) -> Iterator[ScriptedBroker]:
    broker = ScriptedBroker(tls=server_tls)
    yield broker
    broker.close()


def test_mutual_tls_shows_the_device_certificate(
    tls_broker: ScriptedBroker, authority: TestAuthority, make_publisher: MakePublisher
) -> None:
    """The broker sees the device's own certificate, and messages pass."""
    certificate, key = authority.issue("gate-01")
    publisher = make_publisher(
        tls_broker.port, ca_file=authority.ca_file, certificate_file=certificate, private_key_file=key, alpn="mqtt"
    )
    eventually(lambda: publisher.connected)
    assert outcome(publisher.publish("vedette/a", b"1")) == "acked"
    assert "gate-01" in str(tls_broker.peer_certificates)


# paho leaves the socket of a failed handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_edge_35_a_broker_with_a_certificate_from_nobody_we_know_is_refused(
    tls_broker: ScriptedBroker, make_publisher: MakePublisher
) -> None:
    """The other side is verified, always."""
    publisher = make_publisher(tls_broker.port, tls=True)
    eventually(lambda: publisher.last_error is not None)
    assert "CERTIFICATE_VERIFY_FAILED" in str(publisher.last_error)
    assert tls_broker.connects == []


@pytest.mark.skipif(sys.version_info < (3, 13), reason="Python verifies strictly from 3.13 on; see test_tls_errors.py")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # as above
def test_python_a_certificate_that_python_3_13_rejects_is_explained(
    make_publisher: MakePublisher, tmp_path: Path
) -> None:
    """A self-made authority without key identifiers: the publisher says what is missing and what to do."""
    authority = TestAuthority(tmp_path, strict=False)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("server"))
    broker = ScriptedBroker(tls=context)
    try:
        publisher = make_publisher(broker.port, ca_file=authority.ca_file)
        eventually(lambda: publisher.last_error is not None)
        assert "no authority key identifier, which Python 3.13 and later require" in str(publisher.last_error)
    finally:
        broker.close()


class FaultyTopics(DeviceTopics):
    """Fails in a way that the publisher does not expect, the first ``faults`` times."""

    faults: ClassVar[list[int]] = []

    @property
    def status(self) -> str:
        if self.faults:
            raise RuntimeError(f"fault {self.faults.pop()}")
        return super().status


def test_python_the_link_survives_an_unexpected_fault_and_logs_it_once(
    broker: ScriptedBroker, caplog: pytest.LogCaptureFixture
) -> None:
    """Before a connection exists, too: it backs off, logs one traceback, and connects once the fault is gone."""
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
    """Listeners hear of every connection; one that always fails does not fill the log, and the others still hear."""
    publisher = make_publisher(broker.port)
    heard: list[int] = []

    def fail() -> None:
        raise RuntimeError("fault")

    publisher.add_listener(fail)
    publisher.add_listener(lambda: heard.append(1))
    eventually(lambda: publisher.connected)
    for connections in (2, 3):
        broker.drop_connections()
        eventually(lambda: publisher.connected and len(broker.connects) == connections)  # noqa: B023
    eventually(lambda: len(heard) >= 4)
    assert caplog.text.count("Traceback") == 1


@pytest.mark.parametrize("broken", ["missing", "garbage", "mismatched", "bad ca", "missing ca"])
def test_unusable_certificates_are_named_at_start(authority: TestAuthority, tmp_path: Path, broken: str) -> None:
    """A configuration error that names the file, before anything is connected."""
    certificate, key = authority.issue("gate-01")
    ca = authority.ca_file
    if broken == "missing":
        key = tmp_path / "nowhere.key"
    elif broken == "garbage":
        certificate.write_text("not a certificate")
    elif broken == "mismatched":
        key = authority.issue("other")[1]
    elif broken == "bad ca":
        ca = tmp_path / "bad-ca.pem"
        ca.write_text("not a certificate")
    else:
        ca = tmp_path / "nowhere-ca.pem"
    settings = MqttSettings(host="h", ca_file=ca, certificate_file=certificate, private_key_file=key)
    named = {"missing": "nowhere.key", "bad ca": "bad-ca", "missing ca": "nowhere-ca"}.get(broken, "gate-01.pem")
    with pytest.raises(ConfigurationError, match=named):
        MqttPublisher(settings=settings, topics=TOPICS)


def test_early_acknowledgements_are_not_missed(broker: ScriptedBroker, make_publisher: MakePublisher) -> None:
    """A broker faster than our own bookkeeping: every future still ends."""
    publisher = make_publisher(broker.port)
    eventually(lambda: publisher.connected)
    futures = [publisher.publish("vedette/a", b"x") for _ in range(500)]
    assert {outcome(future) for future in futures} == {"acked"}


def test_transient_is_what_a_closed_link_says(broker: ScriptedBroker, make_publisher: MakePublisher) -> None:
    """After close nothing is published, and nobody waits."""
    publisher = make_publisher(broker.port)
    eventually(lambda: publisher.connected)
    publisher.close()
    assert isinstance(publisher.publish("vedette/a", b"1").exception(timeout=5), TransientError)
