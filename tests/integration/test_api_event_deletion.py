"""Deleting events and their snapshots through the API, on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from shared.clock import format_utc
from shared.errors import TransientError
from tests.support.api_calls import NOON, ApiCalls, FakeSnapshots, events_each_minute, lambda_api, store, stored_event


@pytest.fixture
def snapshots() -> FakeSnapshots:
    return FakeSnapshots()


@pytest.fixture
def api(database_url: str, snapshots: FakeSnapshots) -> Iterator[ApiCalls]:
    handler, dependencies = lambda_api(database_url, snapshots=snapshots)
    yield ApiCalls(handler)
    handler.close()
    dependencies.close()


def test_deleting_one_event(api: ApiCalls, database_url: str, snapshots: FakeSnapshots) -> None:
    """The event is deleted, its snapshot only on request, totals change, and a second deletion is a 404."""
    path = "camera-1/2026-11-20/motion_120000_000000.jpg"
    one, two = store(database_url, [stored_event(snapshot_path=path), stored_event(timestamp=NOON + timedelta(days=1))])
    picture, thumbnail = f"snapshots/gate-01/{path}", f"thumbnails/gate-01/{path}"
    snapshots.objects |= {picture: b"jpeg", thumbnail: b"jpeg"}
    assert api.delete(f"/api/events/{two}").json() == {
        "message": f"Event {two} deleted successfully",
        "snapshot_deleted": False,
    }
    assert set(snapshots.objects) == {picture, thumbnail}
    assert api.delete(f"/api/events/{one}", delete_snapshot="true").json()["snapshot_deleted"] is True
    assert snapshots.objects == {}
    assert api.delete(f"/api/events/{one}").status == 404
    assert api.get("/api/events").json()["total"] == 0
    assert api.get("/api/events/stats").json()["total_events"] == 0


def test_a_snapshot_that_never_arrived_is_not_reported_as_deleted(api: ApiCalls, database_url: str) -> None:
    """``snapshot_deleted`` is false if there was no snapshot in the bucket."""
    path = "camera-1/2026-11-20/motion_120000_000000.jpg"
    [number] = store(database_url, [stored_event(snapshot_path=path)])
    assert api.delete(f"/api/events/{number}", delete_snapshot="true").json() == {
        "message": f"Event {number} deleted successfully",
        "snapshot_deleted": False,
    }


def test_a_snapshot_of_another_event_is_kept(api: ApiCalls, database_url: str, snapshots: FakeSnapshots) -> None:
    """Two objects in one frame share a snapshot. It is deleted with the last of their events."""
    path = "camera-1/2026-11-20/tracking_120000_000000.jpg"
    one, two = store(database_url, [stored_event("tracking", snapshot_path=path)] * 2)
    snapshots.objects[f"snapshots/gate-01/{path}"] = b"jpeg"
    assert api.delete(f"/api/events/{one}", delete_snapshot="true").json()["snapshot_deleted"] is False
    assert snapshots.objects
    assert api.delete(f"/api/events/{two}", delete_snapshot="true").json()["snapshot_deleted"] is True
    assert not snapshots.objects


def test_an_event_is_deleted_if_the_bucket_is_unavailable(
    api: ApiCalls, database_url: str, snapshots: FakeSnapshots
) -> None:
    """The message reports that the snapshot was not deleted."""
    path = "camera-1/2026-11-20/motion_120000_000000.jpg"
    [number] = store(database_url, [stored_event(snapshot_path=path)])
    snapshots.error = TransientError("S3 is unavailable")
    answer = api.delete(f"/api/events/{number}", delete_snapshot="true").json()
    assert answer == {
        "message": f"Event {number} deleted successfully; its snapshot could not be deleted",
        "snapshot_deleted": False,
    }
    assert api.get(f"/api/events/{number}").status == 404


def test_deleting_many_events_starts_with_the_oldest(
    api: ApiCalls, database_url: str, snapshots: FakeSnapshots
) -> None:
    """The batch is limited, other events are kept, and ``remaining`` and all totals are exact."""
    path = "camera-1/2026-11-20/motion_120000_000000.jpg"
    store(database_url, events_each_minute(5, snapshot_path=path) + events_each_minute(3, camera_id="camera-2"))
    snapshots.objects[f"snapshots/gate-01/{path}"] = b"jpeg"
    first = api.post("/api/events/delete", {"camera_id": "camera-1", "limit": 2, "delete_snapshots": True}).json()
    assert first == {"message": "2 events deleted", "deleted": 2, "snapshots_deleted": 1, "remaining": 3, "on_hold": 0}
    left = api.get("/api/events", camera_id="camera-1").json()
    assert [event["timestamp"] for event in left["events"]] == [
        format_utc(NOON + timedelta(minutes=minute)) for minute in (4, 3, 2)
    ]
    second = api.post("/api/events/delete", {"camera_id": "camera-1", "min_confidence": None}).json()
    assert (second["deleted"], second["remaining"]) == (3, 0)
    assert api.get("/api/events/stats").json()["events_by_camera"] == {"camera-2": 3}
    assert api.post("/api/events/delete", {"camera_id": "camera-1"}).json()["deleted"] == 0


def test_snapshots_of_a_batch_that_cannot_be_deleted_are_reported(
    api: ApiCalls, database_url: str, snapshots: FakeSnapshots
) -> None:
    """The events are deleted, and the message reports that their snapshots were not."""
    path = "camera-1/2026-11-20/motion_120000_000000.jpg"
    store(database_url, [stored_event(snapshot_path=path)])
    snapshots.error = TransientError("S3 is unavailable")
    answer = api.post("/api/events/delete", {"camera_id": "camera-1", "delete_snapshots": True}).json()
    assert answer["message"] == "1 events deleted; their snapshots could not be deleted"
    assert (answer["deleted"], answer["snapshots_deleted"]) == (1, 0)
