"""All tracks of one tracker as a structure of arrays: one column a track, one row a quantity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_agent.track.motion_model import CENTRE, EXTENT, Floats, MotionModel

_STATE = slice(0, 20)
_SEEN = slice(20, 24)
_ID, _GROUP, _CLASS, _HITS, _MISSED, _UNSEEN_S, _LEAVING, _SCORE = range(24, 32)
_ROWS = 32


@dataclass(frozen=True, slots=True)
class Touch:
    """One detection for each of some tracks."""

    boxes: Floats
    """``(4, N)`` corners."""
    centred: Floats
    score: Floats
    class_id: NDArray[np.intp]


class TrackTable:
    """Whole numbers are kept as floats too (exact below 2**53), so that dropping or adding tracks is one operation."""

    def __init__(self) -> None:
        self._cells: Floats = np.empty((_ROWS, 0), np.float64)
        self._votes: Floats = np.zeros((0, 1), np.float64)

    def __len__(self) -> int:
        return self._cells.shape[1]

    @property
    def states(self) -> Floats:
        """``(5, 4, N)``, see ``motion_model``; a view."""
        return self._cells[_STATE].reshape(5, 4, -1)

    @property
    def seen(self) -> Floats:
        """``(4, N)``: the box of the last detection; a view."""
        return self._cells[_SEEN]

    @property
    def track_id(self) -> Floats:
        """Zero while a track is tentative."""
        return self._cells[_ID]

    @property
    def group(self) -> Floats:
        return self._cells[_GROUP]

    @property
    def class_id(self) -> Floats:
        """The class with the highest sum of scores so far."""
        return self._cells[_CLASS]

    def of_one_class(self, class_id: NDArray[np.intp]) -> bool:
        """Tell whether all tracks and all these detections are of the same class."""
        own = self.class_id
        first = own[0]
        return bool((class_id == first).all() and (own == first).all())

    @property
    def hits(self) -> Floats:
        return self._cells[_HITS]

    @property
    def missed(self) -> Floats:
        """Updates since the last detection."""
        return self._cells[_MISSED]

    @property
    def unseen_s(self) -> Floats:
        return self._cells[_UNSEEN_S]

    @property
    def leaving(self) -> Floats:
        """One for a track that went out of sight on its way out of the picture, else zero."""
        return self._cells[_LEAVING]

    @property
    def score_sum(self) -> Floats:
        return self._cells[_SCORE]

    def age(self, elapsed_s: float) -> None:
        """Count one more update, as if it touched no track."""
        self._cells[_MISSED] += 1.0
        self._cells[_UNSEEN_S] += elapsed_s

    def touch(self, rows: NDArray[np.intp], found: Touch, motion: MotionModel) -> None:
        """Note one detection for each of ``rows``."""
        fresh = self._cells.take(rows, axis=1)
        motion.correct(fresh[_STATE].reshape(5, 4, -1), found.centred)
        fresh[_SEEN] = found.boxes
        fresh[_HITS] += 1.0
        fresh[_MISSED : _LEAVING + 1] = 0.0
        fresh[_SCORE] += found.score
        self._cells[:, rows] = fresh
        self._vote(rows, found.class_id, found.score)

    def _vote(self, rows: NDArray[np.intp], class_id: NDArray[np.intp], scores: Floats) -> None:
        self._make_room_for(int(class_id.max()))
        self._votes[rows, class_id] += scores
        if (self._cells[_CLASS, rows] != class_id).any():
            self._cells[_CLASS, rows] = self._votes[rows].argmax(axis=1)

    def add(self, found: Touch, group: NDArray[np.intp], motion: MotionModel) -> None:
        """Append tentative tracks with their first detection."""
        count = len(found.score)
        born = np.zeros((_ROWS, count), np.float64)
        born[_STATE] = motion.start(found.centred).reshape(20, count)
        born[_SEEN] = found.boxes
        born[_GROUP] = group
        born[_CLASS] = found.class_id
        born[_HITS] = 1.0
        born[_SCORE] = found.score
        self._cells = np.concatenate([self._cells, born], axis=1)
        self._votes = np.pad(self._votes, ((0, count), (0, 0)))
        self._make_room_for(int(found.class_id.max()))
        self._votes[np.arange(len(self) - count, len(self)), found.class_id] = found.score

    def keep(self, mask: NDArray[np.bool_]) -> None:
        # compress keeps the rows contiguous, which fancy indexing does not; ``states`` relies on it to be a view.
        self._cells = self._cells.compress(mask, axis=1)
        self._votes = self._votes[mask]

    def _make_room_for(self, class_id: int) -> None:
        lacking = class_id + 1 - self._votes.shape[1]
        if lacking > 0:
            self._votes = np.pad(self._votes, ((0, 0), (0, lacking)))


def corners(position: Floats) -> Floats:
    """Turn centre and extent, ``(4, N)``, into left, top, right, bottom."""
    half = position[EXTENT] * 0.5
    return np.concatenate([position[CENTRE] - half, position[CENTRE] + half])


def centred(boxes: Floats) -> Floats:
    """Turn left, top, right, bottom, ``(4, N)``, into centre and extent."""
    low, high = boxes[:2], boxes[2:]
    return np.concatenate([(low + high) * 0.5, high - low])
