"""Pictures decoded by FFmpeg: luma without a copy, colours converted on demand.

May import PyAV, OpenCV and numpy. Independent of the source of the frame.
"""

from __future__ import annotations

from threading import Lock
from typing import cast

import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

from edge_agent.camera.decode.yuv import THREE_PLANES, TWO_PLANES, plane_of, rgb_from_planes
from edge_agent.types import Image, Luma

LUMA_PLANE = THREE_PLANES | TWO_PLANES.keys() | {"gray", "yuva420p", "yuva422p", "yuva444p"}
"""Formats whose first plane is 8-bit luma, which is returned as a view."""

LUMA_SHIFT = (
    {f"{name}{bits}le": bits - 8 for name in ("yuv420p", "yuv422p", "yuv444p", "gray") for bits in (10, 12)}
    | {"gray16le": 8, "yuv420p16le": 8, "yuv422p16le": 8, "yuv444p16le": 8}
    | dict.fromkeys(("p010le", "p012le", "p016le", "p210le", "p216le", "p410le", "p416le"), 8)
)
"""Formats whose first plane is luma in 16-bit words, with the right shift that gives 8 bits."""

PACKED_YUV = frozenset(["yuyv422", "uyvy422", "yvyu422"])

_CACHED_SIZES = 8
_QUARTER_TURNS = {90: 1, 180: 2, 270: 3}


class PictureConverter:
    """Caches FFmpeg's conversion contexts. Use one per source, shared by its pictures. Thread-safe.

    Creating a context for every picture would double the cost of the conversion.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._contexts: dict[tuple[str, int, int, str], VideoReformatter] = {}

    def convert(self, frame: VideoFrame, *, width_px: int, height_px: int, pixel_format: str) -> VideoFrame:
        """Scale and convert in one step, by the frame's colour tags; untagged frames count as BT.601, limited range."""
        key = (frame.format.name, width_px, height_px, pixel_format)
        shrinks = width_px < frame.width or height_px < frame.height
        with self._lock:
            context = self._contexts.get(key)
            if context is None:
                if len(self._contexts) >= _CACHED_SIZES:
                    self._contexts.pop(next(iter(self._contexts)))
                context = self._contexts[key] = VideoReformatter()
            return context.reformat(
                frame,
                width_px,
                height_px,
                pixel_format,
                # Averaging preserves small objects when a picture is downscaled by a large factor.
                interpolation=Interpolation.AREA if shrinks else Interpolation.BILINEAR,
                threads=1,
            )


class AvPicture:
    """A decoded frame. ``rotation`` is the counter-clockwise rotation for display, in degrees."""

    def __init__(self, frame: VideoFrame, *, converter: PictureConverter, rotation: int = 0) -> None:
        self._frame = frame
        self._converter = converter
        self._turns = _QUARTER_TURNS.get(rotation % 360, 0)
        self._luma: Luma | None = None
        self._bgr: Image | None = None

    @property
    def width(self) -> int:
        return self._frame.height if self._turns % 2 else self._frame.width

    @property
    def height(self) -> int:
        return self._frame.width if self._turns % 2 else self._frame.height

    def luma(self) -> Luma:
        """Return the luma plane in the camera's range (often 16..235). Read-only, since the decoder still uses it."""
        if self._luma is None:
            luma = self._rotated(self._unrotated_luma())
            luma.flags.writeable = False
            self._luma = luma
        return self._luma

    def bgr(self) -> Image:
        if self._bgr is None:
            self._bgr = np.ascontiguousarray(self._rotated(self._converted("bgr24")))
        return self._bgr

    def scaled_rgb(self, width_px: int, height_px: int) -> Image:
        if self._turns % 2:
            width_px, height_px = height_px, width_px
        rgb = rgb_from_planes(self._frame, width_px, height_px)
        if rgb is None:
            rgb = self._converted("rgb24", width_px, height_px)
        return np.ascontiguousarray(self._rotated(rgb))

    def _rotated(self, image: Image) -> Image:
        return np.rot90(image, self._turns) if self._turns else image

    def _unrotated_luma(self) -> Luma:
        name = self._frame.format.name
        if name in LUMA_PLANE:
            return plane_of(self._frame, 0, np.uint8)
        if (shift := LUMA_SHIFT.get(name)) is not None:
            return (plane_of(self._frame, 0, np.dtype("<u2")) >> shift).astype(np.uint8)
        if name in PACKED_YUV:
            return plane_of(self._reformatted("yuv422p"), 0, np.uint8)
        return np.asarray(cv2.cvtColor(self._converted("bgr24"), cv2.COLOR_BGR2GRAY), np.uint8)

    def _reformatted(self, pixel_format: str, width_px: int | None = None, height_px: int | None = None) -> VideoFrame:
        return self._converter.convert(
            self._frame,
            width_px=width_px or self._frame.width,
            height_px=height_px or self._frame.height,
            pixel_format=pixel_format,
        )

    def _converted(self, pixel_format: str, width_px: int | None = None, height_px: int | None = None) -> Image:
        return cast(Image, self._reformatted(pixel_format, width_px, height_px).to_ndarray())
