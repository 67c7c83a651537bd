"""A truncated recording is reported for every container."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import cv2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.camera.decode.truncation import is_truncated
from edge_agent.camera.file import FileSource, open_file
from edge_agent.camera.settings import SourceSettings
from shared.clock import ManualClock
from tests.support.clips import make_clip, numbered

PICTURES = 140

CONTAINERS: list[tuple[str, str | None, str | None]] = [
    ("a.avi", "mjpeg", "yuvj420p"),
    ("b.avi", "mpeg4", None),
    ("a.mkv", None, None),
    ("a.webm", "libvpx", None),
    ("a.ts", None, None),
    ("a.flv", None, None),
    ("a.mpg", "mpeg2video", None),
    ("a.wmv", "wmv2", None),
    ("a.gif", "gif", "rgb8"),
    ("a.ivf", "libvpx", None),
    ("a.mjpeg", "mjpeg", "yuvj420p"),
    ("a.y4m", "rawvideo", None),
]


def played(path: Path) -> tuple[FileSource, int]:
    source = open_file(str(path), settings=SourceSettings(), clock=ManualClock())
    pictures = 0
    while source.read(1.0) is not None:
        pictures += 1
    return source, pictures


def cut(path: Path, ratio: float) -> Path:
    """Keep this fraction of the file, ending inside a packet."""
    data = path.read_bytes()
    size = int(len(data) * ratio)
    short = path.with_name(f"cut-{path.name}")
    short.write_bytes(data[: size if size % 188 else size + 1])
    return short


@pytest.mark.parametrize(("name", "codec", "pixel_format"), CONTAINERS)
def test_edge_27_truncated_recording_is_reported(
    tmp_path: Path, name: str, codec: str | None, pixel_format: str | None
) -> None:
    """The file is truncated early, in the middle or shortly before its end; the complete file is not reported."""
    path = make_clip(tmp_path / name, numbered(PICTURES, height=128), codec=codec, pix_fmt=pixel_format)
    source, pictures = played(path)
    assert (pictures, source.status().error) == (PICTURES, None)
    for ratio in (0.2, 0.5, 0.9):
        source, pictures = played(cut(path, ratio))
        assert 0 < pictures < PICTURES
        assert f"{pictures}" in (source.status().error or f"{name} cut to {ratio}: no word")
        assert "cut short" in (source.status().error or "")


def test_edge_27_truncated_avi_reports_the_missing_frames(tmp_path: Path) -> None:
    """The header declares 140 frames; FFmpeg decodes 12 of them without an error."""
    path = tmp_path / "cv.avi"
    fourcc = cv2.VideoWriter.fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(path), fourcc, 10, (320, 128))
    for image in numbered(PICTURES, height=128):
        writer.write(image)
    writer.release()
    source, pictures = played(cut(path, 0.1))
    assert pictures < 20
    assert f"after frame {pictures}: {pictures} of 140 frames could be decoded" in (source.status().error or "")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("frag.mp4", {"movflags": "frag_keyframe+empty_moov"}),
        ("fast.mp4", {"movflags": "faststart"}),
        ("live.mkv", {"live": "1"}),
    ],
)
def test_edge_27_truncated_streaming_recording_is_reported(tmp_path: Path, name: str, options: dict[str, str]) -> None:
    """Fragments, an index at the front, and clusters of unknown length."""
    clip = make_clip(tmp_path / "a.mp4", numbered(PICTURES, height=128))
    path = tmp_path / name
    with av.open(str(clip)) as source, av.open(str(path), "w", options=options) as target:
        stream: Any = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    whole, pictures = played(path)
    assert (pictures, whole.status().error) == (PICTURES, None)
    for ratio in (0.4, 0.9):
        short, pictures = played(cut(path, ratio))
        assert pictures < PICTURES
        assert "cut short" in (short.status().error or "")


FORMATS = st.sampled_from(
    ["avi", "mov,mp4", "matroska,webm", "mpegts", "mpeg", "yuv4mpegpipe", "gif", "mjpeg", "other"]
)
HEADS = st.sampled_from(
    [
        b"",
        b"RIFF",
        b"\0\0\0\x18ftyp",
        b"\0\0\0\1mdat",
        b"\x1a\x45\xdf\xa3",
        b"\x18\x53\x80\x67\xff",
        b"G" * 188,
        b"\0\0\1\xe0\0",
        b"YUV4MPEG2 W4 H4 C420\nFRAME\n",
        b"YUV4MPEG2 Wx H4\nFRAME\n",
        b"YUV4MPEG2\nFRAME\n",
    ]
)


@given(name=FORMATS, head=HEADS, body=st.binary(max_size=300))
def test_edge_27_any_content_gives_a_result(
    tmp_path_factory: pytest.TempPathFactory, name: str, head: bytes, body: bytes
) -> None:
    """Invalid sizes cause no exception and no endless loop."""
    path = tmp_path_factory.getbasetemp() / "any.bin"
    path.write_bytes(head + body)
    assert is_truncated(path, name) in (True, False)
