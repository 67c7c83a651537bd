"""Cuts recordings and converts them to MP4: without encoding where the cut is at key frames, else as H.264.

Times are seconds after the first picture of the recording. Audio is dropped.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import av.error
import numpy as np

from edge_agent.images.video_file import TIME_BASE, encoder_name
from shared.errors import ConfigurationError, PermanentError

COPIED_CODECS: Final = ("h264", "hevc", "vp9")
"""Codecs that are copied into the MP4 file; others are encoded as H.264."""
_DEFAULT_FPS: Final = Fraction(25)

Progress = Callable[[float, float], None]
"""Called with the finished and the total length in seconds."""


@dataclass(frozen=True, slots=True)
class ClipRequest:
    """What to write. ``end_s`` None means the end of the recording."""

    source: Path
    target: Path
    start_s: float = 0.0
    end_s: float | None = None
    copy: bool = False
    """Never encode: begin at the key frame at or before ``start_s``."""
    force: bool = False
    """Replace an existing ``target``."""


@dataclass(frozen=True, slots=True)
class ClipSummary:
    """What was written."""

    start_s: float
    duration_s: float
    frames: int
    encoded: bool
    codec: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class _Cut:
    """Presentation times in the stream's time base: ``first`` included, ``end`` excluded."""

    key: int
    """The key frame at which reading begins."""
    first: int
    end: int
    last: int
    """The last picture of the part in decoding order."""


class _PacketIndex:
    """Presentation time and key frame flag of every packet of a recording, in decoding order (9 bytes each)."""

    def __init__(self, path: Path) -> None:
        times, keys = array("q"), bytearray()
        self.has_times = True
        """Whether every packet has a presentation time."""
        self.has_decode_times = True
        """Whether every packet has a decode time. In Matroska, recordings with B-frames lack some."""
        with _opened(path) as (container, stream):
            self.time_base: Fraction = stream.time_base
            self.codec: str = stream.codec_context.name
            fps = Fraction(stream.average_rate or stream.guessed_rate or _DEFAULT_FPS)
            for packet in container.demux(stream):
                time = packet.dts if packet.pts is None else packet.pts
                if time is None:
                    self.has_times = self.has_times and packet.size == 0  # an empty packet ends the stream
                    continue
                self.has_times = self.has_times and packet.pts is not None
                self.has_decode_times = self.has_decode_times and packet.dts is not None
                times.append(time)
                keys.append(packet.is_keyframe)
        if not times:
            raise PermanentError(f"{path} contains no pictures with presentation times")
        self.pts = np.frombuffer(times, np.int64)
        self.key_pts = np.sort(self.pts[np.frombuffer(keys, np.bool_)])
        self.first = int(self.pts.min())
        self.frame_ticks = max(round(1 / (fps * self.time_base)), 1)
        self.end = int(self.pts.max()) + self.frame_ticks

    def ticks(self, time_s: float) -> int:
        return self.first + round(Fraction(time_s) / self.time_base)

    def seconds(self, ticks: int) -> float:
        return float(ticks * self.time_base)

    def key_at_or_before(self, ticks: int) -> int:
        """Return the time of the last key frame at ``ticks`` or up to half a frame later; else of the first packet."""
        place = int(np.searchsorted(self.key_pts, ticks + self.frame_ticks // 2, side="right"))
        return int(self.key_pts[place - 1]) if place else int(self.pts[0])

    def last_decoded(self, first: int, end: int) -> int:
        """Return the time of the packet in this range that is decoded last; of the first packet if there is none."""
        inside = np.flatnonzero((self.pts >= first) & (self.pts < end))
        return int(self.pts[inside[-1] if inside.size else 0])

    def decode_times(self, cut: _Cut) -> Iterator[int]:
        """Yield a decode time for each packet of the part, in decoding order.

        They are the presentation times in ascending order, so much earlier that no packet is decoded too late.
        """
        first, last = (int(np.flatnonzero(self.pts == time)[0]) for time in (cut.key, cut.last))
        pts = self.pts[first : last + 1]
        pts = pts[pts >= cut.first]
        ascending = np.sort(pts)
        return iter((ascending - (ascending - pts).max()).tolist())

    def ends_cleanly(self, cut: _Cut) -> bool:
        """Return whether all packets up to the last one of the part are displayed before its end."""
        place = int(np.flatnonzero(self.pts == cut.last)[0])
        return not bool(np.any(self.pts[: place + 1] >= cut.end))


def write_clip(request: ClipRequest, *, progress: Progress | None = None) -> ClipSummary:
    """Write ``request.target``.

    The file appears under its name when it is complete; an existing one is replaced only then. Raise ConfigurationError
    if a file or a time is wrong or the clip cannot be written, and PermanentError if the recording is damaged.
    """
    _check_files(request)
    partial = request.target.with_name(f".{request.target.stem}.partial.mp4")
    try:
        index = _PacketIndex(request.source)
        cut = _cut(request, index)
        from_key = _from_key_frame(cut, index)
        encoded = not _copyable(request, index, cut, from_key)
        if not encoded:
            cut = from_key
        with _opened(request.source) as (container, stream), _writable(partial) as output:
            packets, report = _packets_from_key(container, stream, cut.key), _reporter(index, cut, progress)
            if not encoded and not index.has_decode_times:
                packets = _with_decode_times(packets, index, cut)
            frames = (_encode if encoded else _copy)(packets, output, stream, cut, report)
        if not frames:
            raise PermanentError(f"no picture of {request.source} can be decoded in the selected part")
        partial.replace(request.target)
    except OSError as error:  # also those that FFmpeg reports, for example a full disk
        raise ConfigurationError(f"cannot write {request.target}: {error.strerror or error}") from error
    except av.error.FFmpegError as error:
        reason = error.strerror or error
        raise PermanentError(f"{request.source} is damaged in the selected part: {reason}") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    return ClipSummary(
        start_s=index.seconds(cut.first - index.first),
        duration_s=index.seconds(cut.end - cut.first),
        frames=frames,
        encoded=encoded,
        codec="h264" if encoded else index.codec,
        size_bytes=request.target.stat().st_size,
    )


def _check_files(request: ClipRequest) -> None:
    source, target = request.source, request.target
    if target.suffix.lower() != ".mp4":
        raise ConfigurationError(f"cannot write {target}: the name of a clip must end in .mp4")
    if not source.is_file():
        raise ConfigurationError(f"{source} is not a file")
    if target.exists():
        if not target.is_file() or target.samefile(source):
            raise ConfigurationError(
                f"cannot write {target}: it is {'the recording' if target.is_file() else 'no file'}"
            )
        if not request.force:
            raise ConfigurationError(f"{target} exists; --force replaces it")


def _cut(request: ClipRequest, index: _PacketIndex) -> _Cut:
    length_s = index.seconds(index.end - index.first)
    if request.start_s < 0 or (request.end_s is not None and request.end_s <= request.start_s):
        raise ConfigurationError(
            f"the part of {request.source} must begin at 0 s or later, and end after its beginning"
        )
    if request.start_s >= length_s:
        raise ConfigurationError(
            f"{request.source} is {length_s:.2f} s long, so no part begins at {request.start_s:g} s"
        )
    first = index.ticks(request.start_s)
    end = index.end if request.end_s is None else min(index.ticks(request.end_s), index.end)
    end = max(end, first + 1)
    return _Cut(key=index.key_at_or_before(first), first=first, end=end, last=index.last_decoded(first, end))


def _from_key_frame(cut: _Cut, index: _PacketIndex) -> _Cut:
    """Return the part that begins at the key frame. If that is nearly the requested beginning, the length is kept."""
    moved = cut.key - cut.first
    is_near = abs(moved) <= index.frame_ticks // 2 and cut.end < index.end
    end = max(min(cut.end + moved, index.end), cut.key + 1) if is_near else cut.end
    return replace(cut, first=cut.key, end=end, last=index.last_decoded(cut.key, end))


def _copyable(request: ClipRequest, index: _PacketIndex, cut: _Cut, from_key: _Cut) -> bool:
    if index.codec not in COPIED_CODECS or not index.has_times:
        if request.copy:
            reason = f"the codec {index.codec}" if index.has_times else "packets without times"
            raise ConfigurationError(f"{request.source} cannot be copied into an MP4 file: it has {reason}")
        return False
    if request.copy:
        return True
    at_key_frame = abs(cut.key - cut.first) <= index.frame_ticks // 2 and cut.key in index.key_pts
    return bool(at_key_frame) and index.ends_cleanly(from_key)


def _packets_from_key(container: Any, stream: Any, key: int) -> Iterator[Any]:
    """Yield the packets from the key frame on, and the empty packet that ends the stream."""
    begun = False
    for packet in container.demux(stream):
        time = packet.dts if packet.pts is None else packet.pts
        begun = begun or time == key
        if begun or time is None:
            yield packet


def _with_decode_times(packets: Iterator[Any], index: _PacketIndex, cut: _Cut) -> Iterator[Any]:
    times = index.decode_times(cut)
    for packet in packets:
        if packet.pts is not None and packet.pts >= cut.first:
            packet.dts = next(times)
        yield packet


def _copy(packets: Iterator[Any], output: Any, stream: Any, cut: _Cut, report: Callable[[int], None]) -> int:
    written: Any = output.add_stream_from_template(stream)
    if stream.codec_context.name == "hevc":
        written.codec_context.codec_tag = "hvc1"  # Apple's players and browsers reject hev1
    frames = 0
    for packet in packets:
        # Leading pictures of an open group cannot be decoded without the group before.
        if packet.pts is None or packet.pts < cut.first:
            continue
        time = packet.pts
        report(time)
        packet.pts, packet.dts, packet.stream = time - cut.first, packet.dts - cut.first, written
        output.mux(packet)
        frames += 1
        if time == cut.last:
            break
    return frames


def _encode(packets: Iterator[Any], output: Any, stream: Any, cut: _Cut, report: Callable[[int], None]) -> int:
    encoder = _Encoder(output, stream)
    for packet in packets:
        for frame in packet.decode():
            if frame.pts is None or frame.pts < cut.first:
                continue
            if frame.pts >= cut.end:
                return encoder.finish()
            report(frame.pts)
            encoder.add(frame, frame.pts - cut.first)
    return encoder.finish()


class _Encoder:
    """Encodes decoded pictures as H.264, at the size of the first one."""

    def __init__(self, output: Any, source: Any) -> None:
        self._output = output
        self._source_base: Fraction = source.time_base
        name = encoder_name()
        fps = Fraction(source.average_rate or source.guessed_rate or _DEFAULT_FPS)
        self._fps = fps.limit_denominator(1001)
        self._stream: Any = output.add_stream(name, rate=self._fps)
        self._stream.pix_fmt = "yuv420p"
        self._base = TIME_BASE if name != "mpeg4" else Fraction(1, 1000)
        self._stream.codec_context.time_base = self._base
        if name == "libx264":
            self._stream.options = {"preset": "veryfast", "crf": "20"}
        else:
            self._stream.bit_rate = 6_000_000
        self._size: tuple[int, int] | None = None
        self._last_pts = -1
        self._frames = 0

    def add(self, frame: Any, ticks: int) -> None:
        """Encode one picture; ``ticks`` is its time in the source's time base."""
        if self._size is None:
            # 4:2:0 requires even sizes.
            self._size = (max(frame.width - frame.width % 2, 2), max(frame.height - frame.height % 2, 2))
            self._stream.width, self._stream.height = self._size
        picture = frame.reformat(width=self._size[0], height=self._size[1], format="yuv420p")
        self._last_pts = max(round(ticks * self._source_base / self._base), self._last_pts + 1)
        picture.pts, picture.time_base = self._last_pts, self._base
        picture.duration = round(1 / (self._fps * self._base))
        picture.pict_type = 0  # the encoder chooses its own key frames
        self._output.mux(self._stream.encode(picture))
        self._frames += 1

    def finish(self) -> int:
        """Encode what the encoder still holds; return the number of pictures."""
        if self._frames:
            self._output.mux(self._stream.encode(None))
        return self._frames


def _reporter(index: _PacketIndex, cut: _Cut, progress: Progress | None) -> Callable[[int], None]:
    if progress is None:
        return lambda _: None
    total_s = index.seconds(cut.end - cut.first)
    return lambda ticks: progress(min(index.seconds(ticks - cut.first), total_s), total_s)


@contextmanager
def _opened(path: Path) -> Generator[tuple[Any, Any]]:
    """Open a recording; yield its container and its first video stream."""
    try:
        container: Any = av.open(str(path), metadata_errors="replace")
    except (OSError, av.error.FFmpegError) as error:
        raise ConfigurationError(f"{path} is not a readable video: {error.strerror or error}") from error
    with container:
        if not container.streams.video:
            raise ConfigurationError(f"{path} contains no video")
        yield container, container.streams.video[0]


@contextmanager
def _writable(path: Path) -> Generator[Any]:
    """Create an MP4 file whose index is at its beginning, so that a browser can play it while it downloads."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        output: Any = av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"})
    except (OSError, av.error.FFmpegError) as error:
        raise ConfigurationError(f"cannot write to {path.parent}: {error.strerror or error}") from error
    with output:
        yield output
