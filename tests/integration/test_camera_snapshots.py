"""Snapshots on demand through API, ingest and database: captured, completed, read, listed, deleted, expired."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from cloud_functions.api.security.plate_access import PlateAccess
from cloud_functions.api.security.plate_read_policy import PlateReadPolicy
from cloud_functions.api.snapshots import capture_routes
from cloud_functions.api.snapshots.responses import (
    DeletedSnapshotResponse,
    GroupCaptureEnvelope,
    SnapshotEnvelope,
    SnapshotImageResponse,
    SnapshotListResponse,
    SnapshotResponse,
)
from cloud_functions.maintenance.handler import Maintenance
from cloud_functions.maintenance.tasks.context import MaintenanceContext
from cloud_functions.observability import NoMetrics
from cloud_functions.settings import GapSettings, MaintenanceSettings
from shared.clock import ManualClock, format_utc
from shared.errors import TransientError
from tests.support.api_calls import Answer, ApiCalls, FakeSnapshots, lambda_api
from tests.support.command_devices import AnsweringDevice, store_device
from tests.support.ingest_harness import RecordingCommands, open_database, rows
from tests.support.snapshot_device import JPEG, THUMBNAIL, SnapshotDevice, store_event
from tests.support.wire_events import wire_event

CAPTURE = "/api/snapshots/capture"
CAMERAS = "/api/v1/cameras"
VARY = "Accept, Authorization, X-API-Key, Cookie"


class House:
    """The API, its bucket, and the agent of the device ``gate-01`` that answers its commands through ingest."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.bucket = FakeSnapshots()
        self.agent = SnapshotDevice(url, self.bucket)
        self.other = SnapshotDevice(url, self.bucket, device_id="yard-01")
        handler, self.dependencies = lambda_api(url, snapshots=self.bucket, commands=AnsweringDevice(url, self._answer))
        self._handler = handler
        self.api = ApiCalls(handler)
        store_device(url)

    def _answer(self, command: dict[str, Any]) -> dict[str, Any] | None:
        return (self.other if command["camera_id"].startswith("yard") else self.agent)(command)

    def camera(self, name: str = "gate", **fields: Any) -> dict[str, Any]:
        body = {"name": name, "slug": name, "rtsp_url": "rtsp://10.0.0.1/a", "device_id": "gate-01"} | fields
        answer = self.api.post(CAMERAS, body)
        assert answer.status == 201, answer
        return answer.json()["data"]

    def capture(self, ref: str = "gate", **parameters: Any) -> dict[str, Any]:
        answer = self.api.call("POST", f"{CAPTURE}/{ref}", parameters)
        assert answer.status == 200, answer
        SnapshotResponse.model_validate(answer.json(), strict=True)
        return answer.json()

    def metadata(self, snapshot_id: str) -> dict[str, Any]:
        answer = self.api.get(f"/api/snapshots/{snapshot_id}")
        assert answer.status == 200, answer
        SnapshotResponse.model_validate(answer.json(), strict=True)
        return answer.json()

    def ids(self, path: str = "/api/snapshots", **parameters: Any) -> list[str]:
        answer = self.api.get(path, **parameters)
        assert answer.status == 200, answer
        SnapshotListResponse.model_validate(answer.json(), strict=True)
        return [snapshot["id"] for snapshot in answer.json()["snapshots"]]

    def stored_rows(self) -> list[tuple[Any, ...]]:
        return rows(self.url, "SELECT id::text, status FROM camera_snapshots ORDER BY created_at")

    def execute(self, query: str, *parameters: Any) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(query, parameters)  # type: ignore[arg-type]

    def maintain(self, task: str, *, at: datetime | None = None, **settings: Any) -> dict[str, int]:
        """Run a maintenance task."""
        database = open_database(self.url)
        context = MaintenanceContext(
            database=database,
            commands=RecordingCommands(),
            settings=MaintenanceSettings(**settings),
            gaps=GapSettings(),
            clock=ManualClock(at or datetime.now(UTC)),
            snapshots=self.bucket,
        )
        try:
            return Maintenance(context=context, metrics=NoMetrics()).handle({"task": task})
        finally:
            database.close()

    def close(self) -> None:
        self._handler.close()
        self.dependencies.close()


@pytest.fixture
def house(database_url: str) -> Iterator[House]:
    one = House(database_url)
    yield one
    one.close()


def _code(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.error().code


def test_a_capture_returns_the_metadata_of_a_readable_image(house: House) -> None:
    """Dimensions, file size and capture time; the image is base64 in JSON or its bytes, the thumbnail its own path."""
    camera = house.camera(retention_days=7)
    snapshot = house.capture()
    assert snapshot["camera_id"] == camera["id"]
    assert (snapshot["camera_slug"], snapshot["device_id"], snapshot["status"]) == ("gate", "gate-01", "stored")
    assert (snapshot["width"], snapshot["height"], snapshot["file_size"]) == (1280, 720, len(JPEG))
    assert snapshot["filename"] == snapshot["storage_path"].rsplit("/", 1)[1]
    assert snapshot["captured_at"] == house.agent.described[0]["captured_at"]
    lifetime = datetime.fromisoformat(snapshot["expiry_date"]) - datetime.fromisoformat(snapshot["captured_at"])
    assert lifetime == timedelta(days=7)
    assert house.metadata(snapshot["id"]) == snapshot
    image = house.api.get(snapshot["image_url"])
    SnapshotImageResponse.model_validate(image.json(), strict=True)
    assert base64.b64decode(image.json()["image_data"]) == JPEG
    assert image.json() | {"image_data": None} == snapshot | {"image_data": None}
    raw = house.api.call("GET", snapshot["image_url"], headers={"accept": "image/*"})
    assert (raw.body, raw.headers["content-type"], raw.headers["vary"]) == (JPEG, "image/jpeg", VARY)
    assert house.api.get(snapshot["thumbnail_url"]).body == THUMBNAIL


def test_an_image_that_the_client_has_is_not_sent_again(house: House) -> None:
    """Both forms have an ETag of their own, which If-None-Match names."""
    house.camera()
    path = house.capture()["image_url"]
    for accept in ("image/*", "*/*", "image/webp,image/*,*/*;q=0.8"):
        first = house.api.call("GET", path, headers={"accept": accept})
        again = house.api.call("GET", path, headers={"accept": accept, "if-none-match": first.headers["etag"]})
        assert (first.status, again.status, again.body) == (200, 304, b"")
    tags = {house.api.call("GET", path, headers={"accept": accept}).headers["etag"] for accept in ("image/*", "*/*")}
    assert len(tags) == 2


def test_the_event_and_the_reply_complete_the_same_row_in_either_order(house: House) -> None:
    """A repeated event changes nothing either."""
    house.camera()
    first = house.capture()
    house.agent.send_event(house.agent.commands[0], house.agent.described[0])
    assert house.metadata(first["id"]) == first
    house.agent.answers = False
    answer = house.api.call("POST", f"{CAPTURE}/gate", {"timeout_seconds": 1})
    assert _code(answer) == (504, "device-silent")
    [late] = house.ids(status="pending")
    assert house.metadata(late)["image_url"] is None
    command = house.agent.commands[1]
    house.agent.send_event(command, house.agent.take(command))
    assert house.metadata(late)["status"] == "stored"
    assert house.ids() == [late, first["id"]]


def test_a_camera_is_named_in_several_ways(house: House) -> None:
    """By id, by slug, and by its device as long as that has one camera only."""
    camera = house.camera()
    for ref in ("gate", camera["id"], camera["id"].upper(), "gate-01"):
        assert house.capture(ref)["camera_slug"] == "gate"
    house.camera("door")
    assert _code(house.api.call("POST", f"{CAPTURE}/gate-01")) == (409, "several-cameras")
    assert _code(house.api.call("POST", f"{CAPTURE}/attic")) == (404, "camera-not-found")


def test_a_device_must_be_online(house: House) -> None:
    """A camera without a device, a switched-off one and an offline device are 409 at once; no row is left."""
    house.camera()
    house.camera("lost", device_id=None)
    house.camera("off", is_active=False)
    store_device(house.url, age_s=120)
    assert _code(house.api.call("POST", f"{CAPTURE}/gate")) == (409, "device-offline")
    assert _code(house.api.call("POST", f"{CAPTURE}/lost")) == (409, "camera-without-device")
    assert _code(house.api.post(f"{CAMERAS}/off/snapshot", {})) == (409, "camera-inactive")
    assert house.stored_rows() == []


def test_the_reason_of_the_device_is_returned(house: House) -> None:
    """The capture is a 502 with the reason, which the failed snapshot keeps; lists leave it out."""
    house.camera()
    house.agent.error = "camera gate has no picture: connection refused"
    answer = house.api.call("POST", f"{CAPTURE}/gate")
    assert _code(answer) == (502, "snapshot-failed")
    assert "connection refused" in answer.error().message
    [failed] = house.ids(status="failed")
    assert house.metadata(failed)["error"] == house.agent.error
    assert house.ids() == []
    missing = house.api.get(f"/api/snapshots/{failed}/image")
    assert _code(missing) == (404, "no-snapshot")
    assert _code(house.api.get("/api/snapshots/device/gate/latest")) == (404, "no-snapshot")


def test_an_image_that_the_bucket_did_not_take_follows(house: House) -> None:
    """202 with the place to look; reading it, or the minute's maintenance, finds the image once it is there."""
    house.camera()
    house.agent.stores = False
    answers = [house.api.call("POST", f"{CAPTURE}/gate") for _ in range(2)]
    assert [answer.status for answer in answers] == [202, 202]
    ids = [answer.json()["id"] for answer in answers]
    assert answers[0].headers["location"] == f"/api/snapshots/{ids[0]}"
    assert (answers[0].json()["status"], answers[0].json()["error"]) == ("pending", "S3 is away")
    missing = house.api.get(f"/api/snapshots/{ids[0]}/image")
    assert (_code(missing), missing.headers["retry-after"]) == ((404, "snapshot-pending"), "5")
    house.maintain("gaps")
    assert house.ids() == []
    for command, described in zip(house.agent.commands, house.agent.described, strict=True):
        house.agent.send_event(command, described)
    assert house.ids() == []
    for key in house.agent.keys:
        house.agent.upload(key)
    assert house.metadata(ids[0])["status"] == "stored"
    house.maintain("gaps")
    assert house.metadata(ids[1]) | {"error": None} == house.metadata(ids[1])
    assert set(house.ids()) == set(ids)


def test_a_caller_need_not_wait(house: House) -> None:
    """``wait=false`` is a 202 at once, with the command where the reply will be."""
    house.camera()
    house.agent.answers = False
    for answer in (
        house.api.call("POST", f"{CAPTURE}/gate", {"wait": "false"}),
        house.api.post(f"{CAMERAS}/gate/snapshot", {}, wait="false"),
    ):
        assert answer.status == 202, answer
        content = answer.json().get("data", answer.json())
        assert (content["status"], content["captured_at"]) == ("pending", None)
        assert answer.headers["location"] == f"/api/v1/commands/{content['command_id']}"
        assert house.api.get(answer.headers["location"]).json()["data"]["status"] == "sent"


def test_the_camera_document_captures_in_the_envelope(house: House) -> None:
    """Its body is accepted as it is, and reaches the device; a body may also be left out."""
    camera = house.camera()
    answer = house.api.post(f"{CAMERAS}/{camera['id']}/snapshot", {"timeout_seconds": 10, "save_thumbnail": True})
    assert answer.status == 200, answer
    SnapshotEnvelope.model_validate(answer.json(), strict=True)
    data = answer.json()["data"]
    assert (data["camera_id"], data["status"]) == (camera["id"], "stored")
    assert house.metadata(data["id"])["created_at"] == data["createdAt"]
    assert house.api.call("POST", f"{CAMERAS}/gate/snapshot").status == 200
    assert [command.get("thumbnail") for command in house.agent.commands] == [True, None]
    assert [command["reply_within_s"] for command in house.agent.commands] == [10.0, 10.0]


@pytest.mark.parametrize(
    "body",
    [{"timeout_seconds": 0}, {"timeout_seconds": 26}, {"timeout_seconds": True}, {"save_thumbnail": 1}, {"x": 1}],
)
def test_invalid_options_are_rejected(house: House, body: dict[str, Any]) -> None:
    """The envelope names the field, and no command is sent."""
    house.camera()
    answer = house.api.post(f"{CAMERAS}/gate/snapshot", body)
    assert _code(answer) == (422, "invalid-parameter")
    assert answer.error().errors[0]["parameter"] == next(iter(body))
    assert house.agent.commands == []


def test_a_group_is_captured_at_once_with_the_outcome_of_each_camera(house: House) -> None:
    """One camera's device is offline, another's fails: the others are captured, and `meta` counts all."""
    group = house.api.post(f"{CAMERAS}/groups", {"name": "Entrances"}).json()["data"]["id"]
    for name in ("gate", "door"):
        house.camera(name, group_id=group)
    house.camera("yard", group_id=group, device_id="yard-01")
    house.camera("off", group_id=group, is_active=False)
    house.camera("other")
    answer = house.api.post(f"{CAMERAS}/groups/entrances/snapshot", {"save_thumbnail": False})
    assert answer.status == 200, answer
    GroupCaptureEnvelope.model_validate(answer.json(), strict=True)
    outcomes = {
        one["camera_slug"]: (one["status"], one["error"] and one["error"]["code"]) for one in answer.json()["data"]
    }
    assert outcomes == {"door": ("stored", None), "gate": ("stored", None), "yard": ("failed", "device-offline")}
    assert answer.json()["meta"] == {"total": 3, "stored": 2, "pending": 0, "failed": 1}
    store_device(house.url, "yard-01")
    house.other.error = "no picture"
    answer = house.api.call("POST", f"{CAMERAS}/groups/{group}/snapshot")
    assert [one["error"]["code"] for one in answer.json()["data"] if one["error"]] == ["snapshot-failed"]
    assert _code(house.api.call("POST", f"{CAMERAS}/groups/none/snapshot")) == (404, "group-not-found")


def test_a_group_that_is_too_large_is_rejected(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """No command is sent."""
    monkeypatch.setattr(capture_routes, "MAX_GROUP", 1)
    group = house.api.post(f"{CAMERAS}/groups", {"name": "Entrances"}).json()["data"]["id"]
    for name in ("gate", "door"):
        house.camera(name, group_id=group)
    assert _code(house.api.call("POST", f"{CAMERAS}/groups/{group}/snapshot")) == (422, "group-too-large")
    assert house.agent.commands == []


def test_lists_are_pages_with_conditions(house: House) -> None:
    """Newest first, by camera, by device, by time; the latest one has a path of its own."""
    house.camera()
    door = house.camera("door")
    taken = [house.capture(name)["id"] for name in ("gate", "door", "gate")]
    assert house.ids() == taken[::-1]
    assert house.ids("/api/snapshots/") == taken[::-1]
    page = house.api.get("/api/snapshots", page=2, per_page=2).json()
    assert [one["id"] for one in page["snapshots"]] == taken[:1]
    expected = {"total": 3, "page": 2, "per_page": 2, "total_pages": 2, "has_more": False}
    assert {name: page[name] for name in expected} == expected
    assert house.ids(device_id="gate") == [taken[2], taken[0]]
    assert house.ids(device_id=door["id"]) == house.ids("/api/snapshots/device/door") == [taken[1]]
    assert house.ids("/api/snapshots/device/gate-01", per_page=2) == [taken[2], taken[1]]
    assert house.ids(device_id="nobody") == []
    assert house.api.get("/api/snapshots/device/gate/latest").json()["id"] == taken[2]
    middle = house.metadata(taken[1])["captured_at"]
    assert house.ids(start_time=middle) == taken[:0:-1]
    assert house.ids(end_time=middle) == taken[1::-1]
    assert _code(house.api.get("/api/snapshots/device/nobody")) == (404, "camera-not-found")
    assert _code(house.api.get("/api/snapshots", per_page=501)) == (422, "invalid-parameter")
    assert _code(house.api.get(f"/api/snapshots/{uuid4()}")) == (404, "snapshot-not-found")
    assert _code(house.api.get("/api/snapshots/7")) == (422, "invalid-parameter")


def test_a_deleted_snapshot_is_gone_with_its_objects(house: House) -> None:
    """Its event stays. Neither that event, when it comes late, nor a second deletion brings anything back."""
    house.camera()
    first, second = house.capture()["id"], house.capture()["id"]
    answer = house.api.delete(f"/api/snapshots/{first}")
    DeletedSnapshotResponse.model_validate(answer.json(), strict=True)
    assert answer.json() == {"id": first, "message": f"Snapshot {first} deleted successfully"}
    assert len(house.bucket.objects) == 2
    house.agent.send_event(house.agent.commands[0], house.agent.described[0])
    assert house.ids() == [second]
    assert _code(house.api.delete(f"/api/snapshots/{first}")) == (404, "snapshot-not-found")
    assert rows(house.url, "SELECT count(*) FROM events WHERE event_type = 'snapshot'") == [(1,)]


def test_objects_that_cannot_be_deleted_now_are_deleted_later(house: House) -> None:
    """The bucket is away: the row is gone at once, and maintenance deletes the objects."""
    house.camera()
    snapshot = house.capture()["id"]
    house.bucket.error = TransientError("S3 is away")
    assert house.api.delete(f"/api/snapshots/{snapshot}").status == 200
    house.bucket.error = None
    assert len(house.bucket.objects) == 2
    house.maintain("snapshots")
    assert house.bucket.objects == {}
    assert rows(house.url, "SELECT * FROM expired_pictures") == []


def test_a_snapshot_whose_event_is_deleted_with_its_image_is_gone(house: House) -> None:
    """A row without an image would promise what cannot be read."""
    house.camera()
    house.capture()
    house.agent.send_event(house.agent.commands[0], house.agent.described[0])
    [(event,)] = rows(house.url, "SELECT id FROM events WHERE event_type = 'snapshot'")
    assert house.api.delete(f"/api/events/{event}", delete_snapshot="true").json()["snapshot_deleted"] is True
    assert (house.ids(), house.bucket.objects) == ([], {})


def test_a_command_sent_by_mqtt_adds_its_snapshot_once(house: House) -> None:
    """Its ids are any text; a camera that is not in the API has no id; the same id names two pictures."""
    command = {"command_id": "c-1", "snapshot_id": "evening", "camera_id": "attic"}
    for _ in range(2):
        described = house.agent.take(command)
        house.agent.send_event(command, described)
        house.agent.send_event(command, described)  # another event of the same picture
    assert len(house.ids("/api/snapshots/device/attic")) == 2
    latest = house.api.get("/api/snapshots/device/attic/latest").json()
    assert (latest["camera_id"], latest["camera_slug"], latest["command_id"]) == (None, "attic", "c-1")
    assert base64.b64decode(house.api.get(latest["image_url"]).json()["image_data"]) == JPEG
    assert "/snapshot_" in latest["storage_path"]


def test_a_failed_command_sent_by_mqtt_adds_nothing(house: House) -> None:
    """There is no picture, and nobody waits for one."""
    store_event(
        house.url,
        wire_event("snapshot", snapshot=None, event_data={"snapshot_id": str(uuid4()), "error": "dark"}),
    )
    assert house.stored_rows() == []


def test_a_device_cannot_complete_the_snapshot_of_another(house: House) -> None:
    """Neither another device nor another camera of the device that was asked."""
    house.camera()
    house.agent.answers = False
    house.api.call("POST", f"{CAPTURE}/gate", {"wait": "false"})
    command = house.agent.commands[0]
    described = house.agent.take(command)
    house.agent.send_event(command, described, device_id="evil-01")
    described = house.agent.take(command | {"camera_id": "door"})
    house.agent.send_event(command, described)
    assert [status for _, status in house.stored_rows()] == ["pending"]


def test_a_deleted_camera_leaves_its_snapshots(house: House) -> None:
    """As it leaves its events: found by its former id or slug, until they expire."""
    camera = house.camera()
    snapshot = house.capture()["id"]
    assert house.api.delete(f"{CAMERAS}/gate").status == 200
    assert house.ids("/api/snapshots/device/gate") == [snapshot]
    assert house.ids("/api/snapshots/device/" + camera["id"]) == [snapshot]
    assert house.api.get(f"/api/snapshots/{snapshot}/image").status == 200


def test_expired_snapshots_are_deleted_with_their_objects(house: House) -> None:
    """By the camera's retention, or else by that of the deployment; twice is the same as once."""
    house.camera(retention_days=2)
    house.camera("door")
    short, default = house.capture()["id"], house.capture("door")["id"]
    now = datetime.now(UTC)
    house.maintain("snapshots", at=now + timedelta(days=1), snapshot_retention_days=30)
    assert house.ids() == [default, short]
    for _ in range(2):
        house.maintain("snapshots", at=now + timedelta(days=3), snapshot_retention_days=30)
        assert house.ids() == [default]
        assert len(house.bucket.objects) == 2
    house.maintain("snapshots", at=now + timedelta(days=3000))
    assert house.ids() == [default]
    house.maintain("snapshots", at=now + timedelta(days=40), snapshot_retention_days=30)
    assert (house.stored_rows(), house.bucket.objects) == ([], {})


def test_expiry_resumes_after_an_outage_of_the_bucket(house: House) -> None:
    """The rows are gone, the objects are recorded, and the next run deletes them."""
    house.camera(retention_days=2)
    house.capture()
    later = datetime.now(UTC) + timedelta(days=3)
    house.bucket.error = TransientError("S3 is away")
    with pytest.raises(TransientError, match=r"snapshots\.pictures"):
        house.maintain("snapshots", at=later)
    house.bucket.error = None
    assert (house.ids(), len(house.bucket.objects)) == ([], 2)
    house.maintain("snapshots", at=later)
    assert house.bucket.objects == {}


def _requested(house: House) -> dict[str, Any]:
    """Request a snapshot without waiting; return the command, which the device has not answered."""
    house.camera()
    house.agent.answers = False
    assert house.api.call("POST", f"{CAPTURE}/gate", {"wait": "false"}).status == 202
    return house.agent.commands[0]


def test_an_image_that_comes_after_the_deletion_is_deleted(house: House) -> None:
    """The snapshot was deleted before its device described it. Its event does not show the image either."""
    command = _requested(house)
    assert house.api.delete(f"/api/snapshots/{command['snapshot_id']}").status == 200
    house.agent.send_event(command, house.agent.take(command))
    assert (house.stored_rows(), len(house.bucket.objects)) == ([], 2)
    [event] = house.api.get("/api/events", event_type="snapshot").json()["events"]
    assert _code(house.api.get(f"/api/events/{event['id']}/snapshot")) == (404, "snapshot-gone")
    house.maintain("snapshots")
    assert house.bucket.objects == {}


def test_a_reply_that_comes_after_the_deletion_deletes_the_image(house: House) -> None:
    """The snapshot is deleted while its device takes the picture."""
    take = house.agent.take

    def take_deleted(command: dict[str, Any]) -> dict[str, Any]:
        house.execute("DELETE FROM camera_snapshots WHERE id = %s", command["snapshot_id"])
        return take(command)

    house.camera()
    house.agent.take = take_deleted
    assert _code(house.api.call("POST", f"{CAPTURE}/gate")) == (404, "snapshot-not-found")
    house.maintain("snapshots")
    assert house.bucket.objects == {}


def test_the_image_of_a_deleted_snapshot_is_deleted_whenever_it_comes(house: House) -> None:
    """The device described the snapshot, and uploads its image after the deletion, or after it was given up."""
    house.camera()
    house.agent.stores = False
    deleted, given_up = (house.api.call("POST", f"{CAPTURE}/gate").json()["id"] for _ in range(2))
    assert house.api.delete(f"/api/snapshots/{deleted}").status == 200
    now = datetime.now(UTC)
    house.maintain("snapshots", at=now + timedelta(days=3))
    house.maintain("snapshots", at=now + timedelta(days=8))
    assert house.api.get(f"/api/snapshots/{given_up}").status == 404
    for _ in range(2):
        for key in house.agent.keys:
            house.agent.upload(key)
        assert len(house.bucket.objects) == 4
        house.maintain("retention", at=now + timedelta(days=9))
        assert house.bucket.objects == {}
    house.execute("UPDATE expired_pictures SET retry_until = now()")
    house.maintain("snapshots")
    assert rows(house.url, "SELECT * FROM expired_pictures") == []


def test_the_image_of_a_deleted_event_is_deleted_whenever_it_comes(house: House) -> None:
    """The event, with its snapshot, was deleted before its device uploaded the image."""
    [command, described] = [_requested(house), house.agent.take(house.agent.commands[0])]
    house.bucket.objects.clear()
    house.agent.send_event(command, described)
    [event] = house.api.get("/api/events", event_type="snapshot").json()["events"]
    deleted = house.api.delete(f"/api/events/{event['id']}", delete_snapshot="true")
    assert deleted.json()["snapshot_deleted"] is False
    house.agent.upload(house.agent.keys[0])
    house.maintain("snapshots")
    assert house.bucket.objects == {}


def test_no_device_has_the_image_of_another_deleted(house: House) -> None:
    """It names the command of another device, whose snapshot was deleted."""
    command = _requested(house)
    assert house.api.delete(f"/api/snapshots/{command['snapshot_id']}").status == 200
    house.agent.send_event(command, house.agent.take(command), device_id="evil-01")
    assert rows(house.url, "SELECT * FROM expired_pictures") == []


def test_pictures_of_a_protected_site_need_the_permission_to_read_plates(house: House) -> None:
    """The plain frame shows every plate: image, thumbnail, and those of the snapshot's event. Metadata needs none."""
    house.camera()
    snapshot = house.capture()
    house.agent.send_event(house.agent.commands[0], house.agent.described[0])
    [event] = house.api.get("/api/events", event_type="snapshot").json()["events"]
    pictures = [snapshot["image_url"], snapshot["thumbnail_url"]]
    pictures += [f"/api/events/{event['id']}/{kind}" for kind in ("snapshot", "thumbnail", "snapshot-url")]

    def answers(api: ApiCalls) -> set[tuple[int, str | None]]:
        found = [
            api.call("GET", path, headers={"accept": accept}) for path in pictures for accept in ("*/*", "image/*")
        ]
        return {(answer.status, None if answer.status == 200 else answer.error().code) for answer in found}

    access = PlateAccess(read_policy=PlateReadPolicy.allow_all())
    handler, dependencies = lambda_api(house.url, snapshots=house.bucket, plate_access=access)
    reader = ApiCalls(handler)
    try:
        assert answers(house.api) == answers(reader) == {(200, None)}
        house.execute("INSERT INTO sites (site_id, plates_protected) SELECT site_id, true FROM devices")
        assert answers(house.api) == {(403, "plates-protected")}
        assert answers(reader) == {(200, None)}
        assert house.api.get("/api/snapshots/device/gate/latest").json() == snapshot
        assert house.ids() == [snapshot["id"]]
        house.execute("UPDATE devices SET site_id = 'elsewhere'")
        assert answers(house.api) == {(403, "plates-protected")}, "it was taken at the protected site"
        house.execute("UPDATE sites SET plates_protected = false")
        assert answers(house.api) == {(200, None)}
    finally:
        handler.close()
        dependencies.close()


def test_a_snapshot_that_never_comes_has_failed_after_two_days(house: House) -> None:
    """It is kept for a week, so that its owner can see why, and then deleted."""
    house.camera()
    house.agent.answers = False
    house.api.call("POST", f"{CAPTURE}/gate", {"wait": "false"})
    [pending] = house.ids(status="pending")
    now = datetime.now(UTC)
    house.maintain("snapshots", at=now + timedelta(days=1))
    assert house.metadata(pending)["status"] == "pending"
    house.maintain("snapshots", at=now + timedelta(days=2, hours=1))
    assert house.metadata(pending)["error"] == "the device did not upload the image in time"
    house.maintain("snapshots", at=now + timedelta(days=8))
    assert house.stored_rows() == []


def test_a_clock_that_is_set_later_corrects_the_capture_time(house: House) -> None:
    """The event has the corrected time; the image keeps its key."""
    house.camera()
    snapshot = house.capture()
    described = house.agent.described[0]
    corrected = format_utc(datetime.fromisoformat(described["captured_at"]) - timedelta(hours=1))
    house.agent.send_event(house.agent.commands[0], described, timestamp=corrected)
    assert house.metadata(snapshot["id"]) == snapshot | {"captured_at": corrected}


@pytest.fixture
def many(house: House) -> Callable[[int], None]:
    """Return a function that adds described snapshots whose images are missing."""

    def add(count: int) -> None:
        house.execute(
            "INSERT INTO camera_snapshots (id, camera_slug, device_id, storage_path, content_type)"
            " SELECT gen_random_uuid(), 'gate', 'gate-01', 'snapshots/gate-01/gate/' || n, 'image/jpeg'"
            " FROM generate_series(1, %s) AS n",
            count,
        )

    return add


def test_missing_images_do_not_hide_the_ones_that_came(house: House, many: Callable[[int], None]) -> None:
    """Maintenance looks for every pending image, in several batches."""
    many(450)
    house.bucket.objects["snapshots/gate-01/gate/449"] = JPEG
    assert house.maintain("gaps")["gaps"] == 1
    assert [status for _, status in house.stored_rows()].count("stored") == 1


def test_the_json_of_a_snapshot_holds_no_secret(house: House) -> None:
    """Neither the address of the camera nor its login is part of it."""
    house.camera(rtsp_url="rtsp://10.0.0.9/hush")
    assert "hush" not in json.dumps(house.capture())
