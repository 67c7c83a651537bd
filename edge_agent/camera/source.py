"""The interface of frame sources, and the table that maps a source's text to its implementation.

To add a kind of source: a module in this folder with an ``open_…`` function, and a row in ``SCHEMES``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from typing import Protocol, cast

from edge_agent.camera.settings import SourceSettings
from edge_agent.types import Frame
from shared.clock import Clock
from shared.commands import ConnectionFailure
from shared.errors import ConfigurationError
from shared.heartbeat import CameraState
from shared.stream_address import redact_source


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """Properties of a stream. Until a live source has connected, sizes are 0 and the other values None."""

    source: str
    """The text with which the source was opened, with credentials masked."""
    width: int = 0
    height: int = 0
    fps: float | None = None
    """Nominal frame rate, as declared by the stream."""
    codec: str | None = None
    frame_count: int | None = None
    """As declared by the file; None for cameras and for containers without a frame count."""

    @property
    def resolution(self) -> str | None:
        """For example ``1280x720``; None while unknown."""
        return f"{self.width}x{self.height}" if self.width and self.height else None


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """The current state of a source. ``error`` is the last error, with credentials masked; None if there is none."""

    state: CameraState
    error: str | None = None
    cause: ConnectionFailure | None = None
    """Kind of the last error of a connection."""
    fps_actual: float | None = None
    """Frames per second over the last few seconds; None during the first second of a connection."""
    reconnects: int = 0
    """Number of connections after the first one."""
    last_frame_at: datetime | None = None
    damaged_ratio: float = 0.0
    """Fraction of a camera's recent pictures that could not be decoded, 0..1."""


class FrameSource(Protocol):
    """A stream of frames. Call ``read`` from one thread only; the other methods are thread-safe."""

    @property
    def live(self) -> bool:
        """If false, every frame is delivered once. If true, ``read`` returns the newest frame and drops older ones."""
        ...

    def read(self, timeout_s: float) -> Frame | None:
        """Return the next frame (live: the newest unread one); None if none arrives in time or the source has ended."""
        ...

    @property
    def ended(self) -> bool:
        """True once there are no more frames."""
        ...

    def info(self) -> StreamInfo: ...

    def status(self) -> SourceStatus: ...

    def close(self) -> None:
        """Close the camera or file. Returns promptly, also while another thread is blocked in ``read``."""
        ...


class Opener(Protocol):
    """The target of a row in ``SCHEMES``. ``text`` is the whole source text, including the scheme."""

    def __call__(
        self, text: str, *, settings: SourceSettings, clock: Clock, start_time: datetime | None
    ) -> FrameSource: ...


class Checker(Protocol):
    """The target of a row in ``CHECKS``. Raises ConfigurationError for an invalid source, without connecting."""

    def __call__(self, text: str, *, settings: SourceSettings) -> None: ...


SCHEMES: dict[str, str] = {
    "file": "edge_agent.camera.file:open_file",
    "rtsp": "edge_agent.camera.ip_camera:open_ip_camera",
    "rtsps": "edge_agent.camera.ip_camera:open_ip_camera",
    "http": "edge_agent.camera.ip_camera:open_ip_camera",
    "https": "edge_agent.camera.ip_camera:open_ip_camera",
    "usb": "edge_agent.camera.capture:open_usb",
    "gst": "edge_agent.camera.capture:open_gstreamer",
    "synthetic": "edge_agent.camera.synthetic:open_synthetic",
}
"""Scheme to ``module:function``, imported when first used, so that a missing library affects only its own sources."""

CHECKS: dict[str, str] = {
    "rtsp": "edge_agent.camera.ip_camera:check_ip_camera",
    "rtsps": "edge_agent.camera.ip_camera:check_ip_camera",
    "http": "edge_agent.camera.ip_camera:check_ip_camera",
    "https": "edge_agent.camera.ip_camera:check_ip_camera",
    "usb": "edge_agent.camera.capture:check_usb",
    "gst": "edge_agent.camera.capture:check_gstreamer",
    "synthetic": "edge_agent.camera.synthetic:check_synthetic",
}
"""The same for the checks of sources that are not opened for it; a file is."""

EXPECTED = (
    "a video file, rtsp://HOST/PATH, rtsps://…, http(s)://…, usb:0 or /dev/video0, gst:PIPELINE, or synthetic:gate"
)

_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):")
_V4L_DEVICE = re.compile(r"/dev/(video\d+|v4l/.+)", re.ASCII)


def open_source(
    text: str, *, settings: SourceSettings, clock: Clock, start_time: datetime | None = None
) -> FrameSource:
    """Open the source that ``text`` describes.

    ``start_time`` is the capture time of the first frame of a file or a synthetic scene; cameras use ``clock``. For a
    file, the first frame is decoded before this returns; a camera connects in the background. Raises
    ConfigurationError for an invalid source: a missing file, a file that is not a video, an unknown scheme.
    """
    opener = cast(Opener, _imported(SCHEMES[_checked_scheme(text)]))
    return opener(text, settings=settings, clock=clock, start_time=start_time)


def check_source(text: str, *, settings: SourceSettings, clock: Clock) -> None:
    """Raise ConfigurationError if ``text`` is not a valid source. Files are opened; cameras are not contacted."""
    scheme = _checked_scheme(text)
    if scheme in CHECKS:
        cast(Checker, _imported(CHECKS[scheme]))(text, settings=settings)
    else:
        open_source(text, settings=settings, clock=clock).close()


def _checked_scheme(text: str) -> str:
    if not text.strip():
        raise ConfigurationError(f"the source is empty; expected {EXPECTED}")
    if "\0" in text:
        raise ConfigurationError("the source contains a NUL character, which is not allowed in a file name or address")
    if text != text.strip():
        raise ConfigurationError(
            f"the source {redact_source(text)!r} begins or ends with white space; remove it (a file may be written "
            "with its folder, as ./NAME)"
        )
    return scheme_of(text)


def _imported(target: str) -> object:
    module, _, function = target.partition(":")
    return getattr(import_module(module), function)


def scheme_of(text: str) -> str:
    """Return the key of ``SCHEMES`` for ``text``; raise ConfigurationError for ``unknown://…``."""
    if _V4L_DEVICE.fullmatch(text):
        return "usb"
    match = _SCHEME.match(text)
    if match is None:
        return "file"
    scheme = match["scheme"].lower()
    if scheme in SCHEMES:
        return scheme
    if text[match.end() :].startswith("//"):
        raise ConfigurationError(f"unknown source type {scheme}:// (in {redact_source(text)}); expected {EXPECTED}")
    return "file"
