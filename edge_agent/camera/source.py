"""Where pictures come from: what every source offers, and the table that finds the right one for a text.

To add a kind of source: one file in this folder with an ``open_…`` function, one row in ``SCHEMES``.
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
from shared.errors import ConfigurationError
from shared.heartbeat import CameraState
from shared.stream_address import redact_source


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What the stream is; sizes are 0 and the rest None until a live source has connected for the first time."""

    source: str
    """The text the source was opened with, credentials masked."""
    width: int = 0
    height: int = 0
    fps: float | None = None
    """Nominal, as the stream announces it."""
    codec: str | None = None
    frame_count: int | None = None
    """As the file announces it; None for cameras and for containers that do not say."""

    @property
    def resolution(self) -> str | None:
        """``1280x720``, or None while unknown."""
        return f"{self.width}x{self.height}" if self.width and self.height else None


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """How the source is doing right now. ``error`` is the last trouble, credentials masked; None while all is well."""

    state: CameraState
    error: str | None = None
    fps_actual: float | None = None
    """Frames a second over the last few seconds; None until a connection is a second old."""
    reconnects: int = 0
    """Connections made after the first."""
    last_frame_at: datetime | None = None
    damaged_ratio: float = 0.0
    """Share of the last few seconds' pictures that could not be decoded (cameras)."""


class FrameSource(Protocol):
    """A stream of frames. ``read`` belongs to one thread; the rest may be called from any."""

    @property
    def live(self) -> bool:
        """False: every frame is delivered, none twice. True: the newest frame wins and older ones are dropped."""
        ...

    def read(self, timeout_s: float) -> Frame | None:
        """Return the next frame (live: the newest one not seen yet); None when none came in time or none ever will."""
        ...

    @property
    def ended(self) -> bool:
        """True once no frame will ever come again."""
        ...

    def info(self) -> StreamInfo: ...

    def status(self) -> SourceStatus: ...

    def close(self) -> None:
        """Let go of the camera or file. Returns promptly, also while another thread is blocked in ``read``."""
        ...


class Opener(Protocol):
    """What a row of ``SCHEMES`` points to. ``text`` is the whole source text, its scheme included."""

    def __call__(
        self, text: str, *, settings: SourceSettings, clock: Clock, start_time: datetime | None
    ) -> FrameSource: ...


class Checker(Protocol):
    """What a row of ``CHECKS`` points to: raises ConfigurationError for what can never work, without connecting."""

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
"""Scheme to ``module:function``; imported only when asked for, so that a missing library hurts nobody else."""

CHECKS: dict[str, str] = {
    "rtsp": "edge_agent.camera.ip_camera:check_ip_camera",
    "rtsps": "edge_agent.camera.ip_camera:check_ip_camera",
    "http": "edge_agent.camera.ip_camera:check_ip_camera",
    "https": "edge_agent.camera.ip_camera:check_ip_camera",
    "usb": "edge_agent.camera.capture:check_usb",
    "gst": "edge_agent.camera.capture:check_gstreamer",
}
"""The same for what is live; what is not is checked by opening it."""

EXPECTED = (
    "a video file, rtsp://HOST/PATH, rtsps://…, http(s)://…, usb:0 or /dev/video0, gst:PIPELINE, or synthetic:gate"
)

_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):")
_V4L_DEVICE = re.compile(r"/dev/(video\d+|v4l/.+)", re.ASCII)


def open_source(
    text: str, *, settings: SourceSettings, clock: Clock, start_time: datetime | None = None
) -> FrameSource:
    """Open the source that ``text`` names.

    ``start_time`` is the capture time of a file's first picture (or of the synthetic scene's); cameras go by ``clock``.
    A file is opened and its first picture decoded before this returns; a camera is only being connected.
    Raises ConfigurationError for what cannot be a source: no such file, not a video, unknown scheme.
    """
    opener = cast(Opener, _imported(SCHEMES[_checked_scheme(text)]))
    return opener(text, settings=settings, clock=clock, start_time=start_time)


def check_source(text: str, *, settings: SourceSettings, clock: Clock) -> None:
    """Raise ConfigurationError where ``text`` can never be a source. Files are opened; cameras are not connected to."""
    scheme = _checked_scheme(text)
    if scheme in CHECKS:
        cast(Checker, _imported(CHECKS[scheme]))(text, settings=settings)
    else:
        open_source(text, settings=settings, clock=clock).close()


def _checked_scheme(text: str) -> str:
    if not text.strip():
        raise ConfigurationError(f"the source is empty; expected {EXPECTED}")
    if "\0" in text:
        raise ConfigurationError("the source holds a NUL character, which is not allowed in a file name or address")
    if text != text.strip():
        raise ConfigurationError(
            f"the source {redact_source(text)!r} begins or ends with white space; remove it (a file may be written "
            "with its folder, as ./NAME)"
        )
    return scheme_of(text)


def _imported(place: str) -> object:
    module, _, function = place.partition(":")
    return getattr(import_module(module), function)


def scheme_of(text: str) -> str:
    """Return the row of ``SCHEMES`` that ``text`` belongs to; raise ConfigurationError for ``unknown://…``."""
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
