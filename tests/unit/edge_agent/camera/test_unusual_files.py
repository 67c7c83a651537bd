"""Recordings with unusual codecs, containers, sizes, times or names are read like ordinary ones."""

from __future__ import annotations

import random
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest

from edge_agent.camera.settings import SourceSettings
from edge_agent.camera.source import open_source
from edge_agent.types import Frame
from shared.clock import ManualClock
from tests.support.clips import make_clip, numbered, read_number

FRAMES = 12


def played(source: str | Path) -> tuple[list[Frame], str | None]:
    """Return the frames of a source, given as the user writes it, and the error in its status."""
    opened = open_source(str(source), settings=SourceSettings(), clock=ManualClock())
    frames: list[Frame] = []
    while (frame := opened.read(1.0)) is not None:
        frames.append(frame)
    error = opened.status().error
    opened.close()
    return frames, error


def numbers_of(frames: list[Frame]) -> list[int]:
    return [read_number(frame.picture.luma()) for frame in frames]


def remuxed(
    clip: Path, path: Path, *, options: dict[str, str] | None = None, move: Callable[[int, int], int] | None = None
) -> Path:
    """Copy the packets of ``clip`` into ``path``; ``move`` maps a packet's index and time in ms to another time."""
    with av.open(str(clip)) as source, av.open(str(path), "w", options=options or {}) as target:
        stream: Any = target.add_stream_from_template(source.streams.video[0])
        index = 0
        for packet in source.demux(video=0):
            if packet.dts is None or packet.pts is None:
                continue
            if move is not None:
                milliseconds = move(index, round(packet.pts * packet.time_base * 1000))
                packet.time_base = Fraction(1, 1000)
                packet.pts = packet.dts = milliseconds
            index += 1
            packet.stream = stream
            target.mux(packet)
    return path


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format", "width", "height"),
    [
        ("hevc.mp4", "libx265", "yuv420p", 320, 128),
        ("hevc-10-bit.mkv", "libx265", "yuv420p10le", 320, 128),
        ("vp8.webm", "libvpx", "yuv420p", 320, 128),
        ("vp9.webm", "libvpx-vp9", "yuv420p", 320, 128),
        ("av1.mkv", "libsvtav1", "yuv420p", 320, 128),
        ("full-range.mp4", "libx264", "yuvj420p", 320, 128),
        ("grey.mkv", "libx264", "gray", 320, 128),
        ("4-4-4.mp4", "libx264", "yuv444p", 320, 128),
        ("mjpeg-4-2-2.avi", "mjpeg", "yuvj422p", 320, 128),
        ("mjpeg.mkv", "mjpeg", "yuvj420p", 320, 128),
        ("mpeg-2.ts", "mpeg2video", "yuv420p", 320, 128),
        ("prores.mov", "prores", "yuv422p10le", 320, 128),
        ("gif.gif", "gif", "rgb8", 320, 128),
        ("odd.avi", "mjpeg", "yuvj420p", 767, 431),
        ("odd.mp4", "libx264", "yuv444p", 321, 97),
        ("wide.mp4", "libx264", "yuv420p", 3840, 200),
        ("tall.mp4", "libx264", "yuv420p", 64, 960),
        ("tiny.mp4", "libx264", "yuv420p", 64, 36),
    ],
)
def test_edge_26_every_codec_layout_and_size_gives_the_same_frames(
    tmp_path: Path, name: str, codec: str, pixel_format: str, width: int, height: int
) -> None:
    """Each frame is delivered once, in order, with its size and its black areas."""
    images = numbered(FRAMES, width=width, height=height)
    frames, error = played(make_clip(tmp_path / name, images, codec=codec, pix_fmt=pixel_format))
    assert error is None
    assert numbers_of(frames) == list(range(1, FRAMES + 1))
    assert {(frame.width, frame.height) for frame in frames} == {(width, height)}
    right_edge = frames[0].picture.bgr()[height // 2, width - 2]
    assert right_edge.max() < 60


@pytest.mark.parametrize("size", [(16, 16), (18, 16)])
def test_edge_26_very_small_frames_are_read(tmp_path: Path, size: tuple[int, int]) -> None:
    """Thumbnails and damaged streams have frames of 16x16 pixels."""
    width, height = size
    clip = make_clip(tmp_path / "small.mp4", numbered(FRAMES, width=width, height=height))
    frames, error = played(clip)
    assert error is None
    assert [(frame.number, frame.width, frame.height) for frame in frames] == [
        (number, width, height) for number in range(1, FRAMES + 1)
    ]
    assert frames[0].picture.scaled_rgb(8, 8).shape == (8, 8, 3)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("fragmented.mp4", {"movflags": "frag_keyframe+empty_moov"}),
        ("live.mkv", {"live": "1"}),
        ("a.mov", {}),
        ("a.flv", {}),
        ("a.ts", {}),
    ],
)
def test_edge_26_every_container_gives_the_same_times(tmp_path: Path, name: str, options: dict[str, str]) -> None:
    """The same packets have the same times in every container."""
    clip = make_clip(tmp_path / "clip.mp4", numbered(FRAMES), 20)
    frames, error = played(remuxed(clip, tmp_path / name, options=options))
    assert error is None
    assert numbers_of(frames) == list(range(1, FRAMES + 1))
    assert [frame.time_s for frame in frames] == pytest.approx([n / 20 for n in range(FRAMES)], abs=0.0015)


@pytest.mark.parametrize(
    ("name", "move", "times_s"),
    [
        ("gap.mkv", lambda n, ms: ms + (3_600_000 if n >= 6 else 0), {5: 0.25, 6: 3600.3}),
        ("late.mkv", lambda n, ms: ms + 86_400_000, {0: 0.0, 11: 0.55}),
        ("early.mkv", lambda n, ms: ms - 4000, {0: 0.0, 11: 0.55}),
        ("wrap.ts", lambda n, ms: ms + 2**33 // 90 - 300, {0: 0.0, 11: 0.55}),
    ],
    ids=["a gap of an hour", "a day's offset", "negative times", "the 33-bit clock wraps"],
)
def test_edge_26_times_count_from_the_first_picture(
    tmp_path: Path, name: str, move: Callable[[int, int], int], times_s: dict[int, float]
) -> None:
    """The start of the timestamps and their wrap-around have no influence; gaps are kept."""
    clip = make_clip(tmp_path / "clip.mp4", numbered(FRAMES), 20)
    frames, error = played(remuxed(clip, tmp_path / name, move=move))
    assert error is None
    assert numbers_of(frames) == list(range(1, FRAMES + 1))
    assert {number: frames[number].time_s for number in times_s} == pytest.approx(times_s, abs=0.002)


def test_edge_26_audio_before_the_video_is_ignored(tmp_path: Path) -> None:
    """The first stream of the file is audio and starts half a second earlier."""
    path = tmp_path / "audio-first.mkv"
    clip = make_clip(tmp_path / "clip.mp4", numbered(FRAMES), 20)
    with av.open(str(clip)) as source, av.open(str(path), "w") as target:
        sound: Any = target.add_stream("pcm_s16le", rate=8000)
        sound.layout = "mono"
        video: Any = target.add_stream_from_template(source.streams.video[0])
        quiet = av.AudioFrame(format="s16", layout="mono", samples=8000)
        quiet.sample_rate = 8000
        quiet.pts = 0
        quiet.planes[0].update(bytes(quiet.planes[0].buffer_size))
        target.mux(sound.encode(quiet))
        for packet in source.demux(video=0):
            if packet.pts is not None and packet.dts is not None:
                half_a_second = int(0.5 / packet.time_base)
                packet.pts, packet.dts = packet.pts + half_a_second, packet.dts + half_a_second
                packet.stream = video
                target.mux(packet)
    frames, error = played(path)
    assert error is None
    assert numbers_of(frames) == list(range(1, FRAMES + 1))
    assert frames[0].time_s == 0.0


@pytest.mark.parametrize(
    "name",
    [
        "名前.mp4",
        "Hof – Süd.mp4",
        "two words.mp4",
        "camera#1.mp4",
        "what?.mp4",
        "10:30:45.mp4",
        "50%.mp4",
        "%20.mp4",
        "%d.mp4",
        "frame-%03d.mp4",
        "[1].mp4",
        "*.mp4",
        'it\'s "it".mp4',
        "a&b;c|d.mp4",
        "back\\slash.mp4",
        "pipe:.mp4",
        "-i.mp4",
    ],
)
def test_edge_26_a_file_may_have_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Characters with a meaning in a shell, an address or FFmpeg have none in a file name, with or without a folder."""
    make_clip(tmp_path / "clip.mp4", numbered(3)).rename(tmp_path / name)
    make_clip(tmp_path / "frame-001.mp4", numbered(9))
    monkeypatch.chdir(tmp_path)
    for source in (tmp_path / name, name):
        frames, error = played(source)
        assert (len(frames), error) == (3, None)


@pytest.mark.parametrize("seed", range(4))
def test_edge_28_times_increase_despite_jumps(tmp_path: Path, seed: int) -> None:
    """The timestamps jump by seconds in both directions; every frame is delivered with an increasing time."""
    rng = random.Random(seed)
    clip = make_clip(tmp_path / "clip.mp4", numbered(FRAMES), 20)
    path = tmp_path / "jumps.ts"
    for start_ms in rng.sample([0, 40, 3000, 3500, 9000, 60_000], 6):
        part = remuxed(clip, tmp_path / "part.ts", move=lambda _, ms, start_ms=start_ms: ms + start_ms)
        with path.open("ab") as joined:
            joined.write(part.read_bytes())
    frames, _ = played(path)
    assert numbers_of(frames) == [*range(1, FRAMES + 1)] * 6
    assert all(later.time_s > earlier.time_s for earlier, later in pairwise(frames))
    assert all(later.timestamp > earlier.timestamp for earlier, later in pairwise(frames))
    assert frames[0].time_s == 0.0
