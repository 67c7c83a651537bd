"""The health history of cameras: recorded from heartbeats, listed by the API, deleted after a month."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from cloud_functions.api.cameras.responses import HealthListEnvelope
from cloud_functions.maintenance.handler import build_maintenance
from shared.clock import ManualClock, format_utc
from tests.support.api_calls import ApiCalls, lambda_api
from tests.support.ingest_harness import IngestHarness, open_ingest
from tests.support.wire_events import NOON, batch_of, body, encoded, failures

PATH = "/api/v1/cameras"


@pytest.fixture
def api(database_url: str) -> Iterator[ApiCalls]:
    handler, dependencies = lambda_api(database_url)
    yield ApiCalls(handler)
    handler.close()
    dependencies.close()


@pytest.fixture
def ingest(database_url: str) -> Iterator[IngestHarness]:
    with open_ingest(database_url, clock=ManualClock(NOON + timedelta(hours=1))) as one:
        yield one


def _heartbeat(*cameras: dict[str, Any], after_s: float = 0, device_id: str = "gate-01") -> str:
    at = NOON + timedelta(seconds=after_s)
    heartbeat = {
        "site_id": "hq",
        "device_id": device_id,
        "timestamp": at.isoformat(),
        "agent_version": "1",
        "uptime_seconds": 1,
        "outbox": {
            "sequence_epoch": "e",
            "last_sequence": 0,
            "pending_events": 0,
            "pending_bytes": 0,
            "dropped_events": 0,
        },
        "cameras": list(cameras),
    }
    topic = f"vedette/hq/{device_id}/heartbeat"
    return body(topic, encoded(heartbeat), received_at_ms=int(at.timestamp() * 1000))


def _send(ingest: IngestHarness, *heartbeats: str) -> None:
    assert failures(ingest.handle(batch_of(heartbeats))) == []
    assert ingest.dead_letters.reasons() == []


def _create(api: ApiCalls, name: str, device_id: str | None = "gate-01") -> None:
    assert api.post(PATH, {"name": name, "rtsp_url": "rtsp://c/1", "device_id": device_id}).status == 201


def _history(api: ApiCalls, camera: str, **parameters: Any) -> list[dict[str, Any]]:
    answer = api.get(f"{PATH}/{camera}/health", **parameters)
    assert answer.status == 200, answer
    HealthListEnvelope.model_validate(answer.json(), strict=True)
    return answer.json()["data"]


def test_an_unchanged_status_is_recorded_once_a_minute(api: ApiCalls, ingest: IngestHarness) -> None:
    """Newest first, with what the agent measured; the camera's version does not change by it."""
    _create(api, "Gate")
    _send(ingest, _heartbeat({"camera_id": "gate", "status": "online", "fps_actual": 24.5, "latency_ms": 41.7}))
    for after_s in (5, 30, 54):
        _send(ingest, _heartbeat({"camera_id": "gate", "status": "online"}, after_s=after_s))
    _send(ingest, _heartbeat({"camera_id": "gate", "status": "offline", "error": "no answer"}, after_s=60))
    records = _history(api, "gate")
    assert records == [
        {
            "status": "offline",
            "is_connected": False,
            "latency_ms": None,
            "fps_actual": None,
            "error": "no answer",
            "last_check": format_utc(NOON + timedelta(seconds=60)),
        },
        {
            "status": "online",
            "is_connected": True,
            "latency_ms": 42,
            "fps_actual": 24.5,
            "error": None,
            "last_check": format_utc(NOON),
        },
    ]
    camera = api.get(f"{PATH}/gate").json()["data"]
    assert (camera["last_connected"], camera["config_version"]) == (format_utc(NOON), 1)
    assert camera["updatedAt"] == camera["createdAt"]
    assert _history(api, "gate", page=2, page_size=1) == records[1:]
    assert api.get(f"{PATH}/gate/health", page=9).json()["meta"]["total"] == 2
    assert api.get(f"{PATH}/nobody/health").error().code == "camera-not-found"


def test_a_change_is_recorded_at_once(api: ApiCalls, ingest: IngestHarness) -> None:
    """A camera that goes and comes back within a minute is in the history."""
    _create(api, "Gate")
    for number, status in enumerate(("offline", "online", "online", "degraded", "online")):
        _send(ingest, _heartbeat({"camera_id": "gate", "status": status}, after_s=5 * number))
    assert [record["status"] for record in _history(api, "gate")] == ["online", "degraded", "online", "offline"]


def test_a_camera_that_is_listed_often_is_recorded_once(api: ApiCalls, ingest: IngestHarness) -> None:
    """A heartbeat has room for thousands; the first one counts."""
    _create(api, "Gate")
    listed = [{"camera_id": "gate", "status": status} for status in ("degraded", "online", "degraded", "offline")]
    _send(ingest, _heartbeat(*listed))
    assert [record["status"] for record in _history(api, "gate")] == ["degraded"]


def test_heartbeats_in_another_order_and_twice_give_one_history(api: ApiCalls, ingest: IngestHarness) -> None:
    """A message of the queue may be processed again, also after later ones; the last connection does not move back."""
    _create(api, "Gate")
    states = ("online", "offline", "degraded")
    sent = [_heartbeat({"camera_id": "gate", "status": one}, after_s=70 * at) for at, one in enumerate(states)]
    for number in (0, 2, 0, 1, 2, 1, 0):
        _send(ingest, sent[number])
    assert [record["status"] for record in _history(api, "gate")] == ["degraded", "offline", "online"]
    last = api.get(f"{PATH}/gate").json()["data"]["last_connected"]
    assert last == format_utc(NOON + timedelta(seconds=140))


def test_only_the_cameras_of_the_device_are_recorded(api: ApiCalls, ingest: IngestHarness) -> None:
    """A device cannot report on another one's camera, nor on one that the API does not know."""
    _create(api, "Gate", "gate-02")
    _create(api, "Hall", None)
    _create(api, "Yard")
    states = [{"camera_id": name, "status": "online"} for name in ("gate", "hall", "yard", "unknown")]
    _send(ingest, _heartbeat(*states))
    assert [len(_history(api, camera)) for camera in ("gate", "hall", "yard")] == [0, 0, 1]


def test_odd_values_in_a_heartbeat_do_no_harm(api: ApiCalls, ingest: IngestHarness) -> None:
    """Huge numbers, other types and a camera that is reported twice do not keep the heartbeat from being stored."""
    _create(api, "Gate")
    for number, latency in enumerate((1e300, -1, "fast", None, [1])):
        state = {"camera_id": "gate", "status": "online", "latency_ms": latency, "error": "x" * 5000}
        _send(ingest, _heartbeat(state, state, after_s=60 * number))
    records = _history(api, "gate")
    assert {record["latency_ms"] for record in records} == {None}
    assert {len(record["error"]) for record in records} == {500}
    assert ingest.rows("SELECT heartbeat_at FROM devices") == [(NOON + timedelta(seconds=240),)]


def test_records_older_than_a_month_are_deleted(api: ApiCalls, ingest: IngestHarness, database_url: str) -> None:
    """The weekly `health_records` deletes them in batches, and no younger one; a second run deletes nothing."""
    _create(api, "Gate")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO camera_health (camera_id, status, is_connected, last_check)"
            " SELECT id, 'online', true, now() - days * interval '1 day' FROM cameras, generate_series(28, 33) AS days"
        )
        connection.execute(
            "INSERT INTO camera_health (camera_id, status, is_connected, last_check) SELECT id, 'online', true,"
            " now() - interval '40 days' - n * interval '1 minute' FROM cameras, generate_series(1, 2500) AS n"
        )
    maintenance = build_maintenance({"DATABASE_URL": database_url}, database=ingest.database)
    assert maintenance.handle({"task": "health_records"}) == {"health_records": 2504}
    assert maintenance.handle({"task": "health_records"}) == {"health_records": 0}
    assert len(_history(api, "gate")) == 2
    shorter = {"DATABASE_URL": database_url, "HEALTH_RETENTION_DAYS": "1"}
    assert build_maintenance(shorter, database=ingest.database).handle({"task": "health_records"}) == {
        "health_records": 2
    }
