"""Detections of one camera become tracks with ids that last.

A two-stage tracker in the manner of ByteTrack (Zhang et al., 2022): detections with good scores are matched first,
weak ones may only continue a track, and what is left may recover a track that was lost. See ``motion_model`` for
how tracks move, ``overlap`` for what makes a detection resemble a track, and ``assignment`` for who gets whom.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_agent.track.affinity import precedence, reachable, similarity
from edge_agent.track.assignment import assign
from edge_agent.track.candidates import Candidates
from edge_agent.track.classes import ClassGroups
from edge_agent.track.motion_model import POSITION, MotionModel
from edge_agent.track.overlap import areas, shared_areas
from edge_agent.track.settings import TrackSettings
from edge_agent.track.table import TrackTable, centred, corners
from edge_agent.track.view import View
from edge_agent.types import Detections, Tracks

Indices = NDArray[np.intp]

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
        """Forget all tracks; ids go on from where they were."""
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
        found = Candidates.of(detections, low_score=settings.low_score, groups=self._groups)
        self._motion.advance(table.states, elapsed_s)
        table.age(elapsed_s)
        taken = np.full(len(found), -1, np.intp)
        if len(found):
            self._view.widen(found.boxes)
        if len(found) and len(table):
            taken = self._associate(found)
        self._touch(found, taken)
        self._start(found, taken)
        self._confirm()
        touched = self._tracks(found, taken)
        return self._drop(touched)

    def finish(self) -> tuple[int, ...]:
        ids = self._table.track_id
        ended = tuple(sorted(ids[ids > 0].astype(int).tolist()))
        self.reset()
        return ended

    def reset(self) -> None:
        self._table = TrackTable()
        self._last_time_s = None

    def _elapsed(self, time_s: float) -> float:
        last_s, self._last_time_s = self._last_time_s, time_s
        if last_s is None:
            return 0.0
        return min(max(time_s - last_s, 0.0), self._settings.max_gap_s)

    # Who goes with whom

    def _associate(self, found: Candidates) -> Indices:
        """Return the row of the track that each detection continues, -1 where none."""
        settings, table = self._settings, self._table
        taken = np.full(len(found), -1, np.intp)
        free = np.ones(len(table), np.bool_)
        fit = similarity(table, found, settings)
        claim = precedence(table)[:, None]
        strong = found.score >= settings.high_score
        confirmed = table.track_id > 0

        def pair(tracks: NDArray[np.bool_], detections: NDArray[np.bool_], at_least: float) -> None:
            gain = fit - at_least
            np.maximum(gain, 0.0, out=gain)
            gain *= claim
            gain *= tracks[:, None]
            gain *= detections
            rows, columns = assign(gain)
            taken[columns] = rows
            free[rows] = False

        pair(confirmed, strong, settings.min_similarity)
        if not strong.all() and free.any():
            weak = ~strong & ~_covered(found, strong, settings.shadow_overlap)
            pair(free & confirmed, weak, settings.min_weak_similarity)
        left_over = strong & (taken < 0)
        if left_over.any():
            pair(free & ~confirmed, left_over, settings.min_similarity)
            self._recover(found, taken, free, strong & (taken < 0))
        return taken

    def _recover(self, found: Candidates, taken: Indices, free: NDArray[np.bool_], wanted: NDArray[np.bool_]) -> None:
        """Give detections without overlap to tracks that could have come there, by distance and size."""
        rows, columns = free.nonzero()[0], wanted.nonzero()[0]
        if len(rows) == 0 or len(columns) == 0:
            return
        chosen, gotten = assign(reachable(self._table, rows, found, columns, self._settings))
        taken[columns[gotten]] = rows[chosen]

    # What becomes of them

    def _touch(self, found: Candidates, taken: Indices) -> None:
        columns = (taken >= 0).nonzero()[0]
        if len(columns) == 0:
            return
        rows, boxes, scores = taken[columns], found.boxes[:, columns], found.score[columns]
        states = self._motion.correct(self._table.states.take(rows, axis=2), centred(boxes))
        self._table.touch(rows, states, boxes, scores)
        self._table.vote(rows, found.class_id[columns], scores)

    def _start(self, found: Candidates, taken: Indices) -> None:
        """Start tentative tracks from good detections that belong to no track."""
        columns = ((taken < 0) & (found.score >= self._settings.high_score)).nonzero()[0]
        if len(columns) == 0:
            return
        taken[columns] = np.arange(len(self._table), len(self._table) + len(columns))
        boxes = found.boxes[:, columns]
        self._table.add(
            self._motion.start(centred(boxes)),
            boxes,
            found.score[columns],
            found.class_id[columns],
            found.group[columns].astype(np.float64),
        )

    def _confirm(self) -> None:
        """Give ids to tentative tracks that were seen often enough, unless they only shadow another track."""
        settings, table = self._settings, self._table
        tentative = table.track_id == 0
        if not tentative.any():
            return
        enough = (table.hits >= settings.confirm_hits) & (table.score_sum >= settings.confirm_score_sum)
        ripe = tentative & (table.missed == 0) & enough
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

    def _drop(self, touched: Tracks) -> Tracks:
        """Forget tracks that were not seen for too long; those with an id end."""
        settings, table = self._settings, self._table
        confirmed = table.track_id > 0
        leaving = self._view.left_by(table.seen, table.states)
        limit_s = np.where(leaving, settings.leaving_s, settings.lost_s)
        expired = (table.unseen_s > limit_s) & (table.missed >= settings.lost_updates)
        hopeless = (table.missed > settings.tentative_updates) & (table.unseen_s > settings.tentative_s)
        gone = np.where(confirmed, expired, hopeless)
        if not gone.any():
            return touched
        ended = table.track_id[gone & confirmed].astype(int).tolist()
        table.keep(~gone)
        return Tracks(
            touched.track_id,
            touched.xyxy,
            touched.score,
            touched.class_id,
            touched.detection_index,
            tuple(sorted(ended)),
        )

    def _tracks(self, found: Candidates, taken: Indices) -> Tracks:
        table = self._table
        columns = (taken >= 0).nonzero()[0]
        rows = taken[columns]
        ids = table.track_id[rows]
        shown = ids > 0
        rows, columns, ids = rows[shown], columns[shown], ids[shown]
        order = ids.argsort()
        rows, columns = rows[order], columns[order]
        estimate = corners(table.states[POSITION][:, rows])
        return Tracks(
            track_id=ids[order].astype(np.int64),
            xyxy=((1.0 - _TRUST) * estimate + _TRUST * found.boxes[:, columns]).T.astype(np.float32),
            score=found.score[columns].astype(np.float32),
            class_id=table.class_id[rows].astype(np.int32),
            detection_index=found.index[columns].astype(np.int64),
        )


def _covered(found: Candidates, strong: NDArray[np.bool_], shadow_overlap: float) -> NDArray[np.bool_]:
    """Return which detections lie so much within a strong one of their group that they are taken for parts of it."""
    boxes = found.boxes[:, strong]
    share = shared_areas(found.boxes, boxes) / np.minimum(areas(found.boxes)[:, None], areas(boxes))
    share *= found.group[:, None] == found.group[strong]
    return share.max(axis=1, initial=0.0) >= shadow_overlap
