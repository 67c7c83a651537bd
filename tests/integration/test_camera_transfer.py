"""Cameras in files: imported row by row or all at once, exported, and imported again elsewhere."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cloud_functions.api.cameras.camera_file import COLUMNS, CREDENTIAL_COLUMNS
from cloud_functions.api.cameras.responses import ImportEnvelope
from cloud_functions.api.security.permissions import AllowAll
from cloud_functions.privacy.camera_passwords import CameraPasswords
from tests.support.api_calls import Answer, ApiCalls, http_api_event, lambda_api
from tests.support.backing_services import PostgresFixture
from tests.support.protected_sites import keys

PATH = "/api/v1/cameras"
SECRET = "=pl4nted,\"s3cret'"
HEAD = "name,rtsp_url,username,password,group,location"


@pytest.fixture
def api(database_url: str, tmp_path: Path) -> Iterator[ApiCalls]:
    handler, dependencies = lambda_api(database_url, camera_passwords=CameraPasswords(master_keys=keys(tmp_path)))
    yield ApiCalls(handler)
    handler.close()
    dependencies.close()


def _import(api: ApiCalls, content: str, file_format: str = "csv", **options: Any) -> Answer:
    data = base64.b64encode(content.encode()).decode()
    return api.post(f"{PATH}/import", {"format": file_format, "data": data} | options)


def _report(answer: Answer) -> list[tuple[int, str, str | None]]:
    assert answer.status == 200, answer
    ImportEnvelope.model_validate(answer.json(), strict=True)
    data = answer.json()["data"]
    for status in ("created", "skipped", "failed"):
        assert data[status] == sum(row["status"] == status for row in data["rows"])
    return [(row["row"], row["status"], row["slug"]) for row in data["rows"]]


def _comparable(api: ApiCalls) -> list[dict[str, Any]]:
    """Return all cameras without what differs between two deployments."""
    changing = {"id", "group_id", "createdAt", "updatedAt"}
    cameras = api.get(PATH).json()["data"]
    return [{name: value for name, value in camera.items() if name not in changing} for camera in cameras]


def _names(api: ApiCalls) -> list[str]:
    return [camera["name"] for camera in api.get(PATH, page_size=100).json()["data"]]


def test_the_documented_import_creates_cameras(api: ApiCalls) -> None:
    """The body of the camera document: base64 CSV, a group for all, duplicates skipped."""
    group = api.post(f"{PATH}/groups", {"name": "Yard"}).json()["data"]
    text = f"{HEAD}\nGate,rtsp://a:b@10.0.0.1/1,,,,\nHall,rtsp://10.0.0.2/1,admin,s3same,yard,Floor 1\n"
    answer = _import(api, text, group_id=group["id"], skip_duplicates=True)
    assert _report(answer) == [(1, "created", "gate"), (2, "created", "hall")]
    gate, hall = api.get(PATH).json()["data"]
    assert (gate["username"], gate["has_password"], gate["group_name"]) == ("a", True, "Yard")
    assert (hall["username"], hall["has_password"], hall["location"]) == ("admin", True, "Floor 1")
    again = _import(api, text, group_id=group["id"], skip_duplicates=True)
    assert [status for _, status, _ in _report(again)] == ["skipped", "skipped"]
    refused = _import(api, text, skip_duplicates=False)
    assert [status for _, status, _ in _report(refused)] == ["failed", "failed"]
    assert "exists already" in refused.json()["data"]["rows"][0]["errors"][0]["message"]
    assert len(_names(api)) == 2


def test_each_row_stands_for_itself(api: ApiCalls) -> None:
    """Invalid rows are reported with the field, valid ones are created, duplicates within the file are found."""
    text = "\n".join(
        (
            HEAD,
            "Gate,rtsp://10.0.0.1/1,,,,",
            "GATE,rtsp://10.0.0.9/1,,,,",
            "Other,rtsp://user:s3same@10.0.0.1/1,,,,",
            "Hall,ftp://user:s3same@10.0.0.2/1,,,,",
            "Attic,rtsp://10.0.0.3/1,,,nowhere,",
            "Cellar,rtsp://10.0.0.4/1,,,,",
        )
    )
    answer = _import(api, text)
    assert [status for _, status, _ in _report(answer)] == [
        "created", "skipped", "skipped", "failed", "failed", "created"
    ]  # fmt: skip
    rows = answer.json()["data"]["rows"]
    assert [rows[number]["errors"][0]["parameter"] for number in (3, 4)] == ["rtsp_url", "group_id"]
    assert "s3same" not in answer.body.decode()
    assert _names(api) == ["Cellar", "Gate"]


def test_all_or_nothing(api: ApiCalls) -> None:
    """One invalid row keeps all from being created, and the error lists each of them."""
    text = f"{HEAD}\nGate,rtsp://10.0.0.1/1,,,,\n,rtsp://10.0.0.2/1,,,,\nAttic,rtsp://10.0.0.3/1,,,nowhere,"
    refused = _import(api, text, all_or_nothing=True)
    assert (refused.status, refused.error().code) == (422, "import-rejected")
    assert [error["parameter"] for error in refused.error().errors] == ["rows.2.name", "rows.3.group_id"]
    assert _names(api) == []
    assert _report(_import(api, f"{HEAD}\nGate,rtsp://10.0.0.1/1,,,,", all_or_nothing=True)) == [(1, "created", "gate")]


def test_a_file_is_uploaded_as_a_form(api: ApiCalls) -> None:
    """As `curl -F file=@cameras.csv` sends it, through API Gateway's base64; the format follows from its name."""
    content = f"{HEAD}\nGartentür,rtsp://10.0.0.1/1,,,,\n".encode()
    upload = httpx.Request(
        "POST", "http://x", data={"skip_duplicates": "false"}, files={"file": ("cameras.csv", content)}
    )
    event = http_api_event("POST", f"{PATH}/import", body=base64.b64encode(upload.read()).decode())
    event["headers"]["content-type"] = upload.headers["content-type"]
    event["isBase64Encoded"] = True
    assert _report(api.invoke(event)) == [(1, "created", "gartentur")]
    twice = httpx.Request("POST", "http://x", files=[("file", ("a.csv", content)), ("file", ("b.csv", content))])
    event["body"] = base64.b64encode(twice.read()).decode()
    event["headers"]["content-type"] = twice.headers["content-type"]
    assert api.invoke(event).error().errors[0]["parameter"] == "file"


@pytest.mark.parametrize(
    "body",
    [
        "{",
        "[]",
        {"format": "csv"},
        {"format": "xml", "data": "YQ=="},
        {"format": "csv", "data": "not base64!"},
        {"format": "csv", "data": "YQ=="},
        {"format": "json", "data": "YQ=="},
        {"format": "csv", "data": "YQ==", "dry_run": True},
    ],
)
def test_an_import_that_is_no_file_is_rejected(api: ApiCalls, body: Any) -> None:
    """In the envelope, with the field of the body that is wrong."""
    answer = api.post(f"{PATH}/import", body)
    assert (answer.status, answer.error().code) == (422, "invalid-parameter")
    assert answer.error().errors[0]["location"] == "body"


@pytest.mark.parametrize("file_format", ["csv", "json"])
def test_an_export_is_imported_elsewhere(
    api: ApiCalls, postgres: PostgresFixture, tmp_path: Path, file_format: str
) -> None:
    """Slugs, groups, settings and passwords are the same there, formulas and quotes included."""
    api.post(f"{PATH}/groups", {"name": "Yard"})
    settings = {"events": {"zones": [{"name": "z", "polygon": [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]}]}}
    plain = {"name": "=HYPERLINK(1)", "rtsp_url": "rtsp://10.0.0.1/1", "location": "+1 'a', \"b\"", "fps": 12.5}
    api.post(PATH, plain | {"slug": "Camera_1", "username": "-admin", "password": SECRET, "group_id": "yard"})
    api.post(PATH, plain | {"settings": settings, "is_active": False, "enable_detection": False})
    file = api.get(f"{PATH}/export", format=file_format, include_credentials="true")
    assert file.headers["content-disposition"] == f'attachment; filename="cameras.{file_format}"'
    assert file.headers["cache-control"] == "no-store"
    name = postgres.new_database()
    handler, dependencies = lambda_api(
        postgres.server.url_of(name), camera_passwords=CameraPasswords(master_keys=keys(tmp_path))
    )
    other = ApiCalls(handler)
    other.post(f"{PATH}/groups", {"name": "Yard"})
    report = _report(_import(other, file.body.decode(), file_format))
    assert sorted(slug or "" for _, _, slug in report) == ["Camera_1", "hyperlink-1"]
    again = other.get(f"{PATH}/export", format=file_format, include_credentials="true")
    assert sorted(again.body) == sorted(file.body)
    assert _comparable(other) == _comparable(api)
    handler.close()
    dependencies.close()


def test_an_export_holds_no_formula_and_no_credentials(api: ApiCalls) -> None:
    """Not unless they are asked for; a group limits it."""
    api.post(f"{PATH}/groups", {"name": "Yard"})
    api.post(PATH, {"name": "=cmd|' /C calc'!A0", "rtsp_url": "rtsp://planted:s3cret@10.0.0.1/1", "group_id": "yard"})
    api.post(PATH, {"name": "Hall", "rtsp_url": "rtsp://10.0.0.2/1"})
    text = api.get(f"{PATH}/export").body.decode()
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert tuple(rows[0]) == COLUMNS
    assert [row["name"] for row in rows] == ["'=cmd|' /C calc'!A0", "Hall"]
    assert "planted" not in text
    assert "s3cret" not in text
    document = api.get(f"{PATH}/export", format="json", group_id="yard").json()
    assert document["meta"] == {"total": 1}
    assert set(document["data"][0]) == set(COLUMNS)
    assert "s3cret" not in json.dumps(document)
    full = api.get(f"{PATH}/export", include_credentials="true").body.decode()
    assert tuple(full.split("\r\n", 1)[0].split(",")) == COLUMNS + CREDENTIAL_COLUMNS
    assert "planted,s3cret" in full
    assert api.get(f"{PATH}/export", group_id="nobody").error().code == "group-not-found"


def test_credentials_need_a_permission_of_their_own(database_url: str, tmp_path: Path) -> None:
    """Without it the export is refused, not reduced; without credentials it is granted."""
    passwords = CameraPasswords(master_keys=keys(tmp_path))
    authorizer = AllowAll(denied={"export:credentials"})
    handler, dependencies = lambda_api(database_url, camera_passwords=passwords, authorizer=authorizer)
    api = ApiCalls(handler)
    api.post(PATH, {"name": "Gate", "rtsp_url": "rtsp://a:b@10.0.0.1/1"})
    refused = api.get(f"{PATH}/export", include_credentials="true")
    assert (refused.status, refused.error().code) == (403, "forbidden")
    assert api.get(f"{PATH}/export").status == 200
    handler.close()
    dependencies.close()


def test_credentials_without_their_key_are_an_error(api: ApiCalls, database_url: str, tmp_path: Path) -> None:
    """An export never silently leaves a password out."""
    api.post(PATH, {"name": "Gate", "rtsp_url": "rtsp://a:b@10.0.0.1/1"})
    handler, dependencies = lambda_api(database_url)
    refused = ApiCalls(handler).get(f"{PATH}/export", include_credentials="true")
    assert (refused.status, refused.error().code) == (503, "camera-keys-away")
    handler.close()
    dependencies.close()
