"""Retention by age and size, and legal holds: real PostgreSQL, and the S3 of the one-machine stack."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from cloud_functions.db.cameras.changes import create_camera
from cloud_functions.db.cameras.groups import GroupFields, create_group
from cloud_functions.db.events.delete import delete_event
from cloud_functions.db.retention.holds import HeldItem, NewHold, place_hold
from cloud_functions.maintenance.handler import build_maintenance
from shared.clock import ManualClock, format_utc
from tests.support.api_calls import NOON, ApiCalls, lambda_api, store, stored_event
from tests.support.camera_groups import camera_fields
from tests.support.ingest_harness import RECOUNT, open_database, rows
from tests.support.picture_house import DAY, PictureHouse, both, new_bucket
from tests.support.waiting import WAITS_FOR_ADVISORY_LOCK, eventually

LEFT = "SELECT camera_id, event_type, date_part('day', %s - timestamp)::int FROM events ORDER BY 1, 2, 3"


class Retention:
    """An API, and maintenance at noon."""

    def __init__(self, url: str, api: ApiCalls) -> None:
        self.url = url
        self.api = api

    def policy(self, **fields: Any) -> int:
        answer = self.api.post("/api/v1/retention/policies", fields)
        assert answer.status == 201, answer.json()
        return answer.json()["data"]["policy_id"]

    def hold(self, **fields: Any) -> int:
        answer = self.api.post("/api/v1/retention/holds", {"name": "case 7", "reason": "a court"} | fields)
        assert answer.status == 201, answer.json()
        return answer.json()["data"]["hold_id"]

    def release(self, hold_id: int) -> int:
        return self.api.post(f"/api/v1/retention/holds/{hold_id}/release", {"reason": "closed"}).status

    def run(self, **variables: str) -> None:
        database = open_database(self.url)
        variables = {"DATABASE_URL": self.url, **variables}
        try:
            build_maintenance(variables, database=database, clock=ManualClock(NOON)).handle({"task": "retention"})
        finally:
            database.close()
        assert rows(self.url, RECOUNT) == []

    def left(self) -> list[Any]:
        """Camera, type and age in days of each event that is left."""
        with psycopg.connect(self.url) as connection:
            return connection.execute(LEFT, [NOON]).fetchall()


@pytest.fixture
def retention(database_url: str) -> Iterator[Retention]:
    handler, dependencies = lambda_api(database_url, clock=ManualClock(NOON))
    yield Retention(database_url, ApiCalls(handler))
    handler.close()
    dependencies.close()


def aged(days: int, camera_id: str = "camera-1", event_type: str = "motion", **fields: Any) -> dict[str, Any]:
    return stored_event(event_type, camera_id=camera_id, timestamp=NOON - days * DAY, **fields)


def test_the_most_specific_policy_limits_the_age(retention: Retention) -> None:
    """A type precedes all types; then a camera precedes its group, its site and everything. The preview agrees."""
    with psycopg.connect(retention.url) as connection:
        group = uuid4()
        create_group(connection, group, GroupFields("Gates"), slug="gates")
        create_camera(connection, uuid4(), camera_fields("Gate", group_id=group), slug="gate", exact=True)
    store(
        retention.url,
        [
            *(aged(days) for days in (5, 15, 25)),
            *(aged(days, "gate") for days in (5, 15, 25, 35)),
            *(aged(days, "gate", "anpr") for days in (1, 5)),
            *(aged(days, "yard", site_id="yard") for days in (35, 45)),
            *(aged(days, "vault", site_id="yard") for days in (35, 45)),
        ],
    )
    for policy in (
        {"max_age_days": 10},
        {"group_id": "gates", "max_age_days": 30},
        {"site_id": "yard", "max_age_days": 40},
        {"camera_id": "vault", "max_age_days": 50},
        {"event_type": "anpr", "max_age_days": 3},
    ):
        retention.policy(**policy)
    preview = retention.api.get("/api/v1/retention/preview").json()["data"]
    assert (preview["events"], preview["held"], preview["unmeasured_days"]) == (5, 0, 0)
    assert [(part["camera_id"], part["event_type"], part["events"]) for part in preview["parts"]] == [
        ("camera-1", "motion", 2),
        ("gate", "anpr", 1),
        ("gate", "motion", 1),
        ("yard", "motion", 1),
    ]
    retention.run()
    expected = [("camera-1", "motion", 5), ("gate", "anpr", 1)]
    expected += [("gate", "motion", days) for days in (5, 15, 25)]
    expected += [("vault", "motion", days) for days in (35, 45)] + [("yard", "motion", 35)]
    assert retention.left() == expected
    retention.run()
    assert retention.left() == expected
    assert retention.api.get("/api/v1/retention/preview").json()["data"]["events"] == 0


def test_effective_retention_names_what_decides(retention: Retention) -> None:
    """The retention of a site is a limit that no policy extends; without a policy the deployment's default applies."""
    store(retention.url, [aged(1), aged(1, "yard", site_id="yard")])
    retention.policy(camera_id="yard", max_age_days=60)
    retention.policy(max_bytes=1000)

    def effective(**parameters: str) -> tuple[Any, ...]:
        found = retention.api.get("/api/v1/retention/effective", **parameters).json()["data"]
        size = found["size_policy"]
        return found["site_id"], found["max_age_days"], found["decided_by"], size and size["max_bytes"], found["holds"]

    assert effective(camera_id="yard", event_type="anpr") == ("yard", 60, "policy", 1000, [])
    assert effective(camera_id="camera-1", event_type="anpr") == ("hq", None, None, 1000, [])
    with psycopg.connect(retention.url) as connection:
        connection.execute(
            "INSERT INTO sites (site_id, event_retention_days, plate_retention_days) VALUES ('yard', 30, 7)"
        )
    retention.hold(cameras=["yard"])
    assert effective(camera_id="yard", event_type="motion") == ("yard", 30, "site", 1000, ["case 7"])
    assert effective(camera_id="yard", event_type="anpr") == ("yard", 7, "site", 1000, ["case 7"])
    assert effective(camera_id="yard", event_type="anpr", site_id="other")[:3] == ("other", 60, "policy")
    retention.run(RETENTION_DAYS="30")
    assert effective() == (None, None, None, 1000, [])


def test_the_oldest_events_above_a_size_are_deleted(retention: Retention) -> None:
    """The size includes pictures. A policy that has room deletes nothing, and a camera with its own limit is left."""
    store(retention.url, [aged(days) for days in range(1, 11)] + [aged(days, "gate") for days in range(1, 4)])
    with psycopg.connect(retention.url, autocommit=True) as connection:
        connection.execute("""UPDATE events SET snapshot = '{"bytes": 1000000}'""")
    retention.policy(camera_id="gate", max_bytes=50_000_000)
    retention.policy(max_bytes=4_500_000)
    assert retention.api.get("/api/v1/retention/preview").json()["data"]["unmeasured_days"] == 10
    retention.run()
    kept = [("camera-1", "motion", days) for days in range(1, 5)] + [("gate", "motion", days) for days in range(1, 4)]
    assert retention.left() == kept
    store(retention.url, [aged(0)])
    retention.run()
    assert retention.left() == [("camera-1", "motion", 0), *kept]


def test_a_month_with_kept_events_is_not_dropped(retention: Retention) -> None:
    """A longer policy or a hold keeps its events; the month is dropped once nothing keeps any."""
    with psycopg.connect(retention.url) as connection:
        connection.execute("SELECT events_ensure_partition('2026-08-01+00')")
    store(retention.url, [aged(100, "archive"), aged(101), aged(102, event_type="anpr"), aged(103)])
    policy = retention.policy(camera_id="archive", max_age_days=365)
    start = format_utc(NOON - 102 * DAY)
    hold = retention.hold(cameras=["camera-1"], start_time=start, end_time=start)
    retention.run(RETENTION_DAYS="30")
    assert retention.left() == [("archive", "motion", 100), ("camera-1", "anpr", 102)]
    assert retention.api.delete(f"/api/v1/retention/policies/{policy}").status == 200
    retention.run(RETENTION_DAYS="30")
    assert retention.left() == [("camera-1", "anpr", 102)]
    assert retention.release(hold) == 200
    retention.run(RETENTION_DAYS="30")
    assert retention.left() == []
    assert rows(retention.url, "SELECT to_regclass('events_2026_08')") == [(None,)]


def test_policies_drop_whole_months(retention: Retention) -> None:
    """Also without RETENTION_DAYS: by age where no camera keeps longer, and by size."""
    with psycopg.connect(retention.url) as connection:
        for month in ("2026-07", "2026-08", "2026-09"):
            connection.execute("SELECT events_ensure_partition(%s::timestamptz)", [f"{month}-01 00:00+00"])
    store(retention.url, [aged(130), aged(100), aged(70), aged(1)])
    retention.policy(max_age_days=105)
    retention.run()
    months = "SELECT to_regclass('events_2026_07') IS NULL, to_regclass('events_2026_08') IS NULL"
    assert rows(retention.url, months) == [(True, False)]
    retention.policy(camera_id="camera-1", max_bytes=1)
    retention.run()
    assert rows(retention.url, months) == [(True, True)]
    assert retention.left() == []


def test_no_deletion_passes_a_hold(retention: Retention) -> None:
    """Neither the API nor a site's retention, policies or a move; batches end although held events match."""
    held, other = store(retention.url, [aged(20), aged(21)])
    hold = retention.hold(events=[str(held)])
    answer = retention.api.delete(f"/api/events/{held}")
    assert (answer.status, answer.error().code) == (409, "on-hold")
    assert '"case 7"' in answer.json()["detail"]
    batch = retention.api.post("/api/events/delete", {"camera_id": "camera-1"}).json()
    assert (batch["deleted"], batch["remaining"], batch["on_hold"]) == (1, 0, 1)
    retention.policy(max_age_days=1, max_bytes=1)
    assert retention.api.get("/api/v1/retention/preview").json()["data"]["held"] == 1
    with psycopg.connect(retention.url) as connection:
        connection.execute("INSERT INTO sites (site_id, event_retention_days) VALUES ('hq', 5)")
    retention.run(RETENTION_DAYS="1")
    assert [row[0] for row in rows(retention.url, "SELECT id FROM events")] == [held]
    assert retention.api.get(f"/api/events/{other}").status == 404
    assert retention.release(hold) == 200
    assert retention.release(hold) == 409
    assert retention.api.delete(f"/api/events/{held}").status == 200


def test_a_hold_ends_at_its_expiry(retention: Retention) -> None:
    """An expired hold protects nothing and is listed as inactive."""
    [event] = store(retention.url, [aged(20)])
    with psycopg.connect(retention.url, autocommit=True) as connection:
        retention.hold(start_time="2020-01-01", expires_at="2990-01-01")
        assert retention.api.delete(f"/api/events/{event}").status == 409
        connection.execute("UPDATE legal_holds SET expires_at = now()")
    assert retention.api.get("/api/v1/retention/holds", active="true").json()["meta"]["total"] == 0
    assert retention.api.delete(f"/api/events/{event}").status == 200


def test_a_hold_protects_pictures_and_snapshots(
    retention: Retention, stack_s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures past their own retention stay, and a requested snapshot neither expires nor can be deleted."""
    house = PictureHouse(retention.url, new_bucket(stack_s3, monkeypatch))
    held, _ = house.add(100), house.add(101)
    snapshot, key = uuid4(), "camera-1/2026-08-12/snapshot_130000_000000.jpg"
    house.put_picture(key)
    taken = NOON - 100 * DAY + timedelta(hours=1)
    house.execute(
        "INSERT INTO camera_snapshots (id, camera_slug, device_id, status, storage_path, captured_at, expiry_date)"
        f" VALUES ('{snapshot}', 'camera-1', 'gate-01', 'stored', 'snapshots/gate-01/{key}', '{taken}', '{taken}')"
    )
    start, end = format_utc(NOON - 100 * DAY), format_utc(taken)
    hold = retention.hold(cameras=["camera-1"], start_time=start, end_time=end)
    for task in ("snapshots", "retention"):
        house.retain(task, RETENTION_DAYS="30", SNAPSHOT_RETENTION_DAYS="30")
    assert house.objects == both(held, f"snapshots/gate-01/{key}")
    answer = retention.api.delete(f"/api/snapshots/{snapshot}")
    assert (answer.status, answer.error().code) == (409, "on-hold")
    assert retention.release(hold) == 200
    for task in ("snapshots", "retention"):
        house.retain(task, RETENTION_DAYS="30", SNAPSHOT_RETENTION_DAYS="30")
    assert house.objects == set()


def test_events_that_a_policy_keeps_keep_their_pictures(
    retention: Retention, stack_s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RETENTION_DAYS does not delete them; SNAPSHOT_RETENTION_DAYS does, and their events stay."""
    house = PictureHouse(retention.url, new_bucket(stack_s3, monkeypatch))
    kept, _ = house.add(100, camera_id="archive"), house.add(101)
    retention.policy(camera_id="archive", max_age_days=365)
    house.retain(RETENTION_DAYS="30")
    assert house.objects == both(kept)
    assert retention.left() == [("archive", "motion", 100)]
    house.retain(RETENTION_DAYS="30", SNAPSHOT_RETENTION_DAYS="60")
    assert house.objects == set()
    assert retention.left() == [("archive", "motion", 100)]


def test_placing_a_hold_waits_for_a_running_deletion(retention: Retention) -> None:
    """A deletion that began before would otherwise delete what its query has already found."""
    first, second = store(retention.url, [aged(1), aged(2)])
    with psycopg.connect(retention.url) as deleting, psycopg.connect(retention.url) as placing:
        assert delete_event(deleting, first).events == 1
        placing.execute("SET lock_timeout = '100ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            place_hold(placing, NewHold("case 7", "a court", "ana", None, [HeldItem(None, "camera-1", None, None)]))
    retention.hold(events=[str(second)])
    listed = retention.api.get("/api/v1/retention/holds", active="true").json()
    assert (listed["meta"]["total"], listed["data"][0]["placed_by"]) == (1, "anonymous")


def test_an_event_that_is_being_deleted_is_not_held(retention: Retention) -> None:
    """The answer does not list an event as held that a running deletion has deleted by then."""
    (event,) = store(retention.url, [aged(1)])
    body = {"name": "case 7", "reason": "a court", "events": [str(event)]}
    with ThreadPoolExecutor(1) as thread, psycopg.connect(retention.url) as deleting:
        assert delete_event(deleting, event).events == 1
        placed = thread.submit(retention.api.post, "/api/v1/retention/holds", body)
        eventually(lambda: rows(retention.url, WAITS_FOR_ADVISORY_LOCK) == [(1,)])
        deleting.commit()
        answer = placed.result()
    assert (answer.status, "there is no event" in str(answer.json())) == (422, True)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("policies", {"camera_id": "a", "site_id": "b", "max_age_days": 1}),
        ("policies", {"camera_id": "a"}),
        ("policies", {"max_age_days": 0}),
        ("policies", {"max_age_days": True}),
        ("policies", {"group_id": "nobody", "max_age_days": 1}),
        ("holds", {}),
        ("holds", {"events": ["x"]}),
        ("holds", {"events": ["99"]}),
        ("holds", {"name": "", "events": ["1"]}),
        ("holds", {"cameras": ["a"], "start_time": "2026-02-01", "end_time": "2026-01-01"}),
    ],
)
def test_invalid_policies_and_holds(retention: Retention, path: str, body: dict[str, Any]) -> None:
    """A body that could mean two things, or nothing, is rejected."""
    if path == "holds":
        body = {"name": "case 7", "reason": "a court"} | body
    assert retention.api.post(f"/api/v1/retention/{path}", body).status == 422


def test_policies_are_listed_replaced_and_unique(retention: Retention) -> None:
    """One policy for each target; what does not exist is a 404."""
    first = retention.policy(camera_id="gate", max_age_days=30)
    second = retention.policy(camera_id="gate", event_type="motion", max_bytes=10)
    path = f"/api/v1/retention/policies/{first}"
    assert retention.api.post("/api/v1/retention/policies", {"camera_id": "gate", "max_bytes": 5}).status == 409
    changed = retention.api.put(path, {"camera_id": "gate", "max_age_days": 60}).json()["data"]
    assert (changed["policy_id"], changed["max_age_days"]) == (first, 60)
    assert retention.api.put(path, {"camera_id": "gate", "event_type": "motion", "max_bytes": 1}).status == 409
    listed = retention.api.get("/api/v1/retention/policies").json()
    assert [policy["policy_id"] for policy in listed["data"]] == [first, second]
    assert retention.api.get(path).json()["data"] == listed["data"][0]
    assert retention.api.delete(path).status == 200
    assert [retention.api.get(path).status, retention.api.delete(path).status] == [404, 404]
    assert retention.api.get("/api/v1/retention/holds/9").status == 404
