"""Snapshots are deleted with their events: real PostgreSQL, moto's S3 and the one-machine stack's object store."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from cloud_functions.aws import AwsClients
from cloud_functions.db.snapshots.expired import oldest_expired_snapshots
from cloud_functions.maintenance.handler import build_maintenance
from cloud_functions.snapshot_store import S3SnapshotStore
from shared.clock import ManualClock, format_utc
from shared.errors import TransientError
from shared.storage_keys import snapshot_key, snapshot_object_key, thumbnail_object_key
from tests.support.api_calls import NOON, ApiCalls, FakeSnapshots, lambda_api
from tests.support.ingest_harness import open_database, open_ingest
from tests.support.wire_events import batch, wire_event

DAY = timedelta(days=1)


@pytest.fixture
def bucket(moto_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket in the local S3 that only this test uses."""
    for name, value in {
        "AWS_ENDPOINT_URL": moto_server,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "eu-central-1",
    }.items():
        monkeypatch.setenv(name, value)
    name = f"retention-{uuid.uuid4().hex[:12]}"
    location = {"LocationConstraint": "eu-central-1"}
    AwsClients().client("s3").create_bucket(Bucket=name, CreateBucketConfiguration=location)
    return name


class House:
    """A database with events, a bucket with their snapshots, and maintenance."""

    def __init__(self, database_url: str, bucket: str) -> None:
        self.database_url = database_url
        self.store = S3SnapshotStore(bucket=bucket, aws=AwsClients())
        self._s3 = AwsClients().client("s3")
        self._bucket = bucket

    def add(self, days_ago: int, *, site_id: str = "hq", camera_id: str = "camera-1") -> str:
        """Store an event with its snapshot and thumbnail; return the snapshot's object key."""
        moment = NOON - days_ago * DAY
        key = snapshot_key(camera_id=camera_id, event_type="motion", timestamp=moment, extension="jpg")
        snapshot = {"key": key, "content_type": "image/jpeg", "bytes": 4, "width": 1, "height": 1, "sha256": "0" * 64}
        event = wire_event(
            "motion", site_id=site_id, camera_id=camera_id, timestamp=format_utc(moment), snapshot=snapshot
        )
        with open_ingest(self.database_url, clock=ManualClock(NOON)) as ingest:
            assert ingest.handle(batch([event])) == {"batchItemFailures": []}
        for name in (snapshot_object_key("gate-01", key), thumbnail_object_key("gate-01", key)):
            self.put(name)
        return snapshot_object_key("gate-01", key)

    def put(self, name: str) -> None:
        self._s3.put_object(Bucket=self._bucket, Key=name, Body=b"jpeg")

    @property
    def objects(self) -> set[str]:
        return set(self.store.keys(""))

    def retain(self, **variables: str) -> None:
        """Run the retention task at noon."""
        variables = {"DATABASE_URL": self.database_url, "SNAPSHOT_BUCKET": self._bucket, **variables}
        database = open_database(self.database_url)
        try:
            build_maintenance(variables, database=database, clock=ManualClock(NOON)).handle({"task": "retention"})
        finally:
            database.close()

    def execute(self, query: str) -> None:
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            connection.execute(query)  # type: ignore[arg-type]

    def noted(self) -> list[Any]:
        with psycopg.connect(self.database_url) as connection:
            return oldest_expired_snapshots(connection, limit=100)


@pytest.fixture
def house(database_url: str, bucket: str) -> House:
    return House(database_url, bucket)


def _both(*pictures: str) -> set[str]:
    return {name for picture in pictures for name in (picture, picture.replace("snapshots/", "thumbnails/", 1))}


def test_cloud_b9_site_retention_deletes_snapshots_of_its_events(house: House) -> None:
    """Snapshots and thumbnails of a site with a retention of five days are deleted; those of another site are kept."""
    house.add(10, site_id="hq", camera_id="camera-1")
    young = house.add(1, site_id="hq", camera_id="camera-1")
    other = house.add(10, site_id="yard", camera_id="camera-2")
    house.execute("INSERT INTO sites (site_id, event_retention_days) VALUES ('hq', 5)")
    house.retain()
    assert house.objects == _both(young, other)
    assert house.noted() == []


def test_cloud_b9_dropped_month_deletes_its_snapshots(house: House) -> None:
    """RETENTION_DAYS drops whole months with their snapshots and keeps a month that is only partly too old."""
    house.add(100)
    kept = house.add(35)  # 16 October is in the same month as the limit, 21 October
    young = house.add(1)
    house.retain(RETENTION_DAYS="30")
    assert house.objects == _both(kept, young)


def test_cloud_b9_snapshot_retention_deletes_snapshots_only(house: House) -> None:
    """SNAPSHOT_RETENTION_DAYS deletes old snapshots and keeps their events; other objects are not touched."""
    house.add(91)
    last_kept = house.add(90)
    house.put("snapshots/gate-01/camera-1/notes/a.txt")
    house.retain(SNAPSHOT_RETENTION_DAYS="90")
    assert house.objects == _both(last_kept) | {"snapshots/gate-01/camera-1/notes/a.txt"}
    with psycopg.connect(house.database_url) as connection:
        assert connection.execute("SELECT count(*) FROM events").fetchone() == (2,)


def test_cloud_b9_unavailable_bucket_delays_the_deletion(house: House) -> None:
    """The events are deleted, the remaining objects are recorded, and the next run deletes them."""
    house.add(10)
    house.execute("INSERT INTO sites (site_id, event_retention_days) VALUES ('hq', 5)")
    with pytest.raises(TransientError, match=r"retention\.pictures"):
        house.retain(SNAPSHOT_BUCKET="no-such-bucket-here")
    assert len(house.noted()) == 1
    assert len(house.objects) == 2
    house.retain()
    assert (house.noted(), house.objects) == ([], set())


def test_cloud_b9_snapshot_that_the_api_could_not_delete_is_deleted_later(house: House) -> None:
    """The bucket is unavailable while the API deletes an event with its snapshot; maintenance deletes the snapshot."""
    picture = house.add(1)
    path = picture.removeprefix("snapshots/gate-01/")
    with psycopg.connect(house.database_url) as connection:
        row = connection.execute("SELECT id FROM events").fetchone()
    assert row is not None
    snapshots = FakeSnapshots()
    snapshots.error = TransientError("S3 is unavailable")
    handler, dependencies = lambda_api(house.database_url, snapshots=snapshots)
    answer = ApiCalls(handler).delete(f"/api/events/{row[0]}", delete_snapshot="true").json()
    assert answer["snapshot_deleted"] is False
    handler.close()
    dependencies.close()
    assert [noted.path for noted in house.noted()] == [path]
    house.retain()
    assert house.objects == set()


def test_cloud_b9_many_snapshots_are_deleted_in_several_requests(house: House) -> None:
    """There are more objects than one request may delete."""
    keys = [f"snapshots/gate-01/camera-1/2026-01-01/motion_12{n // 60:02d}{n % 60:02d}_000000.jpg" for n in range(1203)]
    for key in keys:
        house.put(key)
    house.retain(SNAPSHOT_RETENTION_DAYS="90")
    assert house.objects == set()
