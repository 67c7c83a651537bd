"""From what the rules found to the event that travels and the pictures that go with it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, assert_never
from uuid import UUID

from pydantic import Field

from edge_agent.events.occurrences import (
    AnprOccurrence,
    DetectionOccurrence,
    MotionOccurrence,
    Occurrence,
    RuleOccurrence,
    TrackingOccurrence,
    as_box,
)
from edge_agent.images.annotate import BoxLabel, PlateLabel, draw_boxes, draw_motion, draw_plates
from edge_agent.images.jpeg import EncodedImage, encode, thumbnail
from edge_agent.types import Frame, Image
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
from shared.settings import Settings
from shared.storage_keys import EXTENSIONS, snapshot_key, thumbnail_key

REMEMBERED_TIMES = 4096

ImageFormat = Literal["jpg", "png", "webp"]


EventClass = type[
    TrackingEvent | MotionEvent | DetectionEvent | AnprEvent | SnapshotEvent | CameraStatusEvent | RuleEvent
]
EventData = TrackingData | MotionData | DetectionData | AnprData | SnapshotData | CameraStatusData | RuleData


class SnapshotSettings(Settings):
    """Which pictures go with events."""

    enabled: bool = Field(default=True, description="Send an annotated picture with each event.")
    image_format: ImageFormat = Field(
        default="jpg", description="jpg is small and quick; png is exact and ten times larger."
    )
    quality: int = Field(default=85, ge=1, le=100, description="For jpg and webp.")
    max_width_px: int | None = Field(default=None, ge=64, description="Shrink wider pictures to this.")
    thumbnail_width_px: int | None = Field(default=320, ge=32, description="Null sends no thumbnails.")


@dataclass(frozen=True, slots=True)
class BuiltEvent:
    """An event, ready for the outbox."""

    event: Event
    snapshot: bytes | None
    thumbnail: bytes | None


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose events these are."""

    site_id: str
    device_id: str
    camera_id: str
    model_info: ModelInfo = field(default_factory=lambda: ModelInfo(model_type="none", version="none"))
    """What finds this camera's objects."""


class EventBuilder:
    """Builds one camera's events.

    Times are the capture time of the frame in the picture. Two events of one type and one frame would share a
    snapshot key; the later one is moved by a microsecond, so that each event owns its picture. Thread-safe.
    """

    def __init__(self, *, origin: Origin, snapshots: SnapshotSettings, new_id: Callable[[], UUID]) -> None:
        self._origin = origin
        self._snapshots = snapshots
        self._new_id = new_id
        self._lock = threading.Lock()
        self._taken: dict[tuple[str, datetime], None] = {}

    def build(self, occurrence: Occurrence) -> BuiltEvent:
        """Draw, encode and fill in the event."""
        match occurrence:
            case TrackingOccurrence():
                frame = occurrence.observation.frame
                data = self._tracking_data(occurrence)
                return self._assemble(TrackingEvent, data, frame, self._portrait(frame, occurrence.observation.labels))
            case RuleOccurrence():
                frame = occurrence.frame
                return self._assemble(
                    RuleEvent, _rule_data(occurrence), frame, self._portrait(frame, occurrence.labels)
                )
            case MotionOccurrence():
                frame = occurrence.frame
                return self._assemble(MotionEvent, _motion_data(occurrence), frame, self._moving_areas(occurrence))
            case DetectionOccurrence():
                frame = occurrence.frame
                data = DetectionData(detections=_objects(occurrence), model_info=self._origin.model_info)
                return self._assemble(DetectionEvent, data, frame, self._portrait(frame, occurrence.labels))
            case AnprOccurrence():
                return self._assemble(AnprEvent, _anpr_data(occurrence), occurrence.frame, self._plate(occurrence))
            case _:
                assert_never(occurrence)

    def snapshot_taken(self, frame: Frame, *, snapshot_id: str, command_id: str | None) -> BuiltEvent:
        """Answer "snapshot now" with this frame, undrawn."""
        data = SnapshotData(snapshot_id=snapshot_id, command_id=command_id)
        return self._assemble(SnapshotEvent, data, frame, frame.picture.bgr())

    def snapshot_failed(self, why: str, *, at: datetime, snapshot_id: str, command_id: str | None) -> BuiltEvent:
        """Answer "snapshot now" with the reason why there is none."""
        data = SnapshotData(snapshot_id=snapshot_id, command_id=command_id, error=why)
        return BuiltEvent(event=self._event(SnapshotEvent, data, at=at), snapshot=None, thumbnail=None)

    def camera_status(self, data: CameraStatusData, *, at: datetime) -> BuiltEvent:
        """Tell that a camera has come, gone, or is not what it was."""
        return BuiltEvent(event=self._event(CameraStatusEvent, data, at=at), snapshot=None, thumbnail=None)

    def _assemble(self, event_class: EventClass, data: EventData, frame: Frame, image: Image | None) -> BuiltEvent:
        event_type = event_class.model_fields["event_type"].default
        timestamp = self._free_time(event_type, frame.timestamp)
        picture = self._encode(image)
        reference = None if picture is None else self._reference(event_type, timestamp, picture)
        small = self._thumbnail(image)
        if isinstance(data, SnapshotData) and small is not None and reference is not None:
            data.thumbnail_key = thumbnail_key(reference.key)
        return BuiltEvent(
            event=self._event(event_class, data, at=timestamp, frame_number=frame.number, snapshot=reference),
            snapshot=None if picture is None else picture.data,
            thumbnail=small,
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

    def _tracking_data(self, found: TrackingOccurrence) -> TrackingData:
        return TrackingData(
            track_id=found.track_id,
            track_uid=found.track_uid,
            tracking_action=found.action,
            class_name=found.class_name,
            confidence=_ratio(found.observation.score),
            bounding_box=_box(found.observation.xyxy, found.observation.frame),
            dwell_time_seconds=None if found.dwell_s is None else round(found.dwell_s, 3),
            zones=list(found.zones),
            model_info=self._origin.model_info,
            loitering=found.loitering or None,
            line_crossed=found.line_crossed,
            stationary=found.stationary,
            first_seen_at=found.first_seen_at,
            last_seen_at=found.last_seen_at,
            path=_path(found),
        )

    def _portrait(self, frame: Frame, labels: tuple[BoxLabel, ...]) -> Image | None:
        return draw_boxes(frame.picture.bgr(), labels) if self._snapshots.enabled else None

    def _plate(self, found: AnprOccurrence) -> Image | None:
        if not self._snapshots.enabled:
            return None
        best = found.candidates[0]
        label = PlateLabel(xyxy=found.plate, text=best.text, confidence=_ratio(best.confidence))
        return draw_plates(found.frame.picture.bgr(), [label])

    def _moving_areas(self, found: MotionOccurrence) -> Image | None:
        if not self._snapshots.enabled:
            return None
        return draw_motion(found.frame.picture.bgr(), found.motion.mask, timestamp=found.frame.timestamp)

    def _encode(self, image: Image | None) -> EncodedImage | None:
        if image is None:
            return None
        settings = self._snapshots
        return encode(
            image, image_format=settings.image_format, quality=settings.quality, max_width_px=settings.max_width_px
        )

    def _thumbnail(self, image: Image | None) -> bytes | None:
        width_px = self._snapshots.thumbnail_width_px
        return None if image is None or width_px is None else thumbnail(image, width_px=width_px).data

    def _reference(self, event_type: str, timestamp: datetime, picture: EncodedImage) -> SnapshotRef:
        return SnapshotRef(
            key=snapshot_key(
                camera_id=self._origin.camera_id,
                event_type=event_type,
                timestamp=timestamp,
                extension=EXTENSIONS[picture.content_type],
            ),
            content_type=picture.content_type,
            bytes=len(picture.data),
            width=picture.width,
            height=picture.height,
            sha256=picture.sha256,
        )

    def _free_time(self, event_type: str, timestamp: datetime) -> datetime:
        with self._lock:
            while (event_type, timestamp) in self._taken:
                timestamp += timedelta(microseconds=1)
            self._taken[event_type, timestamp] = None
            if len(self._taken) > REMEMBERED_TIMES:
                del self._taken[next(iter(self._taken))]
        return timestamp


def _path(found: TrackingOccurrence) -> list[PathPoint] | None:
    if not found.path:
        return None
    return [
        PathPoint(t=round(max(point.time_s - found.first_seen_s, 0.0), 3), x=_ratio(point.x), y=_ratio(point.y))
        for point in found.path
    ]


def _rule_data(found: RuleOccurrence) -> RuleData:
    happened = found.transition
    return RuleData(
        rule=happened.rule,
        name=happened.name,
        direction=happened.direction,
        since=found.since_at,
        dwell_s=None if happened.dwell_s is None else round(happened.dwell_s, 3),
        crossed_at=found.crossed_at,
        count=happened.count,
        track_id=found.track_id,
        track_uid=found.track_uid,
        class_name=found.class_name,
        confidence=None if found.score is None else _ratio(found.score),
        bounding_box=None if found.xyxy is None else _box(found.xyxy, found.frame),
        zone=happened.zone,
    )


def _motion_data(found: MotionOccurrence) -> MotionData:
    return MotionData(
        motion_intensity=_ratio(found.motion.intensity),
        affected_area_percentage=round(min(max(found.motion.area_ratio * 100, 0.0), 100.0), 3),
        regions=[_box(as_box(row), found.frame) for row in found.motion.regions],
        duration_seconds=None if found.duration_s is None else round(found.duration_s, 3),
    )


def _objects(found: DetectionOccurrence) -> list[DetectedObject]:
    return [
        DetectedObject(
            class_name=label.class_name,
            confidence=_ratio(label.confidence),
            bounding_box=_box([float(value) for value in label.xyxy], found.frame),
            track_id=label.track_id,
        )
        for label in found.labels
    ]


def _anpr_data(found: AnprOccurrence) -> AnprData:
    best = found.candidates[0]
    return AnprData(
        anpr_result=PlateResult(license_plate=best.text, confidence=_ratio(best.confidence), region=found.region),
        plate_normalized=normalize_plate(best.text),
        plate_box=_box(found.plate, found.frame),
        vehicle_box=None if found.vehicle is None else _box(found.vehicle, found.frame),
        track_id=found.track_id,
        track_uid=found.track_uid,
        vehicle=Vehicle(type=found.vehicle_type, color=found.color),
        direction=found.direction,
        reads=found.reads,
        candidates=[PlateCandidate(text=each.text, confidence=_ratio(each.confidence)) for each in found.candidates],
        quality_score=_ratio(found.quality),
        latency_ms=round(max(found.latency_s, 0.0) * 1000, 3),
    )


def _box(xyxy: Sequence[float], frame: Frame) -> BoundingBox:
    return BoundingBox.from_xyxy(xyxy, width_px=frame.width, height_px=frame.height)


def _ratio(value: float) -> float:
    return round(min(max(value, 0.0), 1.0), 4)
