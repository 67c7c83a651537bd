"""Maps occurrences to wire events, with the snapshots that go with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import assert_never
from uuid import UUID

from edge_agent.events.occurrences import (
    AnprOccurrence,
    DetectionOccurrence,
    MotionOccurrence,
    Occurrence,
    RuleOccurrence,
    TrackingOccurrence,
    as_box,
)
from edge_agent.events.timestamps import UniqueTimestamps
from edge_agent.images.annotate import PlateLabel
from edge_agent.images.jpeg import EncodedImage
from edge_agent.images.snapshot import Snapshot, SnapshotRenderer
from edge_agent.types import Frame
from shared.events import (
    AnprData,
    AnprEvent,
    CameraStatusData,
    CameraStatusEvent,
    DetectedObject,
    DetectionData,
    DetectionEvent,
    Event,
    ModelInfo,
    MotionData,
    MotionEvent,
    PathPoint,
    PlateCandidate,
    PlateResult,
    RuleData,
    RuleEvent,
    SnapshotData,
    SnapshotEvent,
    SnapshotRef,
    TrackingData,
    TrackingEvent,
    Vehicle,
)
from shared.geometry import BoundingBox
from shared.plates import normalize_plate
from shared.storage_keys import EXTENSIONS, snapshot_key, thumbnail_key

EventClass = type[
    TrackingEvent | MotionEvent | DetectionEvent | AnprEvent | SnapshotEvent | CameraStatusEvent | RuleEvent
]
EventData = TrackingData | MotionData | DetectionData | AnprData | SnapshotData | CameraStatusData | RuleData


@dataclass(frozen=True, slots=True)
class BuiltEvent:
    """An event with its encoded pictures, ready for the outbox."""

    event: Event
    snapshot: bytes | None
    thumbnail: bytes | None


@dataclass(frozen=True, slots=True)
class Origin:
    """Site, device and camera of an event, and the detection model of the camera."""

    site_id: str
    device_id: str
    camera_id: str
    model_info: ModelInfo = field(default_factory=lambda: ModelInfo(model_type="none", version="none"))


class EventBuilder:
    """Builds the wire events of one camera. Thread-safe.

    An event's timestamp is the capture time of the frame in its snapshot. ``timestamps`` moves it by microseconds
    where another event of the same type has used it, so that each event has its own snapshot key.
    """

    def __init__(
        self,
        *,
        origin: Origin,
        renderer: SnapshotRenderer,
        timestamps: UniqueTimestamps,
        new_id: Callable[[], UUID],
    ) -> None:
        self._origin = origin
        self._renderer = renderer
        self._timestamps = timestamps
        self._new_id = new_id

    def build(self, occurrence: Occurrence) -> BuiltEvent:
        """Return the wire event for an occurrence, with its snapshot."""
        match occurrence:
            case TrackingOccurrence():
                observation = occurrence.observation
                snapshot = self._renderer.objects(observation.frame, observation.labels)
                data = _tracking_data(occurrence, self._origin.model_info)
                return self._assemble(TrackingEvent, data, observation.frame, snapshot)
            case RuleOccurrence():
                frame = occurrence.frame
                snapshot = self._renderer.objects(frame, occurrence.labels)
                return self._assemble(RuleEvent, _rule_data(occurrence), frame, snapshot)
            case MotionOccurrence():
                frame = occurrence.frame
                snapshot = self._renderer.motion(frame, occurrence.motion)
                return self._assemble(MotionEvent, _motion_data(occurrence), frame, snapshot)
            case DetectionOccurrence():
                frame = occurrence.frame
                snapshot = self._renderer.objects(frame, occurrence.labels)
                data = DetectionData(detections=_objects(occurrence), model_info=self._origin.model_info)
                return self._assemble(DetectionEvent, data, frame, snapshot)
            case AnprOccurrence():
                snapshot = self._renderer.plate(occurrence.frame, _plate_label(occurrence))
                return self._assemble(AnprEvent, _anpr_data(occurrence), occurrence.frame, snapshot)
            case _:
                assert_never(occurrence)

    def snapshot_taken(
        self, frame: Frame, *, snapshot_id: str, command_id: str | None, thumbnail: bool | None = None
    ) -> BuiltEvent:
        """Return the event for a snapshot command: this frame, without annotations.

        ``thumbnail``: whether to make one; None for what the camera's settings say.
        """
        data = SnapshotData(snapshot_id=snapshot_id, command_id=command_id)
        return self._assemble(SnapshotEvent, data, frame, self._renderer.plain(frame, thumbnail=thumbnail))

    def snapshot_failed(self, error: str, *, at: datetime, snapshot_id: str, command_id: str | None) -> BuiltEvent:
        """Return the event for a snapshot command that failed, with the reason."""
        data = SnapshotData(snapshot_id=snapshot_id, command_id=command_id, error=error)
        return BuiltEvent(event=self._event(SnapshotEvent, data, at=at), snapshot=None, thumbnail=None)

    def camera_status(self, data: CameraStatusData, *, at: datetime) -> BuiltEvent:
        """Return the event for a change of a camera's state."""
        return BuiltEvent(event=self._event(CameraStatusEvent, data, at=at), snapshot=None, thumbnail=None)

    def _assemble(
        self, event_class: EventClass, data: EventData, frame: Frame, snapshot: Snapshot | None
    ) -> BuiltEvent:
        event_type = event_class.model_fields["event_type"].default
        timestamp = self._timestamps.claim(event_type, frame.timestamp)
        reference = None if snapshot is None else self._reference(event_type, timestamp, snapshot.image)
        if isinstance(data, SnapshotData) and reference is not None and snapshot and snapshot.thumbnail is not None:
            data.thumbnail_key = thumbnail_key(reference.key)
        return BuiltEvent(
            event=self._event(event_class, data, at=timestamp, frame_number=frame.number, snapshot=reference),
            snapshot=None if snapshot is None else snapshot.image.data,
            thumbnail=None if snapshot is None else snapshot.thumbnail,
        )

    def _event(
        self,
        event_class: EventClass,
        data: EventData,
        *,
        at: datetime,
        frame_number: int | None = None,
        snapshot: SnapshotRef | None = None,
    ) -> Event:
        return event_class.model_validate(
            {
                "event_id": self._new_id(),
                "site_id": self._origin.site_id,
                "device_id": self._origin.device_id,
                "camera_id": self._origin.camera_id,
                "timestamp": at,
                "frame_number": frame_number,
                "snapshot": snapshot,
                "event_data": data,
            }
        )

    def _reference(self, event_type: str, timestamp: datetime, image: EncodedImage) -> SnapshotRef:
        return SnapshotRef(
            key=snapshot_key(
                camera_id=self._origin.camera_id,
                event_type=event_type,
                timestamp=timestamp,
                extension=EXTENSIONS[image.content_type],
            ),
            content_type=image.content_type,
            bytes=len(image.data),
            width=image.width,
            height=image.height,
            sha256=image.sha256,
        )


def _tracking_data(occurrence: TrackingOccurrence, model_info: ModelInfo) -> TrackingData:
    observation = occurrence.observation
    return TrackingData(
        track_id=occurrence.track_id,
        track_uid=occurrence.track_uid,
        tracking_action=occurrence.action,
        class_name=occurrence.class_name,
        confidence=_ratio(observation.score),
        bounding_box=_box(observation.xyxy, observation.frame),
        dwell_time_seconds=None if occurrence.dwell_s is None else round(occurrence.dwell_s, 3),
        zones=list(occurrence.zones),
        model_info=model_info,
        loitering=occurrence.loitering or None,
        line_crossed=occurrence.line_crossed,
        stationary=occurrence.stationary,
        first_seen_at=occurrence.first_seen_at,
        last_seen_at=occurrence.last_seen_at,
        path=_path(occurrence),
    )


def _path(occurrence: TrackingOccurrence) -> list[PathPoint] | None:
    if not occurrence.path:
        return None
    return [
        PathPoint(t=round(max(point.time_s - occurrence.first_seen_s, 0.0), 3), x=_ratio(point.x), y=_ratio(point.y))
        for point in occurrence.path
    ]


def _rule_data(occurrence: RuleOccurrence) -> RuleData:
    transition = occurrence.transition
    return RuleData(
        rule=transition.rule,
        name=transition.name,
        direction=transition.direction,
        since=occurrence.since_at,
        dwell_s=None if transition.dwell_s is None else round(transition.dwell_s, 3),
        crossed_at=occurrence.crossed_at,
        count=transition.count,
        track_id=occurrence.track_id,
        track_uid=occurrence.track_uid,
        class_name=occurrence.class_name,
        confidence=None if occurrence.score is None else _ratio(occurrence.score),
        bounding_box=None if occurrence.xyxy is None else _box(occurrence.xyxy, occurrence.frame),
        zone=transition.zone,
    )


def _motion_data(occurrence: MotionOccurrence) -> MotionData:
    return MotionData(
        motion_intensity=_ratio(occurrence.motion.intensity),
        affected_area_percentage=round(min(max(occurrence.motion.area_ratio * 100, 0.0), 100.0), 3),
        regions=[_box(as_box(row), occurrence.frame) for row in occurrence.motion.regions],
        duration_seconds=None if occurrence.duration_s is None else round(occurrence.duration_s, 3),
    )


def _objects(occurrence: DetectionOccurrence) -> list[DetectedObject]:
    return [
        DetectedObject(
            class_name=label.class_name,
            confidence=_ratio(label.confidence),
            bounding_box=_box([float(value) for value in label.xyxy], occurrence.frame),
            track_id=label.track_id,
        )
        for label in occurrence.labels
    ]


def _plate_label(occurrence: AnprOccurrence) -> PlateLabel:
    best = occurrence.candidates[0]
    return PlateLabel(xyxy=occurrence.plate, text=best.text, confidence=_ratio(best.confidence))


def _anpr_data(occurrence: AnprOccurrence) -> AnprData:
    best = occurrence.candidates[0]
    return AnprData(
        anpr_result=PlateResult(license_plate=best.text, confidence=_ratio(best.confidence), region=occurrence.region),
        plate_normalized=normalize_plate(best.text),
        plate_box=_box(occurrence.plate, occurrence.frame),
        vehicle_box=None if occurrence.vehicle is None else _box(occurrence.vehicle, occurrence.frame),
        track_id=occurrence.track_id,
        track_uid=occurrence.track_uid,
        vehicle=Vehicle(type=occurrence.vehicle_type, color=occurrence.color),
        direction=occurrence.direction,
        reads=occurrence.reads,
        candidates=[
            PlateCandidate(text=each.text, confidence=_ratio(each.confidence)) for each in occurrence.candidates
        ],
        quality_score=_ratio(occurrence.quality),
        latency_ms=round(max(occurrence.latency_s, 0.0) * 1000, 3),
    )


def _box(xyxy: Sequence[float], frame: Frame) -> BoundingBox:
    return BoundingBox.from_xyxy(xyxy, width_px=frame.width, height_px=frame.height)


def _ratio(value: float) -> float:
    return round(min(max(value, 0.0), 1.0), 4)
