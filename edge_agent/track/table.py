"""All tracks of one tracker: where they are, as arrays for all at once, and what else is known, one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from edge_agent.track.candidates import Box, Candidates
from edge_agent.track.motion_model import CENTRE, POSITION, VARIANCE, VELOCITY, Floats, MotionModel
from edge_agent.types import ViewChange

Pairs = list[tuple[int, int]]
"""Rows of the table and columns of the candidates that belong together."""

SWITCH_RATIO = 1.2
"""By how much the votes for another class must outweigh those for a track's class to change it: two that a detector
cannot distinguish do not alternate."""
_WHOLE_WIDTH, _WHOLE_FOR_S = 0.9, 1.5
_HIDDEN_WIDTH, _HIDDEN_HEIGHT = 0.75, 0.75
"""A box that is this much narrower, but about as high as before, is being hidden from one side."""


@dataclass(slots=True)
class Track:
    """What is known of one object, its place and its movement aside."""

    group: int
    class_id: int
    """The class that the detections have voted for, by their scores."""
    seen: Box
    """The box of the last detection."""
    score_sum: float
    votes: dict[int, float] = field(default_factory=dict[int, float])
    """Sum of scores by class."""
    hits: int = 1
    track_id: int = 0
    """Zero while the track is tentative."""
    missed: int = 0
    """Updates since the last detection."""
    unseen_s: float = 0.0
    history: list[tuple[float, Box, float]] = field(default_factory=list[tuple[float, Box, float]])
    """Time, box and score of each detection while the track is tentative."""
    whole: Floats | None = None
    """Position and velocity, ``(2, 4)``, when the box last had its full width."""
    whole_age_s: float = 0.0
    hidden: bool = False
    """Whether something else hid it, from one side, before it went out of sight."""
    leaving: bool = False
    """Whether it went out of sight on its way out of the picture."""

    def see(self, found: Candidates, column: int) -> None:
        """Note one more detection."""
        score, class_id = found.score[column], found.class_id[column]
        self.seen = found.boxes[column]
        self.score_sum += score
        self.hits += 1
        self.missed = 0
        self.unseen_s = 0.0
        self.leaving = self.hidden = False
        votes = self.votes
        votes[class_id] = votes.get(class_id, 0.0) + score
        if class_id != self.class_id and votes[class_id] > SWITCH_RATIO * votes.get(self.class_id, 0.0):
            self.class_id, self.group = class_id, found.group[column]


class TrackTable:
    """Row n of ``tracks`` is column n of ``states``."""

    def __init__(self) -> None:
        self.tracks: list[Track] = []
        self.states: Floats = np.empty((6, 4, 0), np.float64)
        """See ``motion_model``; kept contiguous, as it wants them."""

    def __len__(self) -> int:
        return len(self.tracks)

    def advance(self, elapsed_s: float, motion: MotionModel) -> None:
        """Count one more update, as if it touched no track."""
        motion.advance(self.states, elapsed_s)
        for track in self.tracks:
            track.missed += 1
            track.unseen_s += elapsed_s
            track.whole_age_s += elapsed_s

    def touch(self, pairs: Pairs, found: Candidates, motion: MotionModel) -> None:
        """Note the detections of those tracks that have one."""
        column_of = [-1] * len(self.tracks)
        for row, column in pairs:
            column_of[row] = column
            self.tracks[row].see(found, column)
        unmeasured = [row for row, column in enumerate(column_of) if column < 0]
        motion.correct(self.states, found.centred.take(column_of, axis=1), unmeasured=unmeasured)
        for row, column in pairs:
            self._note_whole(row, float(found.centred[2, column]))

    def _note_whole(self, row: int, width: float) -> None:
        track = self.tracks[row]
        if track.whole is None or width >= _WHOLE_WIDTH * track.whole[0, 2] or track.whole_age_s > _WHOLE_FOR_S:
            track.whole, track.whole_age_s = self.states[: VELOCITY + 1, :, row].copy(), 0.0

    def coast(self, row: int) -> None:
        """Let a track that something hid from one side go on from where it was last seen whole, at the speed it had.

        What is left of a box that is being hidden narrows, and its centre slows down: a path that was led by it would
        stop beside the obstacle. Starting again at the last good observation is what OC-SORT (Cao et al., 2023) does
        once the object is back; here it is done as the object goes, so that it is expected where it comes out.
        """
        track = self.tracks[row]
        whole = track.whole
        if whole is None or track.whole_age_s > _WHOLE_FOR_S:
            return
        left, top, right, bottom = track.seen
        narrowed = right - left < _HIDDEN_WIDTH * whole[0, 2]
        if not narrowed or bottom - top < _HIDDEN_HEIGHT * whole[0, 3]:
            return
        track.hidden = True
        self.states[POSITION, :, row], self.states[VELOCITY, :, row] = whole[0], 0.0
        self.states[VELOCITY, CENTRE, row] = whole[1, CENTRE]
        self.states[POSITION, CENTRE, row] += whole[1, CENTRE] * track.whole_age_s

    def add(self, columns: Sequence[int], found: Candidates, motion: MotionModel) -> None:
        """Append tentative tracks with their first detection."""
        born = motion.start(found.centred.take(columns, axis=1))
        self.states = np.concatenate([self.states, born], axis=2)
        for column in columns:
            class_id, score = found.class_id[column], found.score[column]
            votes = {class_id: score}
            self.tracks.append(Track(found.group[column], class_id, found.boxes[column], score, votes))

    def move_view(self, change: ViewChange) -> None:
        """Move places to where they lie now; speeds and uncertainties scale with the picture."""
        scale = np.array((change.scale_x, change.scale_y) * 2)[:, None]
        self.states[: VELOCITY + 1] *= scale
        self.states[VARIANCE:] *= scale * scale
        self.states[POSITION, CENTRE] += np.array((change.shift_x_px, change.shift_y_px))[:, None]
        for track in self.tracks:
            track.seen = list(change.box(track.seen))
            track.whole = None
            track.history = [(time_s, list(change.box(box)), score) for time_s, box, score in track.history]

    def keep(self, rows: Sequence[int]) -> None:
        """Forget all tracks but these."""
        self.states = self.states.take(rows, axis=2)
        self.tracks = [self.tracks[row] for row in rows]
