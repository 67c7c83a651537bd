"""Estimates camera motion: the shift and zoom of the whole image against the background.

A pan, a zoom, or a bump against the camera moves all static parts of the scene alike. Corners of the background are
tracked into the frame (pyramidal Lucas-Kanade, initialised by phase correlation: Kuglin & Hines, 1975), and RANSAC fits
the similarity transform that most of them share, as in BoT-SORT's camera motion compensation (Aharon et al., 2022). The
transform is accepted only if most textured parts of the image agree with it, so that a large object is never mistaken
for camera motion.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_agent.motion.image_ops import FloatPlane, Plane, count, distance, edges

_CELL_PX = 16
_TEXTURE_LEVELS = 6.0
"""Minimum mean morphological gradient of a cell with enough texture to show a movement."""
_CHANGED_SHARE = 0.02
"""Minimum fraction of a cell's pixels that differ from the background for the cell to count as changed."""
_SPREAD_SHARE = 0.04
"""Minimum fraction of textured cells that have changed. With fewer, objects move and no shift is estimated."""
_AGREE_SHARE = 0.65
_MIN_CELLS = 5
_MAX_FAILURES, _PAUSE_S = 2, 1.0
"""Failed estimates after which estimation pauses: several objects move, not the view."""
_BETTER = 0.65
"""Maximum ratio of a cell's differences, with the reference moved and unmoved, for the cell to agree."""
_MIN_MOVED_LEVELS = 2.0
"""Minimum mean difference that a movement makes to a cell for the cell to be tested."""
_MIN_SHIFT_PX, _MIN_ZOOM = 0.4, 0.004
_MAX_SHIFT_SHARE = 0.45
_MAX_ZOOM = 1.4
_CORNERS, _CORNER_QUALITY, _CORNER_DISTANCE_PX = 120, 0.01, 8
_MIN_CORNERS, _SHARED_BY = 12, 0.5
_WITHIN_PX = 1.0
_HALF = 0.5

Matrix = NDArray[np.float64]


class Shift(NamedTuple):
    """Where a working pixel of the background is in the frame: ``x' = zoom * x + self.x``, likewise for y."""

    x: float
    y: float
    zoom: float = 1.0


class ViewMotion:
    """Estimates shifts of the whole image. The view counts as still ``hold_s`` after the last shift."""

    def __init__(self, *, hold_s: float = 0.6) -> None:
        self._hold_s = hold_s
        self._last_s = -np.inf
        self._failures = 0
        self._pause_until_s = -np.inf
        self._window: FloatPlane = np.ones((1, 1), np.float32)

    def moving(self, time_s: float) -> bool:
        """Return whether the view moves, or came to rest within ``hold_s``."""
        return time_s - self._last_s < self._hold_s

    def moved_recently(self, time_s: float) -> bool:
        """Return whether the view moved within half of ``hold_s``.

        A frame without visible shift may then be blurred, or its shift too small. Nothing should be learned from it:
        the next frame shows both shifts together.
        """
        return time_s - self._last_s < _HALF * self._hold_s

    def estimate_shift(
        self, background: Plane, frame: Plane, strong: Plane, *, before: Plane | None, time_s: float
    ) -> Shift | None:
        """Return the shift of the frame against the background; None if there is none.

        If a large object hides the background, the frame ``before`` is the second reference. ``strong`` is the mask of
        the pixels that differ from the background. Unless the view moves already, the costly estimate is made only if
        they are spread over the textured parts of the image.
        """
        moving = self.moving(time_s)
        if not moving and count(strong) < _MIN_CELLS * _CELL_PX * _CELL_PX * _CHANGED_SHARE:
            return None
        textured = _by_cell(edges(background)) >= _TEXTURE_LEVELS
        if not moving and not self._is_estimate_due(strong, textured, time_s):
            return None
        matrix = self._accepted_transform(background, frame)
        if matrix is None and before is not None:
            matrix = self._accepted_transform(before, frame)
        if matrix is None:
            self._failures += 1
            if self._failures >= _MAX_FAILURES:
                self._pause_until_s = time_s + _PAUSE_S
            return None
        self._failures = 0
        self._last_s = time_s
        return Shift(float(matrix[0, 2]), float(matrix[1, 2]), _zoom(matrix))

    def _is_estimate_due(self, strong: Plane, textured: NDArray[np.bool_], time_s: float) -> bool:
        if time_s < self._pause_until_s:
            return False
        if _widespread(_by_cell(strong) >= 255.0 * _CHANGED_SHARE, textured):
            return True
        self._failures = 0
        return False

    def _accepted_transform(self, reference: Plane, frame: Plane) -> Matrix | None:
        matrix = self._fit_transform(reference, frame)
        return matrix if matrix is not None and _is_agreed(reference, frame, matrix) else None

    def _fit_transform(self, background: Plane, frame: Plane) -> Matrix | None:
        """Return the similarity transform ``(2, 3)`` that maps most corners of the background to the frame, or None."""
        # OpenCV's type hints omit that these two functions may return None.
        corners = cast(
            "FloatPlane | None",
            cv2.goodFeaturesToTrack(background, _CORNERS, _CORNER_QUALITY, _CORNER_DISTANCE_PX),
        )
        if corners is None or len(corners) < _MIN_CORNERS:
            return None
        guess = (corners + np.array(self._correlated(background, frame))).astype(np.float32)
        moved, status, _ = cv2.calcOpticalFlowPyrLK(
            background, frame, corners, guess, winSize=(15, 15), flags=cv2.OPTFLOW_USE_INITIAL_FLOW
        )
        good = status.ravel() == 1
        if np.count_nonzero(good) < _MIN_CORNERS:
            return None
        matrix, shared = cast(
            "tuple[Matrix | None, Plane]",
            cv2.estimateAffinePartial2D(
                corners[good], moved[good], method=cv2.RANSAC, ransacReprojThreshold=_WITHIN_PX
            ),
        )
        if matrix is None or np.count_nonzero(shared) < max(_MIN_CORNERS, _SHARED_BY * np.count_nonzero(good)):
            return None
        return _plausible(matrix, frame.shape)

    def _correlated(self, background: Plane, frame: Plane) -> tuple[float, float]:
        height, width = frame.shape
        if self._window.shape != frame.shape:
            self._window = np.asarray(cv2.createHanningWindow((width, height), cv2.CV_32F), np.float32)
        (x, y), _ = cv2.phaseCorrelate(background.astype(np.float32), frame.astype(np.float32), self._window)
        return x, y


def _plausible(matrix: Matrix, shape: tuple[int, ...]) -> Matrix | None:
    """Return the transform unless it is negligible, or too large to be reliable."""
    height, width = shape
    centre = np.array((width / 2.0, height / 2.0))
    away = np.abs(matrix[:, :2] @ centre + matrix[:, 2] - centre)
    zoom = _zoom(matrix)
    negligible = float(away.max()) < _MIN_SHIFT_PX and abs(zoom - 1.0) < _MIN_ZOOM
    too_far = max(away[0] / width, away[1] / height) > _MAX_SHIFT_SHARE
    return None if negligible or too_far or not 1.0 / _MAX_ZOOM < zoom < _MAX_ZOOM else matrix


def _zoom(matrix: Matrix) -> float:
    return float(np.hypot(matrix[0, 0], matrix[1, 0]))


def _widespread(changed: NDArray[np.bool_], textured: NDArray[np.bool_]) -> bool:
    """Return whether textured cells have changed all over the image."""
    rows, columns = np.nonzero(changed & textured)
    if len(rows) < max(_MIN_CELLS, _SPREAD_SHARE * np.count_nonzero(textured)):
        return False
    return bool(np.ptp(columns) >= changed.shape[1] / 2 and np.ptp(rows) >= changed.shape[0] / 2)


def _is_agreed(reference: Plane, frame: Plane, matrix: Matrix) -> bool:
    """Return whether the transform explains most of the cells that it changes and that stay in view.

    These cells must be spread across the image. Textured cells that stand still count against the transform.
    """
    in_view = _by_cell(_moved(np.full_like(frame, 255), matrix, border=cv2.BORDER_CONSTANT)) >= 250.0
    moved = _moved(reference, matrix, border=cv2.BORDER_REPLICATE)
    judged = in_view & (_by_cell(distance(moved, reference)) >= _MIN_MOVED_LEVELS)
    better = judged & (_by_cell(distance(frame, moved)) < _BETTER * _by_cell(distance(frame, reference)))
    votes = np.count_nonzero(better)
    if votes < max(_MIN_CELLS, _AGREE_SHARE * np.count_nonzero(judged)):
        return False
    rows, columns = np.nonzero(better)
    return bool(np.ptp(columns) >= better.shape[1] / 2 or np.ptp(rows) >= better.shape[0] / 2)


def _moved(plane: Plane, matrix: Matrix, *, border: int) -> Plane:
    height, width = plane.shape
    return np.asarray(cv2.warpAffine(plane, matrix, (width, height), borderMode=border), np.uint8)


def _by_cell(plane: Plane) -> FloatPlane:
    """Return the mean of each cell."""
    height, width = plane.shape
    size = max(1, round(width / _CELL_PX)), max(1, round(height / _CELL_PX))
    return np.asarray(cv2.resize(plane.astype(np.float32), size, interpolation=cv2.INTER_AREA), np.float32)
