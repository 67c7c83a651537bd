"""The health report: the present state, and the one stored each day."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from cloud_functions.api.devices.report_responses import HealthReportEnvelope
from cloud_functions.maintenance.handler import build_maintenance
from cloud_functions.maintenance.schedule import TASKS
from shared.clock import ManualClock, format_utc
from shared.errors import TransientError
from tests.support.api_calls import ApiCalls, lambda_api
from tests.support.command_devices import store_device
from tests.support.ingest_harness import open_database

PATH = "/api/v1/health/report"


@pytest.fixture
def api(database_url: str) -> Iterator[ApiCalls]:
    handler, dependencies = lambda_api(database_url)
    yield ApiCalls(handler)
    handler.close()
    dependencies.close()


def _report(api: ApiCalls, **parameters: Any) -> dict[str, Any]:
    answer = api.get(PATH, **parameters)
    assert answer.status == 200, answer
    HealthReportEnvelope.model_validate(answer.json(), strict=True)
    return answer.json()["data"]


def _store_state(api: ApiCalls, url: str) -> dict[str, datetime]:
    """Store six cameras and four devices; return since when cameras are offline."""
    for name, device in (("A", "d-1"), ("B", "d-1"), ("C", "d-2"), ("D", "d-2"), ("E", "d-3"), ("F", None)):
        camera = {"name": name, "rtsp_url": "rtsp://c/1", "device_id": device}
        assert api.post("/api/v1/cameras", camera).status == 201
    outbox = {"dropped_events": 7, "dropped_images": 2}
    store_device(url, "d-1", cameras=[_state("a", "online"), _state("b", "offline")], outbox=outbox)
    store_device(url, "d-2", cameras=[_state("c", "degraded"), _state("d", "offline")])
    store_device(url, "d-3", age_s=95, cameras=[_state("e", "online")], outbox={"dropped_events": 0})
    store_device(url, "d-4", outbox={"dropped_events": 9})
    now = datetime.now(UTC).replace(microsecond=0)
    since = {"b": now - timedelta(hours=1), "d": now - timedelta(days=2)}
    with psycopg.connect(url, autocommit=True) as connection:
        for slug, at in since.items():
            for status, shift in (("offline", -2), ("online", -1), ("offline", 0), ("offline", 1)):
                connection.execute(
                    "INSERT INTO camera_health (camera_id, status, is_connected, error, last_check)"
                    " SELECT id, %s, false, 'no answer', %s FROM cameras WHERE slug = %s",
                    [status, at + timedelta(minutes=shift), slug],
                )
        for device_id, missing in (("d-1", "{[1,3)}"), ("d-1", "{[5,6)}"), ("d-2", "{[1,11)}")):
            connection.execute(
                "INSERT INTO sequence_gaps (device_id, sequence_epoch, site_id, first_sequence, last_sequence, missing,"
                " next_request_at, opened_at) VALUES (%s, 'e', 'hq', 1, 9, %s, now(), %s)",
                [device_id, missing, now - timedelta(minutes=5)],
            )
    return since


def _state(camera: str, status: str) -> dict[str, str]:
    return {"camera_id": camera, "status": status}


def test_the_report_names_what_needs_attention(api: ApiCalls, database_url: str) -> None:
    """Cameras by status, those offline longest first, devices that dropped data, and those with gaps."""
    since = _store_state(api, database_url)
    report = _report(api)
    assert report["cameras"] == {"total": 6, "by_status": {"idle": 1, "live": 1, "degraded": 1, "offline": 3}}
    offline = [(camera["slug"], camera["offline_since"], camera["error"]) for camera in report["offline_cameras"]]
    assert offline == [
        ("e", None, None),
        ("d", format_utc(since["d"]), "no answer"),
        ("b", format_utc(since["b"]), "no answer"),
    ]
    assert report["devices"] == {"total": 4, "online": 3, "offline": 1}
    assert report["devices_with_dropped_data"] == [
        {"device_id": "d-4", "dropped_events": 9, "dropped_images": 0},
        {"device_id": "d-1", "dropped_events": 7, "dropped_images": 2},
    ]
    assert report["gaps"] == {"open": 3, "missing_events": 13}
    assert [(one["device_id"], one["open"], one["missing_events"]) for one in report["devices_with_gaps"]] == [
        ("d-2", 1, 10),
        ("d-1", 2, 3),
    ]


def test_an_empty_deployment_has_a_report(api: ApiCalls) -> None:
    """All numbers are 0."""
    report = _report(api)
    assert report["cameras"] == {"total": 0, "by_status": {"idle": 0, "live": 0, "degraded": 0, "offline": 0}}
    assert (report["devices"], report["gaps"]) == (
        {"total": 0, "online": 0, "offline": 0},
        {"open": 0, "missing_events": 0},
    )


def test_a_report_is_stored_each_day(api: ApiCalls, database_url: str) -> None:
    """It stays as it was, until it is 400 days old; a second run on the same day replaces it."""
    clock = ManualClock(datetime(2026, 11, 20, 4, 0, tzinfo=UTC))
    database = open_database(database_url)
    maintenance = build_maintenance({"DATABASE_URL": database_url}, database=database, clock=clock)
    assert maintenance.handle({"task": "report"}) == {"report": 1}
    assert _report(api, day="2026-11-20")["devices"]["total"] == 0
    _store_state(api, database_url)
    assert _report(api, day="2026-11-20")["devices"]["total"] == 0
    maintenance.handle({"task": "report"})
    assert _report(api, day="2026-11-20")["devices"]["total"] == 4
    assert api.get(PATH, day="2026-11-21").error().code == "report-not-found"
    assert api.get(PATH, day="yesterday").error().code == "invalid-parameter"
    clock.advance(401 * 86_400)
    maintenance.handle({"task": "report"})
    assert api.get(PATH, day="2026-11-20").error().code == "report-not-found"
    database.close()


def test_the_report_names_failed_and_late_tasks(api: ApiCalls, database_url: str) -> None:
    """Each task with its last run, its last success and its next due time; a failed run names its steps."""
    clock = ManualClock(datetime.now(UTC))
    database = open_database(database_url)
    maintenance = build_maintenance({"DATABASE_URL": database_url}, database=database, clock=clock)
    maintenance.handle({"task": "report"})
    states = _tasks(api)
    assert set(states) == set(TASKS)
    assert (states["report"]["status"], states["tidy"]["status"]) == ("ok", "waiting")
    assert states["report"]["last_success"] == states["report"]["last_run"] == format_utc(clock.now())
    assert states["report"]["next_due"] == format_utc(TASKS["report"].schedule.next_after(clock.now()))
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "UPDATE maintenance_tasks SET next_due_at = now() - interval '16 minutes' WHERE task = 'gaps'"
        )
        connection.execute("ALTER TABLE commands RENAME TO hidden")
        with pytest.raises(TransientError, match=r"tidy\.commands"):
            maintenance.handle({"task": "tidy"})
        connection.execute("ALTER TABLE hidden RENAME TO commands")
    states = _tasks(api)
    assert states["gaps"]["status"] == "late"
    tidy = states["tidy"]
    assert (tidy["status"], tidy["failures"], tidy["error"]) == ("failed", 1, "tidy.commands")
    assert tidy["last_success"] is None
    maintenance.handle({"task": "tidy"})
    tidy = _tasks(api)["tidy"]
    assert (tidy["status"], tidy["failures"], tidy["error"]) == ("ok", 0, None)
    database.close()


def test_an_interrupted_task_is_repeated(api: ApiCalls, database_url: str) -> None:
    """A run that never ended counts as failed after 75 minutes, and the task of every minute repeats it."""
    clock = ManualClock(datetime.now(UTC))
    database = open_database(database_url)
    maintenance = build_maintenance({"DATABASE_URL": database_url}, database=database, clock=clock)
    maintenance.handle({"task": "gaps"})
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE maintenance_tasks SET started_at = now() WHERE task = 'tidy'")
    assert _tasks(api)["tidy"]["status"] == "running"
    clock.advance(76 * 60)
    assert maintenance.handle({"task": "gaps"}).keys() == {"gaps"}
    assert _tasks(api)["tidy"]["error"] == "it was interrupted"
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE maintenance_retries SET due_at = now()")
    assert maintenance.handle({"task": "gaps"}).keys() == {"gaps", "tidy"}
    assert maintenance.last_successes().keys() == {"gaps", "tidy"}
    database.close()


def _tasks(api: ApiCalls) -> dict[str, dict[str, Any]]:
    return {task["task"]: task for task in _report(api)["maintenance"]["tasks"]}
