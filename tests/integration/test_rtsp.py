"""The RTSP source against a real server that simulates faults of cameras."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Literal

import pytest

from edge_agent.camera.live import LiveSource
from edge_agent.camera.probe import probe
from edge_agent.camera.settings import SourceSettings
from edge_agent.camera.source import FrameSource, open_source
from edge_agent.types import Frame
from shared.clock import SystemClock
from tests.support.clips import numbered, read_number
from tests.support.rtsp_server import Behaviour, RtspServer

CALM = SourceSettings(open_timeout_s=15, watchdog_s=10, backoff_min_s=0.05, backoff_max_s=0.2)
"""Long time limits for tests of working cameras, so that a busy machine is not taken for a silent camera."""
QUICK = SourceSettings(open_timeout_s=1.5, watchdog_s=0.6, backoff_min_s=0.05, backoff_max_s=0.2)
PASSWORD = "p@ss/w:rd%#?é"


@contextmanager
def reading(url: str, settings: SourceSettings = CALM) -> Iterator[FrameSource]:
    source = open_source(url, settings=settings, clock=SystemClock())
    try:
        yield source
    finally:
        source.close()


def serving(**options: object) -> RtspServer:
    return RtspServer(numbered(50, width=320, height=128), **options)  # type: ignore[arg-type]


def wait_for(condition: Callable[[], bool], *, limit_s: float = 20) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true"
        time.sleep(0.01)


def next_frame(source: FrameSource) -> Frame:
    frame = source.read(20.0)
    assert frame is not None
    return frame


def test_frames_have_the_properties_of_the_stream() -> None:
    """Frames arrive in order with the right pixels; size, codec and rate are those of the stream."""
    with serving() as server, reading(server.url()) as source:
        frames = [next_frame(source) for _ in range(10)]
        numbers = [read_number(frame.picture.luma()) for frame in frames]
        info, status = source.info(), source.status()
    assert numbers == sorted(set(numbers))
    assert [frame.number for frame in frames] == numbers
    assert (info.width, info.height, info.codec, info.fps) == (320, 128, "h264", 25.0)
    assert (status.state, status.error, status.reconnects) == ("online", None, 0)
    assert all(frame.timestamp.tzinfo is not None for frame in frames)


def test_large_pictures_are_reassembled_from_packets() -> None:
    """Key frames larger than one packet arrive complete."""
    with RtspServer(numbered(12, width=1280, height=720)) as server, reading(server.url()) as source:
        assert next_frame(source).width == 1280


def test_a_slow_reader_gets_the_newest_frame() -> None:
    """While the reader is busy, older frames are dropped instead of queued."""
    with serving() as server, reading(server.url()) as source:
        first = next_frame(source)
        wait_for(lambda: (source.status().last_frame_at or first.timestamp) > first.timestamp + timedelta(seconds=0.5))
        newest_at = source.status().last_frame_at
        second = next_frame(source)
        assert second.number > first.number + 2
        assert newest_at is not None
        assert second.timestamp >= newest_at


@pytest.mark.parametrize("auth", ["basic", "digest"])
@pytest.mark.parametrize("raw", [False, True])
def test_edge_31_passwords_log_in_and_stay_secret(
    auth: str, raw: bool, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """With and without percent-encoding the camera accepts them, and no log line, status, info or output of FFmpeg
    contains them."""
    with (
        caplog.at_level(logging.DEBUG),
        serving(auth=auth, user="view er", password=PASSWORD) as server,
        reading(server.url(user="view er", password=PASSWORD, raw=raw)) as source,
    ):
        next_frame(source)
        server.drop()
        wait_for(lambda: server.seen.plays == 2)
        next_frame(source)
        said = f"{caplog.text} {source.info()} {source.status()} {capfd.readouterr()}"
    assert "closed the connection" in said or "ended the stream" in said
    for secret in (PASSWORD, "w:rd", "p%40ss", "view er", "view%20er"):
        assert secret not in said


@pytest.mark.parametrize("auth", ["basic", "digest"])
@pytest.mark.parametrize(
    ("user", "password", "login"),
    [
        ("admin", "", "admin:"),
        ("admin", "", "admin"),
        ("", "secret", ":secret"),
        ("view er", "", "view%20er:"),
        ("admin", ":", "admin::"),
        ("admin", "%", "admin:%"),
        ("admin", "a b", "admin:a%20b"),
        ("admin", "pass#1?x/y@z", "admin:pass#1?x/y@z"),
        ("admin", "ä€名", "admin:ä€名"),
    ],
)
def test_edge_07_empty_passwords_and_bare_user_names_log_in(
    auth: Literal["basic", "digest"], user: str, password: str, login: str
) -> None:
    """An empty password, a user name without password, and special characters work with Basic and with Digest."""
    with serving(auth=auth, user=user, password=password) as server:
        result = probe(f"rtsp://{login}@127.0.0.1:{server.port}/live", CALM, frames=1)
    assert result.error is None


def test_a_wrong_password_is_reported_once_and_not_retried_soon(caplog: pytest.LogCaptureFixture) -> None:
    """There is one attempt and one warning, then a long wait."""
    with (
        caplog.at_level(logging.DEBUG),
        serving(auth="digest", password="right") as server,
        reading(server.url(user="viewer", password="hunter2secret")) as source,
    ):
        wait_for(lambda: source.status().error is not None)
        time.sleep(0.5)
        status = source.status()
        assert server.seen.connections == 1
    assert status.state == "offline"
    assert "refused the user name or password (401)" in (status.error or "")
    assert "hunter2secret" not in f"{caplog.text}{status}"


def test_a_missing_password_has_its_own_hint() -> None:
    """An address without credentials gives another hint than one with wrong credentials."""
    with serving(auth="basic", password="x") as server, reading(server.url()) as source:
        wait_for(lambda: source.status().error is not None)
        assert "requires a user name and password" in (source.status().error or "")


def test_a_stalled_camera_is_reconnected() -> None:
    """The connection is open but no frame arrives, so the watchdog closes it and reconnects."""
    with serving() as server, reading(server.url(), QUICK) as source:
        next_frame(source)
        server.behaviour.stall = True
        wait_for(lambda: "no data from the camera for 0.6 s" in (source.status().error or ""))
        wait_for(lambda: server.seen.plays >= 2)
        server.behaviour.stall = False
        while source.status().state != "online":
            next_frame(source)
        assert source.status().reconnects >= 1
        assert source.status().error is None


def test_a_camera_that_sends_corrupt_data_is_reconnected() -> None:
    """Data that decodes to no frame does not reset the watchdog."""
    with serving() as server, reading(server.url(), QUICK) as source:
        next_frame(source)
        server.behaviour.garbage = True
        wait_for(lambda: server.seen.plays >= 2)
        assert source.status().error is not None


def test_a_camera_that_sends_nothing_reaches_the_opening_timeout(caplog: pytest.LogCaptureFixture) -> None:
    """The opening timeout ends the attempt; when the camera responds later, frames arrive."""
    with serving(behaviour=Behaviour(mute=True)) as server, reading(server.url(), QUICK) as source:
        wait_for(lambda: source.status().error is not None)
        assert "no data from the camera for 1.5 s" in (source.status().error or "")
        server.behaviour.mute = False
        next_frame(source)


def test_a_camera_that_refuses_is_retried_until_it_is_back() -> None:
    """Frames arrive after several refused connections."""
    with serving(behaviour=Behaviour(refuse=True)) as server, reading(server.url()) as source:
        wait_for(lambda: server.seen.connections >= 3)
        assert source.status().state == "offline"
        server.behaviour.refuse = False
        next_frame(source)
        assert source.status().state == "online"


def test_refused_connection_and_missing_stream_have_different_errors() -> None:
    """The errors differ because the user must check different settings."""
    with serving(behaviour=Behaviour(status=404)) as server:
        url = server.url()
        assert "no stream at this path (404)" in (probe(url, QUICK).error or "")
    assert "connection refused" in (probe(url, QUICK).error or "")
    with serving(behaviour=Behaviour(status=403)) as server:
        assert "(403)" in (probe(server.url(), QUICK).error or "")
    with serving(behaviour=Behaviour(status=500)) as server:
        assert "5xx" in (probe(server.url(), QUICK).error or "")


def test_close_does_not_wait_for_a_blocked_reader() -> None:
    """While a reader waits for a silent camera, close returns at once; the reader ends later."""
    with serving(behaviour=Behaviour(mute=True)) as server:
        source = open_source(server.url(), settings=CALM, clock=SystemClock())
        assert isinstance(source, LiveSource)
        wait_for(lambda: server.seen.connections == 1)
        source.close()
        assert source.ended
        assert _reader_alive(source)
    wait_for(lambda: not _reader_alive(source))


def _reader_alive(source: LiveSource) -> bool:
    return any(thread.name == f"{source._thread.name} reader" for thread in threading.enumerate())


WATCHFUL = SourceSettings(open_timeout_s=5, watchdog_s=1.5, backoff_min_s=0.05, backoff_max_s=0.2)


def _watched(source: FrameSource, *, until: Callable[[], bool], limit_s: float = 20) -> list[tuple[Frame, float]]:
    """Read until the condition is true; return each frame with the monotonic time of its delivery."""
    frames: list[tuple[Frame, float]] = []
    deadline = time.monotonic() + limit_s
    while not until():
        assert time.monotonic() < deadline, "the condition did not become true"
        if (frame := source.read(0.05)) is not None:
            frames.append((frame, time.monotonic()))
    return frames


def test_edge_06_watchdog_ends_a_stall_without_old_frames() -> None:
    """When a read times out FFmpeg returns buffered frames; they are dropped and the camera is reconnected."""
    with serving(fps=10) as server, reading(server.url(), WATCHFUL) as source:
        for _ in range(5):
            next_frame(source)
        server.behaviour.stall = True
        wait_for(lambda: source.status().state == "degraded" or source.status().state == "offline")
        during = _watched(source, until=lambda: server.seen.plays == 2)
        assert source.status().state == "offline"
        server.behaviour.stall = False
        next_frame(source)
        assert source.status().state == "online"
    assert during == []


def test_edge_06_a_backlog_after_a_stall_is_dropped() -> None:
    """Frames that a network stall withheld arrive at once; only recent ones with correct times are delivered."""
    patient = SourceSettings(open_timeout_s=15, watchdog_s=30, max_lateness_s=0.5)
    with serving(fps=10) as server, reading(server.url(), patient) as source:
        before = [next_frame(source) for _ in range(10)][-1]
        server.behaviour.hold = True
        _watched(source, until=lambda: source.status().state == "degraded")
        server.behaviour.hold = False
        after = _watched(source, until=lambda: source.status().state == "online")
        after += [(next_frame(source), time.monotonic()) for _ in range(5)]
    assert after[0][0].number > before.number + 10
    assert all(now_s - frame.time_s < 1.5 for frame, now_s in after)
    # A frame's number is its position in the stream, so its time since the last one before the stall is known.
    for frame, _ in after:
        assert frame.time_s - before.time_s == pytest.approx((frame.number - before.number) * 0.1, abs=0.5)


def test_edge_06_pictures_from_before_the_connection_are_dropped() -> None:
    """No frame is delivered of the cached group of pictures that a camera sends first."""
    with serving(fps=10, behaviour=Behaviour(cached=30)) as server, reading(server.url()) as source:
        first = next_frame(source)
    assert first.number > 30


def test_edge_12_frames_have_the_new_size_after_a_change(caplog: pytest.LogCaptureFixture) -> None:
    """When the stream continues with larger pictures, they are complete, and the change is logged once."""
    large = numbered(50, width=480, height=192)
    with caplog.at_level(logging.WARNING), serving(fps=25, other=large) as server, reading(server.url()) as source:
        assert (next_frame(source).width, source.info().resolution) == (320, "320x128")
        server.behaviour.other = True
        wait_for(lambda: next_frame(source).width == 480)
        frame = next_frame(source)
        info = source.info()
        assert frame.picture.luma().shape == (192, 480)
        assert read_number(frame.picture.luma()) <= 50
    assert (info.resolution, source.status().reconnects) == ("480x192", 0)
    assert [r.getMessage().split(": ")[1] for r in caplog.records if "resolution" in r.getMessage()] == [
        "the resolution changed from 320x128 to 480x192"
    ]


def test_probe_reports_the_stream() -> None:
    """Probing reports latency, size, codec and rate of a working camera, without its password."""
    with serving(auth="digest", password=PASSWORD) as server:
        result = probe(server.url(user="viewer", password=PASSWORD), CALM)
    assert result.ok
    assert (result.resolution, result.codec, result.fps, result.frames) == ("320x128", "h264", 25.0, 5)
    assert result.latency_ms is not None
    assert result.latency_ms > 0
    assert PASSWORD not in str(result)
    assert "***" in result.source
