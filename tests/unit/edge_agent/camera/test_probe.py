"""Probing of files, and of sources that do not work."""

from __future__ import annotations

from pathlib import Path

from edge_agent.camera.probe import probe
from edge_agent.camera.settings import SourceSettings
from edge_agent.camera.source import FrameSource, SourceStatus, StreamInfo
from edge_agent.types import Frame
from shared.clock import Clock, ManualClock
from tests.support.clips import make_clip, numbered


def test_file_is_probed(tmp_path: Path) -> None:
    """The result has size, codec and nominal frame rate, but no measured one."""
    result = probe(str(make_clip(tmp_path / "a.mp4", numbered(9, width=160, height=64), 20)))
    assert result.ok
    assert (result.resolution, result.fps, result.frames, result.fps_measured) == ("160x64", 20.0, 5, None)


def test_short_file_ends_the_probe(tmp_path: Path) -> None:
    """Fewer frames than requested are not an error."""
    assert probe(str(make_clip(tmp_path / "a.mp4", numbered(2)))).frames == 2


def test_unusable_source_gives_a_result_with_an_error() -> None:
    """The error is the text of the exception; the password is masked."""
    result = probe("ftp://me:hunter2@host/x")
    assert not result.ok
    assert "unknown source type ftp://" in (result.error or "")
    assert "hunter2" not in str(result)


class SilentSource:
    """A camera that connects but delivers no frame; each read advances the clock by its timeout."""

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


def probe_silent_camera(clock: ManualClock, error: str | None) -> tuple[SilentSource, object]:
    source = SilentSource(clock, error)

    def opener(text: str, *, settings: SourceSettings, clock: Clock) -> FrameSource:
        return source

    return source, probe("cam", SourceSettings(open_timeout_s=3, watchdog_s=2), clock=clock, opener=opener)


def test_camera_without_frames_ends_the_probe_at_the_deadline() -> None:
    """The deadline is the opening timeout plus the watchdog's time."""
    clock = ManualClock()
    source, result = probe_silent_camera(clock, None)
    assert "no picture within 5 s" in str(result)
    assert 5 <= clock.monotonic() < 5.5
    assert source.closed


def test_unreachable_camera_ends_the_probe_at_once() -> None:
    """The result contains the error of the source."""
    clock = ManualClock()
    _, result = probe_silent_camera(clock, "connection refused")
    assert "connection refused" in str(result)
    assert clock.monotonic() < 1
