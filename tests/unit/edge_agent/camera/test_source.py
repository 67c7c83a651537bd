"""Selection of the source for a text."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from edge_agent.camera.settings import SourceSettings
from edge_agent.camera.source import SCHEMES, StreamInfo, open_source, scheme_of
from shared.clock import ManualClock
from shared.errors import ConfigurationError
from tests.support.clips import make_clip, numbered


@pytest.mark.parametrize(
    ("text", "scheme"),
    [
        ("clip.mp4", "file"),
        ("/a/b c.mkv", "file"),
        ("file:///a.mp4", "file"),
        ("RTSP://camera/1", "rtsp"),
        ("rtsps://camera/1", "rtsps"),
        ("http://camera/video.mjpg", "http"),
        ("https://camera/live.m3u8", "https"),
        ("usb:0", "usb"),
        ("/dev/video2", "usb"),
        ("/dev/v4l/by-id/usb-Cam-video-index0", "usb"),
        ("gst:videotestsrc ! appsink", "gst"),
        ("synthetic:gate?seed=3", "synthetic"),
        ("odd:name.mp4", "file"),
    ],
)
def test_scheme_of_source_texts(text: str, scheme: str) -> None:
    """Every row of the table is selected by a typical text."""
    assert scheme_of(text) == scheme


def test_unknown_scheme_is_rejected_without_its_password() -> None:
    """The error names the valid sources and does not contain the password."""
    with pytest.raises(ConfigurationError, match=r"ftp://.*rtsp://HOST") as caught:
        scheme_of("ftp://me:hunter2@host/clip.mp4")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "   ", "clip\0.mp4"])
def test_empty_source_is_rejected(text: str) -> None:
    """An empty source is a configuration error."""
    with pytest.raises(ConfigurationError):
        open_source(text, settings=SourceSettings(), clock=ManualClock())


def test_every_row_of_the_table_can_be_imported() -> None:
    """Rows are imported when first used, so a wrong one would go unnoticed."""
    for target in SCHEMES.values():
        module, _, function = target.partition(":")
        assert callable(getattr(import_module(module), function))


def test_file_is_opened_through_the_table(tmp_path: Path) -> None:
    """``open_source`` returns a source that delivers frames."""
    path = make_clip(tmp_path / "a.mp4", numbered(2))
    source = open_source(str(path), settings=SourceSettings(), clock=ManualClock())
    assert not source.live
    assert source.read(1.0) is not None


def test_resolution_is_none_while_the_size_is_unknown() -> None:
    """A camera that has never connected has no resolution."""
    assert StreamInfo(source="x").resolution is None


def test_backoff_bounds_must_be_in_order() -> None:
    """The error explains that the bounds are swapped."""
    with pytest.raises(ValueError, match="swap them"):
        SourceSettings(backoff_min_s=10, backoff_max_s=1)
