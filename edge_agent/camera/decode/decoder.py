"""Opens streams with FFmpeg and decodes their pictures, in software or with a hardware decoder.

May import PyAV. Errors of the stream are raised as PyAV's exceptions, which the callers convert.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import av
import av.error
from av.codec.context import CodecContext
from av.codec.hwaccel import HWAccel, hwdevices_available
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from shared.errors import ConfigurationError

logger = logging.getLogger(__name__)

MICROSECONDS = 1_000_000
ELEMENTARY_FORMATS = frozenset(
    [
        "h264",
        "hevc",
        "vvc",
        "evc",
        "m4v",
        "mpegvideo",
        "h263",
        "h261",
        "mjpeg",
        "mjpeg_2000",
        "obu",
        "av1",
        "vc1",
        "cavsvideo",
        "avs2",
        "avs3",
        "dirac",
    ]
)
"""FFmpeg's demuxers for elementary streams, which have no timestamps; FFmpeg assumes 25 frames per second for all."""
FORMATS_WITH_CODED_TIME = frozenset(["m4v"])
"""Elementary streams with coded times (ISO/IEC 14496-2: modulo_time_base and vop_time_increment)."""
TEXT_FORMATS = frozenset(["tty", "bin", "xbin", "adf", "idf"])
"""FFmpeg draws text files as pictures. A camera must not show the text of a file or of a page on the network."""
STILL_FORMATS = frozenset(["image2", "gif", "apng"])
STILL_BRANDS = frozenset(["avif", "heic", "heix", "mif1"])
"""Major brands of ISO base media files that contain a photograph."""
MIN_FPS, MAX_FPS = 0.1, 480.0
"""Declared frame rates outside of this range are time bases or invalid."""
Threading = Literal["FRAME", "SLICE"]


@dataclass(slots=True)
class Damage:
    """Packets and pictures that could not be decoded, and the number of the picture after which that started."""

    packets: int = 0
    pictures: int = 0
    first_after: int | None = None
    stopped_by: str | None = None
    """The error that ended reading early; None if there was none."""

    @property
    def any(self) -> bool:
        return self.first_after is not None

    def note(self, after: int, *, packets: int = 0, pictures: int = 0) -> None:
        self.packets += packets
        self.pictures += pictures
        if self.first_after is None:
            self.first_after = after


class NoVideoError(Exception):
    """The container can be opened but contains no video stream."""


class TextError(NoVideoError):
    """What was opened is text, which FFmpeg would draw."""


@dataclass(frozen=True, slots=True)
class OpenVideo:
    """An open container, its video stream, and the function that decodes its packets."""

    container: InputContainer
    stream: VideoStream
    decode: Callable[[Packet[Any]], list[VideoFrame]]

    def pictures(self, damage: Damage) -> Iterator[VideoFrame]:
        """Yield every undamaged picture in presentation order; count the others in ``damage``."""
        delivered = 0
        packets = self.container.demux(self.stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.error.InvalidDataError as error:
                damage.note(delivered)
                damage.stopped_by = error.strerror
                return
            try:
                decoded = self.decode(packet)
            except av.error.InvalidDataError:
                damage.note(delivered, packets=1)
                continue
            for frame in decoded:
                if frame.is_corrupt:
                    damage.note(delivered, pictures=1)
                else:
                    delivered += 1
                    yield frame

    @property
    def elementary(self) -> bool:
        """Whether this is an elementary stream, without a container."""
        return self.container.format.name in ELEMENTARY_FORMATS

    @property
    def has_timestamps(self) -> bool:
        """Whether the times come from the recording rather than from FFmpeg's assumption."""
        return not self.elementary or self.container.format.name in FORMATS_WITH_CODED_TIME

    @property
    def holds_stills(self) -> bool:
        """Whether this is an image format; some of them can contain an animation."""
        name = self.container.format.name
        brand = self.container.metadata.get("major_brand", "").strip()
        return name in STILL_FORMATS or name.endswith("_pipe") or brand in STILL_BRANDS

    @property
    def picture_format(self) -> str:
        """The usual name of the image format, for example JPEG."""
        name = self.stream.codec_context.name
        return "JPEG" if name == "mjpeg" else name.upper()

    @property
    def fps(self) -> float | None:
        """Nominal frame rate, as declared by the stream; None if unknown."""
        if self.elementary:
            # For H.264 and HEVC this is the timing information of the SPS, in frames also for interlaced streams.
            declared = self.stream.codec_context.framerate
            return float(declared) if declared and MIN_FPS <= declared <= MAX_FPS else None
        rate = self.stream.average_rate or self.stream.guessed_rate
        return float(rate) if rate else None

    @property
    def duration_s(self) -> float | None:
        """The declared duration; None if only the container declares one and contains further streams.

        Matroska's duration is its end time, and its clock may start after 0.
        """
        if self.elementary:
            return None
        if self.stream.duration is not None and self.stream.time_base is not None:
            return float(self.stream.duration * self.stream.time_base)
        if self.container.duration is not None and len(self.container.streams) == 1:
            start = self.container.start_time or 0 if "matroska" in self.container.format.name else 0
            return (self.container.duration - start) / MICROSECONDS
        return None


def open_video(
    url: str,
    *,
    hardware_decoder: str | None,
    threads: int,
    threading: Threading,
    options: dict[str, str] | None = None,
    timeout_s: tuple[float, float] | None = None,
) -> OpenVideo:
    """Open ``url`` and select its largest video stream; raise NoVideoError, ConfigurationError or PyAV's errors.

    ``timeout_s`` limits the opening and each read. Without it, an unresponsive peer blocks forever.
    """
    container = av.open(
        url,
        "r",
        options=options or {},
        timeout=timeout_s,
        hwaccel=_hardware_device(hardware_decoder),
        **metadata_options(av.__version__),
    )
    try:
        stream = _best_video(container)
        context = stream.codec_context
        context.thread_type = threading
        context.thread_count = threads
        if threading == "SLICE":
            context.flags |= _low_delay()
        return OpenVideo(container, stream, _decoder(stream, hardware_decoder))
    except BaseException:
        container.close()
        raise


def metadata_options(pyav_version: str) -> dict[str, Any]:
    """Return the arguments of ``av.open`` with which metadata that is not UTF-8 is accepted.

    PyAV 19 removed ``metadata_errors`` and always decodes such text. Earlier versions raise UnicodeDecodeError without
    it.
    """
    return {"metadata_errors": "ignore"} if int(pyav_version.split(".", maxsplit=1)[0]) < 19 else {}


def _best_video(container: InputContainer) -> VideoStream:
    """Return the video stream with the largest frames, without cover art and thumbnails."""
    if container.format.name in TEXT_FORMATS:
        raise TextError
    streams = [stream for stream in container.streams.video if not _is_attached_picture(stream)]
    if not streams:
        raise NoVideoError
    return max(streams, key=lambda stream: stream.width * stream.height)


def _is_attached_picture(stream: VideoStream) -> bool:
    return bool(stream.disposition & type(stream.disposition).attached_pic)


def _low_delay() -> int:
    from av.codec.context import Flags

    return int(Flags.low_delay)


def check_hardware_decoder(name: str | None) -> None:
    """Raise ConfigurationError if the installed FFmpeg has no such device or decoder."""
    if name is None or _is_decoder(name):
        return
    if name not in hwdevices_available():
        known = ", ".join(sorted(hwdevices_available())) or "none"
        raise ConfigurationError(
            f"the installed FFmpeg has no hardware decoder {name!r}; its devices are {known}; decoders such as "
            "h264_v4l2m2m or h264_cuvid can be given too"
        )


def _hardware_device(name: str | None) -> HWAccel | None:
    check_hardware_decoder(name)
    if name is None or _is_decoder(name):
        return None
    device = HWAccel(device_type=name, allow_software_fallback=True)
    try:
        device.create(av.Codec("h264", "r"))
    except (av.error.FFmpegError, NotImplementedError, RuntimeError) as error:
        logger.warning("hardware decoder %s failed to start (%s); decoding in software", name, error)
        return None
    return device


def _is_decoder(name: str) -> bool:
    try:
        return av.Codec(name, "r").type == "video"
    except (av.error.FFmpegError, ValueError):
        return False


def _decoder(stream: VideoStream, hardware_decoder: str | None) -> Callable[[Packet[Any]], list[VideoFrame]]:
    """Return the named decoder if it supports the stream's codec, else the stream's default decoder."""
    if hardware_decoder is None or not _is_decoder(hardware_decoder):
        return stream.decode
    if not hardware_decoder.startswith(stream.codec_context.name.split(".", maxsplit=1)[0]):
        logger.warning(
            "hardware decoder %s does not support %s; decoding in software",
            hardware_decoder,
            stream.codec_context.name,
        )
        return stream.decode
    context: Any = CodecContext.create(hardware_decoder, "r")
    context.extradata = stream.codec_context.extradata
    return context.decode
