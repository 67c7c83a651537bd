"""Small generated video files, so that tests need no recorded ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import av.error
import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
TICKS_PER_S = 90_000


def make_clip(
    path: Path,
    frames: Iterable[Image],
    fps: float = 25.0,
    *,
    codec: str | None = None,
    pix_fmt: str | None = None,
    times_s: Sequence[float] | None = None,
    created_at: datetime | None = None,
    title: str | None = None,
    gop: int = 12,
    options: dict[str, str] | None = None,
) -> Path:
    """Encode BGR or grey pictures into ``path``, whose suffix selects the container, and return ``path``.

    The codec is H.264 where the installed wheel can encode it, otherwise MPEG-4 part 2. ``times_s`` sets the
    presentation time of each frame (variable frame rate); ``created_at`` and ``title`` are written to the container's
    metadata. One frame in ``gop`` is a key frame.
    """
    images = iter(frames)
    first = next(images)
    name = codec or best_codec()
    with av.open(str(path), "w") as container:
        if created_at is not None:
            container.metadata["creation_time"] = created_at.isoformat()
        if title is not None:
            container.metadata["title"] = title
        # Setting a frame rate would also set the encoder's time base, which must be fine enough for any frame rate.
        stream: Any = container.add_stream(name, rate=Fraction(fps).limit_denominator(1001))
        stream.width, stream.height = first.shape[1], first.shape[0]
        stream.pix_fmt = pix_fmt or "yuv420p"
        stream.gop_size = gop
        stream.max_b_frames = 0
        if name == "libx264":
            stream.options = {"preset": "ultrafast", "crf": "18"} | (options or {})
        else:
            stream.bit_rate = 4_000_000
            stream.options = options or {}
        if times_s is not None:
            stream.codec_context.time_base = Fraction(1, TICKS_PER_S if name == "libx264" else 1000)
        for index, image in enumerate(chain([first], images)):
            frame = av.VideoFrame.from_ndarray(image, format="gray" if image.ndim == 2 else "bgr24")
            if times_s is not None:
                frame.time_base = stream.codec_context.time_base
                frame.pts = round(times_s[index] / frame.time_base)
            else:
                frame.time_base = 1 / Fraction(fps).limit_denominator(1001)
                frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def best_codec() -> str:
    """Return the name of an encoder that the installed wheel includes."""
    try:
        av.Codec("libx264", "w")
    except av.error.FFmpegError:
        return "mpeg4"
    return "libx264"


def moving_square(
    count: int, *, width: int = 320, height: int = 240, side: int = 48, step_px: int = 4, seed: int = 7
) -> Iterable[Image]:
    """Yield ``count`` pictures of a white square crossing a still, textured background from left to right."""
    background = textured(width, height, seed=seed)
    top = (height - side) // 2
    for index in range(count):
        image = background.copy()
        left = min(index * step_px, width - side)
        image[top : top + side, left : left + side] = 240
        yield image


def numbered(count: int, *, width: int = 320, height: int = 64) -> Iterable[Image]:
    """Yield pictures that show their number (from 1) as sixteen black and white bars; see ``read_number``."""
    bar = width // 16
    for number in range(1, count + 1):
        image = np.full((height, width, 3), 16, np.uint8)
        for bit in range(16):
            if number >> bit & 1:
                image[:, bit * bar : (bit + 1) * bar] = 235
        yield image


def read_number(luma: NDArray[np.uint8]) -> int:
    """Return the number that ``numbered`` drew."""
    row = luma[luma.shape[0] // 2]
    bar = luma.shape[1] // 16
    return sum(1 << bit for bit in range(16) if row[bit * bar + bar // 2] > 128)


def textured(width: int, height: int, *, seed: int = 7) -> Image:
    """Return a still picture with soft texture, so that encoding and motion detection have realistic input."""
    rng = np.random.default_rng(seed)
    small = rng.integers(60, 160, (max(2, height // 16), max(2, width // 16), 3), np.uint8)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
