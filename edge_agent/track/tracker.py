"""Detections of one camera become tracks with ids that last.

A two-stage tracker in the manner of ByteTrack (Zhang et al., 2022): detections with good scores are matched first,
weak ones may only continue a track, and what is left may recover a track that was lost. See ``motion_model`` for
how tracks move, ``affinity`` for what makes a detection resemble a track, and ``assignment`` for who gets whom.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import isfinite
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_agent.boxes import box_iou, overlaps_any
from edge_agent.track.affinity import (
    AFTERWARDS,
    OTHER_CLASS,
    covered,
    distances,
    leapable,
    mutually_nearest,
    precedence,
    reachable,
    shadowed,
    similarity,
)
from edge_agent.track.assignment import Offer, assign
from edge_agent.track.candidates import Candidates
from edge_agent.track.classes import ClassGroups
from edge_agent.track.motion_model import CENTRE, POSITION, VELOCITY, MotionModel, corners
from edge_agent.track.scene_bounds import View
from edge_agent.track.settings import TrackSettings
from edge_agent.track.table import Pairs, Track, TrackTable
from edge_agent.types import Detections, EarlierDetection, Tracks, ViewChange

_LEAP_MOST_S, _LEAP_MOST_SIZES = 0.5, 6.0
"""A leap takes and covers no more than this."""
_LEAP_FEW, _LEAP_CLEARER = 3, 0.75
"""Among so many at most, one leaps to the nearest if it is nearer than any other by this factor."""
_CLAIM_SIZES = 0.7
"""Nothing leaps to a place so near to an established track's, in that one's sizes."""
_HISTORY = 60
"""Detections of a tentative track that are remembered."""

SAME_BOX_IOU = 0.65
"""Two boxes that overlap so much (over union) are of one object, even if the detector gives it different names."""
_TRUST = 0.4
"""Share of the detection in the box that is reported, the rest being the filter's estimate: the estimate alone lags
when an object turns or is cut by the picture's edge, the detection alone jitters."""


class Tracker(Protocol):
    """Gives objects ids that last from frame to frame."""

    def update(self, detections: Detections, *, time_s: float, frame_size: tuple[int, int] | None = None) -> Tracks:
        """Take in what the detector found at ``time_s``, which may come at any cadence; an empty frame counts.

        With ``frame_size`` (width, height) it is known who goes out of sight at the picture's edge, and who behind
        something within it.
        """
        ...

    def move_view(self, change: ViewChange) -> None:
        """Move all tracks to where the places of earlier frames lie now."""
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
        self._alike = ClassGroups(labels=labels, confusable=self._settings.same_box_classes)
        self._motion = motion or MotionModel()
        self._patience = max(1, min(self._settings.lost_updates, self._settings.tentative_updates + 1))
        """Misses in a row below which no track is dropped."""
        self._table = TrackTable()
        self._view = View()
        self._last_id = 0
        self._last_time_s: float | None = None

    def update(self, detections: Detections, *, time_s: float, frame_size: tuple[int, int] | None = None) -> Tracks:
        self._view.frame_size = frame_size
        settings, table = self._settings, self._table
        found = Candidates.of(
            detections, low_score=settings.low_score, high_score=settings.high_score, groups=self._groups
        )
        table.advance(self._elapsed(time_s), self._motion)
        pairs: Pairs = []
        earlier: tuple[EarlierDetection, ...] = ()
        if len(found):
            self._view.widen(found.hull)
            pairs = self._continue_tracks(found)
            pairs += self._start_tracks(found, pairs)
            self._remember(found, pairs, time_s)
            earlier = self._confirm()
        self._mark_leaving()
        seen = self._seen(found, pairs)
        ended = self._drop()
        return replace(seen, ended=ended, earlier=earlier) if ended or earlier else seen

    def move_view(self, change: ViewChange) -> None:
        self._table.move_view(change)
        self._view.move_view(change)

    def finish(self) -> tuple[int, ...]:
        ended = _ids(self._table.tracks)
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
            return []
        pairs = assign(self._offers(found))
        pairs += self._recoveries(found, pairs)
        leaps = self._leaps(found, pairs)
        for row, column in leaps:
            self._motion.restart(self._table.states, row, found.centred[:, column], self._table.tracks[row].unseen_s)
        pairs += leaps
        if pairs:
            self._table.touch(pairs, found, self._motion)
        return pairs

    def _offers(self, found: Candidates) -> list[Offer]:
        """Weigh pairs that overlap: established tracks with strong detections, with weak ones, then tentative tracks.

        One assignment does for all ranks, as pairs of a lower one weigh next to nothing beside those of a higher.
        """
        settings, tracks, strong = self._settings, self._table.tracks, found.strong
        weak = len(found) - strong
        least = [settings.min_similarity] * strong + [settings.min_weak_similarity] * weak
        rank = [1.0] * strong + [AFTERWARDS] * weak
        claim = [precedence(track) for track in tracks]
        fits = similarity(self._table.states, found.centred, settings).ravel()
        likely = (fits > min(settings.min_similarity, settings.min_weak_similarity)).nonzero()[0]
        offers: list[Offer] = []
        for place, fit in zip(likely.tolist(), fits.take(likely).tolist(), strict=True):
            row, column = divmod(place, strong + weak)
            worth = fit
            if found.class_id[column] != tracks[row].class_id:
                worth *= OTHER_CLASS if found.group[column] == tracks[row].group else 0.0
            gain = (worth - least[column]) * rank[column] * claim[row]
            if gain > 0.0 and (column < strong or tracks[row].track_id):
                offers.append((row, column, gain))
        if weak == 0:
            return offers
        doubtful = {column for _, column, _ in offers if column >= strong}
        parts = {column for column in doubtful if covered(found, column, settings.shadow_overlap)}
        return [offer for offer in offers if offer[1] not in parts]

    def _recoveries(self, found: Candidates, pairs: Pairs) -> Pairs:
        """Give strong detections that are left over to those at that very place, else to who could have come there.

        The first are established tracks in sight until now, one box being a part of the other: a pair of lamps that
        becomes a car, somebody who stands up behind a table. A detection of a class of another group continues a track
        only in the very same box, where the two classes may be taken for each other at all; the track's class is put to
        the vote. Where somebody was a moment ago weighs more than where somebody may have got to in seconds.
        """
        spare = _others((column for _, column in pairs), found.strong)
        free = _others((row for row, _ in pairs), len(self._table)) if spare else []
        if not free:
            return []
        states, measured = self._table.states.take(free, axis=2), found.centred.take(spare, axis=1)
        fit = similarity(states, measured, self._settings)
        hidden = np.array([self._table.tracks[row].hidden for row in free])
        reach = reachable(states, measured, self._settings, hidden=hidden)
        expected = corners(states[POSITION]).tolist()
        offers: list[Offer] = []
        for place, row in enumerate(free):
            track = self._table.tracks[row]
            at_hand = track.track_id > 0 and track.missed == 1
            for other, column in enumerate(spare):
                if found.group[column] != track.group:
                    alike = self._alike.of((track.class_id, found.class_id[column]))
                    same = track.missed == 1 and alike[0] == alike[1]
                    if same and box_iou(expected[place], found.boxes[column]) >= SAME_BOX_IOU:
                        offers.append((row, column, float(fit[place, other]) * OTHER_CLASS))
                    continue
                gain = float(reach[place, other]) * AFTERWARDS
                if at_hand and overlaps_any(expected[place], (found.boxes[column],), self._settings.shadow_overlap):
                    gain = float(fit[place, other])
                if gain > 0.0:
                    offers.append((row, column, gain))
        return assign(offers)

    def _leaps(self, found: Candidates, pairs: Pairs) -> Pairs:
        """Join a track that was seen once, just before, with a strong detection so far away that nothing overlaps.

        Only where it is clear who is who: neither could be joined with anything else, or, among a few, each is by far
        the nearest of the other. Something that crosses the picture in half a second is nearly alone in that, while
        flickering detections are not.
        """
        settings, tracks = self._settings, self._table.tracks
        spare = _others((column for _, column in pairs), found.strong)
        taken = {row for row, _ in pairs}
        fresh = [
            row
            for row, track in enumerate(tracks)
            if track.hits == 1 and track.missed == 1 and 0.0 < track.unseen_s <= _LEAP_MOST_S and row not in taken
        ]
        if not fresh or not spare or settings.leap_speed == 0.0:
            return []
        most = np.array([min(settings.leap_speed * tracks[row].unseen_s, _LEAP_MOST_SIZES) for row in fresh])
        possible = leapable(self._table.states.take(fresh, axis=2), found.centred.take(spare, axis=1), most)
        possible &= np.array([tracks[row].group for row in fresh])[:, None] == np.array(
            [found.group[column] for column in spare]
        )
        possible &= ~self._claimed(found, spare)
        away = distances(self._table.states.take(fresh, axis=2), found.centred.take(spare, axis=1))
        clear = possible & mutually_nearest(np.where(possible, away, np.inf), few=_LEAP_FEW, ratio=_LEAP_CLEARER)
        return [(fresh[place], spare[other]) for place, other in np.argwhere(clear).tolist()]

    def _claimed(self, found: Candidates, columns: Sequence[int]) -> NDArray[np.bool_]:
        """Return which detections are so near to an established track that they are more likely a part of it."""
        known = [row for row, track in enumerate(self._table.tracks) if track.track_id]
        position = self._table.states[POSITION].take(known, axis=1)
        away = position[CENTRE, :, None] - found.centred[CENTRE].take(columns, axis=1)[:, None, :]
        return (np.hypot(*away) <= _CLAIM_SIZES * np.sqrt(position[2] * position[3])[:, None]).any(axis=0)

    def _start_tracks(self, found: Candidates, pairs: Pairs) -> Pairs:
        """Start tentative tracks from strong detections that belong to no track."""
        spare = _others((column for _, column in pairs), found.strong)
        first = len(self._table)
        if spare:
            self._table.add(spare, found, self._motion)
        return [(first + number, column) for number, column in enumerate(spare)]

    def _remember(self, found: Candidates, pairs: Pairs, time_s: float) -> None:
        """Keep the detections of tentative tracks: where a track was before it is confirmed counts, too."""
        for row, column in pairs:
            track = self._table.tracks[row]
            if track.track_id == 0:
                track.history.append((time_s, found.boxes[column], found.score[column]))
                del track.history[:-_HISTORY]

    def _confirm(self) -> tuple[EarlierDetection, ...]:
        """Give ids to tentative tracks that were seen often enough, unless they only shadow another track.

        Returns the earlier detections of those.
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
                track.leaving = self._view.left_by(track.seen, position, velocity)
                if track.track_id and not track.leaving:
                    self._table.coast(row)

    def _drop(self) -> tuple[int, ...]:
        """Forget tracks that were not seen for too long; return the ids that ended with them."""
        tracks = self._table.tracks
        kept = [row for row, track in enumerate(tracks) if track.missed < self._patience or not self._is_over(track)]
        if len(kept) == len(tracks):
            return ()
        gone = set(range(len(tracks))).difference(kept)
        self._table.keep(kept)
        return _ids(tracks[row] for row in gone)

    def _is_over(self, track: Track) -> bool:
        settings = self._settings
        if track.track_id == 0:
            return track.missed > settings.tentative_updates and track.unseen_s > settings.tentative_s
        limit_s = settings.leaving_s if track.leaving else settings.lost_s
        return track.unseen_s > limit_s and track.missed >= settings.lost_updates

    def _seen(self, found: Candidates, pairs: Pairs) -> Tracks:
        """Return those confirmed tracks that have a detection."""
        tracks = self._table.tracks
        shown = [(row, tracks[row], column) for row, column in pairs if tracks[row].track_id]
        columns = [column for _, _, column in shown]
        boxes = corners(self._table.states[POSITION].take([row for row, _, _ in shown], axis=1))
        boxes += _TRUST * (found.corners.take(columns, axis=0) - boxes)
        return Tracks(
            track_id=np.array([track.track_id for _, track, _ in shown], np.int64),
            xyxy=boxes.astype(np.float32),
            score=np.array([found.score[column] for column in columns], np.float32),
            class_id=np.array([track.class_id for _, track, _ in shown], np.int32),
            detection_index=np.array([found.index[column] for column in columns], np.int64),
        )


def _ids(tracks: Iterable[Track]) -> tuple[int, ...]:
    """Return the ids of those that have one, ascending."""
    return tuple(sorted(track.track_id for track in tracks if track.track_id))


def _others(taken: Iterable[int], count: int) -> list[int]:
    """Return which of ``count`` indices are not among ``taken``."""
    return sorted(set(range(count)).difference(taken))
