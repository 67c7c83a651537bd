"""Brokers, publishers, senders and certificates, which are closed after each test."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from edge_agent.outbox import Outbox
from edge_agent.transport.mqtt import MqttPublisher
from edge_agent.transport.sender import Sender
from edge_agent.transport.settings import MqttSettings, SenderSettings
from shared.clock import ManualClock
from shared.topics import DeviceTopics
from tests.support.certificates import TestAuthority
from tests.support.edge.fake_transport import FakePublisher, FakeStore
from tests.support.edge.outbox_builders import tracking_event, with_image
from tests.support.scripted_broker import ScriptedBroker

TOPICS = DeviceTopics("hq", "gate-01")
QUICK: dict[str, object] = {"host": "127.0.0.1", "reconnect_min_s": 0.02, "reconnect_max_s": 0.1}
QUICK_RETRIES = SenderSettings(retry_min_s=0.01, retry_max_s=0.05)
MakeSender = Callable[..., Sender]


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
    """The server side of TLS, which requires a client certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.ca_file))
    context.load_cert_chain(*authority.issue("server"))
    context.verify_mode = ssl.CERT_REQUIRED
    return context


@pytest.fixture
def make_publisher() -> Iterator[Callable[..., MqttPublisher]]:
    """Return a function that starts a publisher to a local port, with further settings given by name."""
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


def outcome(future: Future[None]) -> str:
    """Wait for a publication; return "acked" or the name of its error."""
    error = future.exception(timeout=20)
    return "acked" if error is None else type(error).__name__


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def outbox(tmp_path: Path, clock: ManualClock) -> Iterator[Outbox]:
    outbox = Outbox(tmp_path / "outbox.db", clock=clock)
    yield outbox
    outbox.close()


@pytest.fixture
def run_sender(outbox: Outbox) -> Iterator[MakeSender]:
    """Return a function that starts a sender; it is closed after the test."""
    running: list[Sender] = []

    def run(
        publisher: FakePublisher, store: FakeStore | None = None, settings: SenderSettings = QUICK_RETRIES
    ) -> Sender:
        sender = Sender(outbox=outbox, publisher=publisher, store=store, settings=settings)
        sender.start()
        running.append(sender)
        return sender

    yield run
    for sender in running:
        sender.close(0.0)


def put_images(outbox: Outbox, count: int) -> list[str]:
    keys = [f"camera-1/2026-01-01/tracking_103045_{number:06d}.jpg" for number in range(count)]
    for key in keys:
        outbox.put(with_image(tracking_event(), key), snapshot=key.encode())
    return [f"snapshots/gate-01/{key}" for key in keys]


def is_idle(outbox: Outbox) -> bool:
    return outbox.health().pending_events == 0
