"""Builders of wire events with default values, and of the invocations that contain them."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.clock import format_utc
from shared.ids import Uuid7Generator
from shared.iot_envelope import encode_ingest_message
from shared.storage_keys import snapshot_key

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
EPOCH = "e1"

_new_event_id = Uuid7Generator()
_message_numbers = itertools.count(1)

BOX = {"x": 0.1, "y": 0.2, "width": 0.3, "height": 0.4}


def tracking_data(**fields: Any) -> dict[str, Any]:
    return {
        "track_id": 7,
        "track_uid": "camera-1-0007",
        "tracking_action": "entered",
        "class_name": "person",
        "confidence": 0.91,
        "bounding_box": BOX,
        "dwell_time_seconds": None,
        "zones": ["gate"],
        "model_info": {"model_type": "ssd_mobilenet_v1", "version": "1.0"},
    } | fields


def motion_data(**fields: Any) -> dict[str, Any]:
    return {"motion_intensity": 0.5, "affected_area_percentage": 12.5, "regions": [BOX, BOX]} | fields


def detection_data(*classes: str, **fields: Any) -> dict[str, Any]:
    detections = [{"class_name": name, "confidence": 0.8, "bounding_box": BOX} for name in classes]
    return {"detections": detections, "model_info": {"model_type": "ssd_mobilenet_v1", "version": "1.0"}} | fields


def anpr_data(plate: str = "B 123 ABC", **fields: Any) -> dict[str, Any]:
    return {
        "anpr_result": {"license_plate": plate, "confidence": 0.93, "region": "ro"},
        "plate_normalized": plate.replace(" ", ""),
        "plate_box": BOX,
        "reads": 5,
    } | fields


def rule_data(rule: str = "line_crossed", **fields: Any) -> dict[str, Any]:
    return {
        "rule": rule,
        "name": "gate",
        "direction": "right",
        "count": 3,
        "track_uid": "camera-1-0007",
        "class_name": "person",
        "confidence": 0.91,
        "bounding_box": BOX,
        "zone": None,
    } | fields


def snapshot_data(**fields: Any) -> dict[str, Any]:
    return {"snapshot_id": "s-1", "command_id": "c-1", "stored": True} | fields


DATA = {
    "tracking": tracking_data,
    "motion": motion_data,
    "detection": detection_data,
    "anpr": anpr_data,
    "rule": rule_data,
    "snapshot": snapshot_data,
}


def wire_event(event_type: str = "tracking", **fields: Any) -> dict[str, Any]:
    """Return an event as a device sends it, with a new ``event_id``; ``fields`` override the defaults."""
    return {
        "schema_version": 1,
        "event_id": str(_new_event_id()),
        "event_type": event_type,
        "site_id": "hq",
        "device_id": "gate-01",
        "camera_id": "camera-1",
        "timestamp": format_utc(NOON),
        "frame_number": 1234,
        "sequence": None,
        "sequence_epoch": EPOCH,
        "snapshot": {
            "key": "camera-1/2026-11-20/tracking_120000_000000.jpg",
            "content_type": "image/jpeg",
            "bytes": 81234,
            "width": 1280,
            "height": 720,
            "sha256": "a" * 64,
        },
        "event_data": DATA[event_type](),
    } | fields


def sequence_of(first: int, last: int, **fields: Any) -> list[dict[str, Any]]:
    """Return events with these sequences, a second apart."""
    return [
        wire_event(sequence=number, timestamp=format_utc(NOON + timedelta(seconds=number)), **fields)
        for number in range(first, last + 1)
    ]


def topic_of(event: dict[str, Any]) -> str:
    return f"vedette/{event['site_id']}/{event['device_id']}/events/{event['camera_id']}/{event['event_type']}"


def encoded(event: dict[str, Any]) -> bytes:
    return json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()


def body(topic: str, payload: bytes, *, received_at_ms: int = 1_795_176_000_000) -> str:
    return encode_ingest_message(topic=topic, payload=payload, client_id="gate-01", received_at_ms=received_at_ms)


def record(text: str, *, message_id: str | None = None) -> dict[str, Any]:
    """Return one SQS record around a message body."""
    return {
        "messageId": message_id or f"message-{next(_message_numbers)}",
        "receiptHandle": "handle",
        "body": text,
        "attributes": {"ApproximateReceiveCount": "1"},
        "messageAttributes": {},
        "md5OfBody": "",
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-central-1:123456789012:ingest",
        "awsRegion": "eu-central-1",
    }


def batch_of(bodies: Iterable[str]) -> dict[str, Any]:
    """Return an SQS invocation with one record for each body."""
    return {"Records": [record(text) for text in bodies]}


def batch(events: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return an SQS invocation with these events, each on its own topic."""
    return batch_of(body(topic_of(event), encoded(event)) for event in events)


def mixed_traffic(count: int, *, cameras: int = 10, seed: int = 1, first_sequence: int = 1) -> list[dict[str, Any]]:
    """Return the events of a site's devices in about a minute: mostly tracking, some motion, some plates."""
    rng = random.Random(seed)
    sequences = [itertools.count(first_sequence) for _ in range(cameras)]
    start = datetime.now(UTC) - timedelta(minutes=2)
    events: list[dict[str, Any]] = []
    for number in range(count):
        camera = number % cameras
        event_type = rng.choices(["tracking", "motion", "anpr"], [8, 1, 1])[0]
        data: dict[str, Any] = {}
        if event_type == "tracking":
            data = tracking_data(
                track_id=number,
                class_name=rng.choice(["person", "car", "truck"]),
                confidence=round(rng.random(), 4),
                zones=[rng.choice(["gate", "yard"])],
                dwell_time_seconds=12.25,
            )
        elif event_type == "anpr":
            data = anpr_data(f"B {rng.randrange(100, 999)} ABC")
        event = wire_event(
            event_type,
            device_id=f"device-{camera // 2}",
            camera_id=f"camera-{camera}",
            timestamp=format_utc(start + timedelta(milliseconds=5 * number)),
            sequence=next(sequences[camera // 2]),
        )
        event["snapshot"]["key"] = snapshot_key(
            camera_id=event["camera_id"],
            event_type=event_type,
            timestamp=start + timedelta(milliseconds=5 * number),
            extension="jpg",
        )
        events.append(event | ({"event_data": data} if data else {}))
    return events


def failures(answer: dict[str, Any]) -> list[str]:
    """Return the ids of the messages that ingest reports as failed."""
    return [item["itemIdentifier"] for item in answer["batchItemFailures"]]


def message_ids(event: dict[str, Any], numbers: Sequence[int]) -> list[str]:
    """Return the message ids of these records of an invocation."""
    return [event["Records"][number]["messageId"] for number in numbers]
