"""Connection problems are logged once per kind, and once when they are resolved."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable

import pytest

from edge_agent.transport.mqtt import MqttPublisher
from shared.errors import PermanentError
from tests.support.certificates import TestAuthority
from tests.support.scripted_broker import ScriptedBroker
from tests.support.waiting import eventually

MakePublisher = Callable[..., MqttPublisher]
PAHO_LEAVES_SOCKETS = "ignore::pytest.PytestUnraisableExceptionWarning"
"""paho leaves the socket of a failed handshake to the garbage collector."""


@pytest.fixture(autouse=True)
def log_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "edge_agent.transport")


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_edge_05_a_connection_closed_before_connack_is_logged_once(
    broker: ScriptedBroker, make_publisher: MakePublisher, caplog: pytest.LogCaptureFixture
) -> None:
    """One line with likely causes for many attempts, one when it is resolved, and one when it recurs."""
    broker.script.close_before_connack = True
    publisher = make_publisher(broker.port)
    eventually(lambda: len(broker.connects) >= 4)
    (line,) = warnings_in(caplog)
    assert f"127.0.0.1:{broker.port}: the broker closed the connection before it answered" in line
    assert "expects TLS" in line
    assert "closed the connection" in str(publisher.last_error)
    broker.script.close_before_connack = False
    eventually(lambda: publisher.connected)
    assert [r.getMessage() for r in caplog.records][-1].endswith("connected again")
    assert publisher.last_error is None
    assert "closed the connection" in str(publisher.health().last_error)
    broker.script.close_before_connack = True
    broker.drop_connections()
    eventually(lambda: len(warnings_in(caplog)) >= 3)
    assert "before it answered" in warnings_in(caplog)[-1]


@pytest.mark.filterwarnings(PAHO_LEAVES_SOCKETS)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_edge_05_a_missing_client_certificate_is_explained(
    server_tls: ssl.SSLContext,
    authority: TestAuthority,
    make_publisher: MakePublisher,
    caplog: pytest.LogCaptureFixture,
    version: ssl.TLSVersion,
) -> None:
    """TLS 1.2 rejects during the handshake, TLS 1.3 after it. Both are explained with the missing settings."""
    server_tls.maximum_version = version
    broker = ScriptedBroker(tls=server_tls)
    publisher = make_publisher(broker.port, ca_file=authority.ca_file)
    try:
        eventually(lambda: publisher.last_error is not None)
        eventually(lambda: len(warnings_in(caplog)) >= 1)
        assert "client certificate" in str(publisher.last_error)
        assert "mqtt.certificate_file" in warnings_in(caplog)[0]
    finally:
        publisher.close()
        broker.close()


@pytest.mark.filterwarnings(PAHO_LEAVES_SOCKETS)
def test_edge_05_a_connection_without_tls_to_a_tls_port_is_explained(
    server_tls: ssl.SSLContext, make_publisher: MakePublisher, caplog: pytest.LogCaptureFixture
) -> None:
    """The server closes or sends a TLS alert; the log line mentions TLS."""
    broker = ScriptedBroker(tls=server_tls)
    publisher = make_publisher(broker.port)
    try:
        eventually(lambda: warnings_in(caplog))
        assert "TLS" in warnings_in(caplog)[0]
    finally:
        publisher.close()
        broker.close()


@pytest.mark.filterwarnings(PAHO_LEAVES_SOCKETS)
def test_edge_05_a_tls_connection_to_a_plain_port_is_explained(
    broker: ScriptedBroker, make_publisher: MakePublisher, caplog: pytest.LogCaptureFixture
) -> None:
    """The log line mentions TLS or the closed connection."""
    make_publisher(broker.port, tls=True)
    eventually(lambda: warnings_in(caplog))
    assert "TLS" in warnings_in(caplog)[0] or "before it answered" in warnings_in(caplog)[0]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (1, "not an MQTT 3.1.1 broker: it refuses that version"),
        (2, "client id gate-01"),
        (3, "temporarily unavailable"),
        (4, "mqtt.username"),
        (5, "policy"),
    ],
)
def test_edge_05_each_refusal_is_explained(
    broker: ScriptedBroker, make_publisher: MakePublisher, caplog: pytest.LogCaptureFixture, code: int, words: str
) -> None:
    """Every return code of MQTT 3.1.1 is logged once, for several attempts."""
    broker.script.connect_code = code
    make_publisher(broker.port)
    eventually(lambda: len(broker.connects) >= 3)
    (line,) = warnings_in(caplog)
    assert words in line


@pytest.mark.parametrize(
    ("code", "words"),
    [(0x84, "does not support MQTT 5"), (0x89, "busy"), (0x8A, "banned"), (0x97, "quota"), (0xFF, "")],
)
def test_edge_05_each_refusal_of_mqtt_5_is_explained(
    broker: ScriptedBroker, make_publisher: MakePublisher, caplog: pytest.LogCaptureFixture, code: int, words: str
) -> None:
    """An unknown reason code is reported too."""
    broker.script.connect_code = code
    make_publisher(broker.port, protocol="5")
    eventually(lambda: warnings_in(caplog))
    assert words in warnings_in(caplog)[0]
    assert broker.connects[0].version == 5


def test_edge_05_a_new_cause_is_logged(
    broker: ScriptedBroker, make_publisher: MakePublisher, caplog: pytest.LogCaptureFixture
) -> None:
    """When the cause changes, the new one is logged."""
    broker.script.connect_code = 4
    make_publisher(broker.port)
    eventually(lambda: len(broker.connects) >= 2)
    broker.script.close_before_connack = True
    eventually(lambda: len(warnings_in(caplog)) == 2)
    assert ["refused" in line for line in warnings_in(caplog)] == [True, False]


def test_edge_36_a_client_id_conflict_is_inferred(
    broker: ScriptedBroker, make_publisher: MakePublisher, caplog: pytest.LogCaptureFixture
) -> None:
    """MQTT 3.1.1 reports no reason: repeated short connections indicate a conflict, in the log and in the heartbeat."""
    broker.script.close_after_connack = True
    publisher = make_publisher(broker.port)
    eventually(lambda: publisher.health().client_id_conflict)
    eventually(lambda: len(broker.connects) >= 6)
    conflicts = [
        line for line in warnings_in(caplog) if "most likely another client uses the client id gate-01" in line
    ]
    assert len(conflicts) == 1
    assert len(warnings_in(caplog)) == 2  # the first one is logged as an ended connection
    assert "another client" in str(publisher.health().last_error)
    assert publisher.health().reconnects >= 4


def test_edge_36_a_reported_session_takeover_is_logged_at_once(
    broker: ScriptedBroker, make_publisher: MakePublisher, caplog: pytest.LogCaptureFixture
) -> None:
    """MQTT 5 reports the reason, so one takeover is sufficient."""
    publisher = make_publisher(broker.port, protocol="5")
    eventually(lambda: publisher.connected)
    broker.disconnect(0x8E)
    eventually(lambda: publisher.health().client_id_conflict)
    assert "another client uses the client id gate-01 and has taken this session" in warnings_in(caplog)[0]
    eventually(lambda: publisher.connected)
    assert publisher.health().client_id_conflict  # not resolved before the connection is stable


def test_edge_36_the_reason_of_a_disconnect_is_logged(
    broker: ScriptedBroker, make_publisher: MakePublisher, caplog: pytest.LogCaptureFixture
) -> None:
    """MQTT 5 brokers report why they close a connection."""
    publisher = make_publisher(broker.port, protocol="5")
    eventually(lambda: publisher.connected)
    broker.disconnect(0x8B)
    eventually(lambda: warnings_in(caplog))
    assert "it is shutting down" in warnings_in(caplog)[0]


def test_edge_36_occasional_disconnects_are_not_a_conflict(
    broker: ScriptedBroker, make_publisher: MakePublisher
) -> None:
    """A broker that restarts twice is not reported as a client id conflict."""
    publisher = make_publisher(broker.port)
    for count in (1, 2):
        eventually(lambda count=count: publisher.connected and len(broker.connects) == count)
        broker.drop_connections()
    eventually(lambda: publisher.connected and len(broker.connects) == 3)
    assert not publisher.health().client_id_conflict


def test_edge_36_a_refused_subscription_is_logged_once(
    broker: ScriptedBroker, make_publisher: MakePublisher, caplog: pytest.LogCaptureFixture
) -> None:
    """The device receives no commands, but events are still published."""
    broker.script.subscribe_code = 0x80
    publisher = make_publisher(broker.port, on_command=lambda *_: None)
    eventually(lambda: warnings_in(caplog))
    broker.drop_connections()
    eventually(lambda: len(broker.connects) == 2 and publisher.connected)
    refused = [
        line for line in warnings_in(caplog) if "refuses the subscription to vedette/hq/gate-01/commands/+" in line
    ]
    assert len(refused) == 1
    assert publisher.publish("vedette/a", b"1").exception(timeout=20) is None


def test_edge_36_the_receive_maximum_limits_the_window(broker: ScriptedBroker, make_publisher: MakePublisher) -> None:
    """An MQTT 5 broker that accepts 7 unacknowledged messages gets no more."""
    broker.script.receive_maximum = 7
    publisher = make_publisher(broker.port, protocol="5")
    eventually(lambda: publisher.connected)
    assert publisher.max_in_flight == 7
    assert publisher.publish("vedette/a", b"1").exception(timeout=20) is None
    assert b"1" in broker.payloads()
    assert isinstance(publisher.publish("vedette/#", b"1").exception(timeout=5), PermanentError)
