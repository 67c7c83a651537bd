"""Elementary streams have no timestamps: they are played at the rate that they declare."""

from __future__ import annotations

import logging
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from edge_agent.camera.file import FileSource, open_file
from edge_agent.camera.settings import SourceSettings
from shared.clock import ManualClock
from tests.support.clips import numbered
from tests.support.rtsp_server import encode_h264, nal_units

PICTURES = 30


def raw(
    path: Path, codec: str, fps: float, *, options: dict[str, str] | None = None, pixel_format: str = "yuv420p"
) -> Path:
    """Write a bare stream; the suffix is FFmpeg's name of the format."""
    rate = Fraction(fps).limit_denominator(1001)
    with av.open(str(path), "w", format=path.suffix[1:]) as container:
        stream: Any = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = 320, 64, pixel_format
        stream.options = options or {}
        for number, image in enumerate(numbered(PICTURES)):
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts, frame.time_base = number, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def times_of(path: Path, **settings: object) -> tuple[FileSource, list[float]]:
    source = open_file(str(path), settings=SourceSettings.model_validate(settings), clock=ManualClock())
    times: list[float] = []
    while (frame := source.read(1.0)) is not None:
        times.append(frame.time_s)
    return source, times


QUIET = {"x265-params": "log-level=none"}


@pytest.mark.parametrize("fps", [5, 10, 12.5, 15, 29.97, 50])
@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.h264", "libx264", {}),
        ("b.h264", "libx264", {"x264-params": "bframes=3"}),
        ("interlaced.h264", "libx264", {"x264-params": "tff=1"}),
        ("a.hevc", "libx265", QUIET),
        ("a.m4v", "mpeg4", {}),
    ],
)
def test_edge_11_elementary_stream_plays_at_its_declared_rate(
    tmp_path: Path, name: str, codec: str, options: dict[str, str], fps: float, caplog: pytest.LogCaptureFixture
) -> None:
    """The rate is in its headers, also with reordered frames and interlaced coding; nothing is logged."""
    with caplog.at_level(logging.WARNING):
        source, times = times_of(raw(tmp_path / name, codec, fps, options=options))
    assert times == pytest.approx([number / fps for number in range(PICTURES)], abs=0.002)
    assert source.info().fps == pytest.approx(fps, rel=0.001)
    assert caplog.records == []


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"), [("a.mjpeg", "mjpeg", "yuvj420p"), ("a.h264", "libx264", "yuv420p")]
)
def test_edge_11_default_rate_is_used_and_logged_without_a_declared_rate(
    tmp_path: Path, name: str, codec: str, pixel_format: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The default is 25 frames per second, and one warning names the setting."""
    path = raw(tmp_path / name, codec, 10, pixel_format=pixel_format)
    if codec == "libx264":
        path.write_bytes(without_timing(path.read_bytes()))
    with caplog.at_level(logging.WARNING):
        source, times = times_of(path)
    assert times == pytest.approx([number / 25 for number in range(PICTURES)])
    assert source.info().fps == 25
    (record,) = caplog.records
    assert str(path) in record.getMessage()
    assert "elementary_stream_fps" in record.getMessage()


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [("a.mjpeg", "mjpeg", "yuvj420p"), ("a.h264", "libx264", "yuv420p"), ("a.m4v", "mpeg4", "yuv420p")],
)
def test_edge_11_setting_overrides_the_declared_rate(
    tmp_path: Path, name: str, codec: str, pixel_format: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Some cameras declare a wrong rate, which the setting corrects."""
    with caplog.at_level(logging.WARNING):
        source, times = times_of(raw(tmp_path / name, codec, 10, pixel_format=pixel_format), elementary_stream_fps=8)
    assert times == pytest.approx([number / 8 for number in range(PICTURES)])
    assert source.info().fps == 8
    assert caplog.records == []


def test_edge_11_setting_does_not_affect_containers(tmp_path: Path) -> None:
    """MP4 has timestamps."""
    path = raw(tmp_path / "a.mp4", "libx264", 10)
    assert times_of(path, elementary_stream_fps=50)[1][-1] == pytest.approx(2.9)


@pytest.mark.parametrize(("ticks", "scale"), [(1, 180_000), (1000, 1)])
def test_edge_11_implausible_rate_is_ignored(
    tmp_path: Path, ticks: int, scale: int, caplog: pytest.LogCaptureFixture
) -> None:
    """90,000 frames per second is a time base, and one frame in half an hour is an error."""
    path = tmp_path / "a.h264"
    path.write_bytes(b"".join(b"\0\0\0\1" + nal for unit in encode_h264(numbered(PICTURES), 10) for nal in unit))
    path.write_bytes(with_timing(path.read_bytes(), ticks=ticks, scale=scale))
    with caplog.at_level(logging.WARNING):
        _, times = times_of(path)
    assert times[-1] == pytest.approx((PICTURES - 1) / 25)
    assert "without a frame rate" in caplog.text


class Bits:
    """Reads the bits of a sequence parameter set (ITU-T H.264, section 7.3.2.1.1)."""

    def __init__(self, nal: bytes) -> None:
        payload = nal.replace(b"\0\0\3", b"\0\0")
        self.bits = "".join(f"{byte:08b}" for byte in payload)
        self.at = 0

    def take(self, count: int) -> int:
        self.at += count
        return int(self.bits[self.at - count : self.at], 2)

    def golomb(self) -> int:
        zeros = 0
        while not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + (self.take(zeros) if zeros else 0)

    def to_vui(self) -> None:
        """Skip to ``vui_parameters_present_flag``, for a profile that x264 writes for 4:2:0."""
        self.take(8)
        profile = self.take(24) >> 16
        self.golomb()
        if profile in (100, 110, 122, 244):
            for _ in range(3):
                self.golomb()
            assert self.take(2) == 0
        self.golomb()
        order_type = self.golomb()
        assert order_type in (0, 2)
        if order_type == 0:
            self.golomb()
        self.golomb()
        self.take(1)
        self.golomb()
        self.golomb()
        if not self.take(1):
            self.take(1)
        self.take(1)
        if self.take(1):
            for _ in range(4):
                self.golomb()


def rewritten(annex_b: bytes, tail: str) -> bytes:
    """Replace the data after the VUI flag in every sequence parameter set."""
    units: list[bytes] = []
    for nal in nal_units(annex_b):
        if nal[0] & 31 == 7:
            bits = Bits(nal)
            bits.to_vui()
            content = bits.bits[: bits.at] + tail + "1"
            content += "0" * (-len(content) % 8)
            payload = bytes(int(content[at : at + 8], 2) for at in range(0, len(content), 8))
            units.append(escaped(payload))
        else:
            units.append(nal)
    return b"".join(b"\0\0\0\1" + unit for unit in units)


def escaped(payload: bytes) -> bytes:
    """Insert emulation prevention bytes."""
    out = bytearray()
    for byte in payload:
        if byte <= 3 and out[-2:] == b"\0\0":
            out.append(3)
        out.append(byte)
    return bytes(out)


def without_timing(annex_b: bytes) -> bytes:
    return rewritten(annex_b, "0")


def with_timing(annex_b: bytes, *, ticks: int, scale: int) -> bytes:
    """Return VUI data that declares ``scale / (2 * ticks)`` frames per second only."""
    return rewritten(annex_b, f"1{'0' * 4}1{ticks:032b}{scale:032b}1{'0' * 4}")
