"""A picture is deleted with the last thing that shows it: real PostgreSQL and the S3 of the one-machine stack."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest

from cloud_functions.db.migrate import downgrade
from cloud_functions.db.partitions.partitions import drop_partition, list_partitions
from cloud_functions.maintenance.handler import Maintenance
from cloud_functions.maintenance.tasks.context import MaintenanceContext
from cloud_functions.observability import NoMetrics
from cloud_functions.settings import GapSettings, MaintenanceSettings
from shared.clock import ManualClock
from shared.errors import TransientError
from shared.storage_keys import image_object_keys, snapshot_key
from tests.support.api_calls import NOON, ApiCalls, FakeSnapshots, lambda_api, store, stored_event
from tests.support.ingest_harness import RECOUNT, RecordingCommands, open_database, rows
from tests.support.picture_house import PictureHouse, both, new_bucket

KEY = "camera-1/2026-11-20/motion_120000_000000.jpg"
CROP = "camera-1/2026-11-20/plate_120000_000000.jpg"
MONTHS_LEFT = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '^events_.*expired'"
QUEUES = (
    "SELECT (SELECT count(*) FROM released_pictures), (SELECT count(*) FROM expired_pictures),"
    " (SELECT count(*) FROM expired_months)"
)


@pytest.fixture
def house(database_url: str, stack_s3: str, monkeypatch: pytest.MonkeyPatch) -> PictureHouse:
    return PictureHouse(database_url, new_bucket(stack_s3, monkeypatch))


@pytest.fixture
def api(house: PictureHouse) -> Iterator[ApiCalls]:
    handler, dependencies = lambda_api(house.database_url, snapshots=house.store)
    yield ApiCalls(handler)
    handler.close()
    dependencies.close()


def anpr(number: int, *, minutes: int = 0, plate_image: str | None = CROP, **fields: object) -> dict[str, object]:
    data = {"anpr_result": {"license_plate": f"B {number}", "confidence": 0.9}, "plate_normalized": f"B{number}"}
    image = {} if plate_image is None else {"plate_image_key": plate_image}
    return stored_event("anpr", timestamp=NOON + timedelta(minutes=minutes), event_data=data | image, **fields)


def test_a_deleted_event_takes_its_picture_along(house: PictureHouse, api: ApiCalls) -> None:
    """Without ``delete_snapshot`` the request leaves the picture, and the next minute's task deletes it."""
    gone, kept = house.add(1), house.add(2)
    [(number,)] = rows(house.database_url, "SELECT id FROM events ORDER BY timestamp DESC LIMIT 1")
    assert api.delete(f"/api/events/{number}").json()["snapshot_deleted"] is False
    assert house.objects == both(gone, kept)
    house.retain("pictures")
    assert house.objects == both(kept)
    assert rows(house.database_url, QUEUES) == [(0, 0, 0)]


def test_a_deleted_batch_takes_its_pictures_along(house: PictureHouse, api: ApiCalls) -> None:
    """Also when the caller did not ask for it; a second run has nothing to do."""
    house.add(1)
    house.add(2)
    kept = house.add(1, camera_id="camera-2")
    assert api.post("/api/events/delete", {"camera_id": "camera-1"}).json()["snapshots_deleted"] == 0
    house.retain("pictures")
    house.retain("pictures")
    assert house.objects == both(kept)


def test_rows_deleted_by_sql_take_their_pictures_along(house: PictureHouse) -> None:
    """Operators clean up with ``DELETE FROM events``; the transaction that is rolled back deletes no picture."""
    house.add(1)
    with psycopg.connect(house.database_url) as connection:
        connection.execute("DELETE FROM events")
        connection.rollback()
    house.retain("pictures")
    assert len(house.objects) == 2
    house.execute("DELETE FROM events")
    house.retain("pictures")
    assert house.objects == set()


def test_two_deletions_at_once_of_events_with_one_picture(house: PictureHouse) -> None:
    """Neither transaction sees that the other deletes the other event, and the picture still goes."""
    picture = house.add(0)
    house.add(3, camera_id="camera-9", key=picture.removeprefix("snapshots/gate-01/"))
    with psycopg.connect(house.database_url) as first, psycopg.connect(house.database_url) as second:
        first.execute("DELETE FROM events WHERE camera_id = 'camera-1'")
        second.execute("SET lock_timeout = '5s'")
        second.execute("DELETE FROM events WHERE camera_id = 'camera-9'")
        first.commit()
        house.retain("pictures")
        assert len(house.objects) == 2
        second.commit()
    house.retain("pictures")
    assert house.objects == set()


def test_a_picture_stays_while_another_event_shows_it(house: PictureHouse) -> None:
    """The other event has another time and another camera than the picture's key."""
    picture = house.add(0)
    house.add(3, camera_id="camera-9", key=picture.removeprefix("snapshots/gate-01/"))
    house.execute("DELETE FROM events WHERE camera_id = 'camera-1'")
    house.retain("pictures")
    assert house.objects == both(picture)
    house.execute("DELETE FROM events")
    house.retain("pictures")
    assert house.objects == set()


def test_a_picture_stays_while_a_snapshot_of_a_camera_shows_it(house: PictureHouse, api: ApiCalls) -> None:
    """A requested snapshot outlives its event, and ``delete_snapshot`` deletes it with the event."""
    house.put_picture(KEY)
    query = (
        "INSERT INTO camera_snapshots (id, camera_slug, device_id, status, storage_path) VALUES"
        f" ('{uuid4()}', 'camera-1', 'gate-01', 'stored', 'snapshots/gate-01/{KEY}')"
    )
    house.execute(query)
    first, second = store(house.database_url, [stored_event("snapshot", snapshot_path=KEY)] * 2)
    api.delete(f"/api/events/{first}")
    house.retain("pictures")
    assert len(house.objects) == 2
    assert api.delete(f"/api/events/{second}", delete_snapshot="true").json()["snapshot_deleted"] is True
    assert house.objects == set()
    assert rows(house.database_url, "SELECT count(*) FROM camera_snapshots") == [(0,)]


@pytest.mark.parametrize("prefix", ["", "snapshots/gate-01/"])
def test_the_image_of_a_plate_goes_with_its_last_read(house: PictureHouse, prefix: str) -> None:
    """Its key is below the device's prefix, or whole. Keys elsewhere are not those of this bucket."""
    foreign = "elsewhere/2026/plate.jpg"
    house.put_picture(CROP)
    house.put(foreign)
    one, two, _ = store(
        house.database_url,
        [
            anpr(1, plate_image=prefix + CROP),
            anpr(2, minutes=5, plate_image=CROP),
            anpr(3, plate_image=foreign, snapshot_path="https://example.com/3.jpg"),
        ],
    )
    house.execute(f"DELETE FROM events WHERE id = {one}")
    house.retain("pictures")
    assert len(house.objects) == 3
    house.execute("DELETE FROM events")
    house.retain("pictures")
    assert house.objects == {foreign}
    assert two


def test_a_picture_that_arrives_after_its_event_was_deleted_is_deleted(house: PictureHouse) -> None:
    """The device may upload the picture of a young event later; the nightly task deletes it then."""
    moment = datetime.now(UTC)
    key = snapshot_key(camera_id="camera-1", event_type="motion", timestamp=moment, extension="jpg")
    store(house.database_url, [stored_event(timestamp=moment, snapshot_path=key)])
    house.put_picture(key)
    house.execute("DELETE FROM events")
    house.retain("pictures")
    assert house.objects == set()
    house.put_picture(key)
    house.retain("pictures")
    assert len(house.objects) == 2
    house.retain("snapshots")
    assert house.objects == set()


def test_an_event_that_is_sent_again_keeps_its_picture(house: PictureHouse) -> None:
    """An event is deleted and stored again before the pictures are checked."""
    picture = house.add(0)
    house.execute("CREATE TABLE copy AS SELECT * FROM events; DELETE FROM events")
    store(house.database_url, [stored_event(snapshot_path=KEY)])
    house.retain("pictures")
    assert house.objects == both(picture)


def test_a_picture_of_an_old_day_that_a_new_event_shows_is_kept(house: PictureHouse) -> None:
    """The clock of the device was wrong when it named the picture; retention by age goes by the event's time."""
    kept = house.add(0, key="camera-1/2020-01-01/motion_000000_000000.jpg")
    house.add(95)
    house.retain(SNAPSHOT_RETENTION_DAYS="90")
    assert house.objects == both(kept)


class InterruptedStore(FakeSnapshots):
    """Fails before each second deletion, as a process that is killed; remembers what was deleted."""

    def __init__(self) -> None:
        super().__init__()
        self.deleted: set[str] = set()
        self.calls = 0

    def delete(self, keys: Sequence[str]) -> None:
        self.calls += 1
        if self.calls % 2 == 0:
            raise TransientError("killed")
        self.deleted |= set(keys)


def test_pictures_of_a_dropped_month_are_deleted_by_interrupted_runs(database_url: str) -> None:
    """The month leaves all lists at once; its pictures follow in batches, and its table is dropped at the end."""
    keys = [f"camera-1/2026-09-{n % 27 + 1:02d}/motion_00{n // 60:02d}{n % 60:02d}_000000.jpg" for n in range(1300)]
    september = NOON.replace(month=9, day=1, hour=0)
    events = [
        stored_event(timestamp=september + timedelta(days=n % 27, seconds=n), snapshot_path=key)
        for n, key in enumerate(keys)
    ]
    with psycopg.connect(database_url) as connection:
        connection.execute("SELECT events_ensure_partition('2026-09-01+00')")
    store(database_url, events)
    # The last picture is also shown by an event of today, which is not deleted.
    store(database_url, [anpr(1, plate_image=keys[-1])])
    bucket = InterruptedStore()
    database = open_database(database_url)
    context = MaintenanceContext(
        database=database,
        commands=RecordingCommands(),
        settings=MaintenanceSettings(retention_days=30),
        gaps=GapSettings(),
        clock=ManualClock(NOON),
        snapshots=bucket,
    )
    maintenance = Maintenance(context=context, metrics=NoMetrics())
    failures = 0
    for task in ("retention", *["pictures"] * 5):
        try:
            maintenance.handle({"task": task})
        except TransientError:
            failures += 1
        assert rows(database_url, "SELECT count(*) FROM events") == [(1,)]
        assert rows(database_url, RECOUNT) == []
    database.close()
    assert failures >= 2
    assert bucket.deleted == {name for key in keys[:-1] for name in image_object_keys("gate-01", key)}
    assert rows(database_url, QUEUES) == [(0, 0, 0)]
    assert rows(database_url, MONTHS_LEFT) == []


def test_a_downgrade_drops_the_tables_of_expired_months(database_url: str) -> None:
    """They hold no event of the database any more, and an earlier release does not know them."""
    with psycopg.connect(database_url) as connection:
        drop_partition(connection, list_partitions(connection)[0])
    assert len(rows(database_url, MONTHS_LEFT)) == 1
    downgrade(database_url, "0023")
    assert rows(database_url, MONTHS_LEFT) == []
