"""Whether the camera itself moves: how the whole picture has shifted, and grown, against the background.

A pan, a zoom, or a bump against the bracket moves all that stands still alike. Corners of the background are followed
into the frame (pyramidal Lucas-Kanade, started at what phase correlation finds: Kuglin & Hines, 1975), and the movement
that most of them share is taken (RANSAC, a similarity, as in BoT-SORT's camera motion compensation: Aharon et al.,
2022). It is believed only where most parts of the picture that have any texture agree with it, so that no single
object, however large, passes for it.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_agent.motion.image_ops import FloatPlane, Plane, count, distance, edges

_CELL_PX = 16
_TEXTURE_LEVELS = 6.0
"""Mean morphological gradient from which on a cell has enough texture to show a movement."""
_CHANGED_SHARE = 0.02
"""Of a cell's pixels: so many must differ from the background for the cell to count as changed."""
_SPREAD_SHARE = 0.04
"""Of the textured cells: with fewer changed cells, the change is attributed to objects and no shift is estimated."""
_AGREE_SHARE = 0.65
_LEAST_CELLS = 5
_TRIES, _PAUSE_S = 2, 1.0
"""Failed estimates after which estimation pauses: several objects move, not the view."""
_BETTER = 0.65
"""What a cell's difference from the reference must fall to, as a share, when the reference is moved."""
_SHOWN_LEVELS = 2.0
"""Mean difference that a movement must make to a cell for the cell to be asked."""
_LEAST_SHIFT_PX, _LEAST_ZOOM = 0.4, 0.004
_LARGEST_SHIFT_SHARE = 0.45
_LARGEST_ZOOM = 1.4
_CORNERS, _CORNER_QUALITY, _CORNER_DISTANCE_PX = 120, 0.01, 8
_LEAST_CORNERS, _SHARED_BY = 12, 0.5
_WITHIN_PX = 1.0
_HALF = 0.5

Matrix = NDArray[np.float64]


class Shift(NamedTuple):
    """Where a working pixel of the background lies in the frame: ``x' = zoom * x + self.x``, likewise for y."""

    x: float
    y: float
    zoom: float = 1.0


class ViewMotion:
    """Estimates shifts of the whole image. The view counts as still ``hold_s`` after the last shift."""

    def __init__(self, *, hold_s: float = 0.6) -> None:
        self._hold_s = hold_s
        self._last_s = -np.inf
        self._in_vain = 0
        self._pause_until_s = -np.inf
        self._window: FloatPlane = np.ones((1, 1), np.float32)

    def moving(self, time_s: float) -> bool:
        """Whether the view moves or has only just come to rest."""
        return time_s - self._last_s < self._hold_s

    def comes_on(self, time_s: float) -> bool:
        """Whether it moved just before, so that a frame that shows no movement may be blurred, or the step too small.

        Nothing should be learnt from such a frame: the next one shows both steps together.
        """
        return time_s - self._last_s < _HALF * self._hold_s

    def estimate_shift(
        self, background: Plane, frame: Plane, sure: Plane, *, before: Plane | None, time_s: float
    ) -> Shift | None:
        """Return how the frame has moved against the background, or None where it has not.

        Where something large hides the background, the frame before may still show it. ``sure`` is where frame and
        background differ; unless the view moves already, little is spent on a picture in which that is
        not spread over what has texture.
        """
        moving = self.moving(time_s)
        if not moving and count(sure) < _LEAST_CELLS * _CELL_PX * _CELL_PX * _CHANGED_SHARE:
            return None
        textured = _by_cell(edges(background)) >= _TEXTURE_LEVELS
        if not moving and not self._is_estimate_due(sure, textured, time_s):
            return None
        matrix = self._movement(background, frame)
        if matrix is None and before is not None:
            matrix = self._movement(before, frame)
        if matrix is None:
            self._in_vain += 1
            if self._in_vain >= _TRIES:
                self._pause_until_s = time_s + _PAUSE_S
            return None
        self._in_vain = 0
        self._last_s = time_s
        return Shift(float(matrix[0, 2]), float(matrix[1, 2]), _zoom(matrix))

    def _is_estimate_due(self, sure: Plane, textured: NDArray[np.bool_], time_s: float) -> bool:
        if time_s < self._pause_until_s:
            return False
        if _widespread(_by_cell(sure) >= 255.0 * _CHANGED_SHARE, textured):
            return True
        self._in_vain = 0
        return False

    def _movement(self, reference: Plane, frame: Plane) -> Matrix | None:
        matrix = self._shared_movement(reference, frame)
        return matrix if matrix is not None and _agreed(reference, frame, matrix) else None

    def _shared_movement(self, background: Plane, frame: Plane) -> Matrix | None:
        """Return the similarity ``(2, 3)`` that takes most of the background's corners into the frame, if any does."""
        # OpenCV's type hints do not say that these two return None where there is nothing.
        corners = cast(
            "FloatPlane | None",
            cv2.goodFeaturesToTrack(background, _CORNERS, _CORNER_QUALITY, _CORNER_DISTANCE_PX),
        )
        if corners is None or len(corners) < _LEAST_CORNERS:
            return None
        guess = (corners + np.array(self._correlated(background, frame))).astype(np.float32)
        moved, found, _ = cv2.calcOpticalFlowPyrLK(
            background, frame, corners, guess, winSize=(15, 15), flags=cv2.OPTFLOW_USE_INITIAL_FLOW
        )
        good = found.ravel() == 1
        if np.count_nonzero(good) < _LEAST_CORNERS:
            return None
        matrix, shared = cast(
            "tuple[Matrix | None, Plane]",
            cv2.estimateAffinePartial2D(
                corners[good], moved[good], method=cv2.RANSAC, ransacReprojThreshold=_WITHIN_PX
            ),
        )
        if matrix is None or np.count_nonzero(shared) < max(_LEAST_CORNERS, _SHARED_BY * np.count_nonzero(good)):
            return None
        return _plausible(matrix, frame.shape)

    def _correlated(self, background: Plane, frame: Plane) -> tuple[float, float]:
        height, width = frame.shape
        if self._window.shape != frame.shape:
            self._window = np.asarray(cv2.createHanningWindow((width, height), cv2.CV_32F), np.float32)
        (x, y), _ = cv2.phaseCorrelate(background.astype(np.float32), frame.astype(np.float32), self._window)
        return x, y


def _plausible(matrix: Matrix, shape: tuple[int, ...]) -> Matrix | None:
    """Return the movement unless it is none at all, or too large to have been found rightly."""
    height, width = shape
    centre = np.array((width / 2.0, height / 2.0))
    away = np.abs(matrix[:, :2] @ centre + matrix[:, 2] - centre)
    zoom = _zoom(matrix)
    none = float(away.max()) < _LEAST_SHIFT_PX and abs(zoom - 1.0) < _LEAST_ZOOM
    too_far = max(away[0] / width, away[1] / height) > _LARGEST_SHIFT_SHARE
    return None if none or too_far or not 1.0 / _LARGEST_ZOOM < zoom < _LARGEST_ZOOM else matrix


def _zoom(matrix: Matrix) -> float:
    return float(np.hypot(matrix[0, 0], matrix[1, 0]))


def _widespread(changed: NDArray[np.bool_], textured: NDArray[np.bool_]) -> bool:
    """Return whether cells have changed all over the picture, where there is texture to show it."""
    rows, columns = np.nonzero(changed & textured)
    if len(rows) < max(_LEAST_CELLS, _SPREAD_SHARE * np.count_nonzero(textured)):
        return False
    return bool(np.ptp(columns) >= changed.shape[1] / 2 and np.ptp(rows) >= changed.shape[0] / 2)


def _agreed(reference: Plane, frame: Plane, matrix: Matrix) -> bool:
    """Return whether most cells that the movement would change, and that stay in view, are better explained by it.

    They must lie across the picture. What stands still in it although it has texture speaks against the movement.
    """
    in_view = _by_cell(_moved(np.full_like(frame, 255), matrix, border=cv2.BORDER_CONSTANT)) >= 250.0
    moved = _moved(reference, matrix, border=cv2.BORDER_REPLICATE)
    judged = in_view & (_by_cell(distance(moved, reference)) >= _SHOWN_LEVELS)
    better = judged & (_by_cell(distance(frame, moved)) < _BETTER * _by_cell(distance(frame, reference)))
    votes = np.count_nonzero(better)
    if votes < max(_LEAST_CELLS, _AGREE_SHARE * np.count_nonzero(judged)):
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
