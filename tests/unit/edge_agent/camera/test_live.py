"""What all cameras share, against a camera made of a script."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from edge_agent.camera.live import AccessRefusedError, Connection, ConnectionLostError, LiveSource, ReceivedPicture
from edge_agent.camera.settings import SourceSettings
from edge_agent.camera.source import StreamInfo
from edge_agent.types import ArrayPicture
from shared.clock import ManualClock

SETTINGS = SourceSettings(backoff_min_s=1, backoff_max_s=8, auth_backoff_s=300, stable_after_s=10, watchdog_s=10)


class FakeCamera:
    """Hands out one picture for each ``show``; ``cut`` ends the connection, ``refusals`` are raised on connecting."""

    def __init__(self, *refusals: Exception) -> None:
        self.refusals = list(refusals)
        self.connections = 0
        self.closed = 0
        self.pts_s: float | None = None
        self.size: tuple[int, int] = (6, 4)
        self._due = threading.Semaphore(0)
        self._cuts: list[Exception] = []
        self._shown = 0

    def connect(self) -> Connection:
        if self.refusals:
            raise self.refusals.pop(0)
        self.connections += 1
        return self

    def show(self, count: int = 1) -> None:
        for _ in range(count):
            self._due.release()

    def cut(self, error: Exception) -> None:
        self._cuts.append(error)
        self._due.release()

    def read(self) -> ReceivedPicture:
        self._due.acquire()
        if self._cuts:
            raise self._cuts.pop(0)
        self._shown += 1
        width, height = self.size
        return ReceivedPicture(
            ArrayPicture(np.full((height, width, 3), self._shown, np.uint8)), self.pts_s, self.pts_s is not None
        )

    def info(self) -> StreamInfo:
        return StreamInfo(source="cam", width=6, height=4, fps=25.0, codec="h264")

    def close(self) -> None:
        self.closed += 1


class Waits:
    """Takes the place of sleeping between attempts: remembers, then goes on at once (or blocks after ``limit``)."""

    def __init__(self, limit: int = 100) -> None:
        self.seconds: list[float] = []
        self._limit = limit
        self.released = threading.Event()

    def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        if len(self.seconds) >= self._limit:
            self.released.wait(10)


def started(camera: FakeCamera, *, waits: Waits | None = None, clock: ManualClock | None = None) -> LiveSource:
    return LiveSource(
        connect=camera.connect,
        source="cam",
        settings=SETTINGS,
        clock=clock or ManualClock(),
        rng=random.Random(5),
        wait=waits or Waits(),
    )


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.002)


def ended(source: LiveSource, camera: FakeCamera) -> None:
    camera.show()
    source.close()


def test_the_newest_frame_wins() -> None:
    """A slow reader gets the latest picture, once, and none of those it missed."""
    camera = FakeCamera()
    source = started(camera)
    camera.show(5)
    until(lambda: camera._shown == 5)
    until(lambda: source._newest is not None and source._newest.number == 5)
    frame = source.read(1.0)
    assert frame is not None
    assert (frame.number, int(frame.picture.bgr()[0, 0, 0])) == (5, 5)
    assert source.read(0.01) is None
    assert source.live
    ended(source, camera)


def test_frames_carry_the_clocks_time() -> None:
    """Capture time is the time of arrival."""
    clock = ManualClock()
    camera = FakeCamera()
    source = started(camera, clock=clock)
    clock.advance(3.5)
    camera.show()
    frame = source.read(5.0)
    assert frame is not None
    assert (frame.timestamp, frame.time_s) == (clock.now(), 3.5)
    assert source.status().last_frame_at == clock.now()
    ended(source, camera)


def test_status_goes_from_offline_over_online_to_degraded_and_offline() -> None:
    """As pictures come, become late, and stay away."""
    clock = ManualClock()
    camera = FakeCamera()
    source = started(camera, clock=clock)
    assert source.status().state == "offline"
    assert source.info().resolution is None
    for _ in range(25):
        camera.show()
        assert source.read(5.0) is not None
        clock.advance(0.1)
    status = source.status()
    assert (status.state, status.error, status.fps_actual) == ("online", None, pytest.approx(10))
    assert source.info() == StreamInfo(source="cam", width=6, height=4, fps=25.0, codec="h264")
    clock.advance(3)
    assert (source.status().state, source.status().error) == ("degraded", "no picture for 3 s")
    clock.advance(8)
    assert (source.status().state, source.status().fps_actual) == ("offline", 0.0)
    ended(source, camera)
    assert source.status().state == "offline"


def test_a_burst_after_connecting_is_no_frame_rate() -> None:
    """What had queued up while connecting comes at once and says nothing about the camera."""
    clock = ManualClock()
    camera = FakeCamera()
    source = started(camera, clock=clock)
    camera.show(8)
    until(lambda: camera._shown == 8)
    assert source.status().fps_actual is None
    ended(source, camera)


def test_a_lost_camera_is_connected_again() -> None:
    """A lost connection is reported with its reason; afterwards frames count from one and the error is cleared."""
    camera = FakeCamera()
    waits = Waits(limit=1)
    source = started(camera, waits=waits)
    camera.show(2)
    until(lambda: camera._shown == 2)
    assert source.read(1.0) is not None
    camera.cut(ConnectionLostError("the camera hung up"))
    until(lambda: len(waits.seconds) == 1)
    assert (source.status().state, source.status().error) == ("offline", "the camera hung up")
    assert camera.closed == 1
    waits.released.set()
    camera.show()
    frame = source.read(5.0)
    assert frame is not None
    assert frame.number == 1
    status = source.status()
    assert (status.state, status.error, status.reconnects) == ("online", None, 1)
    ended(source, camera)


def test_waits_grow_and_start_over_after_a_good_stretch() -> None:
    """Bounds double up to the maximum; a connection that lasted resets them."""
    clock = ManualClock()
    camera = FakeCamera(*[ConnectionLostError("no route")] * 6)
    waits = Waits()
    source = started(camera, waits=waits, clock=clock)
    until(lambda: camera.connections == 1)
    assert all(wait <= bound for wait, bound in zip(waits.seconds, [1, 2, 4, 8, 8, 8], strict=True))
    assert max(waits.seconds[2:]) > 1
    camera.show()
    assert source.read(5.0) is not None
    clock.advance(60)
    camera.cut(ConnectionLostError("hung up"))
    until(lambda: camera.connections == 2)
    assert waits.seconds[6] <= 1
    ended(source, camera)


def test_a_refused_password_waits_long() -> None:
    """Nobody's account is locked by hammering."""
    camera = FakeCamera(AccessRefusedError("wrong password (401)"))
    waits = Waits(limit=1)
    source = started(camera, waits=waits)
    until(lambda: len(waits.seconds) == 1)
    assert 240 <= waits.seconds[0] <= 360
    assert source.status().error == "wrong password (401)"
    waits.released.set()
    ended(source, camera)


def test_the_same_trouble_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    """A camera that is off for a week does not fill the log."""
    camera = FakeCamera(*[ConnectionLostError("no route")] * 5, ConnectionLostError("other"))
    with caplog.at_level(logging.WARNING):
        source = started(camera)
        until(lambda: camera.connections == 1)
        ended(source, camera)
    assert [record.getMessage().split(":")[1].split(";")[0].strip() for record in caplog.records] == [
        "no route",
        "other",
    ]


def test_an_unexpected_error_does_not_end_the_reader(caplog: pytest.LogCaptureFixture) -> None:
    """A bug in a driver costs one connection, not the camera."""
    camera = FakeCamera(ZeroDivisionError("driver"))
    source = started(camera)
    camera.show()
    assert source.read(5.0) is not None
    assert "unexpected trouble" in caplog.text
    ended(source, camera)


def test_close_returns_while_the_camera_blocks() -> None:
    """Neither the reader thread nor a waiting consumer holds it up, and nothing comes afterwards."""
    camera = FakeCamera()
    source = started(camera)
    got: list[object] = []
    consumer = threading.Thread(target=lambda: got.append(source.read(60.0)))
    consumer.start()
    source.close()
    consumer.join(10)
    assert got == [None]
    assert source.ended
    assert source.read(0.0) is None
    camera.show()
    until(lambda: camera.closed == 1)


def test_edge_06_what_ends_a_silence_is_not_delivered() -> None:
    """A picture that comes after the watchdog's time was held back: it is dropped and the camera connected anew."""
    clock = ManualClock()
    camera = FakeCamera()
    waits = Waits(limit=1)
    source = started(camera, waits=waits, clock=clock)
    camera.show()
    assert source.read(5.0) is not None
    clock.advance(SETTINGS.watchdog_s + 0.1)
    camera.show()
    until(lambda: len(waits.seconds) == 1)
    assert source.read(0.0) is None
    status = source.status()
    assert (status.state, status.error) == ("offline", "no data from the camera for 10 s")
    assert camera.closed == 1
    waits.released.set()
    ended(source, camera)


def test_edge_06_the_watchdog_does_not_wait_for_a_blocked_read() -> None:
    """A reader that hangs in the driver is left behind, and what it still delivers does not count."""
    clock = ManualClock()
    camera, second = FakeCamera(), FakeCamera()
    lines = [camera, second]
    source = LiveSource(
        connect=lambda: lines.pop(0).connect(),
        source="cam",
        settings=SETTINGS,
        clock=clock,
        rng=random.Random(5),
        wait=Waits(),
    )
    camera.show()
    assert source.read(5.0) is not None
    clock.advance(SETTINGS.watchdog_s + 1)
    until(lambda: second.connections == 1)
    camera.show()
    until(lambda: camera.closed == 1)
    assert source.read(0.0) is None
    assert source.status().state == "offline"
    second.show()
    assert source.read(5.0) is not None
    assert source.status().state == "online"
    ended(source, second)


def test_edge_06_late_pictures_are_neither_delivered_nor_counted_as_life() -> None:
    """After a stall the backlog is passed over, and the first fresh picture makes the camera online again."""
    clock = ManualClock()
    camera = FakeCamera()
    source = started(camera, clock=clock)

    def come(pts_s: float) -> None:
        camera.pts_s = pts_s
        shown = camera._shown
        camera.show()
        until(lambda: camera._shown == shown + 1)

    for number in range(6):
        come(100 + number * 0.1)
        clock.advance(0.1)
    until(lambda: source.status().state == "online")
    while source.read(0.05) is not None:
        pass
    clock.advance(5)
    come(100.6)
    come(101.0)
    assert source.read(0.05) is None
    assert source.status().state == "degraded"
    come(105.3)
    frame = source.read(5.0)
    assert frame is not None
    assert frame.time_s == pytest.approx(5.3, abs=0.02)
    assert frame.timestamp < clock.now()
    assert source.status().state == "online"
    ended(source, camera)


def test_edge_12_a_change_of_size_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """The new size is in the frames, in the stream's information and in one line of the log."""
    camera = FakeCamera()
    source = started(camera)
    with caplog.at_level(logging.WARNING):
        for size in ((6, 4), (6, 4), (8, 10), (8, 10), (8, 10)):
            camera.size = size
            camera.show()
            frame = source.read(5.0)
            assert frame is not None
            assert (frame.width, frame.height) == size
    assert source.info().resolution == "8x10"
    assert [record.getMessage() for record in caplog.records] == ["cam: the resolution changed from 6x4 to 8x10"]
    ended(source, camera)


def test_edge_13_a_camera_that_is_back_is_noticed_soon() -> None:
    """However long it was away, the next attempt is a few seconds off, and never at once: nobody is hammered."""
    settings = SourceSettings()
    camera = FakeCamera(*[ConnectionLostError("no route")] * 60)
    waits = Waits()
    source = LiveSource(
        connect=camera.connect, source="cam", settings=settings, clock=ManualClock(), rng=random.Random(7), wait=waits
    )
    until(lambda: camera.connections == 1)
    assert max(waits.seconds) <= 10
    assert all(5 <= wait <= 10 for wait in waits.seconds[5:])
    assert sum(waits.seconds[:10]) > 25
    ended(source, camera)


def test_edge_13_quick_drops_do_not_make_a_working_camera_wait_long() -> None:
    """Twenty connections that each give a picture and break: the next attempt is at most ten seconds off."""
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
        camera.cut(ConnectionLostError("the camera hung up"))
        until(lambda drop=drop: len(waits.seconds) == drop)
    assert max(waits.seconds) <= 10
    ended(source, camera)


def test_edge_13_a_camera_that_refuses_a_known_login_while_it_starts_is_asked_again_sooner() -> None:
    """The first refusal after the login has worked waits a tenth; the second waits its full time."""
    camera = FakeCamera()
    waits = Waits()
    source = started(camera, waits=waits)
    camera.show()
    assert source.read(5.0) is not None
    camera.refusals += [AccessRefusedError("401"), AccessRefusedError("401")]
    camera.cut(ConnectionLostError("hung up"))
    until(lambda: camera.connections == 2)
    assert 24 <= waits.seconds[1] <= 36
    assert 240 <= waits.seconds[2] <= 360
    ended(source, camera)


def test_python_an_unexpected_error_backs_off_and_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """A fault in a library is one traceback in the log, however often it comes, and attempts grow rarer."""
    camera = FakeCamera(*[TypeError("open() got an unexpected keyword")] * 12)
    waits = Waits()
    with caplog.at_level(logging.INFO):
        source = started(camera, waits=waits)
        until(lambda: camera.connections == 1)
        ended(source, camera)
    assert [wait >= 4 for wait in waits.seconds[3:]] == [True] * 9
    assert len([record for record in caplog.records if record.exc_info]) == 1
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 2
