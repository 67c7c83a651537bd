"""Probing files and things that do not work."""

from __future__ import annotations

from pathlib import Path

from edge_agent.camera.probe import probe
from edge_agent.camera.settings import SourceSettings
from edge_agent.camera.source import FrameSource, SourceStatus, StreamInfo
from edge_agent.types import Frame
from shared.clock import Clock, ManualClock
from tests.support.clips import make_clip, numbered


def test_a_file_is_probed(tmp_path: Path) -> None:
    """Size, codec and nominal rate; a file has no measured one."""
    result = probe(str(make_clip(tmp_path / "a.mp4", numbered(9, width=160, height=64), 20)))
    assert result.ok
    assert (result.resolution, result.fps, result.frames, result.fps_measured) == ("160x64", 20.0, 5, None)


def test_a_short_file_ends_the_probe(tmp_path: Path) -> None:
    """Fewer frames than wished for are no error."""
    assert probe(str(make_clip(tmp_path / "a.mp4", numbered(2)))).frames == 2


def test_what_cannot_be_opened_is_an_error_not_an_exception() -> None:
    """The words are those of opening, the password is nobody's business."""
    result = probe("ftp://me:hunter2@host/x")
    assert not result.ok
    assert "unknown source type ftp://" in (result.error or "")
    assert "hunter2" not in str(result)


class SilentSource:
    """A camera that connects and shows nothing; every read takes its time on the clock."""

    live = True
    ended = False

    def __init__(self, clock: ManualClock, error: str | None) -> None:
        self._clock = clock
        self._error = error
        self.closed = False

    def read(self, timeout_s: float) -> Frame | None:
        self._clock.advance(timeout_s)
        return None

    def info(self) -> StreamInfo:
        return StreamInfo(source="cam")

    def status(self) -> SourceStatus:
        return SourceStatus(state="offline", error=self._error)

    def close(self) -> None:
        self.closed = True


def opened_silently(clock: ManualClock, error: str | None) -> tuple[SilentSource, object]:
    source = SilentSource(clock, error)

    def opener(text: str, *, settings: SourceSettings, clock: Clock) -> FrameSource:
        return source

    return source, probe("cam", SourceSettings(open_timeout_s=3, watchdog_s=2), clock=clock, opener=opener)


def test_a_silent_camera_is_given_up() -> None:
    """Within the opening timeout and the watchdog's time together."""
    clock = ManualClock()
    source, result = opened_silently(clock, None)
    assert "no picture came within 5 s" in str(result)
    assert 5 <= clock.monotonic() < 5.5
    assert source.closed


def test_a_camera_that_cannot_be_reached_is_given_up_at_once() -> None:
    """Its own words are passed on."""
    clock = ManualClock()
    _, result = opened_silently(clock, "nothing listens there")
    assert "nothing listens there" in str(result)
    assert clock.monotonic() < 1
