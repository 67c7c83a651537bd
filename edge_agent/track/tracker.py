"""Multi-object tracking of one camera's detections: tracks with lasting ids.

A two-stage tracker like ByteTrack (Zhang et al., 2022): detections with good scores are matched first, weak ones may
only continue a track, and the remaining ones may recover a lost track. See ``motion_model`` for the prediction,
``affinity`` for the similarity of detections and tracks, and ``association`` for the matching.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import isfinite
from typing import Protocol

import numpy as np

from edge_agent.track.affinity import shadowed
from edge_agent.track.association import Associator, unmatched
from edge_agent.track.candidates import Candidates
from edge_agent.track.classes import ClassGroups
from edge_agent.track.motion_model import POSITION, VELOCITY, MotionModel, corners
from edge_agent.track.scene_bounds import SceneBounds
from edge_agent.track.settings import TrackSettings
from edge_agent.track.table import Pairs, Track, TrackTable
from edge_agent.types import Detections, EarlierDetection, Tracks, ViewChange

_MAX_HISTORY = 60
"""Maximum detections that are remembered of a tentative track."""
_DETECTION_WEIGHT = 0.4
"""Weight of the detection in the reported box; the rest is the filter's estimate. The estimate alone lags when an
object turns or is truncated by the edge of the image; the detection alone jitters."""


class Tracker(Protocol):
    """Gives objects ids that last from frame to frame."""

    def update(self, detections: Detections, *, time_s: float, frame_size: tuple[int, int] | None = None) -> Tracks:
        """Add the detections of the frame at ``time_s``, at any frame rate; frames without detections count.

        With ``frame_size`` (width, height), objects that leave the image are distinguished from objects that are hidden
        inside it.
        """
        ...

    def move_view(self, change: ViewChange) -> None:
        """Apply a view change to the positions of all tracks."""
        ...

    def finish(self) -> tuple[int, ...]:
        """End all open tracks and return the ids of the confirmed ones, ascending."""
        ...

    def reset(self) -> None:
        """Drop all tracks without ending them; ids continue to count."""
        ...


class ByteTracker:
    """The default ``Tracker``. Use one instance per camera; ids count from 1 in each."""

    def __init__(
        self,
        settings: TrackSettings | None = None,
        *,
        labels: Sequence[str] = (),
        motion: MotionModel | None = None,
    ) -> None:
        """``labels``: the detector's class names, for the groups of confusable classes; empty means no groups."""
        self._settings = settings or TrackSettings()
        self._groups = ClassGroups(labels=labels, confusable=self._settings.confusable_classes)
        self._associator = Associator(self._settings, labels=labels)
        self._motion = motion or MotionModel()
        self._min_misses = max(1, min(self._settings.lost_updates, self._settings.tentative_updates + 1))
        """Tracks with fewer consecutive misses are never dropped."""
        self._table = TrackTable()
        self._bounds = SceneBounds()
        self._last_id = 0
        self._last_time_s: float | None = None

    def update(self, detections: Detections, *, time_s: float, frame_size: tuple[int, int] | None = None) -> Tracks:
        self._bounds.frame_size = frame_size
        settings, table = self._settings, self._table
        candidates = Candidates.of(
            detections, low_score=settings.low_score, high_score=settings.high_score, groups=self._groups
        )
        table.advance(self._elapsed(time_s), self._motion)
        pairs: Pairs = []
        earlier: tuple[EarlierDetection, ...] = ()
        if len(candidates):
            self._bounds.widen(candidates.hull)
            pairs = self._continue_tracks(candidates)
            pairs += self._start_tracks(candidates, pairs)
            self._remember(candidates, pairs, time_s)
            earlier = self._confirm()
        self._mark_leaving()
        detected = self._detected(candidates, pairs)
        ended = self._drop()
        return replace(detected, ended=ended, earlier=earlier) if ended or earlier else detected

    def move_view(self, change: ViewChange) -> None:
        self._table.move_view(change)
        self._bounds.move_view(change)

    def finish(self) -> tuple[int, ...]:
        ended = _ids(self._table.tracks)
        self.reset()
        return ended

    def reset(self) -> None:
        self._table = TrackTable()
        self._bounds = SceneBounds()
        self._last_time_s = None

    def _elapsed(self, time_s: float) -> float:
        """Return the seconds since the last update, limited to ``max_gap_s``; 0 if the clock went backwards."""
        if not isfinite(time_s):
            return 0.0
        last_s, self._last_time_s = self._last_time_s, time_s
        if last_s is None:
            return 0.0
        return min(max(time_s - last_s, 0.0), self._settings.max_gap_s)

    def _continue_tracks(self, candidates: Candidates) -> Pairs:
        """Match detections with tracks and correct these tracks."""
        table = self._table
        if len(table) == 0:
            return []
        pairs, leaps = self._associator.match(table, candidates)
        for row, column in leaps:
            self._motion.restart(table.states, row, candidates.centred[:, column], table.tracks[row].unseen_s)
        pairs += leaps
        if pairs:
            table.correct(pairs, candidates, self._motion)
        return pairs

    def _start_tracks(self, candidates: Candidates, pairs: Pairs) -> Pairs:
        """Start tentative tracks from unmatched strong detections."""
        spare = unmatched((column for _, column in pairs), candidates.strong)
        first = len(self._table)
        if spare:
            self._table.add(spare, candidates, self._motion)
        return [(first + number, column) for number, column in enumerate(spare)]

    def _remember(self, candidates: Candidates, pairs: Pairs, time_s: float) -> None:
        """Remember the detections of tentative tracks, which are reported once the track is confirmed."""
        for row, column in pairs:
            track = self._table.tracks[row]
            if track.track_id == 0:
                track.history.append((time_s, candidates.boxes[column], candidates.score[column]))
                del track.history[:-_MAX_HISTORY]

    def _confirm(self) -> tuple[EarlierDetection, ...]:
        """Give ids to tentative tracks with enough detections, unless another track covers them.

        Returns the earlier detections of the tracks that were confirmed.
        """
        settings, tracks = self._settings, self._table.tracks
        earlier: list[EarlierDetection] = []
        for track in tracks:
            if (
                track.track_id == 0
                and track.missed == 0
                and track.hits >= settings.confirm_hits
                and track.score_sum >= settings.confirm_score_sum
                and not shadowed(track, tracks, settings.shadow_overlap)
            ):
                self._last_id += 1
                track.track_id = self._last_id
                earlier += [
                    EarlierDetection(track.track_id, time_s, (box[0], box[1], box[2], box[3]), score)
                    for time_s, box, score in track.history[:-1]
                ]
                track.history.clear()
        return tuple(earlier)

    def _mark_leaving(self) -> None:
        """Decide which tracks left the view, at their first miss, while their velocities are still reliable."""
        for row, track in enumerate(self._table.tracks):
            if track.missed == 1:
                position, velocity = self._table.states[: VELOCITY + 1, :, row].tolist()
                track.leaving = self._bounds.left_by(track.seen, position, velocity)
                if track.track_id and not track.leaving:
                    self._table.coast(row)

    def _drop(self) -> tuple[int, ...]:
        """Drop tracks without detections for too long; return the ids of those that were confirmed."""
        tracks = self._table.tracks
        kept = [row for row, track in enumerate(tracks) if track.missed < self._min_misses or not self._is_over(track)]
        if len(kept) == len(tracks):
            return ()
        dropped = set(range(len(tracks))).difference(kept)
        self._table.keep(kept)
        return _ids(tracks[row] for row in dropped)

    def _is_over(self, track: Track) -> bool:
        settings = self._settings
        if track.track_id == 0:
            return track.missed > settings.tentative_updates and track.unseen_s > settings.tentative_s
        limit_s = settings.leaving_s if track.leaving else settings.lost_s
        return track.unseen_s > limit_s and track.missed >= settings.lost_updates

    def _detected(self, candidates: Candidates, pairs: Pairs) -> Tracks:
        """Return the confirmed tracks that have a detection in this frame."""
        tracks = self._table.tracks
        confirmed = [(row, tracks[row], column) for row, column in pairs if tracks[row].track_id]
        columns = [column for _, _, column in confirmed]
        boxes = corners(self._table.states[POSITION].take([row for row, _, _ in confirmed], axis=1))
        boxes += _DETECTION_WEIGHT * (candidates.corners.take(columns, axis=0) - boxes)
        return Tracks(
            track_id=np.array([track.track_id for _, track, _ in confirmed], np.int64),
            xyxy=boxes.astype(np.float32),
            score=np.array([candidates.score[column] for column in columns], np.float32),
            class_id=np.array([track.class_id for _, track, _ in confirmed], np.int32),
            detection_index=np.array([candidates.index[column] for column in columns], np.int64),
        )


def _ids(tracks: Iterable[Track]) -> tuple[int, ...]:
    """Return the ids of the confirmed tracks, ascending."""
    return tuple(sorted(track.track_id for track in tracks if track.track_id))
