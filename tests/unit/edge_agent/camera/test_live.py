"""Frames, status and stream information of live sources, with a fake camera."""

from __future__ import annotations

import logging
import threading

import pytest

from edge_agent.camera.source import StreamInfo
from shared.clock import ManualClock
from tests.support.edge.fake_camera import FakeCamera, ended, started
from tests.support.waiting import eventually


def test_read_returns_the_newest_frame() -> None:
    """A slow reader gets the latest frame once, and none of the frames that it missed."""
    camera = FakeCamera()
    source = started(camera)
    camera.show(5)
    eventually(lambda: camera.shown == 5)
    eventually(lambda: source._newest is not None and source._newest.number == 5)
    frame = source.read(1.0)
    assert frame is not None
    assert (frame.number, int(frame.picture.bgr()[0, 0, 0])) == (5, 5)
    assert source.read(0.01) is None
    assert source.live
    ended(source, camera)


def test_timestamp_is_the_time_of_arrival() -> None:
    """Without lateness, the capture time is the arrival time on the clock."""
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


def test_status_changes_from_offline_to_online_degraded_and_offline() -> None:
    """The status depends on the age of the last frame."""
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


def test_burst_after_connecting_gives_no_frame_rate() -> None:
    """Frames that were buffered while connecting arrive at once and are not counted."""
    clock = ManualClock()
    camera = FakeCamera()
    source = started(camera, clock=clock)
    camera.show(8)
    eventually(lambda: camera.shown == 8)
    assert source.status().fps_actual is None
    ended(source, camera)


def test_close_returns_while_a_read_blocks() -> None:
    """``close`` does not wait for a blocked reader thread or consumer, and no frame is returned afterwards."""
    camera = FakeCamera()
    source = started(camera)
    results: list[object] = []
    consumer = threading.Thread(target=lambda: results.append(source.read(60.0)))
    consumer.start()
    source.close()
    consumer.join(10)
    assert results == [None]
    assert source.ended
    assert source.read(0.0) is None
    camera.show()
    eventually(lambda: camera.closed == 1)


def test_edge_06_late_frames_are_dropped_and_do_not_set_the_camera_online() -> None:
    """After a stall the backlog is dropped, and the first fresh frame sets the camera online again."""
    clock = ManualClock()
    camera = FakeCamera()
    source = started(camera, clock=clock)

    def deliver(pts_s: float) -> None:
        camera.pts_s = pts_s
        shown = camera.shown
        camera.show()
        eventually(lambda: camera.shown == shown + 1)

    for number in range(6):
        deliver(100 + number * 0.1)
        clock.advance(0.1)
    eventually(lambda: source.status().state == "online")
    while source.read(0.05) is not None:
        pass
    clock.advance(5)
    deliver(100.6)
    deliver(101.0)
    assert source.read(0.05) is None
    assert source.status().state == "degraded"
    deliver(105.3)
    frame = source.read(5.0)
    assert frame is not None
    assert frame.time_s == pytest.approx(5.3, abs=0.02)
    assert frame.timestamp < clock.now()
    assert source.status().state == "online"
    ended(source, camera)


def test_edge_12_change_of_frame_size_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """The new size is in the frames, in the stream information and in one log line."""
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
