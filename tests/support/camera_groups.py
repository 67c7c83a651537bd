"""A database with two camera groups, each with a camera, its events and its images, and with cameras in no group.

Each name of the one group contains ``north``, each name outside of it ``south``, so that a test finds in a response
what a caller who is limited to ``north`` must not see. The plates do the same with ``NN`` and ``SS``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg

from cloud_functions.db.cameras.changes import create_camera
from cloud_functions.db.cameras.groups import GroupFields, create_group
from cloud_functions.db.cameras.record import CameraFields
from cloud_functions.db.replays.record import NewReplay, add_replay
from cloud_functions.db.retention.holds import HeldItem, NewHold, place_hold
from cloud_functions.db.retention.policies import PolicyFields, create_policy
from cloud_functions.db.watchlists import NewPattern, add_patterns, create_watchlist
from cloud_functions.db.webhooks.changes import create_webhook
from cloud_functions.db.webhooks.log import add_test
from cloud_functions.db.webhooks.record import WebhookFields
from cloud_functions.plates.master_keys import WrappedKey
from shared.storage_keys import image_object_keys, snapshot_key
from tests.support.api_calls import NOON, store, stored_event
from tests.support.command_devices import store_device

OWN: Final = "north"
FOREIGN: Final = "south"
FOREIGN_MARKS: Final = ("south", "ss222")
"""What is in no response to a caller who is limited to ``north``, in lower case."""
OWN_MARKS: Final = ("north", "nn111", "bb333")
"""The same for a caller who is limited to no group at all."""
SHARED_PLATE: Final = "BB333"
"""A plate that cameras of both groups have read."""

_COMMAND: Final = """
INSERT INTO commands (id, device_id, site_id, kind, camera_id, requested_by, expires_at)
VALUES (%s, %s, 'hq', 'test_connection', %s, 'ana', now())
"""
_SNAPSHOT: Final = """
INSERT INTO camera_snapshots (id, camera_id, camera_slug, device_id, status, storage_path, thumbnail_path, content_type)
VALUES (%s, %s, %s, %s, 'stored', %s, %s, 'image/jpeg')
"""
_REJECTED: Final = "UPDATE device_configurations SET error = 'camera southern-loose: no such stream'"
_GAP: Final = """
INSERT INTO sequence_gaps (device_id, sequence_epoch, site_id, first_sequence, last_sequence, missing, next_request_at)
VALUES (%s, 'e', 'hq', 1, 9, '{[1,3)}', now())
"""


@dataclass(frozen=True, slots=True)
class GroupedCamera:
    """A group with one camera, and what the camera has produced."""

    group: str
    group_id: UUID
    camera: str
    """The slug."""
    camera_id: UUID
    event: int
    """Id of an ``anpr`` event with a snapshot."""
    event_id: str
    plate: str
    command: UUID
    """Id of a command that concerns the camera."""
    snapshot: UUID
    """Id of a requested snapshot of the camera, with an image."""
    device: str
    """Its device. That of ``north`` also has the camera ``southern-loose``, which no group has."""
    webhook: UUID
    """Id of a webhook that is limited to the group, with one delivery and one replay, whose ids are the same."""


@dataclass(frozen=True, slots=True)
class TwoGroups:
    """The objects in the database, and the images in the bucket."""

    own: GroupedCamera
    foreign: GroupedCamera
    watchlist: int
    pattern: int
    policy: int
    hold: int
    """Of a camera without events, so that nothing else is on hold."""
    images: dict[str, bytes]


def camera_fields(name: str, *, group_id: UUID | None, device_id: str | None = None, **fields: Any) -> CameraFields:
    """Return the fields of a camera with defaults for all others."""
    given: dict[str, Any] = {
        "name": name,
        "rtsp_url": f"rtsp://{name.lower().replace(' ', '-')}.example/stream",
        "username": None,
        "password_sealed": None,
        "device_id": device_id,
        "group_id": group_id,
        "location": None,
        "resolution": None,
        "fps": None,
        "codec": None,
        "is_active": True,
        "enable_detection": True,
        "detection_sensitivity": 0.5,
        "retention_days": None,
        "settings": {},
    }
    return CameraFields(**(given | fields))


def fill_two_groups(url: str) -> TwoGroups:
    """Fill an empty database, and return what is in it."""
    images: dict[str, bytes] = {}
    own, foreign = (_grouped(url, name, plate, images) for name, plate in ((OWN, "NN111"), (FOREIGN, "SS222")))
    _events(url, "southern-loose", "SS222", images)
    _events(url, "southern-unknown", "SS222", images)
    with psycopg.connect(url) as connection:
        loose = camera_fields("Southern loose", group_id=None, device_id=own.device)
        create_camera(connection, uuid4(), loose, slug="southern-loose", exact=True)
        connection.execute(_REJECTED)
        watchlist = create_watchlist(connection, name="stolen", description=None, enabled=True)
        policy = create_policy(connection, PolicyFields(None, None, "attic", None, 30, None))
        hold = place_hold(connection, NewHold("case 7", "a court", "ana", None, [HeldItem(None, "attic", NOON, None)]))
        added = add_patterns(connection, watchlist.watchlist_id, [NewPattern("exact", "NN111", None, None, None)])
    assert added is not None
    cameras = [{"camera_id": camera, "status": "online"} for camera in (own.camera, "southern-loose", "southern-own")]
    store_device(url, own.device, status="offline", cameras=cameras, outbox={"dropped_events": 3})
    store_device(url, foreign.device, status="offline", cameras=cameras, outbox={"dropped_events": 5})
    return TwoGroups(
        own=own,
        foreign=foreign,
        watchlist=watchlist.watchlist_id,
        pattern=added.patterns[0].pattern_id,
        policy=policy.policy_id,
        hold=hold.hold_id,
        images=images,
    )


def _grouped(url: str, name: str, plate: str, images: dict[str, bytes]) -> GroupedCamera:
    group_id, camera_id, slug = uuid4(), uuid4(), f"{name}-camera"
    with psycopg.connect(url) as connection:
        create_group(connection, group_id, GroupFields(f"The {name}"), slug=name)
        fields = camera_fields(f"{name} camera", group_id=group_id, device_id=f"{name}-device")
        create_camera(connection, camera_id, fields, slug=slug, exact=True)
        command = uuid4()
        connection.execute(_COMMAND, [command, f"{name}-device", slug])
        connection.execute(_GAP, [f"{name}-device"])
        snapshot = uuid4()
        key = snapshot_key(camera_id=slug, event_type="snapshot", timestamp=NOON, extension="jpg")
        image, thumbnail = image_object_keys(f"{name}-device", key)
        connection.execute(_SNAPSHOT, [snapshot, camera_id, slug, f"{name}-device", image, thumbnail])
        webhook = uuid4()
        hook = WebhookFields(
            name=f"{name} hook", url=f"https://{name}.example/", filter={}, groups=[name], enabled=True
        )
        create_webhook(connection, webhook, hook, WrappedKey(b"wrapped", "file:1"))
        add_test(connection, webhook, webhook, "{}")
        replay = NewReplay(
            id=webhook,
            target="webhook",
            webhook_id=webhook,
            start_time=NOON,
            end_time=NOON,
            filter={},
            groups=[name],
            requested_by=f"{name} user",
        )
        add_replay(connection, replay, events=0)
    images |= {image: b"jpeg", thumbnail: b"jpeg"}
    event, event_id = _events(url, slug, plate, images)
    return GroupedCamera(
        name, group_id, slug, camera_id, event, event_id, plate, command, snapshot, f"{name}-device", webhook
    )


def _events(url: str, camera: str, plate: str, images: dict[str, bytes]) -> tuple[int, str]:
    """Store three events of the camera, and return id and event id of the one with a plate and a snapshot."""
    device, event_id = camera.replace("camera", "device"), str(uuid4())
    key = snapshot_key(camera_id=camera, event_type="anpr", timestamp=NOON, extension="jpg")
    images |= dict.fromkeys(image_object_keys(device, key), b"jpeg")
    read = {"anpr_result": {"license_plate": plate, "confidence": 0.9}, "plate_normalized": plate}
    both = {"anpr_result": {"license_plate": SHARED_PLATE, "confidence": 0.9}, "plate_normalized": SHARED_PLATE}
    common = {"camera_id": camera, "device_id": device}
    number, *_ = store(
        url,
        [
            stored_event("anpr", event_id=event_id, snapshot_path=key, event_data=read, **common),
            stored_event("anpr", timestamp=NOON + timedelta(minutes=1), event_data=both, **common),
            stored_event("tracking", timestamp=NOON + timedelta(minutes=2), **common),
        ],
    )
    return number, event_id
