"""The comparison of bucket and database: real PostgreSQL and the S3 of the one-machine stack."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from cloud_functions.maintenance.tasks import objects as task_module
from cloud_functions.object_storage.bucket import ObjectInfo
from cloud_functions.snapshot_store import S3SnapshotStore
from shared.clock import ManualClock
from shared.storage_keys import snapshot_key, snapshot_object_key
from tests.support.api_calls import NOON, ApiCalls, lambda_api
from tests.support.command_devices import store_device
from tests.support.ingest_harness import rows
from tests.support.picture_house import PictureHouse, new_bucket

FOUND = "SELECT kind, 'snapshots/' || device_id || '/' || path FROM object_findings ORDER BY kind, path"
LATER = datetime.now(UTC) + timedelta(days=20)
"""A time at which the objects that a test stores are older than the grace period."""


@pytest.fixture
def house(database_url: str, stack_s3: str, monkeypatch: pytest.MonkeyPatch) -> PictureHouse:
    return PictureHouse(database_url, new_bucket(stack_s3, monkeypatch))


def compare(house: PictureHouse, *, now: datetime = LATER, **variables: str) -> int:
    """Run the task and return the number of findings that it counts."""
    return house.retain("objects", now=now, **variables)


def orphan(house: PictureHouse, days_ago: int, device_id: str = "gate-01") -> str:
    key = snapshot_key(
        camera_id="camera-9", event_type="motion", timestamp=NOON - timedelta(days=days_ago), extension="jpg"
    )
    name = snapshot_object_key(device_id, key)
    house.put(name)
    return name


def test_orphaned_and_missing_objects_are_found(house: PictureHouse) -> None:
    """An object that nothing shows, and an event whose image is gone; what fits together is not named."""
    house.add(3)
    gone = [house.add(days) for days in (5, 6)]
    house.store.delete(gone)
    nothing_shows = orphan(house, 4)
    house.put("snapshots/gate-01/notes.txt")
    house.put("reports/today.pdf")
    expected = [*(("missing", key) for key in sorted(gone)), ("orphaned", nothing_shows)]
    assert compare(house) == 3
    assert rows(house.database_url, FOUND) == expected
    assert compare(house) == 3
    assert rows(house.database_url, FOUND) == expected
    house.store.delete([nothing_shows])
    for key in gone:
        house.put(key)
    assert compare(house) == 0
    assert rows(house.database_url, FOUND) == []


def test_young_objects_and_rows_are_left_out(house: PictureHouse) -> None:
    """The event of an object may still be in the outbox of its device, and so may the image of an event."""
    house.store.delete([house.add(1)])
    orphan(house, 4)
    assert compare(house, now=datetime.now(UTC)) == 0
    assert compare(house, now=datetime.now(UTC) + timedelta(days=13), SNAPSHOT_RETENTION_DAYS="1") == 0
    assert compare(house, now=datetime.now(UTC) + timedelta(days=13)) == 1


def test_a_pass_continues_where_the_last_run_ended(house: PictureHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run without time left advances by one batch; a failing bucket costs no finding."""
    monkeypatch.setattr(task_module, "_BATCH", 2)
    monkeypatch.setattr(task_module, "_deadline_s", lambda _: -1.0)
    orphans = [orphan(house, days) for days in range(5)]
    gone = [house.add(days, camera_id=f"camera-{days}") for days in (5, 6, 7)]
    house.store.delete(gone)
    assert [compare(house) for _ in range(2)] == [3, 3]
    with monkeypatch.context() as broken:
        broken.setattr(S3SnapshotStore, "list_objects", _unavailable)
        with pytest.raises(Exception, match=r"objects\.orphaned"):
            compare(house)
    compare(house)
    found = rows(house.database_url, FOUND)
    assert found == [("missing", key) for key in sorted(gone)] + [("orphaned", key) for key in sorted(orphans)]


def _unavailable(*_: Any, **__: Any) -> Iterator[ObjectInfo]:
    raise OSError("the bucket is unavailable")


def test_orphans_are_deleted_only_on_request_and_when_no_event_can_follow(house: PictureHouse) -> None:
    """The device must have been heard since, with an empty outbox and no gap; a silent device's objects stay."""
    kept, removed = orphan(house, 4, "silent-01"), orphan(house, 4)
    store_device(house.database_url, "gate-01", outbox={"pending_events": 3})
    compare(house)
    _age(house, days=40)
    compare(house)
    compare(house, ORPHAN_DELETE_DAYS="30")
    house.retain("pictures")
    assert house.objects == {kept, removed}  # events are pending
    with psycopg.connect(house.database_url, autocommit=True) as connection:
        connection.execute(
            "UPDATE devices SET heartbeat_at = now(), heartbeat = jsonb_set(heartbeat, '{outbox,pending_events}', '0')"
        )
    compare(house)
    house.retain("pictures")
    assert house.objects == {kept, removed}  # the default only reports
    compare(house, ORPHAN_DELETE_DAYS="50")
    compare(house, ORPHAN_DELETE_DAYS="30")
    house.retain("pictures")
    assert house.objects == {kept}
    compare(house)
    assert rows(house.database_url, FOUND) == [("orphaned", kept)]


def _age(house: PictureHouse, *, days: int) -> None:
    house.execute(f"UPDATE object_findings SET found_at = now() - interval '{days} days'")


def test_the_report_and_the_api_name_them(house: PictureHouse) -> None:
    """The health report has numbers and keys; the image of a missing object is gone, not a broken link."""
    gone, nothing_shows = house.add(5), orphan(house, 4)
    house.store.delete([gone])
    compare(house)
    handler, dependencies = lambda_api(house.database_url, snapshots=house.store, clock=ManualClock(LATER))
    api = ApiCalls(handler)
    report = api.get("/api/v1/health/report").json()["data"]["objects"]
    assert (report["orphaned"]["objects"], report["orphaned"]["bytes"], report["orphaned"]["keys"]) == (
        1,
        4,
        [nothing_shows],
    )
    assert (report["missing"]["objects"], report["missing"]["keys"]) == (1, [gone])
    assert report["missing"]["checked_at"] is not None
    [event] = api.get("/api/events").json()["events"]
    for path in ("snapshot", "snapshot-url"):
        answer = api.get(f"/api/events/{event['id']}/{path}")
        assert (answer.status, answer.json()["type"]) == (404, "urn:vedette:problem:snapshot-gone")
    handler.close()
    dependencies.close()
