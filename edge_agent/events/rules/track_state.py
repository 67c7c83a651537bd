"""What is remembered of one tracked object, from its first detection to its last."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median_low

from edge_agent.boxes import Box, box_area, box_iou
from edge_agent.events.occurrences import Action, RuleOccurrence, TrackingOccurrence, TrackObservation
from edge_agent.events.rule_types import PathPoint, Transition
from edge_agent.events.rules.path import TrackPath
from edge_agent.types import EarlierDetection, Frame, ViewChange

PUT_IOU = 0.4
PUT_S = 3.0
"""Something that overlapped its first place so much for so long is furniture, parked, or asleep."""
MOST_PENDING = 64
_LEAST_SCORES = 3
_TOLERANCE_S = 1e-6

_SPARSE_DETECTIONS = 5
"""So many detections are enough however many detector runs missed the object in between."""
_DENSE_DETECTIONS, _DENSE_RATIO, _SLOW_S = 3, 0.6, 0.9
"""An object seen in this share of the detector runs needs fewer: three, or two that are so far apart in time."""
MOST_SWIFT_CONFIRM_S = 1.0
"""Above this, the time is meant to leave passers-by out, however fast they are."""
_SWIFT_DISTANCE = 0.25
"""An object that has come this far, in shares of the picture, need not be in it for long."""


@dataclass(slots=True)
class TrackState:
    """One object. Two frames are held at most: the latest and the best."""

    track_id: int
    track_uid: str
    class_name: str
    first_seen_at: datetime
    first_seen_s: float
    first_xyxy: Box
    last: TrackObservation
    place: Box
    """Where it was last seen, in pixels of the present view."""
    score_window_s: float
    best: TrackObservation | None = None
    """The best picture since the last event."""
    scores: deque[tuple[float, float]] = field(default_factory=deque[tuple[float, float]])
    """Time and score of the latest detections."""
    path: TrackPath = field(default_factory=TrackPath)
    pending: list[Transition] = field(default_factory=list[Transition])
    """What the object did under the rules before it was announced."""
    zones: tuple[str, ...] = ()
    was_in_required: bool = False
    loitering: bool = False
    detection_count: int = 0
    detector_runs: int = 0
    """How often the detector has looked since the first observation."""
    announced: bool = False
    emitted_at_s: float = 0.0
    emitted_xyxy: Box | None = None
    """Where it was at its last event."""
    stationary: bool = False
    stayed_put: bool = True
    """Whether it has been where it was first seen all along."""
    lost_at_s: float | None = None
    """When the tracker gave it up, while it is waited for."""

    @property
    def may_be_there_still(self) -> bool:
        """Whether losing sight of it is more likely the detector's fault than its own: it did not move."""
        return self.stationary or (self.stayed_put and self.seen_for_s >= PUT_S)

    @property
    def median_score(self) -> float:
        """The median of the latest scores; the lower of the middle two."""
        return median_low(score for _, score in self.scores)

    @property
    def seen_for_s(self) -> float:
        """Seconds between the first and the last observation."""
        return max(self.last.frame.time_s - self.first_seen_s, 0.0)

    def is_swift(self, confirm_s: float) -> bool:
        """Return whether it has come too far for the time that it has to be seen for to say anything."""
        if confirm_s > MOST_SWIFT_CONFIRM_S:
            return False
        frame, first, now = self.last.frame, self.first_xyxy, self.place
        across = abs(first[0] + first[2] - now[0] - now[2]) / (2.0 * frame.width)
        down = abs(first[1] + first[3] - now[1] - now[3]) / (2.0 * frame.height)
        return max(across, down) >= _SWIFT_DISTANCE

    def is_certain(self, confirm_s: float) -> bool:
        """Return whether it has been seen for long enough, and often enough in that time, to be announced.

        Time counts rather than frames, so that one frame a second will do as well as thirty.
        """
        dense = self.detection_count >= _DENSE_RATIO * self.detector_runs
        often = self.detection_count >= _SPARSE_DETECTIONS or (
            dense and (self.detection_count >= _DENSE_DETECTIONS or self.seen_for_s >= _SLOW_S)
        )
        if confirm_s <= 0.0 or (often and self.seen_for_s >= confirm_s - _TOLERANCE_S):
            return True
        return self.is_swift(confirm_s) and dense and self.detection_count >= _DENSE_DETECTIONS

    def moved_on(self, same_place_iou: float) -> bool:
        """Return whether it is somewhere else, or of another size, than at its last event."""
        return self.emitted_xyxy is None or box_iou(self.emitted_xyxy, self.place) < same_place_iou

    def add_earlier(self, seen: EarlierDetection) -> None:
        """Add a detection from before the track was confirmed; its frame is gone."""
        if self.detection_count == 0 and seen.time_s < self.first_seen_s:
            self.first_seen_at -= timedelta(seconds=self.first_seen_s - seen.time_s)
            self.first_seen_s, self.first_xyxy = seen.time_s, seen.xyxy
        self.detection_count += 1
        self.detector_runs += 1
        self.scores.append((seen.time_s, seen.score))

    def add(self, observation: TrackObservation, class_name: str, *, stationary: bool, best_age_s: float) -> None:
        """Add one observation. A best picture older than ``best_age_s`` gives way: events keep near their time."""
        self.last = observation
        self.place = observation.xyxy
        self.class_name = class_name
        self.detection_count += 1
        self._add_score(observation.frame.time_s, observation.score)
        self.stationary = stationary
        self.lost_at_s = None
        self.stayed_put = self.stayed_put and box_iou(self.first_xyxy, observation.xyxy) >= PUT_IOU
        best = self.best
        stale = best is not None and observation.frame.time_s - best.frame.time_s > best_age_s
        if best is None or stale or observation.quality > best.quality:
            self.best = observation

    def _add_score(self, time_s: float, score: float) -> None:
        scores = self.scores
        scores.append((time_s, score))
        while len(scores) > _LEAST_SCORES and scores[0][0] < time_s - self.score_window_s - _TOLERANCE_S:
            scores.popleft()

    def move_view(self, change: ViewChange) -> None:
        """Move the remembered places to where they lie now; what has been seen stays with the frame it was seen in."""
        self.place, self.first_xyxy = change.box(self.place), change.box(self.first_xyxy)
        if self.emitted_xyxy is not None:
            self.emitted_xyxy = change.box(self.emitted_xyxy)

    def postpone(self, transitions: list[Transition]) -> None:
        """Keep what transitions until the object is announced."""
        self.pending += transitions
        del self.pending[:-MOST_PENDING]

    def occurrence(
        self, action: Action, *, line_crossed: str | None = None, path: tuple[PathPoint, ...] = ()
    ) -> TrackingOccurrence:
        """Make the event of this moment; the best picture starts afresh, so that the next event shows a new one."""
        picture = self.best or self.last
        self.best = None
        self.emitted_at_s = self.last.frame.time_s
        self.emitted_xyxy = self.place
        return TrackingOccurrence(
            action=action,
            track_id=self.track_id,
            track_uid=self.track_uid,
            class_name=self.class_name,
            observation=picture,
            first_seen_at=self.first_seen_at,
            last_seen_at=self.last.frame.timestamp,
            dwell_s=None if action == "entered" else self.seen_for_s,
            zones=self.zones,
            stationary=self.stationary,
            loitering=self.loitering,
            line_crossed=line_crossed,
            path=path,
            first_seen_s=self.first_seen_s,
        )

    def rule_occurrence(self, transitions: Transition) -> RuleOccurrence:
        """Make the event of something that the object did; its picture is that of the last observation."""
        observation = self.last
        frame = observation.frame
        return RuleOccurrence(
            transition=transitions,
            frame=frame,
            labels=observation.labels,
            since_at=None if transitions.since_s is None else moment(frame, transitions.since_s),
            crossed_at=moment(frame, transitions.time_s) if transitions.rule == "line_crossed" else None,
            track_id=self.track_id,
            track_uid=self.track_uid,
            class_name=self.class_name,
            xyxy=observation.xyxy,
            score=observation.score,
        )


def moment(frame: Frame, time_s: float) -> datetime:
    """Return the moment at which the source's clock showed ``time_s``, counted from a frame near it."""
    return frame.timestamp + timedelta(seconds=time_s - frame.time_s)


def picture_quality(box: Box, score: float, *, width: int, height: int) -> float:
    """Return how good a picture of an object a frame makes: sure, large, and not cut by the picture's edge.

    The area counts by its square root, so that a slightly larger but doubtful box does not win.
    """
    left, top, right, bottom = box
    margin_px = 0.005 * max(width, height)
    cut = left <= margin_px or top <= margin_px or right >= width - margin_px or bottom >= height - margin_px
    return score * (box_area(box) / (width * height)) ** 0.5 * (0.5 if cut else 1.0)
