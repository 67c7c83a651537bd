"""The RTSP source against a real server that behaves as badly as cameras do."""

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
"""For tests of cameras that work: a busy machine must not look like a silent camera."""
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
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.01)


def next_frame(source: FrameSource) -> Frame:
    frame = source.read(20.0)
    assert frame is not None
    return frame


def test_pictures_come_with_what_the_stream_is() -> None:
    """Frames in order, right pixels, size, codec and rate from the stream itself."""
    with serving() as server, reading(server.url()) as source:
        frames = [next_frame(source) for _ in range(10)]
        numbers = [read_number(frame.picture.luma()) for frame in frames]
        info, status = source.info(), source.status()
    assert numbers == sorted(set(numbers))
    assert [frame.number for frame in frames] == numbers
    assert (info.width, info.height, info.codec, info.fps) == (320, 128, "h264", 25.0)
    assert (status.state, status.error, status.reconnects) == ("online", None, 0)
    assert all(frame.timestamp.tzinfo is not None for frame in frames)


def test_large_pictures_survive_being_cut_into_packets() -> None:
    """Key frames beyond one packet arrive whole."""
    with RtspServer(numbered(12, width=1280, height=720)) as server, reading(server.url()) as source:
        assert next_frame(source).width == 1280


def test_a_slow_reader_gets_the_newest_frame() -> None:
    """While nobody reads, the camera's pictures do not queue up."""
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
def test_edge_31_passwords_of_every_kind_get_through_and_stay_secret(
    auth: str, raw: bool, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Encoded or pasted as they are: the camera accepts them, and no log line, status or info shows them, nor what
    FFmpeg itself may print."""
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
    assert "hung up" in said or "ended the stream" in said
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
def test_edge_07_every_login_opens_the_camera(
    auth: Literal["basic", "digest"], user: str, password: str, login: str
) -> None:
    """An empty password, a user name alone and awkward characters reach the camera, by Basic and by Digest."""
    with serving(auth=auth, user=user, password=password) as server:
        result = probe(f"rtsp://{login}@127.0.0.1:{server.port}/live", CALM, frames=1)
    assert result.error is None


def test_a_wrong_password_is_said_in_plain_words_and_not_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    """One attempt, one warning, a long wait."""
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


def test_a_missing_password_is_asked_for() -> None:
    """The address without credentials gets another hint than the one with wrong ones."""
    with serving(auth="basic", password="x") as server, reading(server.url()) as source:
        wait_for(lambda: source.status().error is not None)
        assert "requires a user name and password" in (source.status().error or "")


def test_a_camera_that_stalls_is_connected_again() -> None:
    """The line is open but no picture comes: the watchdog hangs up and tries anew."""
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


def test_a_camera_that_sends_only_noise_is_connected_again() -> None:
    """Data without a picture does not keep the watchdog quiet."""
    with serving() as server, reading(server.url(), QUICK) as source:
        next_frame(source)
        server.behaviour.garbage = True
        wait_for(lambda: server.seen.plays >= 2)
        assert source.status().error is not None


def test_a_camera_that_accepts_and_says_nothing_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    """The opening timeout ends it; once it talks, pictures come."""
    with serving(behaviour=Behaviour(mute=True)) as server, reading(server.url(), QUICK) as source:
        wait_for(lambda: source.status().error is not None)
        assert "no data from the camera for 1.5 s" in (source.status().error or "")
        server.behaviour.mute = False
        next_frame(source)


def test_a_camera_that_hangs_up_is_tried_until_it_is_back() -> None:
    """Refused again and again, then there."""
    with serving(behaviour=Behaviour(refuse=True)) as server, reading(server.url()) as source:
        wait_for(lambda: server.seen.connections >= 3)
        assert source.status().state == "offline"
        server.behaviour.refuse = False
        next_frame(source)
        assert source.status().state == "online"


def test_nobody_listening_and_no_such_stream_get_their_own_words() -> None:
    """Two different things to check."""
    with serving(behaviour=Behaviour(status=404)) as server:
        url = server.url()
        assert "no stream at this path (404)" in (probe(url, QUICK).error or "")
    assert "connection refused" in (probe(url, QUICK).error or "")
    with serving(behaviour=Behaviour(status=403)) as server:
        assert "(403)" in (probe(server.url(), QUICK).error or "")
    with serving(behaviour=Behaviour(status=500)) as server:
        assert "5xx" in (probe(server.url(), QUICK).error or "")


def test_close_does_not_wait_for_a_blocked_reader() -> None:
    """The camera says nothing and the reader waits for it: close returns all the same, and the reader ends later."""
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
    """Read until the condition holds; return each frame with the monotonic time it was handed out."""
    frames: list[tuple[Frame, float]] = []
    deadline = time.monotonic() + limit_s
    while not until():
        assert time.monotonic() < deadline, "did not happen"
        if (frame := source.read(0.05)) is not None:
            frames.append((frame, time.monotonic()))
    return frames


def test_edge_06_a_stall_ends_at_the_watchdog_and_nothing_held_back_is_delivered() -> None:
    """FFmpeg gives what it held when a read times out: no frame comes of it, and the camera is connected anew."""
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
    """What the network held back arrives all at once: what is delivered of it is recent and truly stamped."""
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
    """A camera that begins with the group of pictures it has cached shows nothing of it."""
    with serving(fps=10, behaviour=Behaviour(cached=30)) as server, reading(server.url()) as source:
        first = next_frame(source)
    assert first.number > 30


def test_edge_12_a_change_of_size_gives_frames_of_the_new_size(caplog: pytest.LogCaptureFixture) -> None:
    """The stream goes on with larger pictures: they come whole, and it is said once."""
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


def test_probe_tells_what_is_there() -> None:
    """Latency, size, codec and rate of a camera that works, without its password."""
    with serving(auth="digest", password=PASSWORD) as server:
        result = probe(server.url(user="viewer", password=PASSWORD), CALM)
    assert result.ok
    assert (result.resolution, result.codec, result.fps, result.frames) == ("320x128", "h264", 25.0, 5)
    assert result.latency_ms is not None
    assert result.latency_ms > 0
    assert PASSWORD not in str(result)
    assert "***" in result.source
