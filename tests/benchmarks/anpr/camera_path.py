"""A virtual camera that pans and zooms over a photograph: a deterministic video of a passing plate.

The visible window moves smoothly over the photograph. Frames have motion blur, slowly varying focus and exposure, and
sensor noise. The plate's position in each frame is known.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_agent.boxes import Box
from edge_agent.types import Image

Floats = NDArray[np.float64]
Kind = Literal["closer", "away", "across"]
KINDS: tuple[Kind, ...] = get_args(Kind)

LONGER_SIDE_PX = 1280
_WIDE, _NARROW, _ACROSS = 0.96, 0.62, 0.72
"""Sizes of the window as fractions of the photograph."""
_EXPOSED_SHARE = 0.5
"""Exposure time as a fraction of the frame interval."""
_SUBFRAMES = 4
"""Number of images that are averaged for motion blur."""
_GAIN_SWING, _FOCUS_SWING_PX, _NOISE_SIGMA = 0.18, 0.8, 2.0
_NOISE_MIDDLE, _NOISE_MARGIN_PX = 64, 64
_MARGIN_SHARE = 0.04


@dataclass(frozen=True, slots=True)
class View:
    """One frame of the video."""

    image: Image
    plate: Box
    """The plate's box in pixels of the frame; may extend beyond it."""


class CameraPath:
    """A video of ``frames`` views of a photograph with one plate; the same ``seed`` gives the same pixels."""

    def __init__(self, photograph: Image, plate: Box, *, seed: int, frames: int = 60) -> None:
        self._photograph = photograph
        self._plate = np.array(plate, float)
        self._rng = np.random.default_rng([seed, 7])
        self.frames = frames
        self.kind: Kind = KINDS[seed % len(KINDS)]
        height, width = photograph.shape[:2]
        scale = LONGER_SIDE_PX / max(width, height)
        self.width, self.height = (2 * round(side * min(scale, 1.0) / 2) for side in (width, height))
        room = (self.height + _NOISE_MARGIN_PX, self.width + _NOISE_MARGIN_PX, 1)
        noise = np.rint(self._rng.normal(_NOISE_MIDDLE, _NOISE_SIGMA, room)).astype(np.uint8)
        self._noise = np.repeat(noise, 3, axis=2)
        """Larger than a frame, so that each frame has a different part of it."""
        self._phase = self._rng.uniform(0, 2 * np.pi, 2)
        self._end_windows = self._windows(self.kind)

    def views(self) -> Iterator[View]:
        """Render the video."""
        for index in range(self.frames):
            at = index / max(self.frames - 1, 1)
            window = self.window(at)
            image = self._expose(at)
            turn = 2 * np.pi * at
            focus_px = _FOCUS_SWING_PX * (0.5 + 0.5 * np.sin(2 * turn + self._phase[0])) ** 2
            if focus_px > 0.3:
                image = np.asarray(cv2.GaussianBlur(image, (0, 0), focus_px), np.uint8)
            gain = 1.0 + _GAIN_SWING * np.sin(turn + self._phase[1])
            yield View(self._add_sensor_effects(image, gain), self._plate_in_view(window))

    def window(self, at: float) -> Floats:
        """Return the visible window (xyxy) at the time ``at`` (0..1), in pixels of the photograph."""
        ease = at * at * (3 - 2 * at)
        return self._end_windows[0] + (self._end_windows[1] - self._end_windows[0]) * ease

    def _windows(self, kind: Kind) -> tuple[Floats, Floats]:
        """Return the first and the last window, which contain the plate at different positions."""
        height, width = self._photograph.shape[:2]
        first, last = self._rng.permutation(2)
        sizes = {"closer": (_WIDE, _NARROW), "away": (_NARROW, _WIDE), "across": (_ACROSS, _ACROSS)}[kind]
        places = ((0.0, float(first)), (1.0, float(last))) if self._rng.random() < 0.5 else (
            (1.0, float(first)), (0.0, float(last))
        )  # fmt: skip
        ends = [self._window_with_plate(size, place, width, height) for size, place in zip(sizes, places, strict=True)]
        return ends[0], ends[1]

    def _window_with_plate(self, share: float, place: tuple[float, float], width: int, height: int) -> Floats:
        """Return a window of this share of the photograph that contains the plate.

        ``place``: position of the window within its possible range, 0..1 in each direction.
        """
        left, top, right, bottom = self._plate
        room_x, room_y = (_MARGIN_SHARE * side for side in (width, height))
        share = max(
            share, min((right - left + 2 * room_x) / width, 1.0), min((bottom - top + 2 * room_y) / height, 1.0)
        )
        size = np.array((width, height)) * share
        low = np.clip(np.array((right + room_x, bottom + room_y)) - size, 0, np.array((width, height)) - size)
        high = np.clip(np.array((left - room_x, top - room_y)), 0, np.array((width, height)) - size)
        origin = low + (np.maximum(high, low) - low) * np.array(place)
        return np.concatenate([origin, origin + size])

    def _expose(self, at: float) -> Image:
        """Return the average of the images during one exposure."""
        step = _EXPOSED_SHARE / max(self.frames - 1, 1) / _SUBFRAMES
        total = np.zeros((self.height, self.width, 3), np.float32)
        for subframe in range(_SUBFRAMES):
            cv2.accumulate(self._subframe(self.window(min(at + step * subframe, 1.0))), total)
        return cv2.convertScaleAbs(total, alpha=1 / _SUBFRAMES).astype(np.uint8, copy=False)

    def _add_sensor_effects(self, image: Image, gain: float) -> Image:
        y, x = self._rng.integers(0, _NOISE_MARGIN_PX, 2)
        noise = self._noise[y : y + self.height, x : x + self.width]
        return np.asarray(cv2.addWeighted(image, gain, noise, 1.0, -_NOISE_MIDDLE), np.uint8)

    def _subframe(self, window: Floats) -> Image:
        scale = self.width / (window[2] - window[0])
        source, origin = self._photograph, window[:2]
        if scale < 0.67:  # average first, because a warp alone skips pixels
            source = cv2.resize(source, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            origin, scale = origin * scale, 1.0
        into = np.array(
            [
                [scale, 0, (0.5 - origin[0]) * scale - 0.5],
                [0, scale, (0.5 - origin[1]) * scale - 0.5],
            ]
        )
        mode = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_LINEAR
        size = (self.width, self.height)
        return np.asarray(cv2.warpAffine(source, into, size, flags=mode, borderMode=cv2.BORDER_REPLICATE), np.uint8)

    def _plate_in_view(self, window: Floats) -> Box:
        scale = np.array((self.width, self.height)) / (window[2:] - window[:2])
        left, top, right, bottom = ((self._plate - np.tile(window[:2], 2)) * np.tile(scale, 2)).tolist()
        return left, top, right, bottom


def seed_of(name: str) -> int:
    """Return a seed that depends only on a file's name."""
    return zlib.crc32(name.encode()) & 0x7FFFFFFF
