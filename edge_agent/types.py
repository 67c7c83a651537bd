"""The data types of the edge pipeline: pictures, frames, motion, detections, tracks.

Inside the agent, boxes are ``xyxy`` in pixels of the full frame, ``float32``. They are converted to the normalised
``BoundingBox`` only when an event is built.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_agent.resize import scaled

Image = NDArray[np.uint8]
"""``(height, width, 3)`` BGR."""
Luma = NDArray[np.uint8]
"""``(height, width)``, possibly a view with padded rows."""
Boxes = NDArray[np.float32]
"""``(N, 4)``: left, top, right, bottom in pixels."""


class Picture(Protocol):
    """A decoded picture that is converted on demand."""

    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    def luma(self) -> Luma:
        """Return the brightness plane, without a copy if possible. Treat as read-only."""
        ...

    def bgr(self) -> Image:
        """Return the whole picture in BGR, converted once and cached. Treat as read-only."""
        ...

    def scaled_rgb(self, width_px: int, height_px: int) -> Image:
        """Return the whole picture as RGB at exactly this size, whatever its aspect ratio, in one step."""
        ...


class ArrayPicture:
    """A picture that is already a BGR array (USB, GStreamer, synthetic, tests)."""

    def __init__(self, bgr: Image) -> None:
        self._bgr = bgr
        self._luma: Luma | None = None

    @property
    def width(self) -> int:
        return int(self._bgr.shape[1])

    @property
    def height(self) -> int:
        return int(self._bgr.shape[0])

    def luma(self) -> Luma:
        luma = self._luma
        if luma is None:
            luma = self._luma = np.asarray(cv2.cvtColor(self._bgr, cv2.COLOR_BGR2GRAY), np.uint8)
        return luma

    def bgr(self) -> Image:
        return self._bgr

    def scaled_rgb(self, width_px: int, height_px: int) -> Image:
        small = scaled(self._bgr, width_px, height_px)
        return np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2RGB), np.uint8)


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture from one camera."""

    number: int
    """Counts from 1, from the start of the source (files) or of the connection (cameras)."""
    timestamp: datetime
    """Capture time, aware, UTC."""
    time_s: float
    """Seconds on the steady clock of the source: media time for files, the monotonic clock for cameras."""
    picture: Picture

    @property
    def width(self) -> int:
        return self.picture.width

    @property
    def height(self) -> int:
        return self.picture.height


def _no_boxes() -> Boxes:
    return np.empty((0, 4), np.float32)


def _no_scores() -> NDArray[np.float32]:
    return np.empty(0, np.float32)


def _no_classes() -> NDArray[np.int32]:
    return np.empty(0, np.int32)


@dataclass(frozen=True, slots=True)
class Detections:
    """The detections in one frame. All three arrays have length N; the order of rows is not specified."""

    xyxy: Boxes = field(default_factory=_no_boxes)
    score: NDArray[np.float32] = field(default_factory=_no_scores)
    """0..1"""
    class_id: NDArray[np.int32] = field(default_factory=_no_classes)
    """Index into the detector's ``labels``."""

    def __len__(self) -> int:
        return len(self.score)

    def select(self, rows: NDArray[Any]) -> Detections:
        """Return the rows selected by a boolean mask or an index array."""
        return Detections(xyxy=self.xyxy[rows], score=self.score[rows], class_id=self.class_id[rows])

    @staticmethod
    def concatenate(parts: list[Detections]) -> Detections:
        """Return the rows of all parts, in order."""
        if not parts:
            return Detections()
        return Detections(
            xyxy=np.concatenate([part.xyxy for part in parts]),
            score=np.concatenate([part.score for part in parts]),
            class_id=np.concatenate([part.class_id for part in parts]),
        )


@dataclass(frozen=True, slots=True)
class EarlierDetection:
    """A detection of a track from before the track was confirmed."""

    track_id: int
    time_s: float
    xyxy: tuple[float, float, float, float]
    score: float


@dataclass(frozen=True, slots=True)
class Tracks:
    """The confirmed tracks with a detection in this frame (N rows), and the ids of those that ended."""

    track_id: NDArray[np.int64]
    xyxy: Boxes
    """Box of the object in this frame: the filter's corrected estimate."""
    score: NDArray[np.float32]
    class_id: NDArray[np.int32]
    """Class with the most votes over the whole track, weighted by score."""
    detection_index: NDArray[np.int64]
    """Row in the ``Detections`` that were passed to ``update``."""
    ended: tuple[int, ...] = ()
    """Ids of confirmed tracks that ended in this frame."""
    earlier: tuple[EarlierDetection, ...] = ()
    """Earlier detections of the tracks that were confirmed in this frame, by ascending time for each track."""

    def __len__(self) -> int:
        return len(self.track_id)


@dataclass(frozen=True, slots=True)
class ViewChange:
    """Maps positions of earlier frames to this frame: ``x' = x * scale_x + shift_x_px``, likewise for y.

    A change of the frame size causes a scale; a camera that pans or is bumped causes a shift. Pixels of the full frame.
    """

    scale_x: float = 1.0
    scale_y: float = 1.0
    shift_x_px: float = 0.0
    shift_y_px: float = 0.0

    @property
    def shifted(self) -> bool:
        """Whether the camera shows a different part of the scene rather than the same part at another size."""
        return self.shift_x_px != 0.0 or self.shift_y_px != 0.0

    def then(self, other: ViewChange) -> ViewChange:
        """Return the composition of this change and a later one."""
        return ViewChange(
            scale_x=self.scale_x * other.scale_x,
            scale_y=self.scale_y * other.scale_y,
            shift_x_px=self.shift_x_px * other.scale_x + other.shift_x_px,
            shift_y_px=self.shift_y_px * other.scale_y + other.shift_y_px,
        )

    def point(self, x: float, y: float) -> tuple[float, float]:
        """Map a point of earlier frames to this frame."""
        return x * self.scale_x + self.shift_x_px, y * self.scale_y + self.shift_y_px

    def box(self, box: Sequence[float]) -> tuple[float, float, float, float]:
        """Map a box (left, top, right, bottom) of earlier frames to this frame."""
        return *self.point(box[0], box[1]), *self.point(box[2], box[3])


@dataclass(frozen=True, slots=True)
class Motion:
    """The motion in one frame."""

    active: bool
    """Whether there is motion, as opposed to changes of light and noise."""
    intensity: float
    """Mean difference of the moving pixels from the background, 0..1."""
    area_ratio: float
    """Fraction of the watched area that moves, 0..1."""
    regions: Boxes
    """``(N, 4)`` pixels of the full frame, one box per moving region, largest first."""
    mask: NDArray[np.uint8] | None = None
    """``(h, w)`` foreground mask, 255 where moving, at the working size of motion detection; None without motion."""
    view_change: ViewChange | None = None
    """Set if positions of earlier frames have moved: remembered positions in pixels must be mapped."""
    held_back: Motion | None = None
    """The motion of the previous, ``unsettled`` frame, once it is confirmed that it was a moving object."""
    unsettled: bool = False
    """Whether the whole image is changing (a corrupted frame, a flash, a pan), which makes detections unreliable."""
