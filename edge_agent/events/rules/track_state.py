"""State of one tracked object, from its first detection to its last."""

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

STATIC_IOU = 0.4
STATIC_S = 3.0
"""An object whose box overlaps its first box by ``STATIC_IOU`` for this time has not moved (a parked car)."""
MAX_PENDING = 64
_MIN_SCORES = 3
_TOLERANCE_S = 1e-6

_SPARSE_DETECTIONS = 5
"""Number of detections that is enough regardless of how many detector runs missed the object."""
_DENSE_DETECTIONS, _DENSE_RATIO, _SLOW_S = 3, 0.6, 0.9
"""An object detected in this share of the runs needs three detections, or two ``_SLOW_S`` apart."""
MAX_FAST_CONFIRM_S = 1.0
"""Maximum ``confirm_s`` at which fast objects are confirmed early. A longer time is meant to exclude passers-by."""
_FAST_DISTANCE = 0.25
"""Distance, as a fraction of the picture, after which an object is confirmed early."""


@dataclass(slots=True)
class TrackState:
    """One tracked object. Holds at most two frames: the latest and the best."""

    track_id: int
    track_uid: str
    class_name: str
    first_seen_at: datetime
    first_seen_s: float
    first_xyxy: Box
    last: TrackObservation
    xyxy: Box
    """Box of the last detection, in pixels of the current view."""
    score_window_s: float
    best: TrackObservation | None = None
    """The best snapshot since the last event."""
    scores: deque[tuple[float, float]] = field(default_factory=deque[tuple[float, float]])
    """Time and score of the latest detections."""
    path: TrackPath = field(default_factory=TrackPath)
    pending: list[Transition] = field(default_factory=list[Transition])
    """Transitions before the object was announced."""
    zones: tuple[str, ...] = ()
    was_in_required: bool = False
    loitering: bool = False
    detection_count: int = 0
    detector_runs: int = 0
    """Runs of the detector since the first detection."""
    announced: bool = False
    emitted_at_s: float = 0.0
    emitted_xyxy: Box | None = None
    """Box at the last event."""
    stationary: bool = False
    has_not_moved: bool = True
    """Whether all boxes so far overlap the first one."""
    lost_at_s: float | None = None
    """Time at which the tracker lost it, while it is awaiting return."""

    @property
    def may_return(self) -> bool:
        """Whether a lost object is probably still there: it did not move, so the detector may have missed it."""
        return self.stationary or (self.has_not_moved and self.seen_for_s >= STATIC_S)

    @property
    def median_score(self) -> float:
        """Median of the latest scores; the lower of the middle two for an even number."""
        return median_low(score for _, score in self.scores)

    @property
    def seen_for_s(self) -> float:
        """Seconds between the first and the last detection."""
        return max(self.last.frame.time_s - self.first_seen_s, 0.0)

    def is_fast(self, confirm_s: float) -> bool:
        """Return whether it has moved so far that it need not be detected for ``confirm_s``."""
        if confirm_s > MAX_FAST_CONFIRM_S:
            return False
        frame, first, now = self.last.frame, self.first_xyxy, self.xyxy
        across = abs(first[0] + first[2] - now[0] - now[2]) / (2.0 * frame.width)
        down = abs(first[1] + first[3] - now[1] - now[3]) / (2.0 * frame.height)
        return max(across, down) >= _FAST_DISTANCE

    def is_confirmed(self, confirm_s: float) -> bool:
        """Return whether it has been detected for long enough, and often enough in that time, to be announced.

        The time is in seconds rather than frames, so the result is the same at 1 and at 30 frames per second.
        """
        dense = self.detection_count >= _DENSE_RATIO * self.detector_runs
        often = self.detection_count >= _SPARSE_DETECTIONS or (
            dense and (self.detection_count >= _DENSE_DETECTIONS or self.seen_for_s >= _SLOW_S)
        )
        if confirm_s <= 0.0 or (often and self.seen_for_s >= confirm_s - _TOLERANCE_S):
            return True
        return self.is_fast(confirm_s) and dense and self.detection_count >= _DENSE_DETECTIONS

    def has_moved(self, same_place_iou: float) -> bool:
        """Return whether its box differs from that of the last event."""
        return self.emitted_xyxy is None or box_iou(self.emitted_xyxy, self.xyxy) < same_place_iou

    def add_earlier(self, detection: EarlierDetection) -> None:
        """Add a detection from before the track was confirmed; its frame is no longer available."""
        if self.detection_count == 0 and detection.time_s < self.first_seen_s:
            self.first_seen_at -= timedelta(seconds=self.first_seen_s - detection.time_s)
            self.first_seen_s, self.first_xyxy = detection.time_s, detection.xyxy
        self.detection_count += 1
        self.detector_runs += 1
        self.scores.append((detection.time_s, detection.score))

    def add(self, observation: TrackObservation, class_name: str, *, stationary: bool, best_age_s: float) -> None:
        """Add one observation. A best snapshot older than ``best_age_s`` is replaced."""
        self.last = observation
        self.xyxy = observation.xyxy
        self.class_name = class_name
        self.detection_count += 1
        self._add_score(observation.frame.time_s, observation.score)
        self.stationary = stationary
        self.lost_at_s = None
        self.has_not_moved = self.has_not_moved and box_iou(self.first_xyxy, observation.xyxy) >= STATIC_IOU
        best = self.best
        stale = best is not None and observation.frame.time_s - best.frame.time_s > best_age_s
        if best is None or stale or observation.quality > best.quality:
            self.best = observation

    def _add_score(self, time_s: float, score: float) -> None:
        scores = self.scores
        scores.append((time_s, score))
        while len(scores) > _MIN_SCORES and scores[0][0] < time_s - self.score_window_s - _TOLERANCE_S:
            scores.popleft()

    def move_view(self, change: ViewChange) -> None:
        """Move remembered positions with the view. Observations keep the pixels of their own frames."""
        self.xyxy, self.first_xyxy = change.box(self.xyxy), change.box(self.first_xyxy)
        if self.emitted_xyxy is not None:
            self.emitted_xyxy = change.box(self.emitted_xyxy)

    def add_pending(self, transitions: list[Transition]) -> None:
        """Store transitions until the object is announced."""
        self.pending += transitions
        del self.pending[:-MAX_PENDING]

    def occurrence(
        self, action: Action, *, line_crossed: str | None = None, path: tuple[PathPoint, ...] = ()
    ) -> TrackingOccurrence:
        """Return the occurrence and reset the best snapshot, so that the next event shows a new one."""
        best_snapshot = self.best or self.last
        self.best = None
        self.emitted_at_s = self.last.frame.time_s
        self.emitted_xyxy = self.xyxy
        return TrackingOccurrence(
            action=action,
            track_id=self.track_id,
            track_uid=self.track_uid,
            class_name=self.class_name,
            observation=best_snapshot,
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

    def rule_occurrence(self, transition: Transition) -> RuleOccurrence:
        """Return the occurrence for a transition of the object, with the frame of the last observation."""
        observation = self.last
        frame = observation.frame
        return RuleOccurrence(
            transition=transition,
            frame=frame,
            labels=observation.labels,
            since_at=None if transition.since_s is None else to_datetime(frame, transition.since_s),
            crossed_at=to_datetime(frame, transition.time_s) if transition.rule == "line_crossed" else None,
            track_id=self.track_id,
            track_uid=self.track_uid,
            class_name=self.class_name,
            xyxy=observation.xyxy,
            score=observation.score,
        )


def to_datetime(frame: Frame, time_s: float) -> datetime:
    """Convert a time of the source's clock to a datetime, relative to a frame close to it."""
    return frame.timestamp + timedelta(seconds=time_s - frame.time_s)


def snapshot_quality(box: Box, score: float, *, width: int, height: int) -> float:
    """Return the quality of a frame as a snapshot of an object: high for a large, confident, untruncated box.

    The square root of the area is used, so that a slightly larger box with a low score is not preferred.
    """
    left, top, right, bottom = box
    margin_px = 0.005 * max(width, height)
    truncated = left <= margin_px or top <= margin_px or right >= width - margin_px or bottom >= height - margin_px
    return score * (box_area(box) / (width * height)) ** 0.5 * (0.5 if truncated else 1.0)
