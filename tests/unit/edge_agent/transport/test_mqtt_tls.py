"""The MQTT publisher with TLS: certificates of the device and of the broker."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_agent.transport.mqtt import MqttPublisher
from edge_agent.transport.settings import MqttSettings
from shared.errors import ConfigurationError
from tests.support.certificates import TestAuthority
from tests.support.scripted_broker import ScriptedBroker
from tests.support.waiting import eventually
from tests.unit.edge_agent.transport.conftest import TOPICS, outcome

MakePublisher = Callable[..., MqttPublisher]


@pytest.fixture
def tls_broker(server_tls: ssl.SSLContext) -> Iterator[ScriptedBroker]:
    broker = ScriptedBroker(tls=server_tls)
    yield broker
    broker.close()


def test_mutual_tls_presents_the_device_certificate(
    tls_broker: ScriptedBroker, authority: TestAuthority, make_publisher: MakePublisher
) -> None:
    """The broker receives the device's certificate, and messages are acknowledged."""
    certificate, key = authority.issue("gate-01")
    publisher = make_publisher(
        tls_broker.port, ca_file=authority.ca_file, certificate_file=certificate, private_key_file=key, alpn="mqtt"
    )
    eventually(lambda: publisher.connected)
    assert outcome(publisher.publish("vedette/a", b"1")) == "acked"
    assert "gate-01" in str(tls_broker.peer_certificates)


# paho leaves the socket of a failed handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_edge_35_a_broker_with_an_untrusted_certificate_is_rejected(
    tls_broker: ScriptedBroker, make_publisher: MakePublisher
) -> None:
    """The broker's certificate is always verified."""
    publisher = make_publisher(tls_broker.port, tls=True)
    eventually(lambda: publisher.last_error is not None)
    assert "CERTIFICATE_VERIFY_FAILED" in str(publisher.last_error)
    assert tls_broker.connects == []


@pytest.mark.skipif(sys.version_info < (3, 13), reason="Python verifies strictly from 3.13 on; see test_tls_errors.py")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # as above
def test_python_a_certificate_that_python_3_13_rejects_is_explained(
    make_publisher: MakePublisher, tmp_path: Path
) -> None:
    """The error of a CA without key identifiers contains what is missing and the remedy."""
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


@pytest.mark.parametrize("broken", ["missing", "garbage", "mismatched", "bad ca", "missing ca"])
def test_unusable_certificates_are_configuration_errors(authority: TestAuthority, tmp_path: Path, broken: str) -> None:
    """The constructor raises, with the file."""
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
