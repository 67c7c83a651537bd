"""The file source: all frames with their presentation times, and clear errors."""

from __future__ import annotations

import logging
import os
import random
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_agent.camera.file import FileSource, open_file
from edge_agent.camera.settings import SourceSettings
from edge_agent.types import Frame
from shared.clock import ManualClock
from shared.errors import ConfigurationError
from tests.support.clips import make_clip, moving_square, numbered, read_number

START = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


def opened(path: Path | str, *, start_time: datetime | None = START, **settings: object) -> FileSource:
    return open_file(
        str(path), settings=SourceSettings.model_validate(settings), clock=ManualClock(), start_time=start_time
    )


def frames_of(source: FileSource) -> list[Frame]:
    frames: list[Frame] = []
    while (frame := source.read(1.0)) is not None:
        frames.append(frame)
    return frames


def damaged(path: Path, *, at_ratio: float, share: float, seed: int = 3) -> Path:
    data = bytearray(path.read_bytes())
    rng = random.Random(seed)
    first = int(len(data) * at_ratio)
    for index in range(first, first + int(len(data) * share)):
        data[index] = rng.randrange(256)
    path.write_bytes(data)
    return path


def test_every_frame_is_delivered_once_in_order(tmp_path: Path) -> None:
    """No frame is dropped or repeated with several decoder threads; numbers start at 1."""
    source = opened(make_clip(tmp_path / "a.mp4", numbered(60), 25), decode_threads=4)
    frames = frames_of(source)
    assert [frame.number for frame in frames] == list(range(1, 61))
    assert [read_number(frame.picture.luma()) for frame in frames] == list(range(1, 61))
    assert source.ended
    assert source.read(0.0) is None


def test_times_are_presentation_times(tmp_path: Path) -> None:
    """Timestamps are the given start plus the presentation times."""
    frames = frames_of(opened(make_clip(tmp_path / "a.mp4", numbered(5), 12.5)))
    assert [frame.time_s for frame in frames] == pytest.approx([0, 0.08, 0.16, 0.24, 0.32])
    assert frames[-1].timestamp == START + timedelta(seconds=0.32)


def test_edge_26_variable_frame_rate_is_kept(tmp_path: Path) -> None:
    """Uneven intervals between frames are kept."""
    times_s = [0.0, 0.1, 0.5, 0.52, 2.0]
    frames = frames_of(opened(make_clip(tmp_path / "a.mp4", numbered(5), times_s=times_s)))
    assert [frame.time_s for frame in frames] == pytest.approx(times_s, abs=0.001)


def test_default_start_is_the_creation_time(tmp_path: Path) -> None:
    """``creation_time`` of the container is the start of a recording."""
    path = make_clip(tmp_path / "a.mp4", numbered(2), created_at=datetime(2025, 2, 3, 4, 5, 6, tzinfo=UTC))
    assert frames_of(opened(path, start_time=None))[0].timestamp == datetime(2025, 2, 3, 4, 5, 6, tzinfo=UTC)


def test_start_falls_back_to_the_modification_time(tmp_path: Path) -> None:
    """A container without a creation time starts at the file's modification time."""
    path = make_clip(tmp_path / "a.avi", numbered(2), codec="mpeg4")
    os.utime(path, (1_700_000_000, 1_700_000_000))
    assert frames_of(opened(path, start_time=None))[0].timestamp == datetime.fromtimestamp(1_700_000_000, UTC)


def test_two_runs_are_identical(tmp_path: Path) -> None:
    """Replays give identical pixels and times."""
    path = make_clip(tmp_path / "a.mp4", moving_square(30))
    first, second = frames_of(opened(path)), frames_of(opened(path))
    assert [(f.number, f.timestamp) for f in first] == [(f.number, f.timestamp) for f in second]
    assert all(np.array_equal(a.picture.bgr(), b.picture.bgr()) for a, b in zip(first, second, strict=True))


def test_info_describes_the_file(tmp_path: Path) -> None:
    """Size, frame rate, codec and frame count come from the container."""
    info = opened(make_clip(tmp_path / "a.mp4", moving_square(10, width=320, height=240), 20)).info()
    assert (info.width, info.height, info.fps, info.frame_count) == (320, 240, 20.0, 10)
    assert info.resolution == "320x240"
    assert info.codec in {"h264", "mpeg4"}
    assert info.source.endswith("a.mp4")


def test_damage_in_the_middle_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Decodable frames are delivered; one log line names the position of the damage."""
    path = damaged(make_clip(tmp_path / "a.mp4", numbered(100, height=240)), at_ratio=0.33, share=0.05)
    with caplog.at_level(logging.WARNING):
        source = opened(path)
        frames = frames_of(source)
    assert 30 < len(frames) < 100
    assert [frame.number for frame in frames] == list(range(1, len(frames) + 1))
    (record,) = [record for record in caplog.records if record.name.startswith("edge_agent")]
    assert str(path) in record.message
    assert "after frame" in record.message
    assert f"{len(frames)} of 100" in record.message
    assert source.status().error == record.message


@pytest.mark.parametrize(("name", "codec"), [("a.mkv", None), ("a.avi", "mpeg4"), ("a.ts", None)])
def test_truncated_recording_is_played_to_its_end(tmp_path: Path, name: str, codec: str | None) -> None:
    """The intact part of a file after a power failure is delivered, and the truncation is reported."""
    path = make_clip(tmp_path / name, numbered(100, height=240), codec=codec)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    source = opened(path)
    assert 40 < len(frames_of(source)) < 100
    if path.stat().st_size % 188 or name != "a.ts":  # a cut between two packets cannot be detected
        assert "cut short" in (source.status().error or "")


def test_intact_file_gives_no_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Intact files of any container give no damage warning."""
    for name in ("a.mp4", "a.mkv", "a.ts"):
        source = opened(make_clip(tmp_path / name, numbered(20)))
        frames_of(source)
        assert source.status().error is None
    frames_of(opened(make_clip(tmp_path / "v.mp4", numbered(4), times_s=[0, 0.1, 2.0, 2.01])))
    assert caplog.records == []


def test_file_without_a_decodable_frame_is_rejected(tmp_path: Path) -> None:
    """The error names a container whose packets are all damaged."""
    path = make_clip(tmp_path / "a.mkv", moving_square(20))
    damaged(path, at_ratio=0.07, share=0.92)
    with pytest.raises(ConfigurationError, match=r"a\.mkv"):
        opened(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.mp4", b"", "is empty"),
        ("noise.mp4", bytes(range(256)) * 40, "cannot be read as video"),
        ("letter.txt", b"Dear all,\n" * 100, "text file"),
        ("half.mp4", b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41", "cannot be read as video"),
    ],
)
def test_file_that_is_not_a_video_is_rejected(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    """The error names the file and the reason."""
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=message) as caught:
        opened(path)
    assert name in str(caught.value)


def test_audio_file_is_rejected(tmp_path: Path) -> None:
    """An audio file can be opened but has no video stream."""
    path = tmp_path / "beep.wav"
    samples = b"".join(struct.pack("<h", 1000) for _ in range(8000))
    header = (
        b"RIFF"
        + struct.pack("<I", 36 + len(samples))
        + b"WAVEfmt "
        + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16)
    )
    path.write_bytes(header + b"data" + struct.pack("<I", len(samples)) + samples)
    with pytest.raises(ConfigurationError, match="no video stream"):
        opened(path)


def test_missing_file_folder_and_device_are_rejected(tmp_path: Path) -> None:
    """Each of the three common mistakes has its own error text."""
    with pytest.raises(ConfigurationError, match=r"the file .*nowhere\.mp4.*rtsp://"):
        opened(tmp_path / "nowhere.mp4")
    with pytest.raises(ConfigurationError, match="is a folder"):
        opened(tmp_path)
    with pytest.raises(ConfigurationError, match="not a regular file"):
        opened("/dev/null")


def test_edge_26_file_name_is_never_a_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file named like an FFmpeg protocol is opened as a file, and a missing one is an error."""
    make_clip(tmp_path / "clip.mp4", numbered(3)).rename(tmp_path / "concat:a.mp4")
    monkeypatch.chdir(tmp_path)
    assert len(frames_of(opened("concat:a.mp4"))) == 3
    with pytest.raises(ConfigurationError, match=r"the file .* does not exist"):
        opened("subfile,,start,0:clip.mp4")


def test_edge_26_file_url_opens_the_file(tmp_path: Path) -> None:
    """A ``file://`` address may contain an escaped space."""
    make_clip(tmp_path / "my clip.mp4", numbered(3))
    assert len(frames_of(opened(f"file://{tmp_path}/my%20clip.mp4"))) == 3


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "webp", "tif", "gif"])
def test_edge_29_still_image_is_rejected(tmp_path: Path, suffix: str) -> None:
    """The error names the file and the command for images."""
    path = tmp_path / f"still.{suffix}"
    image = np.full((40, 60, 3), (10, 20, 200), np.uint8)
    if suffix == "gif":
        make_clip(path, [image], codec="gif", pix_fmt="rgb8")
    else:
        cv2.imwrite(str(path), image)
    with pytest.raises(ConfigurationError, match=r"still image .*not a recording.*read-plates") as caught:
        opened(path)
    assert str(path) in str(caught.value)


def test_edge_29_content_decides_instead_of_the_file_name(tmp_path: Path) -> None:
    """A photograph named ``.mp4`` is rejected; a recording with a single frame is accepted."""
    photograph = tmp_path / "clip.mp4"
    photograph.write_bytes(cv2.imencode(".jpg", np.full((40, 60, 3), 90, np.uint8))[1].tobytes())
    with pytest.raises(ConfigurationError, match="still image"):
        opened(photograph)
    assert len(frames_of(opened(make_clip(tmp_path / "a.mp4", numbered(1))))) == 1
    assert len(frames_of(opened(make_clip(tmp_path / "a.gif", numbered(3), codec="gif", pix_fmt="rgb8")))) == 3


def test_edge_12_recording_continues_when_its_frame_size_changes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Two concatenated clips give frames of both sizes and one log line."""
    first = make_clip(tmp_path / "1.ts", numbered(10, width=320, height=64))
    second = make_clip(tmp_path / "2.ts", numbered(10, width=480, height=96))
    joined = tmp_path / "joined.ts"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    with caplog.at_level(logging.WARNING):
        source = opened(joined)
        frames = frames_of(source)
    assert [frame.width for frame in frames] == [320] * 10 + [480] * 10
    assert [read_number(frame.picture.luma()) for frame in frames] == [*range(1, 11)] * 2
    assert source.info().resolution == "480x96"
    messages = [record.getMessage() for record in caplog.records if "resolution" in record.getMessage()]
    assert messages == [f"{joined}: the resolution changes from 320x64 to 480x96 at frame 11"]


def rotated_by_metadata(path: Path, *, degrees: int) -> Path:
    """Write a rotated display matrix, as phones do, into the track header of an MP4."""
    matrices = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}
    a, b, c, d = (value << 16 for value in matrices[degrees])
    data = bytearray(path.read_bytes())
    header = data.index(b"tkhd")
    matrix = header + 4 + 4 + 20 + 16
    data[matrix : matrix + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("degrees", "size", "corner"), [(90, (64, 96), (0, -1)), (180, (96, 64), (-1, -1)), (270, (64, 96), (-1, 0))]
)
def test_edge_25_rotation_in_the_metadata_is_applied(
    tmp_path: Path, degrees: int, size: tuple[int, int], corner: tuple[int, int]
) -> None:
    """The coded top left corner is where a player shows it."""
    image = np.full((64, 96, 3), 20, np.uint8)
    image[:24, :24] = 230
    path = rotated_by_metadata(make_clip(tmp_path / "a.mp4", [image] * 3, codec="mpeg4"), degrees=degrees)
    source = opened(path)
    picture = frames_of(source)[0].picture
    assert (source.info().width, source.info().height) == size
    assert (picture.width, picture.height) == size
    for plane in (picture.luma(), picture.bgr()[..., 1], picture.scaled_rgb(*size)[..., 1]):
        assert plane.shape == size[::-1]
        assert plane[corner] > 180
        assert plane[size[1] // 2, size[0] // 2] < 60


def test_paced_file_plays_in_real_time(tmp_path: Path) -> None:
    """Frames are delivered when they are due on the clock, and none is skipped."""
    clock = ManualClock()
    path = make_clip(tmp_path / "a.mp4", numbered(4), 10)
    source = open_file(str(path), settings=SourceSettings(pace=True), clock=clock, wait=clock.advance)
    arrival_times: list[tuple[int, float]] = []
    while (frame := source.read(1.0)) is not None:
        arrival_times.append((frame.number, round(clock.monotonic(), 3)))
    assert arrival_times == [(1, 0.0), (2, 0.1), (3, 0.2), (4, 0.3)]


def test_paced_file_starts_now_and_respects_the_timeout(tmp_path: Path) -> None:
    """The first frame has the current time; a read with a short timeout returns None and loses no frame."""
    clock = ManualClock()
    path = make_clip(tmp_path / "a.mp4", numbered(2), 2)
    source = open_file(str(path), settings=SourceSettings(pace=True), clock=clock, wait=clock.advance)
    first = source.read(0.1)
    assert first is not None
    assert first.timestamp == clock.now()
    assert [source.read(0.2), source.read(0.2)] == [None, None]
    assert clock.monotonic() == pytest.approx(0.4)
    second = source.read(0.2)
    assert second is not None
    assert (second.number, clock.monotonic()) == (2, pytest.approx(0.5))


def test_close_ends_the_source(tmp_path: Path) -> None:
    """After ``close`` no frame is returned; a second ``close`` has no effect."""
    source = opened(make_clip(tmp_path / "a.mp4", numbered(5)))
    assert source.read(0.0) is not None
    source.close()
    source.close()
    assert source.ended
    assert source.read(0.0) is None


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [
        ("a.avi", "mjpeg", "yuvj420p"),
        ("a.mp4", "mpeg4", "yuv420p"),
        ("a.mkv", "ffv1", "yuv422p"),
        ("a.mkv", "ffv1", "yuv420p10le"),
        ("a.avi", "rawvideo", "yuv420p"),
        ("a.mkv", "rawvideo", "gray"),
    ],
)
def test_edge_26_common_codecs_and_pixel_formats_are_decoded(
    tmp_path: Path, name: str, codec: str, pixel_format: str
) -> None:
    """The frames do not depend on the codec and the pixel format."""
    frames = frames_of(opened(make_clip(tmp_path / name, numbered(6), codec=codec, pix_fmt=pixel_format)))
    assert [read_number(frame.picture.luma()) for frame in frames] == [1, 2, 3, 4, 5, 6]
    assert frames[4].picture.bgr()[32, 10].min() > 200
    assert frames[3].picture.bgr()[32, 10].max() < 60


@pytest.mark.needs_shared
def test_real_recordings_are_read_completely(shared_material: Path) -> None:
    """Every frame of two real clips is delivered with regular times and without damage."""
    for name, count, fps in (("car-detection.mp4", 377, 12.5), ("one-by-one-person-detection.mp4", 1394, 10.0)):
        source = opened(shared_material / "clips" / name)
        frames = frames_of(source)
        assert (len(frames), source.info().fps, source.info().resolution) == (count, fps, "768x432")
        assert frames[-1].time_s == pytest.approx((count - 1) / fps, abs=0.1)
        assert source.status().error is None
