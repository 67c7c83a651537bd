"""A database with events, a bucket with their pictures, and maintenance that deletes both."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from cloud_functions.aws import AwsClients
from cloud_functions.db.snapshots.expired import oldest_expired_snapshots
from cloud_functions.maintenance.handler import build_maintenance
from cloud_functions.snapshot_store import S3SnapshotStore
from shared.clock import ManualClock, format_utc
from shared.storage_keys import snapshot_key, snapshot_object_key, thumbnail_object_key
from tests.support.api_calls import NOON
from tests.support.ingest_harness import open_database, open_ingest
from tests.support.wire_events import batch, wire_event

DAY = timedelta(days=1)


def new_bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Create a bucket that only this test uses, set the environment of its S3, and return the bucket's name."""
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "eu-central-1",
    }.items():
        monkeypatch.setenv(name, value)
    name = f"retention-{uuid.uuid4().hex[:12]}"
    location = {"LocationConstraint": "eu-central-1"}
    AwsClients().client("s3").create_bucket(Bucket=name, CreateBucketConfiguration=location)
    return name


class PictureHouse:
    """A database with events, a bucket with their snapshots, and maintenance."""

    def __init__(self, database_url: str, bucket: str) -> None:
        self.database_url = database_url
        self.store = S3SnapshotStore(bucket=bucket, aws=AwsClients())
        self._s3 = AwsClients().client("s3")
        self._bucket = bucket

    def add(self, days_ago: int, *, site_id: str = "hq", camera_id: str = "camera-1", key: str | None = None) -> str:
        """Store an event with its snapshot and thumbnail; return the snapshot's object key."""
        moment = NOON - days_ago * DAY
        key = key or snapshot_key(camera_id=camera_id, event_type="motion", timestamp=moment, extension="jpg")
        snapshot = {"key": key, "content_type": "image/jpeg", "bytes": 4, "width": 1, "height": 1, "sha256": "0" * 64}
        event = wire_event(
            "motion", site_id=site_id, camera_id=camera_id, timestamp=format_utc(moment), snapshot=snapshot
        )
        with open_ingest(self.database_url, clock=ManualClock(NOON)) as ingest:
            assert ingest.handle(batch([event])) == {"batchItemFailures": []}
        self.put_picture(key)
        return snapshot_object_key("gate-01", key)

    def put_picture(self, key: str) -> None:
        """Store a snapshot and its thumbnail, of a key below the device's prefix."""
        for name in (snapshot_object_key("gate-01", key), thumbnail_object_key("gate-01", key)):
            self.put(name)

    def put(self, name: str) -> None:
        self._s3.put_object(Bucket=self._bucket, Key=name, Body=b"jpeg")

    @property
    def objects(self) -> set[str]:
        return set(self.store.keys(""))

    def retain(self, task: str = "retention", *, now: datetime = NOON, **variables: str) -> int:
        """Run a task, by default at noon; return the number of its changes."""
        variables = {"DATABASE_URL": self.database_url, "SNAPSHOT_BUCKET": self._bucket, **variables}
        database = open_database(self.database_url)
        try:
            return build_maintenance(variables, database=database, clock=ManualClock(now)).handle({"task": task})[task]
        finally:
            database.close()

    def execute(self, query: str) -> None:
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            connection.execute(query)  # type: ignore[arg-type]

    def noted(self) -> list[Any]:
        with psycopg.connect(self.database_url) as connection:
            return oldest_expired_snapshots(connection, limit=100)


def both(*pictures: str) -> set[str]:
    """Return the keys of these snapshots and of their thumbnails."""
    return {name for picture in pictures for name in (picture, picture.replace("snapshots/", "thumbnails/", 1))}
