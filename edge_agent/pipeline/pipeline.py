"""One camera from frame to event: motion, detection, tracking, rules, snapshot.

Decisions depend on the frames and their times alone, so the same frames give the same events. The exception is the time
budget of the plate readers on a live camera. ``publish`` stores the events.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from edge_agent.anpr.stage import PlateStage
from edge_agent.anpr.types import FrameTracks
from edge_agent.detect.composite import Detector
from edge_agent.detect.gate import DetectionGate
from edge_agent.events.builder import EventBuilder
from edge_agent.events.occurrences import Occurrence, TrackedObject
from edge_agent.events.rules.detection import DetectionRule, labels_of
from edge_agent.events.rules.motion import MotionEpisodes
from edge_agent.events.rules.track_lifecycle import TrackLifecycle
from edge_agent.motion.adaptive import MotionDetector
from edge_agent.pipeline.context import CameraContext
from edge_agent.pipeline.timing import StageTimer
from edge_agent.track.tracker import Tracker
from edge_agent.types import Detections, Frame, Motion, Tracks, ViewChange


@dataclass(frozen=True, slots=True)
class SceneView:
    """State of a camera's scene after the last frame, for display."""

    objects: Sequence[TrackedObject] = ()
    """Tracked objects, each at its last detection."""
    occupancy: Mapping[str, int] = field(default_factory=dict[str, int])
    """Number of announced objects in each zone."""
    uncertain: frozenset[int] = frozenset()
    """Track ids in ``objects`` that are not announced yet, or that the last run of the detector missed."""


class TrackingStage:
    """Detects and tracks objects, applies the rules, and reads number plates."""

    def __init__(
        self,
        *,
        detector: Detector,
        tracker: Tracker,
        lifecycle: TrackLifecycle,
        gate: DetectionGate,
        timer: StageTimer,
        plates: PlateStage | None = None,
    ) -> None:
        self._detector = detector
        self._tracker = tracker
        self._lifecycle = lifecycle
        self._gate = gate
        self._timer = timer
        self._plates = plates
        self._undecided_frame: Frame | None = None
        """The previous frame, where motion detection could not decide yet whether something moves in it."""
        self.seen: Sequence[str] = ()
        """Uids of the tracks that were detected in the last frame."""
        self.detected = 0
        """Number of detections in the last frame."""

    def observe(self, frame: Frame, motion: Motion) -> Sequence[Occurrence]:
        """Process one frame; return the occurrences to publish."""
        self.seen, self.detected = (), 0
        if motion.view_change is not None:
            self._move_view(motion.view_change)
        undecided_frame, self._undecided_frame = self._undecided_frame, frame if motion.unsettled else None
        has_objects, has_moving_objects = self._lifecycle.has_objects, self._lifecycle.has_moving_objects
        if not self._gate.should_detect(frame, motion, has_objects=has_objects, has_moving_objects=has_moving_objects):
            return (*self._lifecycle.expire(frame), *self._expire_plates(frame.time_s))
        earlier: Sequence[Occurrence] = ()
        if undecided_frame is not None and motion.held_back is not None and motion.view_change is None:
            # A large fast object may be visible in only two frames. The skipped frame is one of them.
            _, earlier = self._detect_and_track(undecided_frame, motion.held_back)
        tracks, occurrences = self._detect_and_track(frame, motion)
        return (*earlier, *occurrences, *self._read_plates(frame, motion, tracks))

    def _detect_and_track(self, frame: Frame, motion: Motion) -> tuple[Tracks, Sequence[Occurrence]]:
        with self._timer.stage("detect"):
            detections = self._detector.detect(frame, motion)
        self.detected += len(detections)
        with self._timer.stage("track"):
            tracks = with_detected_boxes(
                self._tracker.update(detections, time_s=frame.time_s, frame_size=(frame.width, frame.height)),
                detections,
            )
        with self._timer.stage("rules"):
            occurrences = self._lifecycle.observe(frame, tracks)
            self.seen = [tracked.track_uid for tracked in self._lifecycle.tracked_objects(tracks)]
        return tracks, occurrences

    def finish(self) -> Sequence[Occurrence]:
        """End all tracks; return the occurrences that this completes."""
        occurrences = self._lifecycle.finish(self._tracker.finish())
        return occurrences if self._plates is None else (*occurrences, *self._plates.finish())

    def close(self) -> None:
        """Release the models."""
        self._detector.close()
        if self._plates is not None:
            self._plates.close()

    def scene(self) -> SceneView:
        """Return the tracked objects and the occupancy of zones after the last frame."""
        return SceneView(
            objects=self._lifecycle.objects(),
            occupancy=self._lifecycle.occupancy(),
            uncertain=self._lifecycle.uncertain,
        )

    def _move_view(self, change: ViewChange) -> None:
        """Move all remembered pixel positions with the camera's view."""
        self._detector.move_view(change)
        self._tracker.move_view(change)
        self._lifecycle.move_view(change)
        if self._plates is not None:
            self._plates.move_view(change)

    def _read_plates(self, frame: Frame, motion: Motion, tracks: Tracks) -> Sequence[Occurrence]:
        if self._plates is None:
            return ()
        moving = motion.active or self._lifecycle.has_moving_objects or not self._gate.uses_motion
        with self._timer.stage("plates"):
            return self._plates.observe(frame, self._tracked(self._lifecycle.tracked_objects(tracks)), moving=moving)

    def _expire_plates(self, now_s: float) -> Sequence[Occurrence]:
        return () if self._plates is None else self._plates.expire(now_s, self._tracked())

    def _tracked(self, objects: Sequence[TrackedObject] = ()) -> FrameTracks:
        return FrameTracks(objects, self._lifecycle.present, self._lifecycle.awaiting_return)


def with_detected_boxes(tracks: Tracks, detections: Detections) -> Tracks:
    """Return the tracks with the detector's boxes: the boxes of the tracker's filter lag behind the picture."""
    return replace(tracks, xyxy=detections.xyxy[tracks.detection_index])


class DetectionStage:
    """Detects objects and reports the objects in the scene, without tracking."""

    seen: Sequence[str] = ()

    def __init__(self, *, detector: Detector, rule: DetectionRule, gate: DetectionGate, timer: StageTimer) -> None:
        self._detector = detector
        self._rule = rule
        self._gate = gate
        self._timer = timer
        self.detected = 0
        """Number of detections in the last frame."""

    def observe(self, frame: Frame, motion: Motion) -> Sequence[Occurrence]:
        """Process one frame; return the occurrences to publish."""
        self.detected = 0
        if not self._gate.should_detect(frame, motion, has_objects=False, has_moving_objects=False):
            return ()
        with self._timer.stage("detect"):
            detections = self._detector.detect(frame, motion)
        self.detected = len(detections)
        with self._timer.stage("rules"):
            return self._rule.observe(frame, labels_of(detections, self._detector.labels))

    def scene(self) -> SceneView:
        """Return an empty scene: nothing is tracked."""
        return SceneView()

    def finish(self) -> Sequence[Occurrence]:
        """Return nothing: this stage has no open state."""
        return ()

    def close(self) -> None:
        """Release the model."""
        self._detector.close()


class CameraPipeline:
    """Processes the frames of one camera. Not thread-safe: each camera has one thread."""

    def __init__(
        self,
        *,
        motion: MotionDetector,
        episodes: MotionEpisodes | None,
        objects: TrackingStage | DetectionStage | None,
        builder: EventBuilder,
        context: CameraContext,
    ) -> None:
        self._motion = motion
        self._episodes = episodes
        self._objects = objects
        self._builder = builder
        self._publish_event = context.device.publish
        self._timer = context.timer
        self._counters = context.counters
        self._update_last_seen = context.update_last_seen

    def process(self, frame: Frame) -> None:
        """Process one frame. Its events are published before this returns."""
        with self._timer.stage("motion"):
            motion = self._motion.update(frame.picture.luma(), time_s=frame.time_s)
        if self._episodes is not None:
            self._publish(self._episodes.observe(frame, motion))
        if self._objects is not None:
            self._publish(self._objects.observe(frame, motion))
            self._counters.detections += self._objects.detected
        self._counters.count_frame(frame.number)
        self._counters.count_motion(motion.area_ratio, active=motion.active)
        if self._update_last_seen is not None:
            self._update_last_seen(() if self._objects is None else self._objects.seen, motion.active)

    def scene(self) -> SceneView:
        """Return the state of the scene after the last frame."""
        return SceneView() if self._objects is None else self._objects.scene()

    def finish(self) -> None:
        """End open motion episodes and tracks. Called when the source has ended or the agent stops."""
        if self._episodes is not None:
            self._publish(self._episodes.finish())
        if self._objects is not None:
            self._publish(self._objects.finish())

    def close(self) -> None:
        """Release the models."""
        if self._objects is not None:
            self._objects.close()

    def _publish(self, occurrences: Sequence[Occurrence]) -> None:
        for occurrence in occurrences:
            with self._timer.stage("snapshot"):
                built = self._builder.build(occurrence)
            with self._timer.stage("publish"):
                self._publish_event(built)
