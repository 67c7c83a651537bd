"""Writes video files frame by frame, with a presentation time for each frame."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import av.error
import cv2
import numpy as np

from edge_agent.types import Image
from shared.errors import ConfigurationError

TIME_BASE = Fraction(1, 90_000)
ENCODERS = ("libx264", "libopenh264", "mpeg4")
"""In order of preference; browsers can play the first ones. The first that the installed FFmpeg has is used."""
SUFFIXES = (".mp4", ".mkv", ".mov")
_BIT_RATE = 4_000_000
"""For encoders without constant quality, in bits per second."""


class VideoFile:
    """An open video file. The first frame sets its size; frames of another size are scaled to it."""

    def __init__(self, path: Path, *, fps: float) -> None:
        """Create the file; ``fps`` is the nominal frame rate. Raise ConfigurationError if it cannot be created."""
        if path.suffix.lower() not in SUFFIXES:
            raise ConfigurationError(f"cannot write a video to {path}: its name must end in {' or '.join(SUFFIXES)}")
        self._path = path
        self._fps = Fraction(fps if fps > 0 else 25.0).limit_denominator(1001)
        self._first_time_s: float | None = None
        self._last_pts = -1
        self._stream: Any = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._container: Any = av.open(str(path), "w")
        except (OSError, av.error.FFmpegError) as error:
            raise self._unwritable(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, image: Image, *, time_s: float) -> None:
        """Append one BGR frame; ``time_s`` is on any steady clock and must not decrease."""
        if self._stream is None:
            self._first_time_s = time_s
            self._stream = self._add_stream(image)
        size = (self._stream.width, self._stream.height)
        if (image.shape[1], image.shape[0]) != size:
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        frame = av.VideoFrame.from_ndarray(image, format="bgr24")
        self._last_pts = max(round((time_s - (self._first_time_s or 0.0)) / TIME_BASE), self._last_pts + 1)
        frame.pts, frame.time_base = self._last_pts, TIME_BASE
        self._mux(frame)

    def close(self) -> None:
        """Complete the file; raise ConfigurationError if it cannot be written."""
        if self._container is None:
            return
        try:
            if self._stream is not None:
                self._mux(None)
        finally:
            container, self._container = self._container, None
            try:
                container.close()
            except (OSError, av.error.FFmpegError) as error:
                raise self._unwritable(error) from error

    def _add_stream(self, image: Image) -> Any:
        name = encoder_name()
        stream: Any = self._container.add_stream(name, rate=self._fps)
        # 4:2:0 requires even sizes.
        stream.width, stream.height = (max(length - length % 2, 2) for length in (image.shape[1], image.shape[0]))
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = TIME_BASE if name != "mpeg4" else Fraction(1, 1000)
        if name == "libx264":
            stream.options = {"preset": "veryfast", "crf": "23"}
        else:
            stream.bit_rate = _BIT_RATE
        return stream

    def _mux(self, frame: Any) -> None:
        try:
            if frame is not None and self._stream.codec_context.time_base != TIME_BASE:
                frame.pts = round(frame.pts * TIME_BASE / self._stream.codec_context.time_base)
                frame.time_base = self._stream.codec_context.time_base
            self._container.mux(self._stream.encode(frame))
        except (OSError, av.error.FFmpegError) as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError | av.error.FFmpegError) -> ConfigurationError:
        return ConfigurationError(f"cannot write the video {self._path}: {error.strerror or error}")


def encoder_name() -> str:
    """Return the first of ENCODERS that the installed FFmpeg has."""
    return next(encoder for encoder in ENCODERS if _has(encoder))


def _has(encoder: str) -> bool:
    try:
        av.Codec(encoder, "w")
    except (av.error.FFmpegError, ValueError):
        return False
    return True
