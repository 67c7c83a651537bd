"""Cameras through the API: created, listed with their status, replaced, switched, deleted, grouped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud_functions.api.cameras.responses import (
    CameraEnvelope,
    CameraListEnvelope,
    DeletedCameraEnvelope,
    GroupEnvelope,
    GroupListEnvelope,
    SummaryEnvelope,
)
from cloud_functions.privacy.camera_passwords import CameraPasswords
from tests.support.api_calls import Answer, ApiCalls, lambda_api, store, stored_event
from tests.support.protected_sites import keys

PATH = "/api/v1/cameras"
GROUPS = f"{PATH}/groups"
URL = "rtsp://192.168.1.100:8554/stream"


@pytest.fixture
def api(database_url: str, tmp_path: Path) -> Iterator[ApiCalls]:
    handler, dependencies = lambda_api(database_url, camera_passwords=CameraPasswords(master_keys=keys(tmp_path)))
    yield ApiCalls(handler)
    handler.close()
    dependencies.close()


def _create(api: ApiCalls, name: str = "Front Door", **fields: Any) -> dict[str, Any]:
    answer = api.post(PATH, {"name": name, "rtsp_url": URL} | fields)
    assert answer.status == 201, answer
    CameraEnvelope.model_validate(answer.json(), strict=True)
    return answer.json()["data"]


def _group(api: ApiCalls, name: str, **fields: Any) -> dict[str, Any]:
    answer = api.post(GROUPS, {"name": name} | fields)
    assert answer.status == 201, answer
    GroupEnvelope.model_validate(answer.json(), strict=True)
    return answer.json()["data"]


def _names(answer: Answer) -> list[str]:
    assert answer.status == 200, answer
    CameraListEnvelope.model_validate(answer.json(), strict=True)
    return [camera["name"] for camera in answer.json()["data"]]


def _report(url: str, device: str, states: dict[str, str], *, status: str = "online", age_s: float = 0) -> None:
    """Store a device whose latest heartbeat reports these cameras."""
    cameras = [{"camera_id": camera, "status": state} for camera, state in states.items()]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO devices (device_id, site_id, status, last_seen_at, heartbeat) VALUES (%s, 'hq', %s, %s, %s)"
            " ON CONFLICT (device_id) DO UPDATE SET status = EXCLUDED.status, last_seen_at = EXCLUDED.last_seen_at,"
            " heartbeat = EXCLUDED.heartbeat",
            [device, status, datetime.now(UTC) - timedelta(seconds=age_s), json.dumps({"cameras": cameras})],
        )


def test_the_documented_request_creates_a_camera(api: ApiCalls) -> None:
    """The body of the camera document is accepted as it is, and the answer has the documented fields."""
    group = _group(api, "Entrances")
    camera = _create(
        api,
        username="admin",
        password="s3same-open",
        resolution="1920x1080",
        fps=30,
        codec="h264",
        location="Main Entrance",
        group_id=group["id"],
        is_active=True,
        enable_detection=True,
        detection_sensitivity=0.7,
    )
    assert {name: camera[name] for name in ("name", "rtsp_url", "status", "is_active", "enable_detection")} == {
        "name": "Front Door",
        "rtsp_url": URL,
        "status": "idle",
        "is_active": True,
        "enable_detection": True,
    }
    assert (camera["slug"], camera["group_id"], camera["group_name"]) == ("front-door", group["id"], "Entrances")
    assert camera["createdAt"].endswith("Z")
    assert camera["updatedAt"] == camera["createdAt"]
    for ref in (camera["id"], camera["id"].upper(), "front-door"):
        assert api.get(f"{PATH}/{ref}").json() == {"success": True, "data": camera, "meta": {}}
    listed = api.get(f"{PATH}/", page=1, page_size=20, active_only="true")
    assert listed.json() == {
        "success": True,
        "data": [camera],
        "meta": {"page": 1, "pageSize": 20, "total": 1, "totalPages": 1},
    }


def test_slugs_are_unique_and_stable(api: ApiCalls) -> None:
    """A second camera of a name gets a number; a given slug is taken as it is, once, in any case."""
    assert [_create(api)["slug"] for _ in range(3)] == ["front-door", "front-door-2", "front-door-3"]
    assert _create(api, "summary")["slug"] == "camera-summary"
    assert _create(api, "門")["slug"] == "camera"
    assert _create(api, "Gate", slug="Camera_1")["slug"] == "Camera_1"
    assert api.post(PATH, {"name": "x", "rtsp_url": URL, "slug": "camera_1"}).error().code == "slug-taken"
    renamed = api.put(f"{PATH}/front-door", {"name": "Back Door", "rtsp_url": URL}, if_match="*").json()["data"]
    assert (renamed["name"], renamed["slug"]) == ("Back Door", "front-door")
    changed = api.put(f"{PATH}/front-door", {"name": "B", "rtsp_url": URL, "slug": "other"}, if_match="*")
    assert (changed.status, changed.error().errors[0]["parameter"]) == (422, "slug")


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": "a\nb"},
        {"name": "x" * 256},
        {"rtsp_url": ""},
        {"rtsp_url": "gst:videotestsrc ! appsink"},
        {"rtsp_url": "ftp://camera/1"},
        {"rtsp_url": "rtsp://"},
        {"rtsp_url": "rtsp://camera/1\r\nX: y"},
        {"rtsp_url": "http://camera/video?user=a&password=s3same-open"},
        {"rtsp_url": "rtsp://admin:s3same-open@"},
        {"rtsp_url": "rtsp://admin:s3same-open@camera/1", "password": "other"},
        {"password": "s3same\nopen"},
        {"password": ""},
        {"password": ["s3same-open"]},
        {"slug": "groups"},
        {"slug": "Export"},
        {"slug": "0192f0c1-7d1e-7c3a-9a2b-3b0e0c5d9f11"},
        {"slug": "a/b"},
        {"fps": 0},
        {"fps": True},
        {"retention_days": True},
        {"resolution": "big"},
        {"detection_sensitivity": 1.5},
        {"is_active": "yes"},
        {"retention_days": 0},
        {"group_id": "nowhere"},
        {"group_id": "0192f0c1-7d1e-7c3a-9a2b-3b0e0c5d9f11"},
        {"device_id": "a b"},
        {"settings": {"mode": "magic"}},
        {"settings": {"events": {"zones": [{"name": "z", "polygon": [[0, 0], [1, 1]]}]}}},
        {"settings": {"mode": "motion", "anpr": {"enabled": True}}},
        {"settings": {"tracking": {}}},
        {"nam": "misspelled"},
    ],
)
def test_an_invalid_camera_is_rejected_in_the_envelope(api: ApiCalls, fields: dict[str, Any]) -> None:
    """Nothing is created, the error names the field, and no error repeats a password."""
    answer = api.post(PATH, {"name": "Front Door", "rtsp_url": URL} | fields)
    assert answer.status == 422, answer
    assert answer.error().code == "invalid-parameter"
    assert answer.error().errors[0]["location"] == "body"
    assert "s3same" not in answer.body.decode()
    assert api.get(PATH).json()["meta"]["total"] == 0


def test_errors_are_in_the_envelope(api: ApiCalls) -> None:
    """Unknown cameras, paths, methods, parameters and bodies that are not JSON; each with the request's id."""
    for answer, status, code in (
        (api.get(f"{PATH}/nobody"), 404, "camera-not-found"),
        (api.get(f"{PATH}/0192f0c1-7d1e-7c3a-9a2b-3b0e0c5d9f11"), 404, "camera-not-found"),
        (api.delete(f"{PATH}/nobody"), 404, "camera-not-found"),
        (api.patch(f"{PATH}/nobody/state", {"is_active": True}), 404, "camera-not-found"),
        (api.put(f"{PATH}/nobody", {"name": "a", "rtsp_url": URL}, if_match="*"), 404, "camera-not-found"),
        (api.get(f"{GROUPS}/nobody"), 404, "group-not-found"),
        (api.get(f"{PATH}/a/b/c"), 404, "not-found"),
        (api.delete(f"{PATH}/summary"), 405, "method-not-allowed"),
        (api.get(PATH, pagesize=1), 422, "invalid-parameter"),
        (api.post(PATH, "{"), 422, "invalid-parameter"),
        (api.patch(f"{PATH}/nobody/state", {}), 422, "invalid-parameter"),
    ):
        assert (answer.status, answer.error().code) == (status, code), answer
    assert api.delete(f"{PATH}/summary").headers["allow"] == "GET, HEAD"
    assert api.get("/api/v1/camerasX").headers["content-type"] == "application/problem+json"


def test_a_replacement_names_the_version_it_replaces(api: ApiCalls) -> None:
    """Of two people who read the same version, the second one's change is rejected, unless it names no version."""
    _create(api, location="Hall")
    first = api.get(f"{PATH}/front-door")
    mine = first.json()["data"] | {"location": "Lobby"}
    theirs = first.json()["data"] | {"name": "Main Door"}
    changed = api.put(f"{PATH}/front-door", mine, if_match=first.headers["etag"])
    assert changed.status == 200, changed
    assert changed.json()["data"]["location"] == "Lobby"
    refused = api.put(f"{PATH}/front-door", theirs, if_match=first.headers["etag"])
    assert (refused.status, refused.error().code) == (412, "changed-meanwhile")
    assert api.get(f"{PATH}/front-door").json() == changed.json()
    again = changed.json()["data"] | {"name": "Main Door"}
    assert api.put(f"{PATH}/front-door", again, if_match=changed.headers["etag"]).json()["data"]["location"] == "Lobby"
    assert api.put(f"{PATH}/front-door", again, if_match='"elsewhere"').status == 412
    assert api.put(f"{PATH}/front-door", again, if_match="elsewhere").status == 422
    stale = api.call("DELETE", f"{PATH}/front-door", headers={"if-match": first.headers["etag"]})
    assert stale.status == 412
    assert api.patch(f"{PATH}/front-door/state", {"is_active": False}, if_match=first.headers["etag"]).status == 412
    assert api.put(f"{PATH}/front-door", theirs).json()["data"]["name"] == "Main Door"


def test_a_replacement_sets_what_is_left_out_to_its_default(api: ApiCalls) -> None:
    """It replaces: a field that is not in the body is not kept, except for the password."""
    camera = _create(api, location="Hall", fps=25, settings={"mode": "motion"}, password="s3same-open")
    replaced = api.put(f"{PATH}/front-door", {"name": "Front Door", "rtsp_url": URL}, if_match="*").json()["data"]
    assert (replaced["location"], replaced["fps"], replaced["settings"]) == (None, None, {})
    assert replaced["has_password"] is True
    assert replaced["config_version"] == camera["config_version"] + 1
    assert replaced["createdAt"] == camera["createdAt"]


def test_the_tag_changes_with_the_status_and_a_replacement_does_not_mind(api: ApiCalls, database_url: str) -> None:
    """A cached answer is not served after the camera went offline; a change based on it still applies."""
    _create(api, device_id="gate-01")
    tag = api.get(f"{PATH}/front-door").headers["etag"]
    cached = api.call("GET", f"{PATH}/front-door", headers={"if-none-match": tag})
    assert cached.status == 304
    _report(database_url, "gate-01", {"front-door": "online"})
    fresh = api.call("GET", f"{PATH}/front-door", headers={"if-none-match": tag})
    assert (fresh.status, fresh.json()["data"]["status"]) == (200, "live")
    body = {"name": "Front Door", "rtsp_url": URL, "device_id": "gate-01"}
    assert api.put(f"{PATH}/front-door", body, if_match=tag).status == 200


def test_the_status_follows_the_device(api: ApiCalls, database_url: str) -> None:
    """Idle without an agent or when inactive; otherwise what the agent reports, offline when it is silent."""
    for name in ("live", "slow", "dark", "unplugged"):
        _create(api, name, device_id="gate-01")
    _create(api, "alone")
    _create(api, "new", device_id="gate-01")
    _create(api, "off", device_id="gate-01", is_active=False)
    _create(api, "silent", device_id="gate-02")
    _create(api, "gone", device_id="gate-03")
    _create(api, "foreign", device_id="gate-04")
    states = {"live": "online", "slow": "degraded", "dark": "offline", "off": "online", "foreign": "online"}
    _report(database_url, "gate-01", states)
    _report(database_url, "gate-02", {"silent": "online"}, age_s=91)
    _report(database_url, "gate-03", {"gone": "online"}, status="offline")
    listed = {camera["name"]: camera["status"] for camera in api.get(PATH).json()["data"]}
    assert listed == {
        "live": "live", "slow": "degraded", "dark": "offline", "unplugged": "idle", "alone": "idle", "new": "idle",
        "off": "idle", "silent": "offline", "gone": "offline", "foreign": "idle",
    }  # fmt: skip
    assert _names(api.get(PATH, status="offline")) == ["dark", "gone", "silent"]
    assert _names(api.get(PATH, sort="-status", page_size=1)) == ["dark"]
    summary = api.get(f"{PATH}/summary").json()["data"]
    assert summary["by_status"] == {"idle": 5, "live": 1, "degraded": 1, "offline": 3}


def test_a_strange_heartbeat_does_no_harm(api: ApiCalls, database_url: str) -> None:
    """Devices of another version may report cameras in another form."""
    _create(api, device_id="gate-01")
    for cameras in ('{"cameras": {"front-door": "online"}}', '{"cameras": [1, null, "x"]}', "{}", "null"):
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("DELETE FROM devices")
            connection.execute(
                "INSERT INTO devices (device_id, site_id, status, heartbeat) VALUES ('gate-01', 'hq', 'online', %s)",
                [cameras],
            )
        assert api.get(f"{PATH}/front-door").json()["data"]["status"] == "idle"


def test_cameras_are_searched_filtered_and_sorted(api: ApiCalls) -> None:
    """Each condition restricts the list, `%` is an ordinary character, and pages hold each camera once."""
    group = _group(api, "Yard")
    for number, name in enumerate(("Gate", "Hall 100%", "Yard_north", "ätrium")):
        _create(api, name, location=f"Floor {number}", group_id="yard" if number > 1 else None, is_active=number != 0)
    assert _names(api.get(PATH)) == ["Gate", "Hall 100%", "Yard_north", "ätrium"]
    assert _names(api.get(PATH, sort="-created_at")) == ["ätrium", "Yard_north", "Hall 100%", "Gate"]
    assert _names(api.get(PATH, active_only="true")) == ["Hall 100%", "Yard_north", "ätrium"]
    assert _names(api.get(PATH, group="yard")) == _names(api.get(PATH, group=group["id"])) == ["Yard_north", "ätrium"]
    assert _names(api.get(PATH, group="nobody")) == []
    assert _names(api.get(PATH, search="GATE")) == ["Gate"]
    assert _names(api.get(PATH, search="%")) == ["Hall 100%"]
    assert _names(api.get(PATH, search="_")) == ["Yard_north"]
    assert _names(api.get(PATH, search="floor 3")) == ["ätrium"]
    assert _names(api.get(PATH, search="'; DROP TABLE cameras; --")) == []
    pages = [api.get(PATH, page=page, page_size=3, sort="-name") for page in (1, 2, 3)]
    assert [_names(page) for page in pages] == [["ätrium", "Yard_north", "Hall 100%"], ["Gate"], []]
    assert {str(page.json()["meta"]["total"]) for page in pages} == {"4"}
    assert pages[2].json()["meta"] == {"page": 3, "pageSize": 3, "total": 4, "totalPages": 2}


def test_the_state_is_switched_and_nothing_else(api: ApiCalls) -> None:
    """Only what is given changes, and the same state again is not a new version."""
    camera = _create(api, location="Hall", password="s3same-open")
    off = api.patch(f"{PATH}/front-door/state", {"is_active": False}).json()["data"]
    assert (off["is_active"], off["enable_detection"], off["location"]) == (False, True, "Hall")
    assert off["config_version"] == camera["config_version"] + 1
    assert api.patch(f"{PATH}/front-door/state", {"is_active": False}).json()["data"] == off
    both = api.patch(f"{PATH}/front-door/state", {"is_active": True, "enable_detection": False}).json()["data"]
    assert (both["is_active"], both["enable_detection"], both["has_password"]) == (True, False, True)


def test_a_deleted_camera_leaves_its_events(api: ApiCalls, database_url: str) -> None:
    """The camera and its health history are gone; its events are listed as before."""
    camera = _create(api)
    store(database_url, [stored_event(camera_id="front-door")])
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO camera_health (camera_id, status, is_connected) VALUES (%s, 'online', true)", [camera["id"]]
        )
        deleted = api.delete(f"{PATH}/{camera['id']}")
        DeletedCameraEnvelope.model_validate(deleted.json(), strict=True)
        assert deleted.json()["data"]["id"] == camera["id"]
        assert connection.execute("SELECT count(*) FROM camera_health").fetchone() == (0,)
    assert api.get(f"{PATH}/front-door").status == 404
    assert api.get("/api/events", camera_id="front-door").json()["total"] == 1


def test_groups_have_unique_names_and_free_their_cameras(api: ApiCalls) -> None:
    """A name is unique in any case of its letters; a deleted group's cameras stay, in a new version."""
    yard = _group(api, "Yard", location="Outside")
    assert api.post(GROUPS, {"name": "YARD"}).error().code == "name-taken"
    hall = _group(api, "Hall")
    assert api.put(f"{GROUPS}/hall", {"name": "yard"}, if_match="*").error().code == "name-taken"
    assert api.put(f"{GROUPS}/hall", {"name": "Hall"}).status == 200
    got = api.get(f"{GROUPS}/{hall['id']}")
    renamed = api.put(f"{GROUPS}/hall", got.json()["data"] | {"name": "Lobby"}, if_match=got.headers["etag"])
    assert (renamed.json()["data"]["name"], renamed.json()["data"]["slug"]) == ("Lobby", "hall")
    assert api.put(f"{GROUPS}/hall", {"name": "Hall"}, if_match=got.headers["etag"]).status == 412
    camera = _create(api, group_id=yard["id"])
    other = _create(api, "Lobby", group_id="hall")
    listed = api.get(GROUPS).json()
    GroupListEnvelope.model_validate(listed, strict=True)
    assert [(group["name"], group["cameras"]) for group in listed["data"]] == [("Lobby", 1), ("Yard", 1)]
    deleted = api.delete(f"{GROUPS}/yard").json()["data"]
    assert (deleted["id"], deleted["freed_cameras"]) == (yard["id"], 1)
    freed = api.get(f"{PATH}/{camera['id']}").json()["data"]
    assert (freed["group_id"], freed["group_name"]) == (None, None)
    assert freed["config_version"] == camera["config_version"] + 1
    assert api.get(f"{PATH}/{other['slug']}").json()["data"]["group_name"] == "Lobby"
    assert api.get(f"{GROUPS}/yard").status == 404


def test_the_summary_counts_each_group(api: ApiCalls) -> None:
    """Empty groups and cameras without a group are in it, and the totals are the sums."""
    _group(api, "Yard")
    _group(api, "Attic")
    _create(api, "a", group_id="yard")
    _create(api, "b", group_id="yard", is_active=False)
    _create(api, "c", enable_detection=False)
    answer = api.get(f"{PATH}/summary").json()
    SummaryEnvelope.model_validate(answer, strict=True)
    summary = answer["data"]
    assert [summary[name] for name in ("total", "active", "inactive", "detecting")] == [3, 2, 1, 1]
    groups = [(group["name"], group["total"], group["active"]) for group in summary["groups"]]
    assert groups == [("Attic", 0, 0), ("Yard", 2, 1), (None, 1, 1)]
    api.delete(f"{PATH}/c")
    assert [group["name"] for group in api.get(f"{PATH}/summary").json()["data"]["groups"]] == ["Attic", "Yard"]


_TEXT = st.one_of(
    st.text(max_size=12), st.sampled_from(["a\x00", "\ud800", "\u202e", "'", "%", "\\", "x" * 300, " a", "𝟙", "İ", "ß"])
)
_NUMBER = st.one_of(st.floats(), st.integers(), st.sampled_from([5e-324, 1e-310, 1e308, 2**63, True, "1", None]))
_ADDRESS = st.one_of(
    st.sampled_from(["rtsp://[abc]/1", "rtsp://[::1]:1/1", "rtsp://ⅷ.example/1", "synthetic:gate", "usb:0", "a.mp4"]),
    st.builds(lambda rest: f"rtsp://{rest}", _TEXT),
    _TEXT,
)
_ODD_CAMERAS = st.fixed_dictionaries(
    {"name": _TEXT, "rtsp_url": _ADDRESS},
    optional={
        "username": _TEXT,
        "password": _TEXT,
        "location": _TEXT,
        "codec": _TEXT,
        "resolution": _TEXT,
        "fps": _NUMBER,
        "detection_sensitivity": _NUMBER,
        "retention_days": _NUMBER,
        "group_id": _TEXT,
        "device_id": _TEXT,
        "settings": st.one_of(
            st.none(),
            st.builds(lambda text: {"detect": {"classes": [text]}}, _TEXT),
            st.builds(lambda number: {"detect": {"min_score": number}}, _NUMBER),
            st.builds(lambda number: {"events": {"update_interval_s": number}}, _NUMBER),
        ),
    },
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_ODD_CAMERAS)
def test_any_camera_is_stored_or_rejected(api: ApiCalls, camera: dict[str, Any]) -> None:
    """Whatever the values, neither creating nor replacing fails, and what is stored can be listed and replaced."""
    created = api.post(PATH, camera)
    assert created.status in (201, 422), created
    replaced = api.put(f"{PATH}/{_shared_camera(api)}", camera, if_match="*")
    assert replaced.status in (200, 422), replaced
    if created.status == 201:
        body = created.json()["data"]
        assert api.get(PATH, search=body["name"][:100].strip() or "x").status == 200
        assert api.put(f"{PATH}/{body['id']}", body, if_match=created.headers["etag"]).status == 200
        assert api.delete(f"{PATH}/{body['id']}").status == 200


def _shared_camera(api: ApiCalls) -> str:
    """Return the slug of a camera with a password, which is created once."""
    if api.get(f"{PATH}/shared").status == 404:
        _create(api, "Shared", slug="shared", username="admin", password="s3same")
    return "shared"
