"""Reconnection, delays and the watchdog of live sources, with a fake camera."""

from __future__ import annotations

import logging
import random

import pytest

from edge_agent.camera.live import AccessRefusedError, ConnectionLostError, LiveSource
from edge_agent.camera.settings import SourceSettings
from shared.clock import ManualClock
from tests.support.edge.fake_camera import SETTINGS, FakeCamera, Waits, ended, started
from tests.support.waiting import eventually


def test_lost_camera_is_reconnected() -> None:
    """A lost connection is reported with its reason; afterwards frames count from one and the error is cleared."""
    camera = FakeCamera()
    waits = Waits(limit=1)
    source = started(camera, waits=waits)
    camera.show(2)
    eventually(lambda: camera.shown == 2)
    assert source.read(1.0) is not None
    camera.cut(ConnectionLostError("the camera closed the connection"))
    eventually(lambda: len(waits.seconds) == 1)
    assert (source.status().state, source.status().error) == ("offline", "the camera closed the connection")
    assert camera.closed == 1
    waits.released.set()
    camera.show()
    frame = source.read(5.0)
    assert frame is not None
    assert frame.number == 1
    status = source.status()
    assert (status.state, status.error, status.reconnects) == ("online", None, 1)
    ended(source, camera)


def test_delays_double_and_are_reset_after_a_stable_connection() -> None:
    """The upper bounds of the delays double up to the maximum; a stable connection resets them."""
    clock = ManualClock()
    camera = FakeCamera(*[ConnectionLostError("no route")] * 6)
    waits = Waits()
    source = started(camera, waits=waits, clock=clock)
    eventually(lambda: camera.connections == 1)
    assert all(wait <= bound for wait, bound in zip(waits.seconds, [1, 2, 4, 8, 8, 8], strict=True))
    assert max(waits.seconds[2:]) > 1
    camera.show()
    assert source.read(5.0) is not None
    clock.advance(60)
    camera.cut(ConnectionLostError("hung up"))
    eventually(lambda: camera.connections == 2)
    assert waits.seconds[6] <= 1
    ended(source, camera)


def test_rejected_credentials_cause_a_long_delay() -> None:
    """Frequent attempts would lock the account."""
    camera = FakeCamera(AccessRefusedError("wrong password (401)"))
    waits = Waits(limit=1)
    source = started(camera, waits=waits)
    eventually(lambda: len(waits.seconds) == 1)
    assert 240 <= waits.seconds[0] <= 360
    assert source.status().error == "wrong password (401)"
    waits.released.set()
    ended(source, camera)


def test_repeated_error_is_logged_as_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    """A camera that is off for a week does not fill the log."""
    camera = FakeCamera(*[ConnectionLostError("no route")] * 5, ConnectionLostError("other"))
    with caplog.at_level(logging.WARNING):
        source = started(camera)
        eventually(lambda: camera.connections == 1)
        ended(source, camera)
    assert [record.getMessage().split(":")[1].split(";")[0].strip() for record in caplog.records] == [
        "no route",
        "other",
    ]


def test_unexpected_error_does_not_end_the_source(caplog: pytest.LogCaptureFixture) -> None:
    """A bug in a driver ends one connection, not the source."""
    camera = FakeCamera(ZeroDivisionError("driver"))
    source = started(camera)
    camera.show()
    assert source.read(5.0) is not None
    assert "unexpected error" in caplog.text
    ended(source, camera)


def test_edge_06_picture_after_the_watchdogs_time_is_dropped() -> None:
    """A picture that arrives after the watchdog's time was buffered: it is dropped and the camera reconnected."""
    clock = ManualClock()
    camera = FakeCamera()
    waits = Waits(limit=1)
    source = started(camera, waits=waits, clock=clock)
    camera.show()
    assert source.read(5.0) is not None
    clock.advance(SETTINGS.watchdog_s + 0.1)
    camera.show()
    eventually(lambda: len(waits.seconds) == 1)
    assert source.read(0.0) is None
    status = source.status()
    assert (status.state, status.error) == ("offline", "no data from the camera for 10 s")
    assert camera.closed == 1
    waits.released.set()
    ended(source, camera)


def test_edge_06_watchdog_abandons_a_blocked_read() -> None:
    """A blocked reader is abandoned, and pictures that it still delivers are ignored."""
    clock = ManualClock()
    camera, second = FakeCamera(), FakeCamera()
    cameras = [camera, second]
    source = LiveSource(
        connect=lambda: cameras.pop(0).connect(),
        source="cam",
        settings=SETTINGS,
        clock=clock,
        rng=random.Random(5),
        wait=Waits(),
    )
    camera.show()
    assert source.read(5.0) is not None
    clock.advance(SETTINGS.watchdog_s + 1)
    eventually(lambda: second.connections == 1)
    camera.show()
    eventually(lambda: camera.closed == 1)
    assert source.read(0.0) is None
    assert source.status().state == "offline"
    second.show()
    assert source.read(5.0) is not None
    assert source.status().state == "online"
    ended(source, second)


def test_edge_13_delays_stay_bounded_after_a_long_outage() -> None:
    """After any outage the next attempt follows within ten seconds, but never at once."""
    settings = SourceSettings()
    camera = FakeCamera(*[ConnectionLostError("no route")] * 60)
    waits = Waits()
    source = LiveSource(
        connect=camera.connect, source="cam", settings=settings, clock=ManualClock(), rng=random.Random(7), wait=waits
    )
    eventually(lambda: camera.connections == 1)
    assert max(waits.seconds) <= 10
    assert all(5 <= wait <= 10 for wait in waits.seconds[5:])
    assert sum(waits.seconds[:10]) > 25
    ended(source, camera)


def test_edge_13_short_connections_keep_delays_bounded() -> None:
    """After twenty connections that deliver one picture and end, the delay is at most ten seconds."""
    camera = FakeCamera()
    waits = Waits()
    source = LiveSource(
        connect=camera.connect,
        source="cam",
        settings=SourceSettings(),
        clock=ManualClock(),
        rng=random.Random(7),
        wait=waits,
    )
    for drop in range(1, 21):
        camera.show()
        assert source.read(5.0) is not None
        camera.cut(ConnectionLostError("the camera closed the connection"))
        eventually(lambda drop=drop: len(waits.seconds) == drop)
    assert max(waits.seconds) <= 10
    ended(source, camera)


def test_edge_13_first_rejection_of_known_credentials_is_retried_sooner() -> None:
    """The delay after the first rejection of working credentials is a tenth; after the second it is the full time."""
    camera = FakeCamera()
    waits = Waits()
    source = started(camera, waits=waits)
    camera.show()
    assert source.read(5.0) is not None
    camera.refusals += [AccessRefusedError("401"), AccessRefusedError("401")]
    camera.cut(ConnectionLostError("hung up"))
    eventually(lambda: camera.connections == 2)
    assert 24 <= waits.seconds[1] <= 36
    assert 240 <= waits.seconds[2] <= 360
    ended(source, camera)


def test_python_unexpected_error_backs_off_and_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """A repeated fault in a library is logged with one traceback, and the delays grow."""
    camera = FakeCamera(*[TypeError("open() got an unexpected keyword")] * 12)
    waits = Waits()
    with caplog.at_level(logging.INFO):
        source = started(camera, waits=waits)
        eventually(lambda: camera.connections == 1)
        ended(source, camera)
    assert [wait >= 4 for wait in waits.seconds[3:]] == [True] * 9
    assert len([record for record in caplog.records if record.exc_info]) == 1
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 2
