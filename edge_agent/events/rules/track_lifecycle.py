"""From tracks to ``entered``, ``updated`` and ``left``, and to what objects do under the rules.

A track is followed from when the tracker confirms it, and *announced* (``entered``) once it has been seen for long
enough and surely enough (the median of its scores: one noisy frame raises nothing). What it does under the rules
before that is kept, and emitted right after ``entered``. When the tracker gives up an object that stood still, it is
waited for: a detector that blinks at a parked car or a television must not make it leave and enter again and again. A
new track of the same kind in the same place then continues the old one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_agent.boxes import Box, box_iou
from edge_agent.events.occurrences import RuleOccurrence, TrackedObject, TrackingOccurrence, TrackObservation, as_box
from edge_agent.events.rule_types import PathPoint, Transition
from edge_agent.events.rules.from_settings import build_rules
from edge_agent.events.rules.observation import Box as NormalizedBox
from edge_agent.events.rules.observation import Observation
from edge_agent.events.rules.track_state import TrackState, moment, picture_quality
from edge_agent.events.settings import EventSettings
from edge_agent.images.annotate import BoxLabel
from edge_agent.track.stationary import Stationarity
from edge_agent.types import Detections, EarlierDetection, Frame, Tracks, ViewChange

SAME_PLACE_IOU = 0.75
"""A box that overlaps so much with that of the last event says nothing new."""
BEST_PICTURE_INTERVALS = 2.0
"""The best frame is looked for among those of the last so many update intervals."""
LEAST_SCORE_WINDOW_S = 0.4

Occurrences = list[TrackingOccurrence | RuleOccurrence]


class TrackLifecycle:
    """The tracked objects of one camera."""

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
        self._rules = build_rules(settings)
        self._required = frozenset(settings.required_zones)
        self._states: dict[int, TrackState] = {}
        self._waiting: list[TrackState] = []
        self._detected_at_s = float("-inf")

    @property
    def has_objects(self) -> bool:
        """Whether any object is in the picture, or waited for."""
        return bool(self._states or self._waiting)

    @property
    def has_moving_objects(self) -> bool:
        """Whether any object in the picture is on the move, or not yet announced."""
        return any(not state.stationary or not state.announced for state in self._states.values())

    @property
    def present(self) -> frozenset[int]:
        """Ids, as events bear them, of those in the picture."""
        return frozenset(state.track_id for state in self._states.values())

    @property
    def awaiting_return(self) -> frozenset[int]:
        """Ids of those lost from sight that are likely to be there still."""
        return frozenset(state.track_id for state in self._waiting)

    def tracked_objects(self, tracks: Tracks) -> list[TrackedObject]:
        """Return the objects that were seen in the frame last observed."""
        return [
            TrackedObject(
                track_id=state.track_id,
                track_uid=state.track_uid,
                class_name=state.class_name,
                xyxy=as_box(box),
                score=float(score),
            )
            for track_id, box, score in zip(tracks.track_id.tolist(), tracks.xyxy, tracks.score, strict=True)
            if (state := self._states.get(track_id)) is not None
        ]

    def objects(self) -> list[TrackedObject]:
        """Return all objects in the picture, each where it was last detected."""
        return [
            TrackedObject(
                track_id=state.track_id,
                track_uid=state.track_uid,
                class_name=state.class_name,
                xyxy=state.place,
                score=state.last.score,
            )
            for state in self._states.values()
        ]

    @property
    def uncertain(self) -> frozenset[int]:
        """Ids of those in the picture that are not announced yet, or were not found when the detector last looked."""
        return frozenset(
            state.track_id
            for state in self._states.values()
            if not state.announced or state.last.frame.time_s < self._detected_at_s
        )

    def occupancy(self) -> dict[str, int]:
        """Return how many announced objects, those waited for included, are in each zone."""
        inside = [state.track_id for state in (*self._states.values(), *self._waiting) if state.announced]
        return {zone.name: self._rules.number_in(zone.name, inside) for zone in self._rules.zones}

    def observe(self, frame: Frame, tracks: Tracks) -> Occurrences:
        """Take in what the tracker found in one frame; return what is to be emitted now."""
        transitions: Occurrences = []
        self._detected_at_s = frame.time_s
        drawn = self._labels_of(tracks)
        known = [
            label
            for label, track_id in zip(drawn, tracks.track_id.tolist(), strict=True)
            if (state := self._states.get(track_id)) is not None and state.announced
        ]
        for state in self._states.values():
            state.detector_runs += 1
        for index, track_id in enumerate(tracks.track_id.tolist()):
            labels = (drawn[index], *(label for label in known if label is not drawn[index]))
            earlier = [seen for seen in tracks.earlier if seen.track_id == track_id]
            transitions += self._see(frame, track_id, labels, earlier)
        for track_id in tracks.ended:
            transitions += self._lose(track_id, frame.time_s)
        return transitions + self.expire(frame, labels=tuple(known))

    def move_view(self, change: ViewChange) -> None:
        """Follow a picture of another size, or a camera that pans: that the view moves is no step of an object."""
        self._stationarity.move_view(change)
        for state in (*self._states.values(), *self._waiting):
            state.move_view(change)
        if change.shifted:
            self._rules.interrupt()

    def expire(self, frame: Frame, *, labels: tuple[BoxLabel, ...] = ()) -> Occurrences:
        """Return what time alone brings about: those waited for in vain leave, occupancy lasts.

        Called by ``observe``, and by itself for a frame at which the detector did not look. ``labels`` are drawn.
        """
        patience_s = self._settings.return_s
        gone = [state for state in self._waiting if frame.time_s - (state.lost_at_s or 0.0) > patience_s]
        self._waiting = [state for state in self._waiting if state not in gone]
        transitions: Occurrences = []
        for state in gone:
            transitions += self._leave(state)
        inside = [state.track_id for state in (*self._states.values(), *self._waiting) if state.announced]
        for found in self._rules.occupancy(inside, time_s=frame.time_s, at=frame.timestamp):
            since_at = None if found.since_s is None else moment(frame, found.since_s)
            transitions.append(RuleOccurrence(transition=found, frame=frame, labels=labels, since_at=since_at))
        return transitions

    def finish(self, ended: Sequence[int]) -> Occurrences:
        """Close everything: the source has ended."""
        transitions: Occurrences = []
        for track_id in ended:
            state = self._states.pop(track_id, None)
            if state is not None:
                transitions += self._leave(state)
        for state in self._waiting:
            transitions += self._leave(state)
        self._states.clear()
        self._waiting.clear()
        return transitions

    def _labels_of(self, tracks: Tracks) -> list[BoxLabel]:
        rows = zip(tracks.xyxy, tracks.class_id, tracks.score, tracks.track_id, strict=True)
        return [
            BoxLabel(
                xyxy=as_box(box),
                class_name=self._labels[int(class_id)],
                confidence=float(score),
                track_id=self._public_id(int(track_id)),
            )
            for box, class_id, score, track_id in rows
        ]

    def _public_id(self, track_id: int) -> int:
        state = self._states.get(track_id)
        return state.track_id if state else track_id

    def _see(
        self, frame: Frame, track_id: int, labels: tuple[BoxLabel, ...], earlier: Sequence[EarlierDetection]
    ) -> Occurrences:
        own = labels[0]
        left, top, right, bottom = own.xyxy
        box = (left, top, right, bottom)
        observation = TrackObservation(
            frame=frame,
            xyxy=box,
            score=own.confidence,
            quality=picture_quality(box, own.confidence, width=frame.width, height=frame.height),
            labels=labels,
        )
        state = self._states.get(track_id) or self._begin(track_id, observation, own.class_name)
        transitions: list[Transition] = []
        for seen in earlier:
            state.add_earlier(seen)
            transitions += self._apply_rules(state, frame, seen.xyxy, own.class_name, seen.time_s)
        stationary = self._stationarity.update(track_id, np.asarray(box, np.float32), frame.time_s)
        best_age_s = BEST_PICTURE_INTERVALS * self._settings.update_interval_s
        state.add(observation, own.class_name, stationary=stationary, best_age_s=best_age_s)
        transitions += self._apply_rules(state, frame, box, own.class_name, frame.time_s)
        if not state.announced:
            state.postpone(transitions)
            return self._announce(state) if self._is_ready(state) else []
        return self._update(state, transitions)

    def _apply_rules(
        self, state: TrackState, frame: Frame, xyxy: Box, class_name: str, time_s: float
    ) -> list[Transition]:
        """Bring one detection of an object under the rules, and note where that leaves it."""
        left, top, right, bottom = (
            min(max(value / size, 0.0), 1.0) for value, size in zip(xyxy, (frame.width, frame.height) * 2, strict=True)
        )
        box = NormalizedBox(left, top, right, bottom)
        state.path.add(PathPoint(time_s, *box.anchor("bottom")))
        seen = Observation(time_s=time_s, box=box, class_name=class_name, aspect=frame.width / frame.height)
        transitions = self._rules.observe(state.track_id, seen, at=moment(frame, time_s))
        state.zones = self._rules.zones_of(state.track_id)
        state.loitering = self._rules.is_loitering(state.track_id)
        state.was_in_required = state.was_in_required or not self._required.isdisjoint(state.zones)
        return transitions

    def _is_ready(self, state: TrackState) -> bool:
        return state.is_certain(self._settings.confirm_s) and self._is_wanted(state)

    def _is_wanted(self, state: TrackState) -> bool:
        sure = state.median_score >= self._settings.min_median_confidence
        return sure and (state.was_in_required or not self._required)

    def _announce(self, state: TrackState) -> Occurrences:
        """Emit ``entered`` and what the object did before it."""
        state.announced = True
        pending, state.pending = state.pending, []
        return [state.occurrence("entered", line_crossed=_line_crossed(pending)), *self._rule_events(state, pending)]

    def _update(self, state: TrackState, transitions: list[Transition]) -> Occurrences:
        crossed = _line_crossed(transitions)
        frame = state.last.frame
        due = frame.time_s - state.emitted_at_s >= self._settings.update_interval_s
        events: Occurrences = []
        if crossed or any(each.rule == "loitering" for each in transitions):
            events.append(state.occurrence("updated", line_crossed=crossed))
        elif due and not state.stationary and state.moved_on(SAME_PLACE_IOU):
            events.append(state.occurrence("updated"))
        return [*events, *self._rule_events(state, transitions)]

    def _rule_events(self, state: TrackState, transitions: Sequence[Transition]) -> Occurrences:
        events: Occurrences = []
        for each in transitions:
            counted = each
            if each.rule == "line_crossed":
                at = moment(state.last.frame, each.time_s)
                counted = self._rules.count(each, class_name=state.class_name, at=at)
            events.append(state.rule_occurrence(counted))
        return events

    def _begin(self, track_id: int, observation: TrackObservation, class_name: str) -> TrackState:
        state = self._take_up(observation, class_name)
        if state is None:
            state = TrackState(
                track_id=track_id,
                track_uid=f"{self._uid_prefix}-{track_id}",
                class_name=class_name,
                first_seen_at=observation.frame.timestamp,
                first_seen_s=observation.frame.time_s,
                first_xyxy=observation.xyxy,
                last=observation,
                place=observation.xyxy,
                score_window_s=max(self._settings.confirm_s, LEAST_SCORE_WINDOW_S),
                detector_runs=1,
            )
        self._states[track_id] = state
        return state

    def _take_up(self, observation: TrackObservation, class_name: str) -> TrackState | None:
        """Find the object waited for that this new track continues."""
        candidates = [
            (box_iou(state.place, observation.xyxy), index)
            for index, state in enumerate(self._waiting)
            if state.class_name == class_name
        ]
        if not candidates:
            return None
        overlap, index = max(candidates)
        return self._waiting.pop(index) if overlap >= self._settings.return_iou else None

    def _lose(self, track_id: int, now_s: float) -> Occurrences:
        self._stationarity.forget(track_id)
        state = self._states.pop(track_id, None)
        if state is None:
            return []
        if state.announced and state.may_be_there_still:
            state.lost_at_s = now_s
            self._waiting.append(state)
            return []
        return self._leave(state)

    def _leave(self, state: TrackState) -> Occurrences:
        """Emit what the object's end completes, and ``left``; nothing where it was never announced."""
        transitions = self._rules.end(state.track_id, at=state.last.frame.timestamp)
        events: Occurrences = []
        if not state.announced:
            # What crosses the picture between three frames has no time to be confirmed in.
            state.postpone(transitions)
            crossed = _line_crossed(state.pending) is not None and state.detection_count >= 2
            if not (crossed and state.is_swift(self._settings.confirm_s) and self._is_wanted(state)):
                return []
            events += self._announce(state)
            transitions = []
        events += self._rule_events(state, transitions)
        left = state.occurrence("left", line_crossed=_line_crossed(transitions), path=tuple(state.path.simplified()))
        return [*events, left]


def _line_crossed(transitions: Sequence[Transition]) -> str | None:
    """Return the first line that was crossed."""
    return next((each.name for each in transitions if each.rule == "line_crossed"), None)


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
