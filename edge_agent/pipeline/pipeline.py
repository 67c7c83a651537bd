"""One camera's way from frame to event: motion, detection, tracking, rules, picture. No network, no disk, no clock.

Everything is decided by the frames and their times, so the same frames give the same events.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from edge_agent.anpr.stage import FrameTracks, PlateStage
from edge_agent.detect.composite import Detector
from edge_agent.detect.gate import DetectionGate
from edge_agent.events.builder import BuiltEvent, EventBuilder
from edge_agent.events.occurrences import Occurrence, TrackedObject
from edge_agent.events.rules.detection import DetectionRule
from edge_agent.events.rules.motion import MotionEpisodes
from edge_agent.events.rules.track_lifecycle import TrackLifecycle, labels_of
from edge_agent.motion.detector import MotionDetector
from edge_agent.pipeline.timing import StageTimer
from edge_agent.track.tracker import Tracker
from edge_agent.types import Detections, Frame, Motion, Tracks, ViewChange

Publish = Callable[[BuiltEvent], None]
NoteSeen = Callable[[Sequence[str], bool], None]
"""Gets, for each frame, the uids of the tracks that were seen in it, and whether anything moved."""


@dataclass(frozen=True, slots=True)
class SceneView:
    """What a camera's pipeline sees now, for somebody to look at."""

    objects: Sequence[TrackedObject] = ()
    """Tracked objects, each where it was last detected."""
    occupancy: Mapping[str, int] = field(default_factory=dict[str, int])
    """How many reported objects are in each zone."""
    uncertain: frozenset[int] = frozenset()
    """Track ids of ``objects`` that are not reported yet, or were not detected when the detector last looked."""


class TrackingStage:
    """Finds and follows objects, reads their plates, and tells their comings and goings."""

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
        self._unsettled: Frame | None = None
        """The frame before this one, where it could not be told yet whether something moves in it."""
        self.seen: Sequence[str] = ()
        """Uids of the tracks that were seen in the frame last observed."""

    def observe(self, frame: Frame, motion: Motion) -> Sequence[Occurrence]:
        self.seen = ()
        if motion.view_change is not None:
            self._move_view(motion.view_change)
        unsettled, self._unsettled = self._unsettled, frame if motion.unsettled else None
        has_objects = self._lifecycle.has_objects
        if not self._gate.should_detect(
            frame, motion, has_objects=has_objects, has_moving_objects=self._lifecycle.has_moving_objects
        ):
            return (*self._lifecycle.rest(frame), *self._gone_plates(frame.time_s))
        earlier: Sequence[Occurrence] = ()
        if unsettled is not None and motion.held_back is not None and motion.view_change is None:
            # Something large and fast: half of what there is to see of it may be in the frame that was left out.
            _, earlier = self._look(unsettled, motion.held_back)
        tracks, told = self._look(frame, motion)
        return (*earlier, *told, *self._read_plates(frame, motion, tracks))

    def _look(self, frame: Frame, motion: Motion) -> tuple[Tracks, Sequence[Occurrence]]:
        """Find and follow the objects in one frame; return the tracks and what is to be emitted."""
        with self._timer.stage("detect"):
            detections = self._detector.detect(frame, motion)
        with self._timer.stage("track"):
            tracks = as_detected(
                self._tracker.update(detections, time_s=frame.time_s, frame_size=(frame.width, frame.height)),
                detections,
            )
        with self._timer.stage("rules"):
            told = self._lifecycle.observe(frame, tracks)
            self.seen = [followed.track_uid for followed in self._lifecycle.tracked_objects(tracks)]
        return tracks, told

    def finish(self) -> Sequence[Occurrence]:
        told = self._lifecycle.finish(self._tracker.finish())
        return told if self._plates is None else (*told, *self._plates.finish())

    def close(self) -> None:
        self._detector.close()
        if self._plates is not None:
            self._plates.close()

    def scene(self) -> SceneView:
        return SceneView(
            objects=self._lifecycle.objects(),
            occupancy=self._lifecycle.occupancy(),
            uncertain=self._lifecycle.uncertain,
        )

    def _move_view(self, change: ViewChange) -> None:
        """Let all that remembers places in pixels follow the picture."""
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

    def _gone_plates(self, now_s: float) -> Sequence[Occurrence]:
        return () if self._plates is None else self._plates.expire(now_s, self._tracked())

    def _tracked(self, followed: Sequence[TrackedObject] = ()) -> FrameTracks:
        return FrameTracks(followed, self._lifecycle.present, self._lifecycle.awaiting_return)


def as_detected(tracks: Tracks, detections: Detections) -> Tracks:
    """Return the tracks with the boxes that the detector gave: the filter's lag behind what the picture shows."""
    return replace(tracks, xyxy=detections.xyxy[tracks.detection_index])


class DetectionStage:
    """Finds objects and tells what is to be seen, without following anything."""

    seen: Sequence[str] = ()

    def __init__(self, *, detector: Detector, rule: DetectionRule, gate: DetectionGate, timer: StageTimer) -> None:
        self._detector = detector
        self._rule = rule
        self._gate = gate
        self._timer = timer

    def observe(self, frame: Frame, motion: Motion) -> Sequence[Occurrence]:
        if not self._gate.should_detect(frame, motion, has_objects=False, has_moving_objects=False):
            return ()
        with self._timer.stage("detect"):
            detections = self._detector.detect(frame, motion)
        with self._timer.stage("rules"):
            return self._rule.observe(frame, labels_of(detections, self._detector.labels))

    def scene(self) -> SceneView:
        return SceneView()

    def finish(self) -> Sequence[Occurrence]:
        return ()

    def close(self) -> None:
        self._detector.close()


class CameraPipeline:
    """What happens to each frame of one camera. Not thread-safe: one camera, one thread."""

    def __init__(
        self,
        *,
        motion: MotionDetector,
        episodes: MotionEpisodes | None,
        objects: TrackingStage | DetectionStage | None,
        builder: EventBuilder,
        publish: Publish,
        timer: StageTimer,
        update_last_seen: NoteSeen | None = None,
    ) -> None:
        self._motion = motion
        self._episodes = episodes
        self._objects = objects
        self._builder = builder
        self._publish = publish
        self._timer = timer
        self._note_seen = update_last_seen

    def process(self, frame: Frame) -> None:
        """Take one frame through; events go to ``publish`` before this returns."""
        with self._timer.stage("motion"):
            motion = self._motion.update(frame.picture.luma(), time_s=frame.time_s)
        if self._episodes is not None:
            self._tell(self._episodes.observe(frame, motion))
        if self._objects is not None:
            self._tell(self._objects.observe(frame, motion))
        if self._note_seen is not None:
            self._note_seen(() if self._objects is None else self._objects.seen, motion.active)

    def scene(self) -> SceneView:
        """Return what is in the picture as of the last frame."""
        return SceneView() if self._objects is None else self._objects.scene()

    def finish(self) -> None:
        """Close open episodes and visits: the source has ended, or the agent is stopping."""
        if self._episodes is not None:
            self._tell(self._episodes.finish())
        if self._objects is not None:
            self._tell(self._objects.finish())

    def close(self) -> None:
        """Let the model go."""
        if self._objects is not None:
            self._objects.close()

    def _tell(self, occurrences: Sequence[Occurrence]) -> None:
        for occurrence in occurrences:
            with self._timer.stage("snapshot"):
                built = self._builder.build(occurrence)
            with self._timer.stage("publish"):
                self._publish(built)
