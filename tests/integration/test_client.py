"""``vedette.client`` with a real API over HTTP, and with servers that fail."""

# pyright: reportPrivateUsage=false
from __future__ import annotations

import io
import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import psycopg
import pytest
from boto3.session import Session as AwsSession

from cloud_functions.api.settings import ApiSettings
from cloud_functions.api.wiring import server_app
from cloud_functions.settings import DatabaseSettings
from shared.storage_keys import snapshot_object_key
from tests.support.api_calls import NOON, events_each_minute, store, stored_event
from tests.support.command_devices import store_device
from tests.support.served_app import served_app
from tests.support.users import PASSWORD, add_key, add_user
from vedette.client import (
    AuthenticationError,
    Client,
    ConflictError,
    ConnectionFailedError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    Retries,
    TooManyRequestsError,
    UnavailableError,
)

ROOT = Path(__file__).resolve().parents[2]
BUCKET = "client-pictures"
FAST = Retries(attempts=3, first_pause_s=0.001)


@pytest.fixture
def server(database_url: str, stack_s3: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an API under uvicorn with users, and a bucket."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", stack_s3)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    session = AwsSession(aws_access_key_id="test", aws_secret_access_key="test")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", session)
    boto3.client("s3").create_bucket(Bucket=BUCKET)
    settings = ApiSettings(database=DatabaseSettings(url=database_url), bucket=BUCKET, authentication="users")
    with served_app(server_app(settings, threads=2)) as address:
        yield address


@pytest.fixture
def client(server: str, database_url: str) -> Iterator[Client]:
    """A client that is logged in as an administrator."""
    add_user(database_url, "ana", role="admin")
    with Client(server, username="ana", password=PASSWORD, retries=FAST) as client:
        yield client


def test_events_of_all_pages_are_yielded_once(client: Client, database_url: str) -> None:
    """Newest first, also if others arrive meanwhile; conditions, statistics and deletion work."""
    numbers = store(database_url, events_each_minute(25))
    found = client.events.list(page_size=10)
    first = next(found)
    store(database_url, [stored_event(timestamp=NOON + timedelta(days=1))])
    assert [first["id"], *(event["id"] for event in found)] == numbers[::-1]
    assert client.events.get(numbers[0])["id"] == numbers[0]
    assert client.events.statistics(start_time=NOON - timedelta(days=1))["total_events"] == 26
    assert list(client.events.list(camera_id="nothing")) == []
    assert client.events.delete(numbers[0])["message"] == f"Event {numbers[0]} deleted successfully"
    out = io.BytesIO()
    client.events.export(out, end_time=NOON + timedelta(hours=12))
    assert [json.loads(line)["id"] for line in out.getvalue().splitlines()] == numbers[:0:-1]


def test_a_snapshot_is_downloaded_with_progress(client: Client, database_url: str, tmp_path: Path) -> None:
    """The file appears when it is complete; one that is not there yet is waited for."""
    event = stored_event(snapshot_path="camera-1/2026-11-20/tracking_120000_000000.jpg")
    [number] = store(database_url, [event])
    with pytest.raises(NotFoundError, match="snapshot-pending"):
        client.events.snapshot(number)
    with pytest.raises(NotFoundError):
        client.events.download_snapshot(number, tmp_path / "no.jpg")
    assert list(tmp_path.iterdir()) == []
    stored = client.events.get(number)
    picture = b"\xff\xd8\xff" + bytes(200_000)
    key = snapshot_object_key(stored["device_id"], str(stored["snapshot_path"]))

    def upload() -> None:
        boto3.client("s3").put_object(Bucket=BUCKET, Key=key, Body=picture)

    timer = threading.Timer(0.1, upload)
    timer.start()
    assert client.events.snapshot(number, wait_s=30) == picture
    timer.join()
    seen: list[tuple[int, int | None]] = []
    path = client.events.download_snapshot(number, tmp_path / "a.jpg", progress=lambda *given: seen.append(given))
    assert path.read_bytes() == picture
    assert seen[-1] == (len(picture), len(picture))
    assert len(seen) > 1
    assert [one.name for one in tmp_path.iterdir()] == ["a.jpg"]


def test_cameras_are_managed(client: Client) -> None:
    """Created, changed with a version, listed, exported, imported, deleted; a lost update is refused."""
    group = client.cameras.create_group({"name": "Entrance"})
    made = client.cameras.create({"name": "Front Door", "rtsp_url": "rtsp://192.168.1.2/s", "group_id": group["id"]})
    camera, version = client.cameras.get_with_version(made["slug"])
    assert camera["name"] == "Front Door"
    changed = client.cameras.replace(
        made["id"], {"name": "Back Door", "rtsp_url": "rtsp://192.168.1.2/s"}, version=version
    )
    assert changed["name"] == "Back Door"
    with pytest.raises(ConflictError) as refused:
        client.cameras.replace(made["id"], {"name": "X", "rtsp_url": "rtsp://192.168.1.2/s"}, version=version)
    assert (refused.value.status, refused.value.code) == (412, "changed-meanwhile")
    assert client.cameras.set_state("front-door", is_active=False)["is_active"] is False
    for number in range(4):
        client.cameras.create({"name": f"Yard {number}", "rtsp_url": f"rtsp://192.168.1.{number}/s"})
    assert len(list(client.cameras.list(page_size=2))) == 5
    assert [camera["slug"] for camera in client.cameras.list(search="Yard 3")] == ["yard-3"]
    exported = client.cameras.export_file()
    client.cameras.delete("yard-3")
    report = client.cameras.import_file(exported, skip_duplicates=True)
    assert report["created"] == 1
    assert client.cameras.summary()["total"] == 5
    assert [one["name"] for one in client.cameras.groups()] == ["Entrance"]
    assert list(client.cameras.health("yard-0")) == []
    client.cameras.delete_group("entrance")
    with pytest.raises(ConflictError) as offline:
        client.cameras.test_connection("yard-0", timeout_s=1)
    assert offline.value.code in {"camera-without-device", "device-offline"}


def test_users_keys_and_the_audit_log(client: Client, server: str, database_url: str) -> None:
    """A user is created, chooses a password, is changed and deleted; a key works until it is revoked; all is logged."""
    made = client.users.create({"username": "ben", "role": "viewer"})
    client.choose_password(str(made["reset_token"]), "another long password")
    with Client(server, username="ben", password="another long password", retries=FAST) as ben:
        assert ben.me()["name"] == "ben"
        with pytest.raises(PermissionDeniedError):
            list(ben.users.list())
    assert client.users.change("ben", {"role": "operator"})["role"] == "operator"
    assert client.users.replace("ben", {"role": "viewer", "email": "ben@example.org"})["email"] == "ben@example.org"
    assert client.users.reset_password("ben")["reset_token"]
    assert [user["username"] for user in client.users.list(page_size=1)] == ["ana", "ben"]
    assert [user["username"] for user in client.users.list(role="viewer")] == [client.users.get("ben")["username"]]
    client.users.delete("ben")
    key = client.api_keys.create("robot", ["devices:read"], expires_in_days=1)
    assert [(one["id"], "key" in one) for one in client.api_keys.list(search="rob")] == [(key["id"], False)]
    store_device(database_url, "gate-01", cameras=[])
    store_device(database_url, "gate-02", status="offline", cameras=[])
    with Client(server, api_key=key["key"], retries=FAST) as robot:
        assert [one["device_id"] for one in robot.devices.list(page_size=1)] == ["gate-01", "gate-02"]
        assert [one["device_id"] for one in robot.devices.list(status="offline")] == ["gate-02"]
        assert robot.devices.get("gate-01")["status"] == "online"
        client.api_keys.revoke(key["id"])
        with pytest.raises(AuthenticationError):
            robot.devices.get("gate-01")
    assert client.devices.health_report()["devices"]["total"] == 2
    with pytest.raises(NotFoundError):
        client.devices.health_report("2026-01-01")
    with pytest.raises(NotFoundError):
        client.commands.get(str(uuid4()))
    entries = list(client.audit.list(actor="ana", page_size=2))
    assert len(entries) > 4
    assert {entry["actor_name"] for entry in entries} == {"ana"}


def test_snapshots_on_demand(client: Client, database_url: str, tmp_path: Path) -> None:
    """Without a device nothing is captured; stored ones are listed on all pages, downloaded and deleted."""
    camera = client.cameras.create({"name": "Front Door", "rtsp_url": "rtsp://192.168.1.2/s"})
    with pytest.raises(ConflictError) as alone:
        client.snapshots.capture("front-door", timeout_s=1)
    assert alone.value.code == "camera-without-device"
    with pytest.raises(NotFoundError):
        client.snapshots.latest("front-door")
    picture = b"\xff\xd8\xff" + bytes(100_000)
    ids = [_store_snapshot(database_url, camera["id"], number, picture) for number in range(3)]
    assert [one["id"] for one in client.snapshots.list("front-door", page_size=2, status="stored")] == ids[::-1]
    assert client.snapshots.latest("front-door")["id"] == ids[2]
    assert client.snapshots.get(ids[0])["width"] == 640
    assert client.snapshots.image(ids[0]) == picture
    seen: list[int] = []
    path = client.snapshots.download(ids[0], tmp_path / "a.jpg", progress=lambda done, _: seen.append(done))
    assert (path.read_bytes(), seen[-1]) == (picture, len(picture))
    client.snapshots.delete(ids[0])
    with pytest.raises(NotFoundError):
        client.snapshots.get(ids[0])


def test_the_snapshot_requests_of_a_shell(client: Client, server: str, database_url: str, tmp_path: Path) -> None:
    """docs/examples/snapshots.sh: the requests of the document on snapshots. A refused one fails with its problem."""
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    camera = client.cameras.create({"name": "Front Door", "rtsp_url": "rtsp://192.168.1.2/s"})
    picture = b"\xff\xd8\xff" + bytes(range(256)) * 40
    snapshot_id = _store_snapshot(database_url, camera["id"], 0, picture)
    variables = {**os.environ, "VEDETTE_API": server, "VEDETTE_USER": "ana", "VEDETTE_PASSWORD": PASSWORD}

    def run(*words: str) -> tuple[int, Any]:
        command = ["/bin/sh", str(ROOT / "docs/examples/snapshots.sh"), *words]
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=60)
        return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr

    assert run("health")[1]["checks"]["bucket"]["status"] == "ok"
    assert run("devices")[0] == 0
    status, problem = run("capture", "front-door")
    assert (status, problem["type"]) == (1, "urn:vedette:problem:camera-without-device")
    assert [one["id"] for one in run("list", "front-door")[1]["snapshots"]] == [snapshot_id]
    assert run("latest", "front-door")[1]["id"] == snapshot_id
    assert run("image", snapshot_id, str(tmp_path / "a.jpg")) == (0, "")
    assert (tmp_path / "a.jpg").read_bytes() == picture
    assert run("delete", snapshot_id)[1]["id"] == snapshot_id
    assert run("latest", "front-door")[0] == 1


def _store_snapshot(database_url: str, camera_id: str, number: int, picture: bytes) -> str:
    snapshot_id, key = str(uuid4()), f"snapshots/gate-01/front-door/2026-11-20/snapshot_12000{number}_000000.jpg"
    boto3.client("s3").put_object(Bucket=BUCKET, Key=key, Body=picture)
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO camera_snapshots (id, camera_id, camera_slug, device_id, filename, storage_path, file_size,"
            " width, height, content_type, captured_at, status) VALUES"
            " (%s, %s, 'front-door', 'gate-01', %s, %s, %s, 640, 360, 'image/jpeg', %s, 'stored')",
            [snapshot_id, camera_id, f"{number}.jpg", key, len(picture), NOON + timedelta(seconds=number)],
        )
    return snapshot_id


def test_plates_and_watch_lists(client: Client) -> None:
    """Watch-lists and their patterns are created and listed; searches of plates are empty without reads."""
    watchlist = client.watchlists.create("stolen")
    with pytest.raises(ConflictError):
        client.watchlists.create("stolen")
    added = client.watchlists.add_patterns(watchlist["watchlist_id"], [{"kind": "exact", "pattern": "ABC123"}])
    assert added["added"] == 1
    assert [one["pattern"] for one in client.watchlists.patterns(watchlist["watchlist_id"])] == ["ABC123"]
    assert [one["name"] for one in client.watchlists.list()] == ["stolen"]
    client.watchlists.delete(watchlist["watchlist_id"])
    assert list(client.plates.search(plate="ABC", match="prefix")) == []
    assert client.plates.statistics()["total_events"] == 0
    with pytest.raises(NotFoundError):
        client.plates.history("A/B 123")


def test_errors_have_the_fields_of_the_problem(client: Client) -> None:
    """In problem documents and in envelopes; the id of the request is that of the server's log."""
    with pytest.raises(NotFoundError) as missing:
        client.events.get(42)
    error = missing.value
    assert (error.status, error.code) == (404, "event-not-found")
    assert error.detail.startswith("There is no event")
    assert error.request_id
    assert str(error.request_id) in str(error)
    with pytest.raises(InvalidRequestError) as invalid:
        client.request("GET", "/api/events", parameters={"page": 0, "color": "red"})
    assert {one["parameter"] for one in invalid.value.errors} == {"color"}
    with pytest.raises(NotFoundError) as enveloped:
        client.cameras.get("nowhere")
    assert enveloped.value.code == "camera-not-found"
    assert enveloped.value.request_id


def test_a_log_in_is_renewed(client: Client, server: str, database_url: str) -> None:
    """By the refresh token; if that was revoked, by the password. A wrong password is an error at once."""
    assert client.me()["name"] == "ana"
    session = client._session
    for prepare in (lambda: None, _revoke_refresh_tokens(database_url)):
        prepare()
        session._access_token = "expired"
        assert client.me()["name"] == "ana"
        assert session._access_token != "expired"
    wrong = Client(server, username="ana", password="wrong password", retries=FAST)
    with wrong, pytest.raises(AuthenticationError, match="invalid-credentials"):
        wrong.me()
    with Client(server, retries=FAST) as anonymous:
        assert anonymous.health()["status"] in {"ok", "degraded"}
        with pytest.raises(AuthenticationError, match="not-authenticated"):
            anonymous.events.get(1)


def _revoke_refresh_tokens(database_url: str) -> Callable[[], None]:
    def revoke() -> None:
        with psycopg.connect(database_url) as connection:
            connection.execute("UPDATE refresh_tokens SET revoked_at = now()")

    return revoke


def test_closing_logs_out(server: str, database_url: str) -> None:
    """The refresh token is of no use afterwards."""
    add_user(database_url, "ben", role="viewer")
    client = Client(server, username="ben", password=PASSWORD)
    client.me()
    token = client._session._refresh_token
    client.close()
    with Client(server, retries=FAST) as other, pytest.raises(AuthenticationError, match="invalid-refresh-token"):
        other.request("POST", "/api/auth/refresh", body={"refresh_token": token})


def test_an_api_key_does_what_its_scopes_allow(server: str, database_url: str) -> None:
    """Anything else is refused."""
    key = add_key(database_url, "events:read")
    with Client(server, api_key=key, retries=FAST) as client:
        assert list(client.events.list()) == []
        with pytest.raises(PermissionDeniedError, match="forbidden"):
            client.cameras.create({"name": "x", "rtsp_url": "rtsp://h/s"})


def test_secrets_are_in_no_repr_error_or_log(server: str, database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Password, API key and tokens."""
    key = add_key(database_url, "events:read")
    add_user(database_url, "ana")
    with caplog.at_level(logging.DEBUG):
        with Client(server, username="ana", password=PASSWORD) as client:
            client.me()
            session = client._session
            secrets = [PASSWORD, str(session._access_token), str(session._refresh_token), key]
            shown = [repr(client), repr(session), repr(vars(client))]
        with Client(server, api_key=key, retries=FAST) as keyed:
            shown.append(repr(keyed))
            with pytest.raises(PermissionDeniedError) as refused:
                keyed.cameras.get("x")
            shown += [str(refused.value), repr(refused.value), repr(vars(refused.value))]
        with Client("http://127.0.0.1:1", api_key=key, retries=FAST) as away:
            with pytest.raises(ConnectionFailedError) as failed:
                away.events.get(1)
            shown.append(repr(failed.value))
    text = "".join(shown) + caplog.text
    assert [secret for secret in secrets if secret in text] == []


class _Scripted:
    """A server that answers each request with the next of its replies: status, headers, JSON; None cuts the line."""

    def __init__(self, *replies: tuple[int, dict[str, str], Any] | None) -> None:
        self.requests: list[str] = []
        scripted = iter(replies)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                self.rfile.read(length)
                outer.requests.append(f"{self.command} {self.path}")
                reply = next(scripted)
                if reply is None:
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                status, headers, content = reply
                body = json.dumps(content).encode()
                self.send_response(status)
                for name, value in ({"Content-Length": str(len(body))} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = answer  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> _Scripted:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def _client(server: _Scripted, pauses: list[float], **retries: Any) -> Client:
    client = Client(server.url, retries=Retries(**retries))
    client._session._sleep = pauses.append
    return client


def test_reads_are_repeated_with_growing_pauses() -> None:
    """After a cut connection, a proxy's 502 without JSON and a 503; ``Retry-After`` takes the place of the pause."""
    replies = (None, (502, {}, "bad gateway"), (503, {"Retry-After": "7"}, {"type": "urn:vedette:problem:unavailable"}))
    pauses: list[float] = []
    with _Scripted(*replies, (200, {}, {"id": 1})) as scripted, _client(scripted, pauses) as client:
        assert client.events.get(1)["id"] == 1
    assert scripted.requests == ["GET /api/events/1"] * 4
    assert 0.25 <= pauses[0] <= 0.5 <= pauses[1] <= 1.0
    assert pauses[2] == 7


def test_the_last_attempt_raises_what_it_got() -> None:
    """And a longer ``Retry-After`` than the limit is not waited for."""
    busy = (503, {"X-Request-ID": "abc"}, {"type": "urn:vedette:problem:too-slow", "detail": "Narrow it."})
    pauses: list[float] = []
    with (
        _Scripted(busy, busy) as scripted,
        _client(scripted, pauses, attempts=2) as client,
        pytest.raises(UnavailableError, match="503 too-slow: Narrow it"),
    ):
        client.events.get(1)
    assert len(pauses) == 1
    with (
        _Scripted((429, {"Retry-After": "3600"}, {})) as scripted,
        _client(scripted, pauses) as client,
        pytest.raises(TooManyRequestsError) as refused,
    ):
        client.events.get(1)
    assert refused.value.retry_after_s == 3600


def test_a_change_is_not_repeated_where_it_may_have_happened() -> None:
    """A cut connection and a 503 are raised; 429 means that nothing was done."""
    pauses: list[float] = []
    for reply, error in ((None, ConnectionFailedError), ((503, {}, {}), UnavailableError)):
        with _Scripted(reply) as scripted, _client(scripted, pauses) as client, pytest.raises(error):
            client.watchlists.create("x")
        assert scripted.requests == ["POST /api/plates/watchlists"]
    assert pauses == []
    with _Scripted((429, {}, {}), (201, {}, {"watchlist_id": 1})) as scripted, _client(scripted, pauses) as client:
        assert client.watchlists.create("x")["watchlist_id"] == 1


@pytest.mark.parametrize(
    "arguments",
    [
        {"base_url": "localhost:8069"},
        {"base_url": "http://ana:secret@localhost"},
        {"username": "ana"},
        {"username": "ana", "password": "x", "api_key": "k"},
    ],
)
def test_a_wrong_use_is_reported(arguments: dict[str, str]) -> None:
    """Without showing a secret."""
    with pytest.raises(ValueError, match=r"base_url|give") as wrong:
        Client(**arguments)  # pyright: ignore[reportArgumentType]
    assert "secret" not in str(wrong.value)


def test_the_client_imports_no_server() -> None:
    """A program that uses the API installs httpx and nothing of the server."""
    code = "import sys, vedette.client; print(sorted({n.partition('.')[0] for n in sys.modules}))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for name in ("cloud_functions", "edge_agent", "infra", "shared", "fastapi", "psycopg", "boto3"):
        assert f"'{name}'" not in shown
