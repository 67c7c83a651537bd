"""Cutting recordings and converting them to MP4."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge_agent.images.clip import ClipRequest, ClipSummary, write_clip
from shared.errors import ConfigurationError, PermanentError
from tests.support.clips import make_clip, numbered, read_number

FPS = 10
FRAMES = 40
GOP = 10
KINDS = {
    "h264.mp4": ("libx264", {}),
    "h264.mkv": ("libx264", {}),
    "h264.ts": ("libx264", {}),
    "h264b.mp4": ("libx264", {"bf": "2", "sc_threshold": "0"}),
    # FFmpeg finds no decode time for the first packets of such a file.
    "h264b.mkv": ("libx264", {"x264-params": "b-pyramid=normal:bframes=3:b-adapt=0:scenecut=0"}),
    "h265.mp4": ("libx265", {"x265-params": f"log-level=error:keyint={GOP}:min-keyint={GOP}:scenecut=0:bframes=0"}),
    "h265.mkv": ("libx265", {"x265-params": f"log-level=error:keyint={GOP}:min-keyint={GOP}:scenecut=0"}),
    "vp9.webm": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"}),
    "mpeg4.mp4": ("mpeg4", {}),
}
"""Files with one key frame a second, and numbered pictures from 1 on: encoder and its options."""


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one recording of each kind."""
    folder = tmp_path_factory.mktemp("recordings")
    for name, (codec, options) in KINDS.items():
        make_clip(folder / name, numbered(FRAMES), FPS, codec=codec, gop=GOP, options=options)
    return folder


def _clip(source: Path, target: Path, **options: Any) -> ClipSummary:
    return write_clip(ClipRequest(source=source, target=target, **options))


def _decoded(path: Path) -> tuple[list[int], list[float], Any]:
    """Return the numbers and times of all pictures, and a description of the stream; every picture is decoded."""
    with av.open(str(path)) as container:
        stream: Any = container.streams.video[0]
        frames: list[Any] = list(container.decode(stream))
        facts = {
            "codec": stream.codec_context.name,
            "tag": stream.codec_context.codec_tag,
            "duration_s": float(stream.duration * stream.time_base),
            "streams": len(container.streams),
        }
    return [read_number(frame.to_ndarray(format="gray")) for frame in frames], [float(f.time) for f in frames], facts


@pytest.mark.parametrize("name", KINDS)
def test_a_recording_is_converted_whole(recordings: Path, tmp_path: Path, name: str) -> None:
    """Every picture is there, from time 0 on; known codecs are copied, others become H.264."""
    summary = _clip(recordings / name, tmp_path / "out.mp4")
    numbers, times, facts = _decoded(tmp_path / "out.mp4")
    assert numbers == list(range(1, FRAMES + 1))
    assert times == pytest.approx([number / FPS for number in range(FRAMES)], abs=0.002)
    assert facts["duration_s"] == pytest.approx(FRAMES / FPS, abs=1 / FPS)
    assert summary.encoded == name.startswith("mpeg4")
    assert summary.frames == FRAMES
    assert (summary.start_s, summary.duration_s) == pytest.approx((0.0, FRAMES / FPS), abs=0.002)
    assert summary.codec == facts["codec"]
    assert summary.size_bytes == (tmp_path / "out.mp4").stat().st_size
    if name.startswith("h265"):
        assert facts["tag"] == "hvc1"


@pytest.mark.parametrize("name", [name for name in KINDS if not name.startswith("mpeg4")])
def test_a_part_at_key_frames_is_copied(recordings: Path, tmp_path: Path, name: str) -> None:
    """The packets are those of the recording, with times from 0 on."""
    summary = _clip(recordings / name, tmp_path / "out.mp4", start_s=1.0, end_s=3.0)
    numbers, times, facts = _decoded(tmp_path / "out.mp4")
    assert numbers == list(range(11, 31))
    assert times[0] == pytest.approx(0.0, abs=0.002)
    assert facts["duration_s"] == pytest.approx(2.0, abs=1 / FPS)
    if name != "h265.mkv":  # its groups are open: pictures before the cut depend on the one after it
        assert not summary.encoded


@pytest.mark.parametrize("name", KINDS)
def test_a_part_between_key_frames_is_encoded_exactly(recordings: Path, tmp_path: Path, name: str) -> None:
    """It has exactly the pictures of the part, as H.264."""
    summary = _clip(recordings / name, tmp_path / "out.mp4", start_s=1.3, end_s=2.5)
    numbers, times, facts = _decoded(tmp_path / "out.mp4")
    assert numbers == list(range(14, 26))
    assert times == pytest.approx([number / FPS for number in range(12)], abs=0.002)
    assert facts["duration_s"] == pytest.approx(1.2, abs=1 / FPS)
    assert (summary.encoded, summary.codec, facts["codec"]) == (True, "h264", "h264")


@pytest.mark.parametrize("name", [name for name in KINDS if not name.startswith("mpeg4")])
def test_copy_begins_at_the_key_frame_before(recordings: Path, tmp_path: Path, name: str) -> None:
    """Nothing is encoded, and every picture up to the end is there and can be decoded."""
    summary = _clip(recordings / name, tmp_path / "out.mp4", start_s=1.3, end_s=2.5, copy=True)
    numbers, _, _ = _decoded(tmp_path / "out.mp4")
    assert not summary.encoded
    assert summary.start_s == pytest.approx(1.0, abs=0.002)
    assert numbers[:15] == list(range(11, 26))
    assert len(numbers) <= 15 + 4
    assert summary.frames == len(numbers)


@settings(max_examples=25)
@example(start=1.03125, length=0.375, name="h264.mkv")  # begins shortly after a key frame
@given(start=st.floats(0, 3.8), length=st.floats(0.1, 4), name=st.sampled_from(sorted(KINDS)))
def test_the_length_is_exact_to_one_frame(
    recordings: Path, tmp_path_factory: pytest.TempPathFactory, start: float, length: float, name: str
) -> None:
    """Any part begins and ends within one frame of what was requested, and all its pictures can be decoded."""
    target = tmp_path_factory.mktemp("part") / "out.mp4"
    end = min(start + length, FRAMES / FPS)
    summary = _clip(recordings / name, target, start_s=start, end_s=start + length)
    numbers, times, _ = _decoded(target)
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert abs((numbers[0] - 1) / FPS - start) <= 1 / FPS + 0.002
    assert abs(len(numbers) / FPS - (end - start)) <= 1 / FPS + 0.002
    assert times[0] == pytest.approx(0.0, abs=1 / FPS)
    assert summary.frames == len(numbers)


def test_times_count_from_the_first_picture(tmp_path: Path) -> None:
    """A recording whose clock begins at an hour, with irregular times, keeps the distances of its pictures."""
    times = [3600.0, 3600.2, 3600.3, 3601.0, 3601.5, 3602.0]
    source = make_clip(tmp_path / "in.mkv", numbered(6), 10.0, codec="libx264", times_s=times, gop=2)
    for options, expected in (({}, times), ({"start_s": 0.25}, times[2:])):
        _clip(source, tmp_path / "out.mp4", force=True, **options)
        found = _decoded(tmp_path / "out.mp4")[1]
        assert [time - found[0] for time in found] == pytest.approx([t - expected[0] for t in expected], abs=0.002)


def test_audio_is_dropped(tmp_path: Path) -> None:
    """The clip has one stream, the video."""
    path = tmp_path / "in.mkv"
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream("libx264", rate=FPS)
        video.width, video.height, video.pix_fmt = 320, 64, "yuv420p"
        sound: Any = container.add_stream("aac", rate=8000)
        sound.layout = "mono"
        for number, image in enumerate(numbered(10)):
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(video.encode(frame))
            samples: Any = av.AudioFrame(format="fltp", layout="mono", samples=1024)
            samples.sample_rate, samples.pts, samples.time_base = 8000, number * 1024, Fraction(1, 8000)
            for plane in samples.planes:
                plane.update(bytes(plane.buffer_size))
            container.mux(sound.encode(samples))
        container.mux(video.encode(None))
        container.mux(sound.encode(None))
    _clip(path, tmp_path / "out.mp4")
    numbers, _, facts = _decoded(tmp_path / "out.mp4")
    assert (numbers, facts["streams"]) == (list(range(1, 11)), 1)


def test_the_index_is_at_the_beginning(recordings: Path, tmp_path: Path) -> None:
    """So a browser can play the file while it downloads."""
    for start in (0.0, 0.5):
        _clip(recordings / "h264.mkv", tmp_path / "out.mp4", start_s=start, force=True)
        content = (tmp_path / "out.mp4").read_bytes()
        assert content.index(b"moov") < content.index(b"mdat")


def test_an_existing_file_is_replaced_only_on_request(recordings: Path, tmp_path: Path) -> None:
    """Without force it is left as it is; with force also a failure leaves it."""
    target = tmp_path / "out.mp4"
    target.write_bytes(b"old")
    with pytest.raises(ConfigurationError, match=r"out\.mp4 exists; --force"):
        _clip(recordings / "h264.mp4", target)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    with pytest.raises(ConfigurationError, match=r"broken\.mp4 is not a readable video"):
        _clip(broken, target, force=True)
    assert target.read_bytes() == b"old"
    _clip(recordings / "h264.mp4", target, force=True)
    assert len(_decoded(target)[0]) == FRAMES
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.mp4", "out.mp4"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start_s": 4.0}, r"h264\.mp4 is 4\.00 s long"),
        ({"start_s": 2.0, "end_s": 2.0}, "end after its beginning"),
        ({"start_s": -1.0}, "must begin at 0 s"),
        ({"target": "out.avi"}, r"out\.avi: the name of a clip must end in \.mp4"),
        ({"source": "missing.mp4"}, r"missing\.mp4 is not a file"),
        (
            {"source": "mpeg4.mp4", "copy": True},
            r"mpeg4\.mp4 cannot be copied into an MP4 file: it has the codec mpeg4",
        ),
    ],
)
def test_a_wrong_request_names_the_file(
    recordings: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    """Nothing is written."""
    source = recordings / str(options.pop("source", "h264.mp4"))
    target = tmp_path / str(options.pop("target", "out.mp4"))
    with pytest.raises(ConfigurationError, match=message):
        _clip(source, target, **options)
    assert list(tmp_path.iterdir()) == []


def test_the_recording_itself_is_never_replaced(recordings: Path, tmp_path: Path) -> None:
    """Also not through a link, and with force."""
    link = tmp_path / "link.mp4"
    os.link(recordings / "h264.mp4", link)
    with pytest.raises(ConfigurationError, match="it is the recording"):
        _clip(recordings / "h264.mp4", link, force=True)


def test_a_file_without_video_is_rejected(tmp_path: Path) -> None:
    """The error names it."""
    path = tmp_path / "sound.mkv"
    with av.open(str(path), "w") as container:
        sound: Any = container.add_stream("pcm_s16le", rate=8000)
        sound.layout = "mono"
        samples: Any = av.AudioFrame(format="s16", layout="mono", samples=800)
        samples.sample_rate, samples.pts = 8000, 0
        samples.planes[0].update(bytes(samples.planes[0].buffer_size))
        container.mux(sound.encode(samples))
    with pytest.raises(ConfigurationError, match=r"sound\.mkv contains no video"):
        _clip(path, tmp_path / "out.mp4")


def test_a_damaged_recording_is_reported(recordings: Path, tmp_path: Path) -> None:
    """A part that cannot be decoded leaves no file."""
    content = bytearray((recordings / "h264.mkv").read_bytes())
    start = content.index(b"\x1f\x43\xb6\x75") + 40
    content[start:] = bytes(len(content) - start)
    damaged = tmp_path / "damaged.mkv"
    damaged.write_bytes(content)
    with pytest.raises(PermanentError, match=r"damaged\.mkv"):
        _clip(damaged, tmp_path / "out.mp4", start_s=0.05, end_s=0.1)
    assert not (tmp_path / "out.mp4").exists()


def test_progress_ends_at_the_length(recordings: Path, tmp_path: Path) -> None:
    """It never decreases while pictures are encoded, and does not exceed the total."""
    seen: list[tuple[float, float]] = []
    request = ClipRequest(recordings / "h264.mp4", tmp_path / "out.mp4", start_s=0.5, end_s=2.0)
    write_clip(request, progress=lambda done_s, total_s: seen.append((done_s, total_s)))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1] == pytest.approx((1.4, 1.5), abs=0.002)
