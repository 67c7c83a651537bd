"""All tracks of one tracker as a structure of arrays: one column a track, one row a quantity."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_agent.track.motion_model import CENTRE, EXTENT, POSITION, Floats

_STATE = slice(0, 20)
_SEEN = slice(20, 24)
_ID, _GROUP, _CLASS, _HITS, _UPDATES, _MISSED, _UNSEEN_S, _SCORE = range(24, 32)
_ROWS = 32


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

    @property
    def hits(self) -> Floats:
        return self._cells[_HITS]

    @property
    def updates(self) -> Floats:
        """Updates since the first detection, that one included."""
        return self._cells[_UPDATES]

    @property
    def missed(self) -> Floats:
        """Updates since the last detection."""
        return self._cells[_MISSED]

    @property
    def unseen_s(self) -> Floats:
        return self._cells[_UNSEEN_S]

    @property
    def score_sum(self) -> Floats:
        return self._cells[_SCORE]

    def boxes(self) -> Floats:
        """Return where each track is thought to be, ``(4, N)`` corners."""
        return corners(self.states[POSITION])

    def age(self, elapsed_s: float) -> None:
        """Count one more update, as if it touched no track."""
        self._cells[_UPDATES : _MISSED + 1] += 1.0
        self._cells[_UNSEEN_S] += elapsed_s

    def touch(self, rows: NDArray[np.intp], states: Floats, boxes: Floats, scores: Floats) -> None:
        """Note one detection for each of ``rows``."""
        count = len(rows)
        fresh = self._cells.take(rows, axis=1)
        fresh[_STATE] = states.reshape(20, count)
        fresh[_SEEN] = boxes
        fresh[_HITS] += 1.0
        fresh[_MISSED : _UNSEEN_S + 1] = 0.0
        fresh[_SCORE] += scores
        self._cells[:, rows] = fresh

    def vote(self, rows: NDArray[np.intp], class_id: NDArray[np.intp], scores: Floats) -> None:
        """Add each detection's score to its class and settle the tracks' classes anew."""
        self._make_room_for(int(class_id.max()))
        self._votes[rows, class_id] += scores
        if (self._cells[_CLASS, rows] != class_id).any():
            self._cells[_CLASS, rows] = self._votes[rows].argmax(axis=1)

    def add(self, states: Floats, boxes: Floats, scores: Floats, class_id: NDArray[np.intp], group: Floats) -> None:
        """Append tentative tracks with their first detection."""
        count = boxes.shape[1]
        born = np.zeros((_ROWS, count), np.float64)
        born[_STATE] = states.reshape(20, count)
        born[_SEEN] = boxes
        born[_GROUP] = group
        born[_CLASS] = class_id
        born[_HITS] = born[_UPDATES] = 1.0
        born[_SCORE] = scores
        self._make_room_for(int(class_id.max()))
        votes = np.zeros((count, self._votes.shape[1]), np.float64)
        votes[np.arange(count), class_id] = scores
        self._cells = np.concatenate([self._cells, born], axis=1)
        self._votes = np.concatenate([self._votes, votes])

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
