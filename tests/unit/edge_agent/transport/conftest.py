"""Brokers, publishers and certificates that are gone when the test is."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_agent.transport.mqtt import MqttPublisher
from edge_agent.transport.settings import MqttSettings
from shared.topics import DeviceTopics
from tests.support.certificates import TestAuthority
from tests.support.scripted_broker import ScriptedBroker

TOPICS = DeviceTopics("hq", "gate-01")
QUICK: dict[str, object] = {"host": "127.0.0.1", "reconnect_min_s": 0.02, "reconnect_max_s": 0.1}


@pytest.fixture
def broker() -> Iterator[ScriptedBroker]:
    broker = ScriptedBroker()
    yield broker
    broker.close()


@pytest.fixture
def authority(tmp_path: Path) -> TestAuthority:
    return TestAuthority(tmp_path)


@pytest.fixture
def server_tls(authority: TestAuthority) -> ssl.SSLContext:
    """A server's side of TLS that insists on a client certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.ca_file))
    context.load_cert_chain(*authority.issue("server"))
    context.verify_mode = ssl.CERT_REQUIRED
    return context


@pytest.fixture
def make_publisher() -> Iterator[Callable[..., MqttPublisher]]:
    """Makes and starts a publisher to a port of this machine, with further settings by name."""
    publishers: list[MqttPublisher] = []

    def make(port: int, *, on_command: Callable[[str, bytes], None] | None = None, **settings: object) -> MqttPublisher:
        publisher = MqttPublisher(
            settings=MqttSettings.model_validate({**QUICK, "port": port, **settings}),
            topics=TOPICS,
            on_command=on_command,
        )
        publishers.append(publisher)
        publisher.start()
        return publisher

    yield make
    for publisher in publishers:
        publisher.close(10.0)
