"""Devices through the API: their heartbeat, outbox, gaps, configuration and cameras; cameras listed as devices."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from pydantic import TypeAdapter

from cloud_functions.api.devices.responses import CameraAsDevice, DeviceEnvelope, DeviceListEnvelope
from shared.clock import format_utc
from tests.support.api_calls import ApiCalls, lambda_api
from tests.support.command_devices import store_device
from tests.support.ingest_harness import open_ingest
from tests.support.wire_events import NOON, batch, batch_of, body, encoded, failures, wire_event

PATH = "/api/v1/devices"
CAMERAS = "/api/v1/cameras"


@pytest.fixture
def api(database_url: str) -> Iterator[ApiCalls]:
    handler, dependencies = lambda_api(database_url)
    yield ApiCalls(handler)
    handler.close()
    dependencies.close()


def _heartbeat(**fields: Any) -> dict[str, Any]:
    outbox = {
        "sequence_epoch": "e1",
        "last_sequence": 12,
        "pending_events": 2,
        "pending_bytes": 345,
        "dropped_events": 3,
        "pending_images": 1,
        "dropped_images": 4,
    }
    return {
        "site_id": "hq",
        "device_id": "gate-01",
        "timestamp": format_utc(NOON),
        "agent_version": "1.2.3",
        "uptime_seconds": 60.5,
        "outbox": outbox,
        "connection": {"reconnects": 5},
    } | fields


def _device(api: ApiCalls, device_id: str = "gate-01") -> dict[str, Any]:
    answer = api.get(f"{PATH}/{device_id}")
    assert answer.status == 200, answer
    DeviceEnvelope.model_validate(answer.json(), strict=True)
    return answer.json()["data"]


def _list(api: ApiCalls, **parameters: Any) -> tuple[list[str], dict[str, int]]:
    answer = api.get(PATH, **parameters)
    assert answer.status == 200, answer
    DeviceListEnvelope.model_validate(answer.json(), strict=True)
    return [device["device_id"] for device in answer.json()["data"]], answer.json()["meta"]


def test_a_device_with_its_state(api: ApiCalls, database_url: str) -> None:
    """Everything that its heartbeat and its events say: two of its cameras, one of them unknown to the API."""
    created = api.post(CAMERAS, {"name": "Gate", "rtsp_url": "rtsp://c/1", "device_id": "gate-01"}).json()["data"]
    cameras = [
        {"camera_id": "gate", "status": "online", "fps_actual": 24.5, "resolution": "1920x1080", "codec": "h264"},
        {"camera_id": "attic", "status": "offline", "error": "no answer"},
    ]
    with open_ingest(database_url) as ingest:
        events = [wire_event(sequence=number, sequence_epoch="e1") for number in (1, 2, 5, 10)]
        heartbeat = body("vedette/hq/gate-01/heartbeat", encoded(_heartbeat(cameras=cameras)))
        assert failures(ingest.handle(batch(events))) == []
        assert failures(ingest.handle(batch_of([heartbeat]))) == []
        assert ingest.dead_letters.reasons() == []
    device = _device(api)
    assert (device["status"], device["site_id"], device["version"]) == ("online", "hq", "1.2.3")
    assert (device["last_heartbeat"], device["uptime_seconds"], device["reconnects"]) == (format_utc(NOON), 60.5, 5)
    assert device["outbox"] == {
        "pending_events": 2,
        "pending_bytes": 345,
        "dropped_events": 3,
        "pending_images": 1,
        "dropped_images": 4,
    }
    assert device["gaps"] == {"open": 2, "missing_events": 6, "lost_events": 0}
    nothing = {"fps_actual": None, "resolution": None, "codec": None, "last_frame_at": None, "error": None}
    assert device["cameras"] == [
        nothing | cameras[0] | {"id": created["id"], "name": "Gate", "cause": None},
        nothing | cameras[1] | {"id": None, "name": None, "cause": None},
    ]


def test_lost_events_are_counted(api: ApiCalls, database_url: str) -> None:
    """A closed gap counts for nothing, a lost one for the events that never came."""
    store_device(database_url)
    gaps = [("closed", "{}", "{}"), ("lost", "{}", "{[4,9)}"), ("open", "{[20,22),[30,33)}", "{[25,26)}")]
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.cursor().executemany(
            "INSERT INTO sequence_gaps (device_id, sequence_epoch, site_id, first_sequence, last_sequence, state,"
            " missing, lost, next_request_at) VALUES ('gate-01', 'e', 'hq', 1, 50, %s, %s, %s, now())",
            gaps,
        )
    assert _device(api)["gaps"] == {"open": 1, "missing_events": 5, "lost_events": 6}


def test_a_silent_device_is_offline_with_all_its_cameras(api: ApiCalls, database_url: str) -> None:
    """After 90 seconds, or at once if it said so; a device without heartbeats has no outbox and no cameras."""
    cameras = [{"camera_id": "gate", "status": "online"}]
    store_device(database_url, "silent", age_s=95, cameras=cameras)
    store_device(database_url, "stopped", status="offline", cameras=cameras)
    store_device(database_url, "working", age_s=80, cameras=cameras)
    states = {
        name: (_device(api, name)["status"], _device(api, name)["cameras"][0]["status"]) for name in _list(api)[0]
    }
    assert states == {
        "silent": ("offline", "offline"),
        "stopped": ("offline", "offline"),
        "working": ("online", "online"),
    }
    with open_ingest(database_url) as ingest:
        assert failures(ingest.handle(batch([wire_event(device_id="new", sequence=1)]))) == []
    device = _device(api, "new")
    assert (device["status"], device["outbox"], device["cameras"], device["configuration"]) == (
        "offline",
        None,
        [],
        None,
    )


def test_devices_are_listed_in_pages(api: ApiCalls, database_url: str) -> None:
    """Sorted by id; the condition applies to the total too."""
    for number in range(5):
        store_device(database_url, f"device-{number}", age_s=0 if number % 2 else 600)
    assert _list(api, page_size=2, page=2) == (
        ["device-2", "device-3"],
        {"page": 2, "pageSize": 2, "total": 5, "totalPages": 3},
    )
    assert _list(api, status="online")[0] == ["device-1", "device-3"]
    assert _list(api, status="offline", page=9, page_size=2)[1]["total"] == 3
    assert api.get(f"{PATH}/nothing").error().code == "device-not-found"
    assert api.get(PATH, state="online").error().code == "invalid-parameter"


def test_the_configuration_is_shown(api: ApiCalls, database_url: str) -> None:
    """The desired version, the applied one, and why one was rejected."""
    store_device(database_url)
    assert _device(api)["configuration"] is None
    assert api.post(CAMERAS, {"name": "Gate", "rtsp_url": "rtsp://c/1", "device_id": "gate-01"}).status == 201
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "UPDATE device_configurations SET managed = true, applied_version = 1, applied_at = %s,"
            " rejected_version = 2, error = 'camera gate: no such stream' WHERE device_id = 'gate-01'",
            [NOON + timedelta(seconds=5)],
        )
    configuration = _device(api)["configuration"]
    assert configuration["desired_version"] >= 1
    assert configuration | {"desired_version": 0} == {
        "managed": True,
        "desired_version": 0,
        "applied_version": 1,
        "applied_at": format_utc(NOON + timedelta(seconds=5)),
        "rejected_version": 2,
        "error": "camera gate: no such stream",
    }


def test_the_documented_list_of_devices_is_that_of_cameras(api: ApiCalls, database_url: str) -> None:
    """With the slash of the document: every camera, ONLINE where a snapshot can be captured."""
    for name in ("Gate", "Yard", "Attic", "Hall"):
        assert api.post(CAMERAS, {"name": name, "rtsp_url": "rtsp://c/1", "device_id": "gate-01"}).status == 201
    states = {"gate": "online", "yard": "degraded", "attic": "offline"}
    store_device(database_url, cameras=[{"camera_id": camera, "status": state} for camera, state in states.items()])
    answer = api.get("/api/devices/")
    assert answer.status == 200, answer
    TypeAdapter(list[CameraAsDevice]).validate_python(answer.json(), strict=True)
    assert [(device["device_id"], device["status"]) for device in answer.json()] == [
        ("attic", "OFFLINE"),
        ("gate", "ONLINE"),
        ("hall", "OFFLINE"),
        ("yard", "ONLINE"),
    ]
    assert answer.json()[1]["id"] == api.get(f"{CAMERAS}/gate").json()["data"]["id"]
    assert api.get("/api/devices", page=1).error().code == "invalid-parameter"
