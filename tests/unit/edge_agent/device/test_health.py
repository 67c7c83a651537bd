"""The heartbeat: outbox, connection and cameras."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.device.health import HeartbeatLoop
from edge_agent.outbox import Outbox
from shared import __version__
from shared.clock import ManualClock
from shared.errors import PermanentError, TransientError
from shared.heartbeat import CameraHealth, ConfigurationHealth, ConnectionHealth, Heartbeat
from shared.topics import DeviceTopics
from tests.support.edge.fake_transport import FakePublisher
from tests.support.edge.outbox_builders import motion_event
from tests.support.waiting import eventually

TOPICS = DeviceTopics("hq", "gate-01")


def one_camera() -> list[CameraHealth]:
    return [CameraHealth(camera_id="camera-1", status="online", fps_actual=24.9)]


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    outbox = Outbox(tmp_path / "outbox.db")
    yield outbox
    outbox.close()


def test_a_heartbeat_contains_outbox_and_cameras(outbox: Outbox) -> None:
    """All fields of the contract have their current values."""
    clock = ManualClock()
    loop = HeartbeatLoop(topics=TOPICS, publisher=FakePublisher(), outbox=outbox, cameras=one_camera, clock=clock)
    outbox.put(motion_event())
    clock.advance(90)
    loop.beat()
    beat = loop.build()
    assert (beat.site_id, beat.device_id, beat.agent_version) == ("hq", "gate-01", __version__)
    assert beat.uptime_seconds == 90
    assert beat.timestamp == clock.now()
    assert (beat.outbox.pending_events, beat.outbox.last_sequence) == (1, 1)
    assert beat.outbox.sequence_epoch == outbox.epoch
    assert beat.cameras == one_camera()


def test_heartbeats_are_published_on_connect_and_periodically(outbox: Outbox) -> None:
    """The first is published as soon as the device is connected."""
    publisher = FakePublisher(connected=False)
    loop = HeartbeatLoop(topics=TOPICS, publisher=publisher, outbox=outbox, cameras=one_camera, interval_s=0.03)
    loop.start()
    publisher.set_connected(True)
    eventually(lambda: len(publisher.published) >= 3)
    loop.close()
    topic, payload = publisher.published[0]
    assert topic == "vedette/hq/gate-01/heartbeat"
    assert Heartbeat.model_validate_json(payload).cameras == one_camera()


def test_no_heartbeat_is_published_while_disconnected(outbox: Outbox) -> None:
    """Without a connection, beat publishes nothing."""
    publisher = FakePublisher(connected=False)
    HeartbeatLoop(topics=TOPICS, publisher=publisher, outbox=outbox, cameras=one_camera).beat()
    assert publisher.published == []


def test_a_fault_in_camera_health_does_not_stop_heartbeats(outbox: Outbox, caplog: pytest.LogCaptureFixture) -> None:
    """The heartbeat is published without cameras."""

    def broken() -> list[CameraHealth]:
        raise ZeroDivisionError

    publisher = FakePublisher()
    HeartbeatLoop(topics=TOPICS, publisher=publisher, outbox=outbox, cameras=broken).beat()
    assert Heartbeat.model_validate_json(publisher.published[0][1]).cameras == []
    assert "reading the cameras' health failed unexpectedly" in caplog.text


def test_a_failed_heartbeat_does_not_stop_the_next(outbox: Outbox) -> None:
    """The loop continues after an exception."""

    class FailsOnce(FakePublisher):
        calls = 0

        def publish(self, topic: str, payload: bytes, *, retain: bool = False):
            self.calls += 1
            if self.calls == 1:
                raise ZeroDivisionError
            return super().publish(topic, payload, retain=retain)

    publisher = FailsOnce()
    loop = HeartbeatLoop(topics=TOPICS, publisher=publisher, outbox=outbox, cameras=one_camera, interval_s=0.02)
    loop.start()
    eventually(lambda: publisher.published)
    loop.close()


def test_python_a_heartbeat_that_always_fails_is_logged_once(outbox: Outbox, caplog: pytest.LogCaptureFixture) -> None:
    """Repeated failures log one traceback."""

    class Broken(FakePublisher):
        calls = 0

        def publish(self, topic: str, payload: bytes, *, retain: bool = False):
            self.calls += 1
            raise ZeroDivisionError

    publisher = Broken()
    loop = HeartbeatLoop(topics=TOPICS, publisher=publisher, outbox=outbox, cameras=one_camera, interval_s=0.01)
    loop.start()
    eventually(lambda: publisher.calls >= 4)
    loop.close()
    assert caplog.text.count("Traceback") == 1
    assert "sending a heartbeat failed unexpectedly" in caplog.text


def test_edge_36_a_heartbeat_contains_the_connection(outbox: Outbox) -> None:
    """Reconnects, the last error, and a client id conflict."""
    connection = ConnectionHealth(
        reconnects=3, client_id_conflict=True, last_error="another client uses the client id x"
    )
    publisher = FakePublisher()
    HeartbeatLoop(
        topics=TOPICS, publisher=publisher, outbox=outbox, cameras=one_camera, connection=lambda: connection
    ).beat()
    assert Heartbeat.model_validate_json(publisher.published[0][1]).connection == connection


def test_edge_36_a_refused_heartbeat_is_logged_once(outbox: Outbox, caplog: pytest.LogCaptureFixture) -> None:
    """Lost connections are not logged here; a permanent refusal is logged once."""
    publisher = FakePublisher()
    loop = HeartbeatLoop(topics=TOPICS, publisher=publisher, outbox=outbox, cameras=one_camera)
    for error in (TransientError("lost"), PermanentError("not allowed"), PermanentError("not allowed")):
        publisher.fail_with = error
        loop.beat()
    assert caplog.text.count("cannot publish a heartbeat: not allowed") == 1
    assert "lost" not in caplog.text


def test_a_managed_device_reports_its_configuration_and_its_key(outbox: Outbox) -> None:
    """A heartbeat that is requested is published before the next one is due."""
    publisher, key = FakePublisher(), "A" * 43 + "="
    running = ConfigurationHealth(version=3, rejected_version=4, error="camera gate: connection refused")
    loop = HeartbeatLoop(
        topics=TOPICS,
        publisher=publisher,
        outbox=outbox,
        cameras=one_camera,
        configuration=lambda: running,
        public_key=key,
        interval_s=3600,
    )
    loop.start()
    eventually(lambda: len(publisher.published) == 1)
    loop.request()
    eventually(lambda: len(publisher.published) == 2)
    loop.close()
    beat = Heartbeat.model_validate_json(publisher.published[1][1])
    assert (beat.configuration, beat.public_key) == (running, key)
