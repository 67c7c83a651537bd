"""Snapshots are deleted by age, and with their events: real PostgreSQL and moto's S3."""

from __future__ import annotations

import psycopg
import pytest

from shared.errors import TransientError
from tests.support.api_calls import ApiCalls, FakeSnapshots, lambda_api
from tests.support.picture_house import PictureHouse, both, new_bucket


@pytest.fixture
def house(database_url: str, moto_server: str, monkeypatch: pytest.MonkeyPatch) -> PictureHouse:
    return PictureHouse(database_url, new_bucket(moto_server, monkeypatch))


def test_cloud_b9_site_retention_deletes_snapshots_of_its_events(house: PictureHouse) -> None:
    """Snapshots and thumbnails of a site with a retention of five days are deleted; those of another site are kept."""
    house.add(10, site_id="hq", camera_id="camera-1")
    young = house.add(1, site_id="hq", camera_id="camera-1")
    other = house.add(10, site_id="yard", camera_id="camera-2")
    house.execute("INSERT INTO sites (site_id, event_retention_days) VALUES ('hq', 5)")
    house.retain()
    assert house.objects == both(young, other)
    assert house.noted() == []


def test_cloud_b9_dropped_month_deletes_its_snapshots(house: PictureHouse) -> None:
    """RETENTION_DAYS drops whole months with their snapshots and keeps a month that is only partly too old."""
    house.add(100)
    kept = house.add(35)  # 16 October is in the same month as the limit, 21 October
    young = house.add(1)
    house.retain(RETENTION_DAYS="30")
    assert house.objects == both(kept, young)


def test_cloud_b9_snapshot_retention_deletes_snapshots_only(house: PictureHouse) -> None:
    """SNAPSHOT_RETENTION_DAYS deletes old snapshots and keeps their events; other objects are not touched."""
    house.add(91)
    last_kept = house.add(90)
    house.put("snapshots/gate-01/camera-1/notes/a.txt")
    house.retain(SNAPSHOT_RETENTION_DAYS="90")
    assert house.objects == both(last_kept) | {"snapshots/gate-01/camera-1/notes/a.txt"}
    with psycopg.connect(house.database_url) as connection:
        assert connection.execute("SELECT count(*) FROM events").fetchone() == (2,)


def test_cloud_b9_unavailable_bucket_delays_the_deletion(house: PictureHouse) -> None:
    """The events are deleted, the remaining objects are recorded, and the next run deletes them."""
    house.add(10)
    house.execute("INSERT INTO sites (site_id, event_retention_days) VALUES ('hq', 5)")
    with pytest.raises(TransientError, match=r"retention\.pictures"):
        house.retain(SNAPSHOT_BUCKET="no-such-bucket-here")
    assert len(house.noted()) == 1
    assert len(house.objects) == 2
    house.retain()
    assert (house.noted(), house.objects) == ([], set())


def test_cloud_b9_snapshot_that_the_api_could_not_delete_is_deleted_later(house: PictureHouse) -> None:
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


def test_cloud_b9_many_snapshots_are_deleted_in_several_requests(house: PictureHouse) -> None:
    """There are more objects than one request may delete."""
    keys = [f"snapshots/gate-01/camera-1/2026-01-01/motion_12{n // 60:02d}{n % 60:02d}_000000.jpg" for n in range(1203)]
    for key in keys:
        house.put(key)
    house.retain(SNAPSHOT_RETENTION_DAYS="90")
    assert house.objects == set()
