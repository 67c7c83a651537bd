"""Passwords of cameras: sealed in the database, in no answer, error or log; never sent to another address."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from cloud_functions.plates.master_keys import FileMasterKeys, add_master_key
from cloud_functions.privacy.camera_passwords import CameraPasswords
from cloud_functions.privacy.protection import Protection
from shared.errors import ConfigurationError, PermanentError
from tests.support.api_calls import ApiCalls, lambda_api
from tests.support.ingest_harness import open_database
from tests.support.protected_sites import dump, key_file, keys

PATH = "/api/v1/cameras"
SECRET = "pl4nted-s3cret/with@signs"
QUOTED = "pl4nted-s3cret%2Fwith%40signs"


@pytest.fixture
def api(database_url: str, tmp_path: Path) -> Iterator[ApiCalls]:
    handler, dependencies = lambda_api(database_url, camera_passwords=CameraPasswords(master_keys=keys(tmp_path)))
    yield ApiCalls(handler)
    handler.close()
    dependencies.close()


def _stored(url: str) -> dict[str, tuple[UUID, str, str | None, bytes | None]]:
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT slug, id, rtsp_url, username, password_sealed FROM cameras").fetchall()
    return {slug: tuple(rest) for slug, *rest in rows}  # type: ignore[misc]


def _opened(url: str, passwords: CameraPasswords, slug: str) -> str:
    camera_id, _, _, sealed = _stored(url)[slug]
    assert sealed is not None
    with psycopg.connect(url) as connection:
        return passwords.open(connection, sealed, camera_id=camera_id)


@pytest.mark.parametrize(
    "login",
    [
        {"rtsp_url": "rtsp://camera:554/1", "username": "admin", "password": SECRET},
        {"rtsp_url": f"rtsp://admin:{QUOTED}@camera:554/1"},
        {"rtsp_url": f"rtsp://admin:{SECRET}@camera:554/1"},
    ],
)
def test_a_password_is_sealed_however_it_is_given(
    api: ApiCalls, database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, login: dict[str, Any]
) -> None:
    """A login in the address is taken out; no answer, log line or table holds the password; its key opens it."""
    with caplog.at_level(logging.DEBUG):
        created = api.post(PATH, {"name": "Gate"} | login)
        assert created.status == 201, created
        answers = [created, api.get(PATH), api.get(f"{PATH}/gate"), api.get(f"{PATH}/summary")]
        answers.append(api.put(f"{PATH}/gate", {"name": "Gate"} | login, if_match="*"))
        answers.append(api.put(f"{PATH}/gate", {"name": 1} | login, if_match="*"))
        answers.append(api.post(PATH, {"name": "Gate", "slug": "gate"} | login))
    camera = answers[2].json()["data"]
    assert (camera["rtsp_url"], camera["username"], camera["has_password"]) == ("rtsp://camera:554/1", "admin", True)
    for text in (SECRET, QUOTED, "pl4nted"):
        assert text not in "".join(answer.body.decode() for answer in answers)
        assert text not in caplog.text
        assert text not in dump(database_url)
    assert _opened(database_url, CameraPasswords(master_keys=keys(tmp_path)), "gate") == SECRET


def test_a_sealed_password_opens_for_its_camera_only(api: ApiCalls, database_url: str, tmp_path: Path) -> None:
    """Copied to another camera's row, or changed, it cannot be opened; two seals of one password differ."""
    for name in ("Gate", "Hall"):
        api.post(PATH, {"name": name, "rtsp_url": "rtsp://camera/1", "password": SECRET})
    gate, hall = (_stored(database_url)[slug] for slug in ("gate", "hall"))
    assert gate[3] is not None
    assert gate[3] != hall[3]
    passwords = CameraPasswords(master_keys=keys(tmp_path))
    with psycopg.connect(database_url) as connection:
        for sealed, camera_id in ((gate[3], hall[0]), (gate[3][:-1] + b"\x00", gate[0]), (b"rubbish", gate[0])):
            with pytest.raises(PermanentError):
                passwords.open(connection, sealed, camera_id=camera_id)
        with pytest.raises(ConfigurationError, match="PLATE_MASTER_KEY"):
            CameraPasswords().open(connection, gate[3], camera_id=gate[0])
        connection.execute("DELETE FROM camera_keys")
        with pytest.raises(PermanentError, match="deleted"):
            CameraPasswords(master_keys=keys(tmp_path)).open(connection, gate[3], camera_id=gate[0])


def test_without_a_key_a_password_is_refused_and_a_camera_is_not(database_url: str) -> None:
    """The error names the setting, and nothing is stored in the open."""
    handler, dependencies = lambda_api(database_url)
    api = ApiCalls(handler)
    for login in ({"rtsp_url": "rtsp://a:b@camera/1"}, {"rtsp_url": "rtsp://camera/1", "password": SECRET}):
        refused = api.post(PATH, {"name": "Gate"} | login)
        assert (refused.status, refused.error().code) == (409, "no-password-key")
        assert "PLATE_MASTER_KEY" in refused.error().message
    assert api.post(PATH, {"name": "Gate", "rtsp_url": "rtsp://admin@camera/1"}).status == 201
    assert api.get(PATH).json()["meta"]["total"] == 1
    handler.close()
    dependencies.close()


def test_an_unavailable_key_is_a_503(database_url: str, tmp_path: Path) -> None:
    """The key file is gone: the error says so without its path, the log with it."""
    missing = CameraPasswords(master_keys=FileMasterKeys(tmp_path / "nowhere.key"))
    handler, dependencies = lambda_api(database_url, camera_passwords=missing)
    refused = ApiCalls(handler).post(PATH, {"name": "Gate", "rtsp_url": "rtsp://a:b@camera/1"})
    assert (refused.status, refused.error().code) == (503, "camera-keys-away")
    assert "nowhere" not in refused.body.decode()
    handler.close()
    dependencies.close()


def test_a_kept_password_is_not_sent_to_another_server(api: ApiCalls, database_url: str, tmp_path: Path) -> None:
    """A new host, port, scheme or user name needs the password again: who may edit may not read it that way."""
    body = {"name": "Gate", "rtsp_url": "rtsps://camera:322/1", "username": "admin"}
    api.post(PATH, body | {"password": SECRET})
    for change in (
        {"rtsp_url": "rtsps://evil.example:322/1"},
        {"rtsp_url": "rtsps://camera:323/1"},
        {"rtsp_url": "rtsp://camera:322/1"},
        {"rtsp_url": "rtsps://root@camera:322/1", "username": None},
        {"username": "root"},
        {"username": None},
    ):
        refused = api.put(f"{PATH}/gate", body | change, if_match="*")
        assert (refused.status, refused.error().errors[0]["parameter"]) == (422, "password"), change
    moved = api.put(f"{PATH}/gate", body | {"rtsp_url": "rtsps://CAMERA:322/2"}, if_match="*")
    assert (moved.status, moved.json()["data"]["has_password"]) == (200, True)
    passwords = CameraPasswords(master_keys=keys(tmp_path))
    assert _opened(database_url, passwords, "gate") == SECRET
    api.put(f"{PATH}/gate", body | {"rtsp_url": "rtsp://other/1", "password": "new"}, if_match="*")
    assert _opened(database_url, passwords, "gate") == "new"
    removed = api.put(f"{PATH}/gate", body | {"password": None}, if_match="*").json()["data"]
    assert (removed["username"], removed["has_password"]) == ("admin", False)


def test_rotating_the_master_key_rewraps_the_passwords(api: ApiCalls, database_url: str, tmp_path: Path) -> None:
    """After `vedette-plates rotate` the old master key is not needed any more."""
    api.post(PATH, {"name": "Gate", "rtsp_url": "rtsp://admin:old@camera/1"})
    path = key_file(tmp_path)
    old_line = path.read_text(encoding="ascii").splitlines()[-1]
    add_master_key(path)
    database = open_database(database_url)
    assert Protection(database=database, master_keys=keys(tmp_path)).rewrap(old=keys(tmp_path)) == 1
    database.close()
    path.write_text(path.read_text(encoding="ascii").replace(f"{old_line}\n", ""), encoding="ascii")
    assert _opened(database_url, CameraPasswords(master_keys=keys(tmp_path)), "gate") == "old"


@pytest.fixture
def clients(database_url: str) -> Iterator[list[ApiCalls]]:
    """Clients of eight applications, which are created one after the other: FastAPI does not create two at once."""
    applications = [lambda_api(database_url) for _ in range(8)]
    clients = [ApiCalls(handler) for handler, _ in applications]
    for client in clients:
        client.get(PATH)
    yield clients
    for handler, dependencies in applications:
        handler.close()
        dependencies.close()


def test_of_replacements_at_the_same_time_one_applies(clients: list[ApiCalls]) -> None:
    """Eight people replace the version that all of them read: one succeeds, the others learn that they came late."""
    clients[0].post(PATH, {"name": "Gate", "rtsp_url": "rtsp://camera/1"})
    tag = clients[0].get(f"{PATH}/gate").headers["etag"]

    def replace(number: int) -> int:
        body = {"name": f"Gate {number}", "rtsp_url": "rtsp://camera/1"}
        return clients[number].put(f"{PATH}/gate", body, if_match=tag).status

    with ThreadPoolExecutor(8) as threads:
        assert sorted(threads.map(replace, range(8))) == [200] + [412] * 7
    assert clients[0].get(f"{PATH}/gate").json()["data"]["config_version"] == 2


def test_cameras_of_one_name_created_at_the_same_time_get_different_slugs(clients: list[ApiCalls]) -> None:
    """Neither fails because the other was faster."""

    def create(client: ApiCalls) -> str:
        return client.post(PATH, {"name": "Gate", "rtsp_url": "rtsp://camera/1"}).json()["data"]["slug"]

    with ThreadPoolExecutor(8) as threads:
        slugs = set(threads.map(create, clients))
    assert slugs == {"gate", *(f"gate-{number}" for number in range(2, 9))}
