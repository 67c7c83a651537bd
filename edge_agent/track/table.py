"""The tracks of one tracker: their motion states as one array, and the rest as one object per track."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from edge_agent.track.candidates import Box, Candidates
from edge_agent.track.motion_model import CENTRE, POSITION, VARIANCE, VELOCITY, Floats, MotionModel
from edge_agent.types import ViewChange

Pairs = list[tuple[int, int]]
"""Matched pairs: a row of the table and a column of the candidates."""

SWITCH_RATIO = 1.2
"""Factor by which the votes for another class must exceed those for the track's class to change it, so that two classes
that a detector cannot distinguish do not alternate."""
_WHOLE_WIDTH, _WHOLE_FOR_S = 0.9, 1.5
_HIDDEN_WIDTH, _HIDDEN_HEIGHT = 0.75, 0.75
"""A box that is narrower than this, but about as high as before, is being hidden from one side."""


@dataclass(slots=True)
class Track:
    """One track, without its motion state."""

    group: int
    class_id: int
    """The class with the most votes; each detection votes with its score."""
    seen: Box
    """The box of the last detection."""
    score_sum: float
    votes: dict[int, float] = field(default_factory=dict[int, float])
    """Sum of scores by class."""
    hits: int = 1
    track_id: int = 0
    """0 while the track is tentative."""
    missed: int = 0
    """Updates since the last detection."""
    unseen_s: float = 0.0
    history: list[tuple[float, Box, float]] = field(default_factory=list[tuple[float, Box, float]])
    """Time, box and score of each detection while the track is tentative."""
    whole: Floats | None = None
    """Position and velocity, ``(2, 4)``, when the box last had its full width."""
    full_width_age_s: float = 0.0
    hidden: bool = False
    """Whether another object hid it from one side before its detections ended."""
    leaving: bool = False
    """Whether it left the image when its detections ended."""

    def add(self, candidates: Candidates, column: int) -> None:
        """Add a detection."""
        score, class_id = candidates.score[column], candidates.class_id[column]
        self.seen = candidates.boxes[column]
        self.score_sum += score
        self.hits += 1
        self.missed = 0
        self.unseen_s = 0.0
        self.leaving = self.hidden = False
        votes = self.votes
        votes[class_id] = votes.get(class_id, 0.0) + score
        if class_id != self.class_id and votes[class_id] > SWITCH_RATIO * votes.get(self.class_id, 0.0):
            self.class_id, self.group = class_id, candidates.group[column]


class TrackTable:
    """Row n of ``tracks`` belongs to column n of ``states``."""

    def __init__(self) -> None:
        self.tracks: list[Track] = []
        self.states: Floats = np.empty((6, 4, 0), np.float64)
        """``(6, 4, N)``, see ``motion_model``; always contiguous, as required there."""

    def __len__(self) -> int:
        return len(self.tracks)

    def advance(self, elapsed_s: float, motion: MotionModel) -> None:
        """Predict all tracks ``elapsed_s`` ahead and count one more update without a detection for each."""
        motion.advance(self.states, elapsed_s)
        for track in self.tracks:
            track.missed += 1
            track.unseen_s += elapsed_s
            track.full_width_age_s += elapsed_s

    def correct(self, pairs: Pairs, candidates: Candidates, motion: MotionModel) -> None:
        """Correct the matched tracks with their detections."""
        column_of = [-1] * len(self.tracks)
        for row, column in pairs:
            column_of[row] = column
            self.tracks[row].add(candidates, column)
        unmeasured = [row for row, column in enumerate(column_of) if column < 0]
        motion.correct(self.states, candidates.centred.take(column_of, axis=1), unmeasured=unmeasured)
        for row, column in pairs:
            self._note_full_width(row, float(candidates.centred[2, column]))

    def _note_full_width(self, row: int, width: float) -> None:
        track = self.tracks[row]
        if track.whole is None or width >= _WHOLE_WIDTH * track.whole[0, 2] or track.full_width_age_s > _WHOLE_FOR_S:
            track.whole, track.full_width_age_s = self.states[: VELOCITY + 1, :, row].copy(), 0.0

    def coast(self, row: int) -> None:
        """Restart the prediction of a track that was hidden from one side from its last full-width position and speed.

        The visible part of a box that is being hidden narrows, and its centre slows down, so the predicted path would
        end at the obstacle. OC-SORT (Cao et al., 2023) restarts from the last good observation once the object is back;
        here it is done when the object disappears, so that the prediction is right where the object reappears.
        """
        track = self.tracks[row]
        whole = track.whole
        if whole is None or track.full_width_age_s > _WHOLE_FOR_S:
            return
        left, top, right, bottom = track.seen
        narrowed = right - left < _HIDDEN_WIDTH * whole[0, 2]
        if not narrowed or bottom - top < _HIDDEN_HEIGHT * whole[0, 3]:
            return
        track.hidden = True
        self.states[POSITION, :, row], self.states[VELOCITY, :, row] = whole[0], 0.0
        self.states[VELOCITY, CENTRE, row] = whole[1, CENTRE]
        self.states[POSITION, CENTRE, row] += whole[1, CENTRE] * track.full_width_age_s

    def add(self, columns: Sequence[int], candidates: Candidates, motion: MotionModel) -> None:
        """Append one tentative track for each of these detections."""
        started = motion.start(candidates.centred.take(columns, axis=1))
        self.states = np.concatenate([self.states, started], axis=2)
        for column in columns:
            class_id, score = candidates.class_id[column], candidates.score[column]
            votes = {class_id: score}
            self.tracks.append(Track(candidates.group[column], class_id, candidates.boxes[column], score, votes))

    def move_view(self, change: ViewChange) -> None:
        """Apply a view change to all positions; speeds and uncertainties are scaled with the image."""
        scale = np.array((change.scale_x, change.scale_y) * 2)[:, None]
        self.states[: VELOCITY + 1] *= scale
        self.states[VARIANCE:] *= scale * scale
        self.states[POSITION, CENTRE] += np.array((change.shift_x_px, change.shift_y_px))[:, None]
        for track in self.tracks:
            track.seen = list(change.box(track.seen))
            track.whole = None
            track.history = [(time_s, list(change.box(box)), score) for time_s, box, score in track.history]

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all tracks except those in ``rows``."""
        self.states = self.states.take(rows, axis=2)
        self.tracks = [self.tracks[row] for row in rows]
