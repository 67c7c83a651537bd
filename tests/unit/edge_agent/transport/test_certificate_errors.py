"""Broker certificates that the publisher rejects: log and status contain the reason."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_agent.transport.mqtt import MqttPublisher
from tests.support.certificates import TestAuthority
from tests.support.scripted_broker import ScriptedBroker
from tests.support.waiting import eventually

MakePublisher = Callable[..., MqttPublisher]


@contextmanager
def broker_with(certificate: tuple[Path, Path]) -> Generator[ScriptedBroker]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    broker = ScriptedBroker(tls=context)
    try:
        yield broker
    finally:
        broker.close()


# paho leaves the socket of a failed handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("expired", "it has expired; renew it, and check this machine's clock"),
        ("not valid yet", "it is not valid yet; check this machine's clock"),
        ("another name", "it is for another name"),
        ("another authority", "set ca_file to the PEM file of the authority that signed it"),
    ],
)
def test_edge_35_the_reason_for_rejecting_a_certificate_is_logged(
    authority: TestAuthority,
    tmp_path: Path,
    make_publisher: MakePublisher,
    caplog: pytest.LogCaptureFixture,
    fault: str,
    words: str,
) -> None:
    """Expired, not yet valid, wrong name, unknown CA: one log line has the reason; nothing is sent to the broker."""
    caplog.set_level(logging.INFO, "edge_agent.transport")
    (tmp_path / "other").mkdir()
    issuer = TestAuthority(tmp_path / "other") if fault == "another authority" else authority
    days = {"expired": (-3.0, -1.0), "not valid yet": (1.0, 3.0)}.get(fault, (-1.0, 1.0))
    certificate = issuer.issue("server", address="127.0.0.9" if fault == "another name" else "127.0.0.1", days=days)
    with broker_with(certificate) as broker:
        publisher = make_publisher(broker.port, ca_file=authority.ca_file)
        eventually(lambda: publisher.last_error is not None)
        eventually(lambda: words in caplog.text)
        publisher.close()
        assert words in str(publisher.health().last_error)
        assert broker.connects == []
    assert caplog.text.count(words) == 1


def test_edge_35_a_valid_certificate_is_accepted(authority: TestAuthority, make_publisher: MakePublisher) -> None:
    """The same broker with a valid certificate."""
    with broker_with(authority.issue("server")) as broker:
        publisher = make_publisher(broker.port, ca_file=authority.ca_file)
        eventually(lambda: publisher.connected)
        publisher.close()
