"""Cameras behind OpenCV's VideoCapture: USB cameras and GStreamer pipelines (Jetson)."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol, cast
from urllib.parse import parse_qsl

import cv2
import numpy as np
from pydantic import Field, ValidationError

from edge_agent.camera.live import Connection, ConnectionLostError, LiveSource, ReceivedPicture
from edge_agent.camera.settings import SourceSettings
from edge_agent.camera.source import StreamInfo
from edge_agent.types import ArrayPicture, Image
from shared.clock import Clock
from shared.errors import ConfigurationError
from shared.redact import MASK, redact
from shared.settings import Settings

logger = logging.getLogger(__name__)

_PIPELINE_SECRET = re.compile(
    r"(?P<name>\b(?:user-pw|user-id|proxy-pw|proxy-id|password)\s*=\s*)(\"[^\"]*\"|[^\s!]+)", re.UNICODE
)
MISSED_READS = 3
"""Consecutive empty reads after which the connection counts as lost; a single one may be a bus error."""


class Capture(Protocol):
    """The methods of ``cv2.VideoCapture`` that are used here."""

    def isOpened(self) -> bool: ...  # noqa: N802

    def read(self) -> tuple[bool, Any]: ...

    def get(self, prop: int, /) -> float: ...

    def set(self, prop: int, value: float, /) -> bool: ...

    def release(self) -> None: ...


CaptureFactory = Callable[[int | str, int], Capture]
"""Takes a device (number or path) or a pipeline, and one of OpenCV's ``CAP_`` backends."""


class UsbOptions(Settings):
    """Options after ``usb:0?``. Omitted options keep the camera's own setting."""

    width: int | None = Field(default=None, ge=16, le=16384)
    height: int | None = Field(default=None, ge=16, le=16384)
    fps: float | None = Field(default=None, gt=0, le=1000)
    fourcc: str | None = Field(default=None, pattern=r"^[A-Za-z0-9]{4}$")


def open_usb(
    text: str,
    *,
    settings: SourceSettings,
    clock: Clock,
    start_time: datetime | None = None,
    capture: CaptureFactory | None = None,
) -> LiveSource:
    """Start reading ``usb:NUMBER[?width=…&height=…&fps=…&fourcc=MJPG]`` or a ``/dev/video…`` path.

    Raises ConfigurationError for any other text.
    """
    del start_time
    device, options = parse_usb(text)
    properties = {
        cv2.CAP_PROP_FOURCC: _fourcc_number(options.fourcc) if options.fourcc else None,
        cv2.CAP_PROP_FRAME_WIDTH: options.width,
        cv2.CAP_PROP_FRAME_HEIGHT: options.height,
        cv2.CAP_PROP_FPS: options.fps,
        cv2.CAP_PROP_BUFFERSIZE: 1,
    }
    open_capture = capture or _opencv_capture

    def connect() -> Connection:
        opened = open_capture(device, cv2.CAP_V4L2)
        if not opened.isOpened():
            opened.release()
            raise ConnectionLostError(
                f"camera {device} cannot be opened; check that it is connected, not in use and readable (group video)"
            )
        for prop, value in properties.items():
            if value is not None:
                opened.set(prop, float(value))
        return CaptureConnection(capture=opened, source=text)

    return LiveSource(connect=connect, source=text, settings=settings, clock=clock)


def open_gstreamer(
    text: str,
    *,
    settings: SourceSettings,
    clock: Clock,
    start_time: datetime | None = None,
    capture: CaptureFactory | None = None,
) -> LiveSource:
    """Start reading ``gst:PIPELINE``, which must end in ``appsink`` and deliver BGR.

    Raises ConfigurationError if OpenCV was built without GStreamer, as the package from PyPI is.
    """
    del start_time
    pipeline = _pipeline_of(text)
    shown = f"gst:{redact_pipeline(pipeline)}"
    if capture is None:
        _require_gstreamer()
    open_capture = capture or _opencv_capture

    def connect() -> Connection:
        opened = open_capture(pipeline, cv2.CAP_GSTREAMER)
        if not opened.isOpened():
            opened.release()
            raise ConnectionLostError("the pipeline does not start; test it with gst-launch-1.0")
        return CaptureConnection(capture=opened, source=shown)

    return LiveSource(connect=connect, source=shown, settings=settings, clock=clock)


class CaptureConnection:
    """A ``Connection`` over an open VideoCapture."""

    def __init__(self, *, capture: Capture, source: str) -> None:
        self._capture = capture
        self._source = source
        self._size = (0, 0)

    def read(self) -> ReceivedPicture:
        for _ in range(MISSED_READS):
            received, image = self._capture.read()
            if received and image is not None:
                picture = ArrayPicture(_as_bgr(np.asarray(image)))
                self._size = (picture.width, picture.height)
                return ReceivedPicture(picture)
        raise ConnectionLostError("the camera returns no frames; check that it is connected")

    def info(self) -> StreamInfo:
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        return StreamInfo(
            source=self._source,
            width=self._size[0],
            height=self._size[1],
            fps=fps if fps > 0 else None,
            codec=_fourcc_text(self._capture.get(cv2.CAP_PROP_FOURCC)),
        )

    def close(self) -> None:
        self._capture.release()


def _pipeline_of(text: str) -> str:
    pipeline = text.partition(":")[2].strip()
    if "appsink" not in pipeline:
        raise ConfigurationError(
            f"gst:{redact_pipeline(pipeline)} does not end in appsink; expected for example "
            '"gst:nvarguscamerasrc ! nvvidconv ! video/x-raw,format=BGRx ! videoconvert ! video/x-raw,format=BGR ! '
            'appsink drop=true max-buffers=1"'
        )
    return pipeline


def _require_gstreamer() -> None:
    if not has_gstreamer(cv2.getBuildInformation()):
        raise ConfigurationError(
            "gst: needs an OpenCV built with GStreamer, and the opencv-python-headless package from PyPI is not. "
            "On a Jetson install JetPack's (apt install python3-opencv) and make the virtual environment with "
            "--system-site-packages, without opencv-python-headless; or read the camera as rtsp:// or usb:"
        )


def has_gstreamer(build_information: str) -> bool:
    """Return whether OpenCV's build information lists GStreamer support."""
    return re.search(r"GStreamer:\s+YES", build_information, re.ASCII) is not None


def redact_pipeline(pipeline: str) -> str:
    """Mask passwords in the addresses of a pipeline and in properties such as ``user-pw=``."""
    return redact(_PIPELINE_SECRET.sub(rf"\g<name>{MASK}", pipeline))


def _opencv_capture(device: int | str, backend: int) -> Capture:
    return cast(Capture, cv2.VideoCapture(cast(Any, device), backend))


def check_usb(text: str, *, settings: SourceSettings) -> None:
    """Raise ConfigurationError if ``text`` is not a valid USB camera; do not open it."""
    del settings
    parse_usb(text)


def check_gstreamer(text: str, *, settings: SourceSettings) -> None:
    """Raise ConfigurationError if the pipeline cannot work on this machine; do not start it."""
    del settings
    _pipeline_of(text)
    _require_gstreamer()


def parse_usb(text: str) -> tuple[int | str, UsbOptions]:
    """Return the device (number or path) and the options; raise ConfigurationError if ``text`` is invalid."""
    name, _, query = text.partition("?")
    try:
        options = UsbOptions.model_validate(dict(parse_qsl(query, keep_blank_values=True)))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        known = ", ".join(UsbOptions.model_fields)
        raise ConfigurationError(f"{text}: option {first['loc'][0]!r}: {first['msg']}; options are {known}") from error
    if name.startswith("/dev/"):
        return name, options
    number = name.partition(":")[2]
    if number.startswith("/dev/"):
        return number, options
    if not (number.isascii() and number.isdecimal()):
        raise ConfigurationError(f"{text} is not a USB camera; expected usb:0 (its number) or /dev/video0")
    return int(number), options


def _as_bgr(image: Image) -> Image:
    if image.ndim == 2:
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), np.uint8)
    if image.shape[2] == 4:
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGRA2BGR), np.uint8)
    return image


def _fourcc_number(code: str) -> int:
    return int.from_bytes(code.upper().encode("ascii"), "little")


def _fourcc_text(number: float) -> str | None:
    """Convert OpenCV's codec number to its four letters; return None if it is not a valid code."""
    try:
        text = int(number).to_bytes(4, "little").decode("ascii").strip("\0 ")
    except (OverflowError, ValueError):
        return None
    return text.lower() if text.isalnum() else None
