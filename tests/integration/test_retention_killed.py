"""Random policies and holds, and a task that is killed at random statements: rows and objects end as in the model."""

from __future__ import annotations

import os
import random
from datetime import timedelta
from uuid import UUID, uuid4

import psycopg
import pytest

from cloud_functions.db.cameras.changes import create_camera
from cloud_functions.db.cameras.groups import GroupFields, create_group
from cloud_functions.db.retention.holds import HeldItem, NewHold, place_hold
from cloud_functions.db.retention.policies import PolicyFields, create_policy
from cloud_functions.db.retention.sizes import BYTES
from shared.storage_keys import snapshot_key, snapshot_object_key
from tests.support.api_calls import NOON, store, stored_event
from tests.support.camera_groups import camera_fields
from tests.support.ingest_harness import RECOUNT, rows
from tests.support.killed_maintenance import KilledMaintenance
from tests.support.picture_house import PictureHouse, both, new_bucket
from tests.support.retention_model import (
    GROUPS,
    PLATE_DAYS,
    SITES,
    TYPES,
    ModelEvent,
    ModelHold,
    ModelPolicy,
    kept_events,
    random_holds,
    random_policies,
)

_EVENTS = 60
_RETENTION_DAYS = 100
_AWS = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION")


@pytest.mark.parametrize("seed", [1, 3])
def test_a_task_killed_at_random_ends_as_the_model_says(
    database_url: str, stack_s3: str, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Killed at any statement, and run by two processes at once, the task ends with rows and objects in step."""
    rng = random.Random(seed)
    bucket = new_bucket(stack_s3, monkeypatch)
    house = PictureHouse(database_url, bucket)
    events = _fill(house, rng)
    policies = random_policies(rng)
    holds = random_holds(rng, events, NOON)
    _set(database_url, policies, holds)
    variables = {"DATABASE_URL": database_url, "SNAPSHOT_BUCKET": bucket, "RETENTION_DAYS": str(_RETENTION_DAYS)}
    variables |= {name: os.environ[name] for name in _AWS}
    with KilledMaintenance(database_url, now=NOON, variables=variables) as maintenance:
        killed = [maintenance.run(statements=rng.randint(1, 150))[0] for _ in range(8)]
        assert -9 in killed
        maintenance.run(statements=100_000, at_once=2)
        assert maintenance.run(statements=100_000) == [0]
        kept = kept_events(events, policies, holds, now=NOON, retention_days=_RETENTION_DAYS)
        assert {row[0] for row in rows(database_url, "SELECT event_id FROM events")} == kept
        shown = rows(database_url, "SELECT device_id, snapshot_path FROM events")
        assert house.objects == both(*(snapshot_object_key(device_id, path) for device_id, path in shown))
        assert rows(database_url, RECOUNT) == []
        before = _state(database_url)
        assert maintenance.run(statements=100_000) == [0]
        assert _state(database_url) == before
    assert 0 < len(kept) < _EVENTS, "the seed proves nothing"


def _fill(house: PictureHouse, rng: random.Random) -> list[ModelEvent]:
    """Store events with pictures of five months."""
    url = house.database_url
    with psycopg.connect(url) as connection:
        group = uuid4()
        create_group(connection, group, GroupFields("Entrances"), slug="entrances")
        for camera, name in GROUPS.items():
            fields = camera_fields(camera, group_id=group if name else None)
            create_camera(connection, uuid4(), fields, slug=camera, exact=True)
        for month in ("2026-07", "2026-08", "2026-09", "2026-10", "2026-11"):
            connection.execute("SELECT events_ensure_partition(%s::timestamptz)", [f"{month}-01 00:00+00"])
        connection.execute("INSERT INTO sites (site_id, plate_retention_days) VALUES ('depot', %s)", [PLATE_DAYS])
    made = []
    for _ in range(_EVENTS):
        camera, event_type = rng.choice(list(GROUPS)), rng.choice(TYPES)
        at = NOON - timedelta(minutes=rng.randint(1, 120 * 24 * 60))
        key = snapshot_key(camera_id=camera, event_type=event_type, timestamp=at, extension="jpg")
        house.put_picture(key)
        event = stored_event(event_type, camera_id=camera, site_id=SITES[camera], timestamp=at, snapshot_path=key)
        made.append(event)
    store(url, made)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("""UPDATE events SET snapshot = jsonb_build_object('bytes', (id * 7919) % 40000)""")
        query = f'SELECT event_id, id, camera_id, event_type, "timestamp", {BYTES} FROM events'
        return [ModelEvent(*row) for row in connection.execute(query.encode())]


def _set(url: str, policies: list[ModelPolicy], holds: list[ModelHold]) -> None:
    with psycopg.connect(url) as connection:
        [(group,)] = connection.execute("SELECT id FROM camera_groups").fetchall()
        for policy in policies:
            group_id: UUID | None = group if policy.group else None
            fields = (policy.camera_id, group_id, policy.site_id, policy.event_type)
            create_policy(connection, PolicyFields(*fields, policy.max_age_days, policy.max_bytes))
        for hold in holds:
            items = [HeldItem(event_id, "gate", NOON, NOON) for event_id in hold.event_ids]
            if not hold.event_ids:
                items += [HeldItem(None, camera, hold.start, hold.end) for camera in hold.cameras or (None,)]
            place_hold(connection, NewHold("case 7", "a court", "ana", None, items))


def _state(url: str) -> list[object]:
    queries = (
        "SELECT event_id, id FROM events ORDER BY 1",
        "SELECT count(*) FROM released_pictures",
        "SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid ORDER BY 1",
        "SELECT name FROM expired_months",
    )
    return [rows(url, query) for query in queries]
