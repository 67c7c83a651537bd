"""Video files as sources: all frames in order, with their presentation times, identical in every run."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from threading import Event, Lock
from urllib.parse import unquote

import av
import av.error
from av.video.frame import VideoFrame

from edge_agent.camera.decode.av_picture import AvPicture, PictureConverter
from edge_agent.camera.decode.decoder import Damage, NoVideoError, OpenVideo, TextError, open_video
from edge_agent.camera.decode.media_time import DEFAULT_FPS, MediaTime, parse_creation_time
from edge_agent.camera.decode.truncation import is_truncated
from edge_agent.camera.settings import SourceSettings
from edge_agent.camera.source import EXPECTED, SourceStatus, StreamInfo
from edge_agent.types import Frame
from shared.clock import Clock
from shared.commands import ConnectionFailure
from shared.errors import ConfigurationError
from shared.redact import redact_value

logger = logging.getLogger(__name__)

TRUNCATION_TOLERANCE_S = 1.5
"""Seconds that may be missing at the end of a container with a duration but without a frame count."""
CREATION_TAGS = ("com.apple.quicktime.creationdate", "creation_time", "date")


class NoSuchFileError(ConfigurationError):
    """The file does not exist, or is not a file."""

    cause: ConnectionFailure = "no_such_stream"


class NotVideoError(ConfigurationError):
    """The file cannot be read as video."""

    cause: ConnectionFailure = "not_video"


def open_file(
    text: str,
    *,
    settings: SourceSettings,
    clock: Clock,
    start_time: datetime | None = None,
    wait: Callable[[float], object] | None = None,
) -> FileSource:
    """Open a video file and decode its first frames; raise ConfigurationError if it cannot be used.

    The capture time of the first frame is ``start_time``, else the container's creation time, else the file's
    modification time. With ``settings.pace`` and without ``start_time`` it is the current time, as for a camera.
    """
    path = _existing_file(text)
    try:
        # "file:" prevents FFmpeg from interpreting a name such as "concat:a|b" as a protocol.
        video = open_video(
            f"file:{path}",
            hardware_decoder=settings.hardware_decoder,
            threads=settings.decode_threads,
            threading="FRAME",
        )
    except TextError:
        raise NotVideoError(f"{path} is a text file, not a video; expected a video file such as MP4 or MKV") from None
    except NoVideoError:
        raise NotVideoError(f"{path} contains no video stream; expected a video file such as MP4 or MKV") from None
    except (av.error.FFmpegError, ValueError) as error:
        raise NotVideoError(f"{path} cannot be read as video ({_reason(error)}); it may be damaged") from error
    if start_time is None:
        start_time = clock.now() if settings.pace else _recorded_at(video, path)
    return FileSource(
        path=path, video=video, start_time=start_time.astimezone(UTC), clock=clock, settings=settings, wait=wait
    )


class FileSource:
    """Delivers every frame of a file that can be decoded. Damaged parts are skipped, with one warning at the end."""

    live = False

    def __init__(
        self,
        *,
        path: Path,
        video: OpenVideo,
        start_time: datetime,
        clock: Clock,
        settings: SourceSettings,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        """Decode the first frames; raise ConfigurationError and close ``video`` if there is none or only a still image.

        ``wait`` sleeps for the given seconds while pacing; the default is a sleep that ``close`` interrupts.
        """
        self._path = path
        self._video = video
        self._start_time = start_time
        self._clock = clock
        self._pace = settings.pace
        self._closed = Event()
        self._wait = wait or self._closed.wait
        self._lock = Lock()
        self._converter = PictureConverter()
        fps = settings.elementary_stream_fps if video.elementary else None
        self._stamped = video.has_timestamps and fps is None
        self._media_time = MediaTime(
            time_base=video.stream.time_base or Fraction(1, 1000), fps=fps or _declared_fps(video, path)
        )
        self._damage = Damage()
        self._pictures: Iterator[VideoFrame] = video.pictures(self._damage)
        self._decoded = self._delivered = 0
        self._started_at_s: float | None = None
        self._last_frame_at: datetime | None = None
        self._last_time_s = 0.0
        self._ended = False
        self._queue: deque[Frame] = deque()
        first, second = self._first_frames()
        self._info = StreamInfo(
            source=str(path),
            width=first.width,
            height=first.height,
            fps=fps or self._nominal_fps(first, second),
            codec=video.stream.codec_context.name,
            frame_count=video.stream.frames or None,
        )

    def read(self, timeout_s: float) -> Frame | None:
        """Return the next frame; None at the end, or if no frame of a paced file is due within ``timeout_s``."""
        with self._lock:
            if self._ended:
                return None
            if not self._queue and (decoded := self._decode()) is not None:
                self._queue.append(decoded)
            if not self._queue:
                self._finish()
                return None
            if self._pace and not self._wait_until_due(self._queue[0], timeout_s):
                return None
            frame = self._queue.popleft()
            self._note_size(frame)
            self._delivered = frame.number
            self._last_frame_at = frame.timestamp
            self._last_time_s = frame.time_s
            return frame

    @property
    def ended(self) -> bool:
        return self._ended

    def info(self) -> StreamInfo:
        return self._info

    def status(self) -> SourceStatus:
        return SourceStatus(
            state="offline" if self._ended else "online",
            error=self._damage_report(),
            fps_actual=self._info.fps,
            last_frame_at=self._last_frame_at,
        )

    def close(self) -> None:
        self._closed.set()
        with self._lock:
            self._ended = True
            self._queue.clear()
            self._video.container.close()

    def _first_frames(self) -> tuple[Frame, Frame | None]:
        """Decode up to two frames in advance, to reject still images."""
        first = self._decode()
        if first is None:
            self.close()
            raise NotVideoError(f"no frame of {self._path} can be decoded; the file is damaged or empty")
        self._queue.append(first)
        second = self._decode()
        if second is not None:
            self._queue.append(second)
        elif self._video.holds_stills:
            self.close()
            raise NotVideoError(
                f"{self._path} is a still image ({self._video.picture_format}), not a recording; a "
                "recording is a video file such as MP4 or MKV, and `edge-agent read-plates` reads the plates in a "
                "photograph"
            )
        return first, second

    def _nominal_fps(self, first: Frame, second: Frame | None) -> float | None:
        """Return the declared frame rate, or the rate that follows from the timestamps of an elementary stream."""
        if self._video.elementary and self._stamped and second is not None:
            return round(1 / (second.time_s - first.time_s), 3)
        return self._video.fps or (DEFAULT_FPS if self._video.elementary else None)

    def _note_size(self, frame: Frame) -> None:
        known = self._info
        if (known.width, known.height) != (frame.width, frame.height):
            self._info = replace(known, width=frame.width, height=frame.height)
            logger.warning(
                "%s: the resolution changes from %s to %s at frame %d",
                self._path,
                known.resolution,
                self._info.resolution,
                frame.number,
            )

    def _decode(self) -> Frame | None:
        picture = next(self._pictures, None)
        if picture is None:
            return None
        time_s = self._media_time.seconds(picture.pts if self._stamped else None)
        self._decoded += 1
        return Frame(
            number=self._decoded,
            timestamp=self._start_time + timedelta(seconds=time_s),
            time_s=time_s,
            picture=AvPicture(picture, converter=self._converter, rotation=picture.rotation),
        )

    def _wait_until_due(self, frame: Frame, timeout_s: float) -> bool:
        """Sleep until the frame is due, at most ``timeout_s``; return whether it is due now."""
        now_s = self._clock.monotonic()
        if self._started_at_s is None:
            self._started_at_s = now_s - frame.time_s
        due_in_s = self._started_at_s + frame.time_s - now_s
        if due_in_s > 0:
            self._wait(min(due_in_s, timeout_s))
        return due_in_s <= timeout_s and not self._closed.is_set()

    def _finish(self) -> None:
        self._ended = True
        if not self._damage.any and (self._ends_early() or self._is_truncated()):
            self._damage.note(self._delivered)
        self._video.container.close()
        if report := self._damage_report():
            logger.warning("%s", report)

    def _ends_early(self) -> bool:
        """Return whether frames are missing at the end, by duration and count, since edit lists may skip frames."""
        declared_s = self._video.duration_s
        if declared_s is None:
            return False
        declared = self._info.frame_count
        tolerated_s = TRUNCATION_TOLERANCE_S if declared is None else 2.5 / (self._info.fps or DEFAULT_FPS)
        fewer = declared is None or self._delivered < declared
        return fewer and self._last_time_s + tolerated_s < declared_s

    def _is_truncated(self) -> bool:
        """Return whether the container is truncated, which is possible even if all declared frames were delivered."""
        declared = self._info.frame_count
        if declared is not None and self._delivered >= declared and self._video.container.format.name != "gif":
            return False
        return is_truncated(self._path, self._video.container.format.name)

    def _damage_report(self) -> str | None:
        if not self._damage.any:
            return None
        total = f" of {self._info.frame_count}" if self._info.frame_count else ""
        return (
            f"{self._path} is damaged or cut short after frame {self._damage.first_after}: "
            f"{self._delivered}{total} frames could be decoded"
        )


def _existing_file(text: str) -> Path:
    path = Path(_local_path(text)).expanduser()
    try:
        if path.is_dir():
            raise NoSuchFileError(f"{path} is a folder; name a video file in it")
        if not path.exists():
            raise NoSuchFileError(f"the file {redact_value(str(path))} does not exist; expected {EXPECTED}")
        if not path.is_file():
            raise NoSuchFileError(f"{path} is not a regular file; expected {EXPECTED}")
        if path.stat().st_size == 0:
            raise NotVideoError(f"{path} is empty; the recording may have been interrupted")
        with path.open("rb"):
            pass
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be opened: {error.strerror}") from error
    return path


def _local_path(text: str) -> str:
    if text.lower().startswith("file://"):
        return unquote(text[len("file://") :])
    return text[len("file:") :] if text.lower().startswith("file:") and not Path(text).exists() else text


def _declared_fps(video: OpenVideo, path: Path) -> float | None:
    """Return the stream's declared rate; log the assumed rate if the stream has neither a rate nor timestamps."""
    if video.fps is None and not video.has_timestamps:
        logger.warning(
            "%s is an elementary %s stream without a frame rate; playing it at %g frames per second. If that "
            "is wrong, set elementary_stream_fps in the camera's [cameras.stream]",
            path,
            video.stream.codec_context.name,
            DEFAULT_FPS,
        )
    return video.fps


def _recorded_at(video: OpenVideo, path: Path) -> datetime:
    for metadata in (video.container.metadata, video.stream.metadata):
        for tag in CREATION_TAGS:
            if (moment := parse_creation_time(metadata.get(tag))) is not None:
                return moment
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
