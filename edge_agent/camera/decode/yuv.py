"""Views of the planes of decoded YUV frames, and scaled RGB computed from them.

Scaling three planes and multiplying the result by one matrix takes about a third less CPU time than FFmpeg's scaler
(720p to 300x300: 0.43 ms instead of 0.64 ms; to 416x234: 0.5 ms instead of 0.8 ms).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, cast

import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from numpy.typing import NDArray

from edge_agent.resize import scaled
from edge_agent.types import Image

THREE_PLANES = frozenset(
    [f"yuv{sampling}p" for sampling in ("410", "411", "420", "422", "440", "444")]
    + [f"yuvj{sampling}p" for sampling in ("411", "420", "422", "440", "444")]
)
"""8-bit formats with separate planes for luma, Cb and Cr."""
TWO_PLANES = {"nv12": (0, 1), "nv16": (0, 1), "nv24": (0, 1), "nv21": (1, 0), "nv42": (1, 0)}
"""8-bit formats with a luma plane and a plane of chroma pairs: the positions of Cb and Cr in a pair."""

_FULL_RANGE = 2
"""FFmpeg's value for the range 0..255 (``AVCOL_RANGE_JPEG``)."""
_BT601 = (0.299, 0.114)
_LUMA_WEIGHTS = {1: (0.2126, 0.0722), 4: (0.30, 0.11), 7: (0.212, 0.087), 9: (0.2627, 0.0593), 10: (0.2627, 0.0593)}
"""Kr and Kb by FFmpeg's number of the colour space: BT.709, FCC, SMPTE 240M, BT.2020; all others count as BT.601."""


def plane_of(frame: VideoFrame, number: int, dtype: Any, *, channels: int = 1) -> Any:
    """Return a view of a plane, ``(height, width)`` or ``(height, width, channels)``; rows may have padding."""
    plane = cast(Sequence[VideoPlane], frame.planes)[number]
    item = np.dtype(dtype)
    stride = plane.line_size // item.itemsize
    rows = np.frombuffer(cast(Any, plane), item)[: plane.height * stride].reshape(plane.height, stride)
    view = rows[:, : plane.width * channels]
    return view.reshape(plane.height, plane.width, channels) if channels > 1 else view


def rgb_from_planes(frame: VideoFrame, width_px: int, height_px: int) -> Image | None:
    """Return the frame as RGB ``(height_px, width_px, 3)`` by its colour tags; None for unsupported formats."""
    name = frame.format.name
    if name in THREE_PLANES:
        parts = [scaled(plane_of(frame, number, np.uint8), width_px, height_px) for number in range(3)]
        order = (1, 2)
    elif (pair := TWO_PLANES.get(name)) is not None:
        luma = scaled(plane_of(frame, 0, np.uint8), width_px, height_px)
        parts = [luma, scaled(plane_of(frame, 1, np.uint8, channels=2), width_px, height_px)]
        order = (1 + pair[0], 1 + pair[1])
    else:
        return None
    full_range = name.startswith("yuvj") or int(frame.color_range) == _FULL_RANGE
    matrix = rgb_matrix(_LUMA_WEIGHTS.get(int(frame.colorspace), _BT601), full_range=full_range)
    return np.asarray(cv2.transform(cv2.merge(parts), matrix[:, [0, *order, 3]]), np.uint8)


@lru_cache(maxsize=16)
def rgb_matrix(weights: tuple[float, float], *, full_range: bool) -> NDArray[np.float32]:
    """Return the ``(3, 4)`` matrix that converts (Y, Cb, Cr, 1) to RGB, all 0..255; ``weights`` are Kr and Kb.

    ITU-R BT.601-7, section 2.5, and its successors: R = Y + 2(1 - Kr)Cr, B = Y + 2(1 - Kb)Cb, Y = KrR + KgG + KbB.
    """
    kr, kb = weights
    kg = 1.0 - kr - kb
    red, blue = 2.0 * (1.0 - kr), 2.0 * (1.0 - kb)
    linear = np.array([(1.0, 0.0, red), (1.0, -kb * blue / kg, -kr * red / kg), (1.0, blue, 0.0)])
    black, luma_span, chroma_span = (0.0, 255.0, 255.0) if full_range else (16.0, 219.0, 224.0)
    linear *= 255.0 / np.array([luma_span, chroma_span, chroma_span])
    return np.column_stack([linear, -linear @ (black, 128.0, 128.0)]).astype(np.float32)
