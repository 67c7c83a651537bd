"""Building events and their pictures from occurrences."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta

import cv2
import numpy as np
import pytest

from edge_agent.events.builder import BuiltEvent, EventBuilder, Origin
from edge_agent.events.occurrences import (
    AnprOccurrence,
    DetectionOccurrence,
    MotionOccurrence,
    Occurrence,
    PlateText,
    RuleOccurrence,
    TrackingOccurrence,
    TrackObservation,
)
from edge_agent.events.rule_types import PathPoint, Transition
from edge_agent.events.timestamps import UniqueTimestamps
from edge_agent.images.annotate import BoxLabel
from edge_agent.images.snapshot import SnapshotRenderer, SnapshotSettings
from shared.clock import ManualClock
from shared.events import (
    AnprEvent,
    CameraStatusData,
    DetectionEvent,
    ModelInfo,
    MotionEvent,
    RuleEvent,
    SnapshotEvent,
    TrackingEvent,
    dump_event,
    parse_event,
)
from shared.ids import Uuid7Generator
from shared.storage_keys import snapshot_key
from tests.support.edge.builders import BOX, START, frame, motion

LABEL = BoxLabel(xyxy=BOX, class_name="car", confidence=0.87654321, track_id=7)


def _builder(timestamps: UniqueTimestamps | None = None, **settings: object) -> EventBuilder:
    origin = Origin(
        site_id="hq", device_id="gate-01", camera_id="camera-1", model_info=ModelInfo(model_type="ssd", version="1")
    )
    return EventBuilder(
        origin=origin,
        renderer=SnapshotRenderer(SnapshotSettings.model_validate(settings)),
        timestamps=timestamps or UniqueTimestamps(),
        new_id=Uuid7Generator(),
    )


def _tracking(number: int = 5, *, score: float = 0.87654321) -> TrackingOccurrence:
    seen = frame(number, seed=number)
    return TrackingOccurrence(
        action="left",
        track_id=7,
        track_uid="camera-1-run-7",
        class_name="car",
        observation=TrackObservation(frame=seen, xyxy=BOX, score=score, quality=1.0, labels=(LABEL,)),
        first_seen_at=START,
        last_seen_at=seen.timestamp + timedelta(seconds=3),
        dwell_s=12.3456,
        zones=("drive",),
        stationary=True,
    )


def _anpr(number: int = 5) -> AnprOccurrence:
    return AnprOccurrence(
        frame=frame(number, seed=number),
        plate=(120.0, 100.0, 152.0, 109.0),
        candidates=(PlateText("BAK123", 0.97216), PlateText("8AK123", 0.021)),
        reads=7,
        quality=0.834567,
        track_uid="camera-1-run-7",
        track_id=7,
        vehicle=BOX,
        vehicle_type="car",
        color="blue",
        region="de",
        direction="approaching",
        latency_s=0.4125,
    )


def _rule(number: int = 5) -> RuleOccurrence:
    seen = frame(number, seed=number)
    crossing = Transition(rule="line_crossed", name="gate", time_s=0.35, direction="right", count=4)
    return RuleOccurrence(
        transition=crossing,
        frame=seen,
        labels=(LABEL,),
        crossed_at=seen.timestamp - timedelta(milliseconds=50),
        track_id=7,
        track_uid="camera-1-run-7",
        class_name="car",
        xyxy=BOX,
        score=0.9,
    )


OCCURRENCES: list[Occurrence] = [
    _tracking(),
    MotionOccurrence(frame=frame(5, seed=1), motion=motion(BOX), duration_s=1.23456),
    DetectionOccurrence(frame=frame(5, seed=1), labels=(LABEL,)),
    _anpr(),
    _rule(),
]


def _decoded(data: bytes | None) -> np.ndarray:
    assert data is not None
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image


@pytest.mark.parametrize("occurrence", OCCURRENCES, ids=lambda item: type(item).__name__)
def test_every_event_conforms_to_the_contract(occurrence: Occurrence) -> None:
    """It is unchanged after serialisation and parsing, and its snapshot reference matches the picture."""
    built = _builder().build(occurrence)
    event = parse_event(dump_event(built.event))
    assert event == built.event
    assert (event.site_id, event.device_id, event.camera_id) == ("hq", "gate-01", "camera-1")
    assert event.frame_number == 5
    assert event.timestamp == frame(5).timestamp
    assert event.snapshot is not None
    assert built.snapshot is not None
    assert event.snapshot.sha256 == hashlib.sha256(built.snapshot).hexdigest()
    assert event.snapshot.bytes == len(built.snapshot)
    assert _decoded(built.snapshot).shape == (event.snapshot.height, event.snapshot.width, 3)
    assert event.snapshot.key == snapshot_key(
        camera_id="camera-1", event_type=event.event_type, timestamp=event.timestamp, extension="jpg"
    )


def test_fields_of_a_tracking_event() -> None:
    """Pixels become fractions of the picture, and numbers are rounded."""
    event = _builder().build(_tracking()).event
    assert isinstance(event, TrackingEvent)
    data = event.event_data
    assert (data.tracking_action, data.track_id, data.class_name, data.confidence) == ("left", 7, "car", 0.8765)
    box = data.bounding_box
    assert (box.x, box.y, box.width, box.height) == (0.3125, 0.333333, 0.125, 0.333333)
    assert data.dwell_time_seconds == 12.346
    assert (data.zones, data.stationary, data.loitering) == (["drive"], True, None)
    assert data.last_seen_at == frame(35).timestamp


def test_fields_of_motion_and_detection_events() -> None:
    """The moving area is in percent, and every detected object is listed."""
    builder = _builder()
    moved = builder.build(OCCURRENCES[1]).event
    assert isinstance(moved, MotionEvent)
    assert (moved.event_data.affected_area_percentage, moved.event_data.duration_seconds) == (5.0, 1.235)
    assert len(moved.event_data.regions) == 1
    seen = builder.build(OCCURRENCES[2]).event
    assert isinstance(seen, DetectionEvent)
    assert [item.class_name for item in seen.event_data.detections] == ["car"]
    assert seen.event_data.model_info.model_type == "ssd"


def test_scores_above_1_are_clipped() -> None:
    """A detector with another scale does not cause an invalid event."""
    event = _builder().build(_tracking(score=1.7)).event
    assert isinstance(event, TrackingEvent)
    assert event.event_data.confidence == 1.0


def test_the_box_is_drawn_on_a_copy_of_the_frame() -> None:
    """The snapshot differs from the frame around the box, and the frame is unchanged."""
    occurrence = _tracking()
    before = occurrence.observation.frame.picture.bgr().copy()
    built = _builder(image_format="png").build(occurrence)
    drawn = _decoded(built.snapshot)
    assert np.array_equal(occurrence.observation.frame.picture.bgr(), before)
    assert (drawn != before).any(axis=2)[60:120, 100:140].any()
    assert np.array_equal(drawn[150:, 200:], before[150:, 200:])


def test_events_of_one_frame_have_different_keys() -> None:
    """Events of one type and frame differ by a microsecond, and so do their snapshot keys."""
    builder = _builder()
    events = [builder.build(_tracking()).event for _ in range(3)]
    assert len({event.snapshot.key for event in events if event.snapshot}) == 3
    assert [(event.timestamp - frame(5).timestamp) // timedelta(microseconds=1) for event in events] == [0, 1, 2]


def test_builders_of_one_camera_share_their_timestamps() -> None:
    """Events of one type and frame from two builders have different snapshot keys."""
    timestamps = UniqueTimestamps()
    builders = [_builder(timestamps), _builder(timestamps)]
    events = [builder.snapshot_taken(frame(5), snapshot_id="s", command_id=None).event for builder in builders]
    assert len({event.snapshot.key for event in events if event.snapshot}) == 2


def test_snapshot_format_and_sizes_are_configurable() -> None:
    """The settings select webp, half the width and no thumbnail."""
    built = _builder(image_format="webp", max_width_px=160, thumbnail_width_px=None).build(_tracking())
    assert built.event.snapshot is not None
    assert built.event.snapshot.key.endswith(".webp")
    assert (built.event.snapshot.content_type, built.event.snapshot.width) == ("image/webp", 160)
    assert built.thumbnail is None


def test_events_have_no_pictures_if_snapshots_are_disabled() -> None:
    """No snapshot is drawn, encoded or referenced."""
    for occurrence in OCCURRENCES:
        built = _builder(enabled=False).build(occurrence)
        assert (built.event.snapshot, built.snapshot, built.thumbnail) == (None, None, None)


def test_snapshot_events_of_commands() -> None:
    """A snapshot has a thumbnail key; a failed one has an error and no picture."""
    builder, at = _builder(), ManualClock().now()
    taken: BuiltEvent = builder.snapshot_taken(frame(3, seed=3), snapshot_id="s-1", command_id="c-1")
    assert isinstance(taken.event, SnapshotEvent)
    assert taken.event.snapshot is not None
    assert taken.event.event_data.thumbnail_key == taken.event.snapshot.key
    assert _decoded(taken.thumbnail).shape[1] == 320
    failed = builder.snapshot_failed("offline", at=at, snapshot_id="s-2", command_id=None).event
    assert isinstance(failed, SnapshotEvent)
    assert (failed.event_data.error, failed.snapshot, failed.timestamp) == ("offline", None, at)
    parse_event(dump_event(taken.event))
    parse_event(dump_event(failed))


def test_camera_status_events_have_no_picture() -> None:
    """The event is valid and has no snapshot."""
    built = _builder().camera_status(CameraStatusData(status="offline", error="no route"), at=START)
    assert parse_event(dump_event(built.event)).event_type == "camera_status"
    assert built.snapshot is None


def test_fields_of_an_anpr_event() -> None:
    """It has the plate, the candidates, the vehicle and the boxes."""
    event = _builder().build(_anpr()).event
    assert isinstance(event, AnprEvent)
    data = event.event_data
    assert (data.anpr_result.license_plate, data.anpr_result.confidence, data.anpr_result.region) == (
        "BAK123",
        0.9722,
        "de",
    )
    assert data.plate_normalized == "BAK123"
    assert [(each.text, each.confidence) for each in data.candidates] == [("BAK123", 0.9722), ("8AK123", 0.021)]
    assert data.plate_box is not None
    assert (data.plate_box.x, data.plate_box.width) == (0.375, 0.1)
    assert data.vehicle_box is not None
    assert data.vehicle_box.height == pytest.approx(60 / 180, abs=1e-5)
    assert (data.vehicle.type, data.vehicle.make, data.vehicle.model, data.vehicle.color) == ("car", None, None, "blue")
    assert (data.track_id, data.track_uid, data.direction, data.reads) == (7, "camera-1-run-7", "approaching", 7)
    assert (data.quality_score, data.latency_ms) == (0.8346, 412.5)


def test_an_anpr_event_without_a_vehicle_has_null_fields() -> None:
    """Unknown values are null."""
    found = replace(_anpr(), vehicle=None, track_id=None, vehicle_type=None, color=None, region=None, direction=None)
    event = _builder(enabled=False).build(found).event
    assert isinstance(event, AnprEvent)
    data = event.event_data
    assert (data.vehicle_box, data.track_id, data.vehicle.type, data.direction) == (None, None, None, None)
    assert event.snapshot is None


def test_the_plate_is_drawn_in_green() -> None:
    """A thick green box surrounds the plate, and the rest of the frame is unchanged."""
    plain = replace(_anpr(), frame=frame(5))
    image = _decoded(_builder(image_format="png").build(plain).snapshot)
    green = (image[..., 1] > 150) & (image[..., 0] < 60) & (image[..., 2] < 60)
    assert green[95:115, 115:158].sum() > 60
    assert not green[130:].any()


def test_fields_of_a_rule_event() -> None:
    """It has the rule, the object and its box, and the box is drawn on the snapshot."""
    built = _builder().build(_rule())
    assert isinstance(built.event, RuleEvent)
    data = built.event.event_data
    assert (data.rule, data.name, data.direction, data.count) == ("line_crossed", "gate", "right", 4)
    assert (data.track_id, data.track_uid, data.class_name, data.confidence) == (7, "camera-1-run-7", "car", 0.9)
    assert data.crossed_at == built.event.timestamp - timedelta(milliseconds=50)
    assert data.bounding_box is not None
    assert built.event.snapshot is not None
    plain = frame(5, seed=5).picture.bgr()
    assert (np.abs(_decoded(built.snapshot).astype(int) - plain).max(axis=2) > 90).any()


def test_left_has_the_path_of_the_object() -> None:
    """Times count from the first detection, and positions are fractions of the picture."""
    way = (PathPoint(100.0, 0.25, 0.5), PathPoint(103.5, 0.123456, 1.0))
    built = _builder().build(replace(_tracking(), path=way, first_seen_s=100.0))
    assert isinstance(built.event, TrackingEvent)
    path = built.event.event_data.path
    assert path is not None
    assert [(point.t, point.x, point.y) for point in path] == [(0.0, 0.25, 0.5), (3.5, 0.1235, 1.0)]
