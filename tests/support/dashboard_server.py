"""The API under uvicorn with a bucket in memory, for tests that look at the dashboard in a browser."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import cv2
import numpy as np

from cloud_functions.api.app import create_app
from cloud_functions.api.backends.database import ApiDatabase
from cloud_functions.api.backends.thread_pool import ServerThreadPool
from cloud_functions.api.dependencies import Dependencies
from cloud_functions.api.http.limits import SERVER_LIMITS
from cloud_functions.api.security.origin_middleware import OriginCheckMiddleware
from cloud_functions.api.security.permissions import AllowAll
from cloud_functions.api.security.roles import Role
from cloud_functions.api.security.tokens import AccessTokens
from cloud_functions.api.security.user_authorizer import UserAuthorizer
from shared.clock import SystemClock
from shared.storage_keys import snapshot_key, snapshot_object_key, thumbnail_object_key
from tests.support.api_calls import FakeSnapshots, database_at, stored_event
from tests.support.ingest_harness import RecordingCommands
from tests.support.served_app import served_app


@contextmanager
def dashboard_server(
    url: str,
    *,
    snapshots: FakeSnapshots | None = None,
    users: bool = False,
    anonymous_role: Role | None = None,
    commands: RecordingCommands | None = None,
) -> Generator[str]:
    """Yield the address of a server on the database at ``url``.

    With ``users`` callers log in; otherwise everybody may do everything. Commands for devices go to ``commands``.
    """
    clock, thread_pool = SystemClock(), ServerThreadPool(threads=4)
    database = ApiDatabase(make_database=lambda: database_at(url), thread_pool=thread_pool)
    tokens = AccessTokens(clock=clock) if users else None
    authorizer = (
        AllowAll()
        if tokens is None
        else UserAuthorizer(database=database, tokens=tokens, anonymous_role=anonymous_role)
    )
    dependencies = Dependencies(
        database=database,
        snapshots=snapshots or FakeSnapshots(),
        authorizer=authorizer,
        probes=(),
        thread_pool=thread_pool,
        clock=clock,
        limits=SERVER_LIMITS,
        commands=commands or RecordingCommands(),
        tokens=tokens,
    )
    app = create_app(dependencies=dependencies)
    app.add_middleware(OriginCheckMiddleware)
    with served_app(app) as address:
        yield address


def add_picture(snapshots: FakeSnapshots, event: dict[str, Any], *, hue: int = 100) -> dict[str, Any]:
    """Put a picture of the event into the bucket, and return the event with its ``snapshot_path``."""
    key = snapshot_key(
        camera_id=event["camera_id"],
        event_type=event["event_type"],
        timestamp=event["timestamp"],
        extension="jpg",
    )
    for name, size in (
        (snapshot_object_key(event["device_id"], key), (960, 540)),
        (thumbnail_object_key(event["device_id"], key), (320, 180)),
    ):
        snapshots.objects[name] = jpeg_picture(size, hue)
    return event | {"snapshot_path": key}


def events_of_a_morning(snapshots: FakeSnapshots, *, until: Any, count: int = 60) -> list[dict[str, Any]]:
    """Return events of each type, the last at ``until``, 20 s apart, most with pictures."""
    events: list[dict[str, Any]] = []
    for number in range(count):
        event_type, data = _SAMPLES[number % len(_SAMPLES)]
        event = stored_event(
            event_type,
            camera_id=("gate", "yard", "loading-dock")[number % 3],
            timestamp=until - timedelta(seconds=20 * (count - number)),
            event_data=data,
        )
        has_picture = event_type != "camera_status"
        events.append(add_picture(snapshots, event, hue=10 + 12 * (number % 12)) if has_picture else event)
    return events


def jpeg_picture(size: tuple[int, int], hue: int) -> bytes:
    """Return a drawn picture of ``size`` (width, height in pixels); ``hue`` in 0-179."""
    width, height = size
    picture = cv2.cvtColor(np.full((height, width, 3), (hue, 60, 150), np.uint8), cv2.COLOR_HSV2BGR)
    picture[height // 2 :] = (picture[height // 2 :] * 0.6).astype(np.uint8)
    cv2.rectangle(picture, (width // 3, height // 3), (2 * width // 3, 3 * height // 4), (40, 200, 60), width // 120)
    done, encoded = cv2.imencode(".jpg", picture)
    assert done
    return encoded.tobytes()


_BOX = {"x": 0.33, "y": 0.33, "width": 0.33, "height": 0.42}
_SAMPLES: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        "tracking",
        {"track_id": 7, "track_uid": "gate-1-7", "tracking_action": "entered", "class_name": "car", "confidence": 0.91,
         "bounding_box": _BOX, "zones": ["driveway"]},
    ),
    (
        "anpr",
        {"anpr_result": {"license_plate": "B·AK 123", "confidence": 0.97, "region": "de"}, "plate_normalized": "BAK123",
         "vehicle": {"type": "car", "color": "blue"}, "direction": "in", "reads": 7},
    ),
    ("motion", {"motion_intensity": 0.42, "affected_area_percentage": 7.5, "regions": [_BOX]}),
    (
        "tracking",
        {"track_id": 7, "track_uid": "gate-1-7", "tracking_action": "left", "class_name": "person", "confidence": 0.84,
         "bounding_box": _BOX, "zones": [], "dwell_time_seconds": 12.4},
    ),
    (
        "detection",
        {"detections": [{"class_name": "person", "confidence": 0.8}, {"class_name": "dog", "confidence": 0.6}]},
    ),
    (
        "rule",
        {"rule": "line_crossed", "name": "gate", "direction": "right", "count": 12, "class_name": "person",
         "confidence": 0.87, "bounding_box": _BOX},
    ),
    ("camera_status", {"status": "degraded", "fps_actual": 4.1, "error": "half of the frames are missing"}),
)  # fmt: skip
