"""Detections of one camera become tracks with ids that last.

A two-stage tracker in the manner of ByteTrack (Zhang et al., 2022): detections with good scores are matched first,
weak ones may only continue a track, and what is left may recover a track that was lost. See ``motion_model`` for
how tracks move, ``overlap`` for what makes a detection resemble a track, and ``assignment`` for who gets whom.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import isfinite
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_agent.track.affinity import AFTERWARDS, covered, precedence, reachable, similarity
from edge_agent.track.assignment import assign
from edge_agent.track.candidates import Candidates
from edge_agent.track.classes import ClassGroups
from edge_agent.track.motion_model import POSITION, MotionModel
from edge_agent.track.overlap import areas, shared_areas
from edge_agent.track.settings import TrackSettings
from edge_agent.track.table import Touch, TrackTable, corners
from edge_agent.track.view import View
from edge_agent.types import Detections, Tracks

Indices = NDArray[np.intp]
Pairs = tuple[Indices, Indices]
"""Rows of the table and columns of the candidates that belong together."""

_TRUST = 0.4
"""Share of the detection in the box that is reported, the rest being the filter's estimate: the estimate alone lags
when an object turns or is cut by the picture's edge, the detection alone jitters."""


class Tracker(Protocol):
    """Gives objects ids that last from frame to frame."""

    def update(self, detections: Detections, *, time_s: float) -> Tracks:
        """Take in what the detector found at ``time_s``, which may come at any cadence; an empty frame counts."""
        ...

    def finish(self) -> tuple[int, ...]:
        """End all open tracks and return the ids of the confirmed ones, ascending."""
        ...

    def reset(self) -> None:
        """Forget all tracks without ending them; ids go on from where they were."""
        ...


class ByteTracker:
    """The tracker that ships. One instance a camera; ids count from 1 in each."""

    def __init__(
        self,
        settings: TrackSettings | None = None,
        *,
        labels: Sequence[str] = (),
        motion: MotionModel | None = None,
    ) -> None:
        """``labels`` are the detector's, to know which class ids it confuses; without them each class stands alone."""
        self._settings = settings or TrackSettings()
        self._groups = ClassGroups(labels=labels, confusable=self._settings.confusable_classes)
        self._motion = motion or MotionModel()
        self._patience = max(1, min(self._settings.lost_updates, self._settings.tentative_updates + 1))
        """Misses in a row below which no track is dropped."""
        self._table = TrackTable()
        self._view = View()
        self._last_id = 0
        self._last_time_s: float | None = None

    @property
    def unsettled(self) -> int:
        """Confirmed tracks that the last update did not see, and tentative ones: a reason to go on looking."""
        table = self._table
        return int(((table.missed > 0) | (table.track_id == 0)).sum())

    def update(self, detections: Detections, *, time_s: float) -> Tracks:
        settings, table = self._settings, self._table
        elapsed_s = self._elapsed(time_s)
        found = Candidates.of(
            detections, low_score=settings.low_score, high_score=settings.high_score, groups=self._groups
        )
        self._motion.advance(table.states, elapsed_s)
        table.age(elapsed_s)
        rows = columns = np.empty(0, np.intp)
        if len(found):
            self._view.widen(found.boxes)
            rows, columns = self._continue_tracks(found)
            rows, columns = self._start_tracks(found, rows, columns)
        if len(rows):
            self._confirm()
        self._note_who_left()
        return self._drop(self._tracks(found, rows, columns))

    def finish(self) -> tuple[int, ...]:
        ids = self._table.track_id
        ended = tuple(sorted(ids[ids > 0].astype(int).tolist()))
        self.reset()
        return ended

    def reset(self) -> None:
        self._table = TrackTable()
        self._view = View()
        self._last_time_s = None

    def _elapsed(self, time_s: float) -> float:
        """Return the time since the last update, as far as it counts; a clock that went back starts anew from there."""
        if not isfinite(time_s):
            return 0.0
        last_s, self._last_time_s = self._last_time_s, time_s
        if last_s is None:
            return 0.0
        return min(max(time_s - last_s, 0.0), self._settings.max_gap_s)

    def _continue_tracks(self, found: Candidates) -> Pairs:
        """Pair tracks with detections and note them."""
        if len(self._table) == 0:
            return np.empty(0, np.intp), np.empty(0, np.intp)
        rows, columns = self._recover(found, *self._associate(found))
        if len(rows):
            self._table.touch(rows, _touch(found, columns), self._motion)
        return rows, columns

    def _associate(self, found: Candidates) -> Pairs:
        """Pair by overlap: established tracks with strong detections first, then with weak ones; then tentative tracks.

        One assignment does for all ranks, as pairs of a lower one weigh next to nothing beside those of a higher.
        """
        settings, table, strong = self._settings, self._table, found.strong
        gain = similarity(table, found, settings)
        gain[:, :strong] -= settings.min_similarity
        claim = precedence(table)
        if strong < len(found):
            gain[:, strong:] -= settings.min_weak_similarity
            gain[:, strong:] *= AFTERWARDS * ~covered(found, settings.shadow_overlap)
            gain[table.track_id == 0, strong:] = 0.0
        np.maximum(gain, 0.0, out=gain)
        gain *= claim[:, None]
        return assign(gain)

    def _recover(self, found: Candidates, rows: Indices, columns: Indices) -> Pairs:
        """Give strong detections that are left over to tracks that could have come there without any overlap."""
        spare = _others(columns, found.strong)
        free = _others(rows, len(self._table)) if len(spare) else spare
        if len(free) == 0:
            return rows, columns
        chosen, gotten = assign(reachable(self._table, free, found, spare, self._settings))
        return np.concatenate([rows, free[chosen]]), np.concatenate([columns, spare[gotten]])

    def _start_tracks(self, found: Candidates, rows: Indices, columns: Indices) -> Pairs:
        """Start tentative tracks from strong detections that belong to no track."""
        spare = _others(columns, found.strong)
        if len(spare) == 0:
            return rows, columns
        born = np.arange(len(self._table), len(self._table) + len(spare))
        self._table.add(_touch(found, spare), found.group[spare], self._motion)
        return np.concatenate([rows, born]), np.concatenate([columns, spare])

    def _confirm(self) -> None:
        """Give ids to tentative tracks that were seen often enough, unless they only shadow another track."""
        settings, table = self._settings, self._table
        if table.track_id.all():
            return
        enough = (table.hits >= settings.confirm_hits) & (table.score_sum >= settings.confirm_score_sum)
        ripe = (table.track_id == 0) & (table.missed == 0) & enough
        for row in ripe.nonzero()[0].tolist():
            if not self._shadowed(row):
                self._last_id += 1
                table.track_id[row] = self._last_id

    def _shadowed(self, row: int) -> bool:
        table = self._table
        others = (table.track_id > 0) & (table.missed == 0) & (table.group == table.group[row])
        if not others.any():
            return False
        box, rest = table.seen[:, row : row + 1], table.seen[:, others]
        covered = shared_areas(box, rest)[0] / np.minimum(areas(box), areas(rest))
        return bool(covered.max() >= self._settings.shadow_overlap)

    def _note_who_left(self) -> None:
        """Judge those who have just gone out of sight, while their speeds still tell."""
        table = self._table
        just_gone = np.flatnonzero(table.missed == 1.0)
        if len(just_gone):
            states = table.states.take(just_gone, axis=2)
            table.leaving[just_gone] = self._view.left_by(table.seen.take(just_gone, axis=1), states)

    def _drop(self, touched: Tracks) -> Tracks:
        """Forget tracks that were not seen for too long; those with an id end."""
        settings, table = self._settings, self._table
        if len(table) == 0 or table.missed.max() < self._patience:
            return touched
        confirmed = table.track_id > 0
        limit_s = np.where(table.leaving, settings.leaving_s, settings.lost_s)
        expired = (table.unseen_s > limit_s) & (table.missed >= settings.lost_updates)
        hopeless = (table.missed > settings.tentative_updates) & (table.unseen_s > settings.tentative_s)
        gone = np.where(confirmed, expired, hopeless)
        if not gone.any():
            return touched
        ended = table.track_id[gone & confirmed].astype(int).tolist()
        table.keep(~gone)
        return replace(touched, ended=tuple(sorted(ended)))

    def _tracks(self, found: Candidates, rows: Indices, columns: Indices) -> Tracks:
        table = self._table
        ids = table.track_id[rows]
        if not ids.all():
            shown = ids > 0
            rows, columns, ids = rows[shown], columns[shown], ids[shown]
        boxes = corners(table.states[POSITION].take(rows, axis=1))
        boxes += _TRUST * (found.boxes.take(columns, axis=1) - boxes)
        return Tracks(
            track_id=ids.astype(np.int64),
            xyxy=boxes.T.astype(np.float32),
            score=found.score[columns].astype(np.float32),
            class_id=table.class_id[rows].astype(np.int32),
            detection_index=found.index[columns],
        )


def _touch(found: Candidates, columns: Indices) -> Touch:
    return Touch(
        boxes=found.boxes.take(columns, axis=1),
        centred=found.centred.take(columns, axis=1),
        score=found.score[columns],
        class_id=found.class_id[columns],
    )


def _others(taken: Indices, count: int) -> Indices:
    """Return which of ``count`` indices are not among ``taken`` (which are distinct and may hold greater ones too)."""
    taken = taken[taken < count]
    if len(taken) == count:
        return np.empty(0, np.intp)
    free = np.ones(count, np.bool_)
    free[taken] = False
    return np.flatnonzero(free)
