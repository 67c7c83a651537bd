"""The lifecycle of tracks: ``entered``, ``updated``, ``left``, and the rule events of tracked objects.

A confirmed track is *announced* (``entered``) after it has been detected for long enough and the median of its scores
is high enough, so that one noisy frame emits nothing. Its rule transitions before that are pending, and are emitted
after ``entered``. A stationary object that the tracker loses is kept for ``return_s``: a parked car that the detector
misses for a while does not leave and enter again. A new track of the same class at the same position continues it.
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
from edge_agent.events.rules.stationary import Stationarity
from edge_agent.events.rules.track_state import TrackState, snapshot_quality, to_datetime
from edge_agent.events.settings import EventSettings
from edge_agent.images.annotate import BoxLabel
from edge_agent.types import EarlierDetection, Frame, Tracks, ViewChange

SAME_PLACE_IOU = 0.75
"""IoU with the box of the last event from which on a box counts as unchanged."""
BEST_SNAPSHOT_INTERVALS = 2.0
"""Maximum age of the best snapshot, in update intervals."""
MIN_SCORE_WINDOW_S = 0.4
"""Minimum length of the window over which the median score is taken."""

Occurrences = list[TrackingOccurrence | RuleOccurrence]


class TrackLifecycle:
    """Emits the events of the tracked objects of one camera."""

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
        self._awaiting: list[TrackState] = []
        self._detected_at_s = float("-inf")

    @property
    def has_objects(self) -> bool:
        """Whether any object is in the picture or awaiting return."""
        return bool(self._states or self._awaiting)

    @property
    def has_moving_objects(self) -> bool:
        """Whether any object in the picture is moving, or not announced yet."""
        return any(not state.stationary or not state.announced for state in self._states.values())

    @property
    def present(self) -> frozenset[int]:
        """Track ids, as in events, of the objects in the picture."""
        return frozenset(state.track_id for state in self._states.values())

    @property
    def awaiting_return(self) -> frozenset[int]:
        """Track ids of lost objects that are probably still in the picture."""
        return frozenset(state.track_id for state in self._awaiting)

    def tracked_objects(self, tracks: Tracks) -> list[TrackedObject]:
        """Return the objects that were detected in the last frame."""
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
        """Return all objects in the picture, each at its last detection."""
        return [
            TrackedObject(
                track_id=state.track_id,
                track_uid=state.track_uid,
                class_name=state.class_name,
                xyxy=state.xyxy,
                score=state.last.score,
            )
            for state in self._states.values()
        ]

    @property
    def uncertain(self) -> frozenset[int]:
        """Track ids of objects that are not announced yet, or that the last run of the detector missed."""
        return frozenset(
            state.track_id
            for state in self._states.values()
            if not state.announced or state.last.frame.time_s < self._detected_at_s
        )

    def occupancy(self) -> dict[str, int]:
        """Return the number of announced objects in each zone, including those awaiting return."""
        inside = [state.track_id for state in (*self._states.values(), *self._awaiting) if state.announced]
        return {zone.name: self._rules.number_in(zone.name, inside) for zone in self._rules.zones}

    def observe(self, frame: Frame, tracks: Tracks) -> Occurrences:
        """Process the tracks of one frame; return the occurrences to emit."""
        occurrences: Occurrences = []
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
            earlier = [detection for detection in tracks.earlier if detection.track_id == track_id]
            occurrences += self._observe_track(frame, track_id, labels, earlier)
        for track_id in tracks.ended:
            occurrences += self._lose(track_id, frame.time_s)
        return occurrences + self.expire(frame, labels=tuple(known))

    def move_view(self, change: ViewChange) -> None:
        """Move remembered positions with the view. A change of the view is not a movement of an object."""
        self._stationarity.move_view(change)
        for state in (*self._states.values(), *self._awaiting):
            state.move_view(change)
        if change.shifted:
            self._rules.interrupt()

    def expire(self, frame: Frame, *, labels: tuple[BoxLabel, ...] = ()) -> Occurrences:
        """Return the occurrences that depend on time alone: lost objects leave, and occupancy levels last.

        Called by ``observe``, and directly for frames on which the detector did not run. ``labels`` are drawn.
        """
        return_s = self._settings.return_s
        expired = [state for state in self._awaiting if frame.time_s - (state.lost_at_s or 0.0) > return_s]
        self._awaiting = [state for state in self._awaiting if state not in expired]
        occurrences: Occurrences = []
        for state in expired:
            occurrences += self._leave(state)
        inside = [state.track_id for state in (*self._states.values(), *self._awaiting) if state.announced]
        for transition in self._rules.occupancy(inside, time_s=frame.time_s, at=frame.timestamp):
            since_at = None if transition.since_s is None else to_datetime(frame, transition.since_s)
            occurrences.append(RuleOccurrence(transition=transition, frame=frame, labels=labels, since_at=since_at))
        return occurrences

    def finish(self, ended: Sequence[int]) -> Occurrences:
        """End all tracks, because the source has ended; return the occurrences."""
        occurrences: Occurrences = []
        for track_id in ended:
            state = self._states.pop(track_id, None)
            if state is not None:
                occurrences += self._leave(state)
        for state in self._awaiting:
            occurrences += self._leave(state)
        self._states.clear()
        self._awaiting.clear()
        return occurrences

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

    def _observe_track(
        self, frame: Frame, track_id: int, labels: tuple[BoxLabel, ...], earlier: Sequence[EarlierDetection]
    ) -> Occurrences:
        own = labels[0]
        left, top, right, bottom = own.xyxy
        box = (left, top, right, bottom)
        observation = TrackObservation(
            frame=frame,
            xyxy=box,
            score=own.confidence,
            quality=snapshot_quality(box, own.confidence, width=frame.width, height=frame.height),
            labels=labels,
        )
        state = self._states.get(track_id) or self._begin(track_id, observation, own.class_name)
        transitions: list[Transition] = []
        for detection in earlier:
            state.add_earlier(detection)
            transitions += self._apply_rules(state, frame, detection.xyxy, own.class_name, detection.time_s)
        stationary = self._stationarity.update(track_id, np.asarray(box, np.float32), frame.time_s)
        best_age_s = BEST_SNAPSHOT_INTERVALS * self._settings.update_interval_s
        state.add(observation, own.class_name, stationary=stationary, best_age_s=best_age_s)
        transitions += self._apply_rules(state, frame, box, own.class_name, frame.time_s)
        if not state.announced:
            state.add_pending(transitions)
            return self._announce(state) if self._is_ready(state) else []
        return self._update(state, transitions)

    def _apply_rules(
        self, state: TrackState, frame: Frame, xyxy: Box, class_name: str, time_s: float
    ) -> list[Transition]:
        """Apply the rules to one detection of an object and update its zones; return the transitions."""
        left, top, right, bottom = (
            min(max(value / size, 0.0), 1.0) for value, size in zip(xyxy, (frame.width, frame.height) * 2, strict=True)
        )
        box = NormalizedBox(left, top, right, bottom)
        state.path.add(PathPoint(time_s, *box.anchor("bottom")))
        observation = Observation(time_s=time_s, box=box, class_name=class_name, aspect=frame.width / frame.height)
        transitions = self._rules.observe(state.track_id, observation, at=to_datetime(frame, time_s))
        state.zones = self._rules.zones_of(state.track_id)
        state.loitering = self._rules.is_loitering(state.track_id)
        state.was_in_required = state.was_in_required or not self._required.isdisjoint(state.zones)
        return transitions

    def _is_ready(self, state: TrackState) -> bool:
        return state.is_confirmed(self._settings.confirm_s) and self._may_be_announced(state)

    def _may_be_announced(self, state: TrackState) -> bool:
        confident = state.median_score >= self._settings.min_median_confidence
        return confident and (state.was_in_required or not self._required)

    def _announce(self, state: TrackState) -> Occurrences:
        """Return ``entered`` and the pending rule events."""
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
        elif due and not state.stationary and state.has_moved(SAME_PLACE_IOU):
            events.append(state.occurrence("updated"))
        return [*events, *self._rule_events(state, transitions)]

    def _rule_events(self, state: TrackState, transitions: Sequence[Transition]) -> Occurrences:
        events: Occurrences = []
        for transition in transitions:
            counted = transition
            if transition.rule == "line_crossed":
                at = to_datetime(state.last.frame, transition.time_s)
                counted = self._rules.count(transition, class_name=state.class_name, at=at)
            events.append(state.rule_occurrence(counted))
        return events

    def _begin(self, track_id: int, observation: TrackObservation, class_name: str) -> TrackState:
        state = self._find_lost_track(observation, class_name)
        if state is None:
            state = TrackState(
                track_id=track_id,
                track_uid=f"{self._uid_prefix}-{track_id}",
                class_name=class_name,
                first_seen_at=observation.frame.timestamp,
                first_seen_s=observation.frame.time_s,
                first_xyxy=observation.xyxy,
                last=observation,
                xyxy=observation.xyxy,
                score_window_s=max(self._settings.confirm_s, MIN_SCORE_WINDOW_S),
                detector_runs=1,
            )
        self._states[track_id] = state
        return state

    def _find_lost_track(self, observation: TrackObservation, class_name: str) -> TrackState | None:
        """Remove and return the object awaiting return that this new track continues, if any."""
        candidates = [
            (box_iou(state.xyxy, observation.xyxy), index)
            for index, state in enumerate(self._awaiting)
            if state.class_name == class_name
        ]
        if not candidates:
            return None
        overlap, index = max(candidates)
        return self._awaiting.pop(index) if overlap >= self._settings.return_iou else None

    def _lose(self, track_id: int, now_s: float) -> Occurrences:
        self._stationarity.forget(track_id)
        state = self._states.pop(track_id, None)
        if state is None:
            return []
        if state.announced and state.may_return:
            state.lost_at_s = now_s
            self._awaiting.append(state)
            return []
        return self._leave(state)

    def _leave(self, state: TrackState) -> Occurrences:
        """Return the events that the end of the track completes, and ``left``; none for an object never announced."""
        transitions = self._rules.end(state.track_id, at=state.last.frame.timestamp)
        events: Occurrences = []
        if not state.announced:
            # An object that crosses the picture within three frames cannot be confirmed in time.
            state.add_pending(transitions)
            crossed = _line_crossed(state.pending) is not None and state.detection_count >= 2
            if not (crossed and state.is_fast(self._settings.confirm_s) and self._may_be_announced(state)):
                return []
            events += self._announce(state)
            transitions = []
        events += self._rule_events(state, transitions)
        left = state.occurrence("left", line_crossed=_line_crossed(transitions), path=tuple(state.path.simplified()))
        return [*events, left]


def _line_crossed(transitions: Sequence[Transition]) -> str | None:
    """Return the name of the first line that was crossed, if any."""
    return next((each.name for each in transitions if each.rule == "line_crossed"), None)
