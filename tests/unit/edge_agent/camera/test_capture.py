"""USB and GStreamer cameras, with a fake of OpenCV's capture."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from edge_agent.camera.capture import (
    CaptureConnection,
    has_gstreamer,
    open_gstreamer,
    open_usb,
    redact_pipeline,
)
from edge_agent.camera.live import ConnectionLostError
from edge_agent.camera.settings import SourceSettings
from shared.clock import SystemClock
from shared.errors import ConfigurationError

MJPG = float(int.from_bytes(b"MJPG", "little"))


class FakeCapture:
    """Returns the given pictures, then none."""

    def __init__(self, *pictures: Any, opens: bool = True, properties: dict[int, float] | None = None) -> None:
        self.pictures = list(pictures)
        self.opens = opens
        self.properties = properties or {}
        self.opened: list[tuple[int | str, int]] = []
        self.settings: dict[int, float] = {}
        self.released = 0

    def __call__(self, device: int | str, backend: int) -> FakeCapture:
        self.opened.append((device, backend))
        return self

    def isOpened(self) -> bool:  # noqa: N802
        return self.opens

    def read(self) -> tuple[bool, Any]:
        if not self.pictures:
            return False, None
        picture = self.pictures.pop(0)
        return picture is not None, picture

    def get(self, prop: int) -> float:
        return self.properties.get(prop, 0.0)

    def set(self, prop: int, value: float) -> bool:
        self.settings[prop] = value
        return True

    def release(self) -> None:
        self.released += 1


SETTINGS = SourceSettings(backoff_min_s=5, backoff_max_s=5)
IMAGE = np.full((48, 64, 3), 90, np.uint8)


def test_usb_camera_is_read() -> None:
    """The device is opened with V4L2, the options are set, and the stream information comes from the camera."""
    capture = FakeCapture(IMAGE, properties={cv2.CAP_PROP_FPS: 30.0, cv2.CAP_PROP_FOURCC: MJPG})
    source = open_usb(
        "usb:2?width=1280&height=720&fps=30&fourcc=MJPG", settings=SETTINGS, clock=SystemClock(), capture=capture
    )
    frame = source.read(5.0)
    assert frame is not None
    assert frame.picture.bgr()[0, 0].tolist() == [90, 90, 90]
    assert capture.opened[0] == (2, cv2.CAP_V4L2)
    assert capture.settings[cv2.CAP_PROP_FRAME_WIDTH] == 1280
    assert capture.settings[cv2.CAP_PROP_FRAME_HEIGHT] == 720
    assert capture.settings[cv2.CAP_PROP_FOURCC] == MJPG
    info = source.info()
    assert (info.width, info.height, info.fps, info.codec) == (64, 48, 30.0, "mjpg")
    source.close()
    assert capture.released == 1


@pytest.mark.parametrize("text", ["/dev/video3", "usb:/dev/video3"])
def test_device_path_is_passed_unchanged(text: str) -> None:
    """Paths by id remain valid when cameras are connected in a different order."""
    capture = FakeCapture(IMAGE)
    source = open_usb(text, settings=SETTINGS, clock=SystemClock(), capture=capture)
    assert source.read(5.0) is not None
    assert capture.opened[0][0] == "/dev/video3"
    source.close()


def test_missing_usb_camera_error_lists_what_to_check() -> None:
    """The error names the usual causes: not connected, in use, not permitted."""
    capture = FakeCapture(opens=False)
    source = open_usb("usb:0", settings=SETTINGS, clock=SystemClock(), capture=capture)
    while (error := source.status().error) is None:
        assert source.read(0.01) is None
    assert "camera 0 cannot be opened" in error
    assert "check that it is connected" in error
    assert capture.released == 1
    source.close()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("usb:", "usb:0"),
        ("usb:front", "usb:0"),
        ("usb:0?size=3", "'size'.*options are width"),
        ("usb:0?fps=-1", "'fps'"),
    ],
)
def test_invalid_usb_source_is_rejected(text: str, message: str) -> None:
    """The error names the mistake and a valid form."""
    with pytest.raises(ConfigurationError, match=message):
        open_usb(text, settings=SETTINGS, clock=SystemClock(), capture=FakeCapture())


def test_pipeline_is_read() -> None:
    """The text after ``gst:`` is passed to OpenCV unchanged."""
    capture = FakeCapture(IMAGE)
    source = open_gstreamer(
        "gst:videotestsrc ! videoconvert ! appsink", settings=SETTINGS, clock=SystemClock(), capture=capture
    )
    assert source.read(5.0) is not None
    assert capture.opened[0] == ("videotestsrc ! videoconvert ! appsink", cv2.CAP_GSTREAMER)
    source.close()


def test_pipeline_that_does_not_start_recommends_gst_launch() -> None:
    """GStreamer's own tool reports more than OpenCV."""
    source = open_gstreamer(
        "gst:nothing ! appsink", settings=SETTINGS, clock=SystemClock(), capture=FakeCapture(opens=False)
    )
    while (error := source.status().error) is None:
        assert source.read(0.01) is None
    assert "gst-launch-1.0" in error
    source.close()


def test_pipeline_must_end_in_appsink() -> None:
    """Without ``appsink``, OpenCV would wait forever."""
    with pytest.raises(ConfigurationError, match="appsink"):
        open_gstreamer("gst:videotestsrc ! fakesink", settings=SETTINGS, clock=SystemClock(), capture=FakeCapture())


@pytest.mark.skipif(has_gstreamer(cv2.getBuildInformation()), reason="this OpenCV has GStreamer")
def test_opencv_without_gstreamer_error_names_the_package() -> None:
    """The error names the package to install instead of the wheel from PyPI."""
    with pytest.raises(ConfigurationError, match="apt install python3-opencv"):
        open_gstreamer("gst:videotestsrc ! appsink", settings=SETTINGS, clock=SystemClock())


def test_gstreamer_is_recognised_in_the_build_information() -> None:
    """The build information says YES or NO."""
    assert has_gstreamer("  Video I/O:\n    GStreamer:                   YES (1.20.3)\n")
    assert not has_gstreamer("  Video I/O:\n    GStreamer:                   NO\n")


@pytest.mark.parametrize(
    "pipeline",
    [
        "rtspsrc location=rtsp://me:hunter2@cam/1 ! appsink",
        "rtspsrc location=rtsp://cam/1 user-id=me user-pw=hunter2 ! appsink",
        'souphttpsrc location=http://cam user-pw = "hunter2" ! appsink',
    ],
)
def test_passwords_in_pipelines_are_masked(pipeline: str) -> None:
    """Passwords are masked in addresses and in properties."""
    assert "hunter2" not in redact_pipeline(pipeline)
    assert "hunter2" not in open_and_name(pipeline)


def open_and_name(pipeline: str) -> str:
    source = open_gstreamer(f"gst:{pipeline}", settings=SETTINGS, clock=SystemClock(), capture=FakeCapture(IMAGE))
    assert source.read(5.0) is not None
    source.close()
    return source.info().source


def test_one_empty_read_is_tolerated_and_three_are_not() -> None:
    """A single bus error does not end the connection."""
    connection = CaptureConnection(capture=FakeCapture(None, IMAGE), source="usb:0")
    assert connection.read().picture.width == 64
    with pytest.raises(ConnectionLostError, match="returns no frames; check that it is connected"):
        connection.read()


def test_grey_and_four_channel_images_are_converted_to_bgr() -> None:
    """Thermal cameras deliver one channel, some converters four."""
    grey, rgba = np.full((4, 6), 50, np.uint8), np.full((4, 6, 4), 60, np.uint8)
    connection = CaptureConnection(capture=FakeCapture(grey, rgba, properties={cv2.CAP_PROP_FOURCC: -1.0}), source="x")
    assert connection.read().picture.bgr()[0, 0].tolist() == [50, 50, 50]
    assert connection.read().picture.bgr()[0, 0].tolist() == [60, 60, 60]
    assert connection.info().codec is None
