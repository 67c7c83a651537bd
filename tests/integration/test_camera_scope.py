"""Callers who are limited to camera groups: what they see and change, on a real database."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.support.api_calls import Answer, ApiCalls
from tests.support.camera_groups import FOREIGN, FOREIGN_MARKS, OWN, SHARED_PLATE, TwoGroups, fill_two_groups
from tests.support.users import add_key, users_api

ADDRESS = "rtsp://new.example/stream"
CAMERAS = "/api/v1/cameras"
DEVICES = "/api/v1/devices"
REPORT = "/api/v1/health/report"


class Caller:
    """A client with one API key."""

    def __init__(self, calls: ApiCalls, key: str) -> None:
        self._calls = calls
        self._key = key

    def get(self, path: str, **parameters: Any) -> Answer:
        return self._calls.call("GET", path, parameters, headers={"x-api-key": self._key})

    def json(self, path: str, **parameters: Any) -> Any:
        answer = self.get(path, **parameters)
        assert answer.status == 200, answer
        return answer.json()

    def send(self, method: str, path: str, content: Any = None) -> Answer:
        body = None if content is None else json.dumps(content)
        return self._calls.call(method, path, body=body, headers={"x-api-key": self._key})

    def code(self, method: str, path: str, content: Any = None) -> tuple[int, str]:
        answer = self.send(method, path, content)
        return answer.status, answer.error().code


class Callers:
    """Callers on one database: one without a limit, one limited to the group ``north``, one limited to nothing."""

    def __init__(self, calls: ApiCalls, url: str) -> None:
        self._calls = calls
        self._url = url
        self.everything = self.new("everything", None)
        self.limited = self.new("limited", [OWN])
        self.nothing = self.new("nothing", [])

    def new(self, name: str, groups: Sequence[str] | None) -> Caller:
        return Caller(self._calls, add_key(self._url, "*", name=name, groups=groups))


@pytest.fixture
def objects(database_url: str) -> TwoGroups:
    return fill_two_groups(database_url)


@pytest.fixture
def callers(database_url: str, objects: TwoGroups) -> Iterator[Callers]:
    with users_api(database_url) as calls:
        yield Callers(calls, database_url)


def _shows_foreign(answer: Answer) -> bool:
    text = answer.body.decode("utf-8", "replace").lower()
    return any(mark in text for mark in FOREIGN_MARKS)


def test_lists_totals_and_statistics_are_those_of_the_groups(callers: Callers, objects: TwoGroups) -> None:
    """Each total counts the group's events only, with and without rollups, and a foreign camera has none."""
    limited = callers.limited
    everything = callers.everything.json("/api/events")
    assert (everything["total"], limited.json("/api/events")["total"]) == (12, 3)
    for conditions, total in [
        ({"event_type": "anpr"}, 2),
        ({"class_name": "person"}, 1),
        ({"license_plate": SHARED_PLATE}, 1),
        ({"license_plate": objects.foreign.plate}, 0),
        ({"min_confidence": "0.87"}, 3),
        ({"camera_id": objects.foreign.camera}, 0),
        ({"camera_id": "southern-unknown"}, 0),
    ]:
        assert limited.json("/api/events", **conditions)["total"] == total, conditions
        assert limited.json("/api/events/stats", **conditions)["total_events"] == total, conditions
    statistics = limited.json("/api/events/stats")
    assert statistics["events_by_camera"] == {objects.own.camera: 3}
    assert limited.json("/api/events/recent", limit=500)["count"] == 3
    assert callers.nothing.json("/api/events")["total"] == 0
    assert callers.nothing.json("/api/events/stats")["total_events"] == 0


def test_an_export_holds_the_groups_events_only(callers: Callers) -> None:
    """NDJSON and CSV."""
    for file_format in ("ndjson", "csv"):
        answer = callers.limited.get("/api/events/export", format=file_format)
        assert not _shows_foreign(answer)
        assert answer.body.count(b"\n") == (3 if file_format == "ndjson" else 4)


@pytest.mark.parametrize("path", ["", "/snapshot", "/thumbnail", "/snapshot-url"])
def test_a_foreign_event_does_not_exist(callers: Callers, objects: TwoGroups, path: str) -> None:
    """Its response is the one for an event that does not exist, by number and by UUID."""
    missing = callers.limited.get(f"/api/events/{2**40}{path}").json()
    for ref in (objects.foreign.event, objects.foreign.event_id):
        answer = callers.limited.get(f"/api/events/{ref}{path}")
        assert answer.status == 404
        assert answer.json() == missing | {"instance": f"/api/events/{ref}{path}"}
        assert callers.everything.get(f"/api/events/{ref}").status == 200
    assert callers.limited.get(f"/api/events/{objects.own.event}").status == 200


def test_foreign_events_cannot_be_deleted(callers: Callers, objects: TwoGroups) -> None:
    """Not one by one, and not by conditions that match them too."""
    assert callers.limited.code("DELETE", f"/api/events/{objects.foreign.event}") == (404, "event-not-found")
    answer = callers.limited.send("POST", "/api/events/delete", {"event_type": "anpr"}).json()
    assert (answer["deleted"], answer["remaining"]) == (2, 0)
    assert callers.everything.json("/api/events")["total"] == 10


def test_plates_are_those_of_the_groups(callers: Callers, objects: TwoGroups) -> None:
    """Whole plate, prefix, similarity, history, statistics and the routes at the root path."""
    limited = callers.limited
    assert limited.json("/api/plates")["total"] == 2
    for conditions, total in [
        ({"plate": SHARED_PLATE}, 1),
        ({"plate": "SS", "match": "prefix"}, 0),
        ({"plate": "NN", "match": "prefix"}, 1),
        ({"plate": "SS223", "match": "fuzzy"}, 0),
        ({"plate": "BB334", "match": "fuzzy"}, 1),
    ]:
        found = limited.get("/api/plates", **conditions)
        assert (found.json()["total"], _shows_foreign(found)) == (total, False), conditions
    assert callers.everything.json("/api/plates", plate="SS223", match="fuzzy")["total"] == 3
    assert limited.json(f"/api/plates/{SHARED_PLATE}")["total_events"] == 1
    assert limited.get(f"/api/plates/{objects.foreign.plate}").status == 404
    statistics = limited.json("/api/plates/stats")
    assert (statistics["total_events"], statistics["unique_plates"], statistics["active_cameras"]) == (2, 2, 1)
    assert limited.json("/stats") == statistics
    assert callers.nothing.json("/stats")["total_events"] == 0
    assert len(limited.json("/events/recent")) == 2
    assert limited.json(f"/events/camera/{objects.foreign.camera}") == []
    assert limited.json(f"/events/plate/{objects.foreign.plate}") == []
    assert limited.get(f"/events/{objects.foreign.event_id}").status == 404
    assert limited.get(f"/events/{objects.own.event_id}").status == 200


def test_a_cursor_is_valid_for_the_groups_it_was_made_for(callers: Callers) -> None:
    """A caller with other groups, or without a limit, gets a 422; the caller itself gets the next page."""
    for path, size in [("/api/events", "page_size"), ("/api/plates", "limit")]:
        cursor = callers.limited.json(path, **{size: 1})["next_cursor"]
        following = callers.limited.get(path, **{size: 500, "cursor": cursor})
        assert following.status == 200
        assert not _shows_foreign(following)
        both = callers.new(f"both {size}", [OWN, FOREIGN])
        for other in (callers.everything, callers.nothing, both):
            assert other.get(path, cursor=cursor).error().code == "invalid-parameter"
        unlimited = callers.everything.json(path, **{size: 1})["next_cursor"]
        assert callers.limited.get(path, cursor=unlimited).status == 422
        assert both.json(path, **{size: 1, "cursor": both.json(path, **{size: 1})["next_cursor"]})["has_more"]
        assert callers.new(f"again {size}", [OWN]).get(path, cursor=cursor).status == 200


def test_cameras_and_groups_are_those_of_the_caller(callers: Callers, objects: TwoGroups) -> None:
    """Lists, summary, export, health."""
    limited = callers.limited
    assert [camera["slug"] for camera in limited.json(CAMERAS)["data"]] == [objects.own.camera]
    assert limited.json(CAMERAS)["meta"]["total"] == 1
    assert limited.json(CAMERAS, group=FOREIGN)["data"] == []
    assert [group["slug"] for group in limited.json(f"{CAMERAS}/groups")["data"]] == [OWN]
    assert limited.json(f"{CAMERAS}/groups")["meta"]["total"] == 1
    summary = limited.json(f"{CAMERAS}/summary")["data"]
    assert (summary["total"], [group["slug"] for group in summary["groups"]]) == (1, [OWN])
    assert callers.everything.json(f"{CAMERAS}/summary")["data"]["total"] == 3
    assert callers.nothing.json(f"{CAMERAS}/summary")["data"]["groups"] == []
    exported = limited.get(f"{CAMERAS}/export")
    assert objects.own.camera.encode() in exported.body
    assert not _shows_foreign(exported)
    assert limited.get(f"{CAMERAS}/export", group_id=FOREIGN).status == 404
    for ref in (objects.foreign.camera, str(objects.foreign.camera_id), "southern-loose"):
        for path in ("", "/health"):
            missing = limited.get(f"{CAMERAS}/nothing{path}").json()
            answer = limited.get(f"{CAMERAS}/{ref}{path}")
            assert (answer.status, answer.json()["error"]) == (404, missing["error"])
    for ref in (FOREIGN, str(objects.foreign.group_id)):
        assert limited.get(f"{CAMERAS}/groups/{ref}").status == 404


def test_a_camera_cannot_be_created_in_or_moved_to_another_group(callers: Callers, objects: TwoGroups) -> None:
    """Neither a foreign group, nor one that does not exist, nor none: all of them have the same response."""
    limited, new = callers.limited, {"name": "New", "rtsp_url": ADDRESS}
    own = f"{CAMERAS}/{objects.own.camera}"
    for group in (FOREIGN, str(objects.foreign.group_id), "nothing", None):
        assert limited.code("POST", CAMERAS, new | {"group_id": group}) == (403, "outside-groups")
        assert limited.code("PUT", own, new | {"group_id": group}) == (403, "outside-groups")
        data = {"format": "json", "data": "W3sibmFtZSI6ICJOZXciLCAicnRzcF91cmwiOiAicnRzcDovL24vcyJ9XQ=="}
        assert limited.code("POST", f"{CAMERAS}/import", data | {"group_id": group}) == (403, "outside-groups")
    assert limited.code("PUT", own, new) == (403, "outside-groups")
    foreign = f"{CAMERAS}/{objects.foreign.camera}"
    assert limited.code("PUT", foreign, new | {"group_id": OWN}) == (404, "camera-not-found")
    assert limited.code("PATCH", f"{foreign}/state", {"is_active": False}) == (404, "camera-not-found")
    assert limited.code("DELETE", foreign) == (404, "camera-not-found")
    created = limited.send("POST", CAMERAS, new | {"group_id": OWN})
    assert created.status == 201
    changed = limited.send("PUT", f"{CAMERAS}/{created.json()['data']['slug']}", new | {"group_id": OWN, "fps": 5})
    assert changed.status == 200
    assert callers.everything.json(CAMERAS)["meta"]["total"] == 4


def test_one_row_of_a_foreign_group_rejects_an_import(callers: Callers) -> None:
    """No row is created, and what the file has in common with foreign cameras is not reported."""
    limited = callers.limited
    rows = [
        {"name": "New", "rtsp_url": ADDRESS, "group": OWN},
        {"name": "Other", "rtsp_url": "rtsp://other.example/s", "group": FOREIGN},
    ]
    body = {"format": "json", "data": _base64(rows)}
    assert limited.code("POST", f"{CAMERAS}/import", body) == (403, "outside-groups")
    assert limited.json(CAMERAS)["meta"]["total"] == 1
    same = [{"name": "South camera", "rtsp_url": "rtsp://south-camera.example/stream", "group": OWN}]
    report = limited.send("POST", f"{CAMERAS}/import", {"format": "json", "data": _base64(same)}).json()["data"]
    assert report["created"] == 1, report


def test_a_limited_caller_cannot_take_over_events_or_a_device(callers: Callers, objects: TwoGroups) -> None:
    """A new camera gets no slug under which a device has reported, and no device with foreign cameras only."""
    limited, new = callers.limited, {"name": "New", "rtsp_url": ADDRESS, "group_id": OWN}
    assert limited.code("POST", CAMERAS, new | {"slug": "southern-unknown"}) == (409, "slug-taken")
    created = limited.send("POST", CAMERAS, new | {"name": "Southern unknown"}).json()["data"]
    assert created["slug"] != "southern-unknown"
    assert limited.json("/api/events")["total"] == 3
    foreign, own = f"{FOREIGN}-device", f"{OWN}-device"
    assert limited.code("POST", CAMERAS, new | {"device_id": foreign}) == (403, "outside-groups")
    assert limited.send("POST", CAMERAS, new | {"device_id": own}).status == 201
    path = f"{CAMERAS}/{objects.own.camera}"
    assert limited.code("PUT", path, new | {"device_id": foreign}) == (403, "outside-groups")
    assert limited.send("PUT", path, new | {"device_id": own}).status == 200
    assert callers.everything.send("POST", CAMERAS, new | {"slug": "southern-unknown"}).status == 201


def test_groups_are_created_and_deleted_without_a_limit_only(
    callers: Callers, objects: TwoGroups, database_url: str
) -> None:
    """Callers who are limited to a deleted group stay limited, also if another group gets its slug."""
    limited, path = callers.limited, f"{CAMERAS}/groups"
    assert limited.code("POST", path, {"name": "New"}) == (403, "outside-groups")
    assert limited.code("DELETE", f"{path}/{OWN}") == (403, "outside-groups")
    assert limited.code("DELETE", f"{path}/{FOREIGN}") == (404, "group-not-found")
    assert limited.code("PUT", f"{path}/{FOREIGN}", {"name": "Mine"}) == (404, "group-not-found")
    assert limited.send("PUT", f"{path}/{OWN}", {"name": "Ours"}).status == 200
    assert callers.everything.send("DELETE", f"{path}/{OWN}").status == 200
    assert limited.json("/api/events")["total"] == 0
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO camera_groups (id, slug, name) VALUES (%s, 'north', 'Another one')", [uuid4()])
        connection.execute("UPDATE cameras SET group_id = (SELECT id FROM camera_groups WHERE slug = 'north')")
    assert limited.json("/api/events")["total"] == 0
    assert limited.json(CAMERAS)["data"] == []


def test_a_camera_that_moves_takes_its_events_along(callers: Callers, objects: TwoGroups) -> None:
    """The group of an event is the group that its camera is in now."""
    path = f"{CAMERAS}/{objects.foreign.camera}"
    body = {"name": "Moved", "rtsp_url": ADDRESS, "group_id": OWN}
    assert callers.everything.send("PUT", path, body).status == 200
    assert callers.limited.json("/api/events")["total"] == 6
    assert callers.limited.get(f"/api/events/{objects.foreign.event}/snapshot").status == 404  # not in the bucket
    assert callers.everything.send("PUT", path, body | {"group_id": FOREIGN}).status == 200
    assert callers.limited.json("/api/events")["total"] == 3


def test_snapshots_are_those_of_the_groups(callers: Callers, objects: TwoGroups) -> None:
    """Lists, the latest one and each snapshot; a device is known if one of its cameras is in the groups."""
    limited, own, foreign = callers.limited, objects.own, objects.foreign
    listed = limited.json("/api/snapshots")
    assert ([one["id"] for one in listed["snapshots"]], listed["total"]) == ([str(own.snapshot)], 1)
    assert limited.json("/api/snapshots", device_id=foreign.camera)["total"] == 0
    for source in (own.camera, str(own.camera_id), "north-device"):
        assert limited.json(f"/api/snapshots/device/{source}")["total"] == 1
        assert limited.json(f"/api/snapshots/device/{source}/latest")["id"] == str(own.snapshot)
    for source in (foreign.camera, str(foreign.camera_id), "south-device"):
        for path in ("", "/latest"):
            assert limited.code("GET", f"/api/snapshots/device/{source}{path}") == (404, "camera-not-found")
        assert limited.code("POST", f"/api/snapshots/capture/{source}") == (404, "camera-not-found")
    for path in ("", "/image", "/thumbnail"):
        assert limited.code("GET", f"/api/snapshots/{foreign.snapshot}{path}") == (404, "snapshot-not-found")
    assert limited.code("DELETE", f"/api/snapshots/{foreign.snapshot}") == (404, "snapshot-not-found")
    assert limited.send("DELETE", f"/api/snapshots/{own.snapshot}").status == 200
    assert callers.nothing.json("/api/snapshots")["total"] == 0
    assert callers.everything.json("/api/snapshots")["total"] == 1


def _base64(rows: list[dict[str, Any]]) -> str:
    return b64encode(json.dumps(rows).encode()).decode()


def test_devices_are_those_with_a_camera_of_the_groups(callers: Callers, objects: TwoGroups) -> None:
    """A limited caller sees in a shared device its own cameras only, also in totals and in the reason of a fault."""
    assert callers.everything.json(DEVICES)["meta"]["total"] == 2
    everything = callers.everything.json(f"{DEVICES}/{objects.own.device}")["data"]
    assert len(everything["cameras"]) == 3
    assert "southern-loose" in everything["configuration"]["error"]
    page = callers.limited.json(DEVICES)
    assert (page["meta"]["total"], [device["device_id"] for device in page["data"]]) == (1, [objects.own.device])
    [device] = page["data"]
    assert device == callers.limited.json(f"{DEVICES}/{objects.own.device}")["data"]
    assert [(camera["camera_id"], camera["name"]) for camera in device["cameras"]] == [("north-camera", "north camera")]
    assert device["outbox"]["dropped_events"] == 3
    assert not [mark for mark in FOREIGN_MARKS if mark in json.dumps(device).lower()]
    assert callers.limited.json(DEVICES, page=7)["meta"]["total"] == 1
    assert callers.limited.json(DEVICES, status="online")["meta"]["total"] == 0
    assert callers.limited.code("GET", f"{DEVICES}/{objects.foreign.device}") == (404, "device-not-found")
    assert callers.nothing.json(DEVICES)["meta"]["total"] == 0


def test_the_reason_of_an_own_camera_is_shown(callers: Callers, objects: TwoGroups, database_url: str) -> None:
    """In the device, in the camera and after a change of it; a reason that names a foreign camera is shown nowhere."""
    paths = (f"{DEVICES}/{objects.own.device}", f"{CAMERAS}/{objects.own.camera}")
    with psycopg.connect(database_url, autocommit=True) as connection:
        for camera, shown in (("southern-loose", False), ("north-camera", True)):
            reason = f"camera {camera}: no such stream"
            connection.execute("UPDATE device_configurations SET rejected_version = version, error = %s", [reason])
            for path in paths:
                error = callers.limited.json(path)["data"]["configuration"]["error"]
                assert (error == reason) is shown
                assert error
                assert callers.everything.json(path)["data"]["configuration"]["error"] == reason
            unchanged = callers.limited.send("PATCH", f"{CAMERAS}/{objects.own.camera}/state", {"is_active": True})
            assert (unchanged.json()["data"]["configuration"]["error"] == reason) is shown
            listed = callers.limited.json(CAMERAS)["data"]
            assert [(camera["configuration"]["error"] == reason) for camera in listed] == [shown]


def test_the_health_report_is_about_the_cameras_of_the_groups(callers: Callers) -> None:
    """Totals and lists are limited; a stored report, which is about all cameras, is closed to limited callers."""
    everything, report = (caller.json(REPORT)["data"] for caller in (callers.everything, callers.limited))
    assert (everything["cameras"]["total"], report["cameras"]["total"]) == (3, 1)
    assert [camera["slug"] for camera in report["offline_cameras"]] == ["north-camera"]
    assert (everything["devices"]["total"], report["devices"]) == (2, {"total": 1, "online": 0, "offline": 1})
    assert [one["dropped_events"] for one in everything["devices_with_dropped_data"]] == [5, 3]
    assert [one["dropped_events"] for one in report["devices_with_dropped_data"]] == [3]
    assert (everything["gaps"], report["gaps"]) == (
        {"open": 2, "missing_events": 4},
        {"open": 1, "missing_events": 2},
    )
    assert [one["device_id"] for one in report["devices_with_gaps"]] == ["north-device"]
    nothing = callers.nothing.json(REPORT)["data"]
    assert (nothing["cameras"]["total"], nothing["devices"]["total"], nothing["gaps"]["open"]) == (0, 0, 0)
    assert callers.limited.code("GET", f"{REPORT}?day=2026-11-30") == (403, "limited-to-groups")
