"""From tracks to ``entered``, ``updated`` and ``left``.

A track becomes a visit when the tracker confirms it, and is *told* once it has been seen often enough, long enough and
surely enough (the median of its scores: one noisy frame raises nothing). When the tracker gives up an object that
stood still, the visit waits: a detector that blinks at a parked car or a television must not make it leave and enter
again and again. A new track of the same kind in the same place then takes the old visit up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from edge_agent.annotate import BoxLabel
from edge_agent.events.areas import Areas
from edge_agent.events.occurrences import Box, Followed, Sighting, TrackingOccurrence, as_box, iou
from edge_agent.events.settings import EventSettings
from edge_agent.events.visit import Visit, portrait_quality
from edge_agent.track.stationary import Stationarity
from edge_agent.types import Detections, Frame, Tracks, ViewChange
from shared.geometry import Point

SAME_PLACE_IOU = 0.75
"""A box that overlaps so much with the one last told says nothing new."""

PORTRAIT_INTERVALS = 2.0
"""The best frame is looked for among those of the last so many update intervals."""


class TrackLifecycle:
    """The visits of one camera."""

    def __init__(
        self,
        *,
        settings: EventSettings,
        labels: Sequence[str],
        uid_prefix: str,
        stationarity: Stationarity,
    ) -> None:
        self._settings = settings
        self._labels = labels
        self._uid_prefix = uid_prefix
        self._stationarity = stationarity
        self._areas = Areas(settings)
        self._visits: dict[int, Visit] = {}
        self._waiting: list[Visit] = []

    @property
    def occupied(self) -> bool:
        """Whether anybody is in the picture, or waited for."""
        return bool(self._visits or self._waiting)

    @property
    def restless(self) -> bool:
        """Whether any object in the picture is on the move, or not yet told."""
        return any(not visit.stationary or not visit.announced for visit in self._visits.values())

    @property
    def present(self) -> frozenset[int]:
        """Ids, as events bear them, of those in the picture."""
        return frozenset(visit.track_id for visit in self._visits.values())

    @property
    def waited_for(self) -> frozenset[int]:
        """Ids of those lost from sight that are likely to be there still."""
        return frozenset(visit.track_id for visit in self._waiting)

    def followed(self, tracks: Tracks) -> list[Followed]:
        """Return who was seen in the frame last observed."""
        return [
            Followed(
                track_id=visit.track_id,
                track_uid=visit.track_uid,
                class_name=visit.class_name,
                xyxy=as_box(box),
                score=float(score),
            )
            for track_id, box, score in zip(tracks.track_id.tolist(), tracks.xyxy, tracks.score, strict=True)
            if (visit := self._visits.get(track_id)) is not None
        ]

    def observe(self, frame: Frame, tracks: Tracks) -> list[TrackingOccurrence]:
        """Take the tracker's word on one frame; return what is to be told now."""
        told: list[TrackingOccurrence] = []
        boxes = [as_box(row) for row in tracks.xyxy]
        drawn = [
            BoxLabel(
                xyxy=box,
                class_name=self._labels[int(class_id)],
                confidence=float(score),
                track_id=self._public_id(int(track_id)),
            )
            for box, class_id, score, track_id in zip(
                boxes, tracks.class_id, tracks.score, tracks.track_id, strict=True
            )
        ]
        known = [
            label
            for label, track_id in zip(drawn, tracks.track_id.tolist(), strict=True)
            if (visit := self._visits.get(track_id)) is not None and visit.announced
        ]
        for index, track_id in enumerate(tracks.track_id.tolist()):
            labels = (drawn[index], *(label for label in known if label is not drawn[index]))
            told += self._see(frame, track_id, boxes[index], labels)
        for track_id in tracks.ended:
            told += self._lose(track_id, frame.time_s)
        told += self.expire(frame.time_s)
        return told

    def move_view(self, change: ViewChange) -> None:
        """Follow a picture of another size, or a camera that pans."""
        self._stationarity.move_view(change)
        for visit in (*self._visits.values(), *self._waiting):
            visit.move_view(change)

    def expire(self, now_s: float) -> list[TrackingOccurrence]:
        """Let go of the waited-for whose time is over."""
        patience_s = self._settings.return_s
        gone = [visit for visit in self._waiting if now_s - (visit.lost_at_s or 0.0) > patience_s]
        self._waiting = [visit for visit in self._waiting if visit not in gone]
        return [visit.tell("left") for visit in gone]

    def finish(self, ended: Sequence[int]) -> list[TrackingOccurrence]:
        """Close everything: the source has ended."""
        told: list[TrackingOccurrence] = []
        for track_id in ended:
            visit = self._visits.pop(track_id, None)
            if visit is not None and visit.announced:
                told.append(visit.tell("left"))
        told += [visit.tell("left") for visit in self._waiting]
        self._visits.clear()
        self._waiting.clear()
        return told

    def _public_id(self, track_id: int) -> int:
        visit = self._visits.get(track_id)
        return visit.track_id if visit else track_id

    def _see(self, frame: Frame, track_id: int, box: Box, labels: tuple[BoxLabel, ...]) -> list[TrackingOccurrence]:
        own = labels[0]
        sighting = Sighting(
            frame=frame,
            xyxy=box,
            score=own.confidence,
            quality=portrait_quality(box, own.confidence, width=frame.width, height=frame.height),
            labels=labels,
        )
        visit = self._visits.get(track_id) or self._begin(track_id, sighting, own.class_name)
        stationary = self._stationarity.update(track_id, np.asarray(box, np.float32), frame.time_s)
        foot = Point((box[0] + box[2]) / 2 / frame.width, box[3] / frame.height)
        step = self._areas.step(visit.footing, foot, class_name=own.class_name, time_s=frame.time_s)
        portrait_age_s = PORTRAIT_INTERVALS * self._settings.update_interval_s
        visit.see(sighting, own.class_name, step, stationary=stationary, portrait_age_s=portrait_age_s)
        if not visit.announced:
            return self._announce(visit)
        if step.line_crossed or step.loitering_began:
            return [visit.tell("updated", line_crossed=step.line_crossed)]
        due = frame.time_s - visit.told_at_s >= self._settings.update_interval_s
        if due and not stationary and visit.moved_on(SAME_PLACE_IOU):
            return [visit.tell("updated")]
        return []

    def _announce(self, visit: Visit) -> list[TrackingOccurrence]:
        settings = self._settings
        ready = (
            visit.sightings >= settings.confirm_sightings
            and visit.seen_for_s >= settings.min_visit_s
            and visit.median_score >= settings.min_median_confidence
            and visit.footing.was_in_required
        )
        if not ready:
            return []
        visit.announced = True
        return [visit.tell("entered")]

    def _begin(self, track_id: int, sighting: Sighting, class_name: str) -> Visit:
        visit = self._take_up(sighting, class_name)
        if visit is None:
            visit = Visit(
                track_id=track_id,
                track_uid=f"{self._uid_prefix}-{track_id}",
                class_name=class_name,
                first_seen_at=sighting.frame.timestamp,
                first_seen_s=sighting.frame.time_s,
                first_xyxy=sighting.xyxy,
                last=sighting,
                place=sighting.xyxy,
                scores=deque(maxlen=max(self._settings.confirm_sightings, 3)),
            )
        self._visits[track_id] = visit
        return visit

    def _take_up(self, sighting: Sighting, class_name: str) -> Visit | None:
        """Find the waiting visit that this new track continues."""
        candidates = [
            (iou(visit.place, sighting.xyxy), index)
            for index, visit in enumerate(self._waiting)
            if visit.class_name == class_name
        ]
        if not candidates:
            return None
        overlap, index = max(candidates)
        return self._waiting.pop(index) if overlap >= self._settings.return_iou else None

    def _lose(self, track_id: int, now_s: float) -> list[TrackingOccurrence]:
        self._stationarity.forget(track_id)
        visit = self._visits.pop(track_id, None)
        if visit is None or not visit.announced:
            return []
        if visit.may_be_there_still:
            visit.lost_at_s = now_s
            self._waiting.append(visit)
            return []
        return [visit.tell("left")]


def labels_of(detections: Detections, labels: Sequence[str]) -> tuple[BoxLabel, ...]:
    """Return what to draw for detections that nobody tracks, the surest first."""
    order = np.argsort(-detections.score, kind="stable")
    return tuple(
        BoxLabel(
            xyxy=as_box(detections.xyxy[row]),
            class_name=labels[int(detections.class_id[row])],
            confidence=float(detections.score[row]),
            track_id=None,
        )
        for row in order
    )
