"""Every planted secret is absent from everything that a running stack writes, sends, stores and answers.

The secrets are used in successes and in errors of all kinds. A secret may be in the answer that gives it to its owner
(a log-in, a new key, an export with credentials) and in the files that are documented to hold it, and nowhere else.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import stat
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, LiteralString
from unittest import mock

import httpx
import psycopg
import pytest

from cloud_functions.api.security.session_cookie import PLAIN_NAME
from cloud_functions.api.security.tokens import KEY_CONTEXT as SIGNING_CONTEXT
from cloud_functions.fanout.handler import build_fanout
from cloud_functions.plates.master_keys import MasterKeys, WrappedKey, master_keys
from cloud_functions.privacy.camera_passwords import KEY_CONTEXT as CAMERA_CONTEXT
from cloud_functions.privacy.cli import main as plates_main
from edge_agent.cli.main import main as edge_main
from infra.admin.cli import main as admin_main
from infra.local.cli import main as local_main
from infra.local.demo.device import DEVICE_ID, StackUrls, agent_process
from infra.local.processes.process import Process
from shared.errors import ConfigurationError
from tests.e2e.conftest import RunningStack
from tests.support.api_calls import PLACEHOLDERS
from tests.support.clips import numbered
from tests.support.planted_secrets import SPECIAL, PlantedSecrets, spellings
from tests.support.ports import reserve_port
from tests.support.rtsp_server import RtspServer
from tests.support.secret_evidence import (
    MqttRecorder,
    RedisRecorder,
    command_lines,
    files_below,
    full_answer,
    get_answers,
    table_texts,
)
from tests.support.users import bearer, stack_admin

pytestmark = pytest.mark.xdist_group("stack")

DEVICE, CAMERA, PROTECTED = "secrets-device", "secrets-gate", "secrets-site"
USER = "secrets-user"
SCENE: dict[str, Any] = {"settings": {"model": {"name": "none"}}, "device_id": DEVICE}
PATIENCE_S = 60.0


class Site:
    """The stack with an agent, a camera that requires a password, and recorders of all traffic."""

    def __init__(self, stack: RunningStack, folder: Path, server: RtspServer, secrets: PlantedSecrets) -> None:
        self.stack, self.folder, self.server, self.secrets = stack, folder, server, secrets
        self.database = stack["database"]
        self.mqtt, self.redis = MqttRecorder(stack["broker"]), RedisRecorder(stack["redis"])
        self.api = httpx.Client(base_url=stack["api"], headers=stack_admin(stack.stack), timeout=60)
        self.nobody = httpx.Client(base_url=stack["api"], timeout=60)
        self.answers: list[bytes] = []
        self.output: list[bytes] = []
        self.agent = self._agent()

    def _agent(self) -> Process:
        """Return the agent, which gives the broker a password."""
        password_file = self.folder / "mqtt-password"
        password_file.write_text(self.secrets.made_up("MQTT password"), encoding="utf-8")
        password_file.chmod(0o600)
        agent = agent_process(StackUrls(broker=self.stack["broker"], aws=self.stack["aws"]), folder=self.folder)
        config = self.folder / "agent" / "agent.toml"
        text = config.read_text(encoding="utf-8").replace(f'"{DEVICE_ID}"', f'"{DEVICE}"')
        login = f'[mqtt]\nusername = "agent"\npassword_file = "{password_file}"\n'
        config.write_text(text.replace("[mqtt]\n", login), encoding="utf-8")
        return agent

    def close(self) -> None:
        self.agent.stop()
        for one in (self.mqtt, self.redis, self.api, self.nobody):
            one.close()
        with psycopg.connect(self.database, autocommit=True) as connection:
            connection.execute("ALTER TABLE cameras DROP CONSTRAINT IF EXISTS secrets_never")
            connection.execute("DELETE FROM cameras WHERE device_id = %s", [DEVICE])
            connection.execute("DELETE FROM site_keys WHERE site_id = %s", [PROTECTED])
            connection.execute("DELETE FROM sites WHERE site_id = %s", [PROTECTED])

    def send(self, method: str, path: str, *, client: httpx.Client | None = None, **content: Any) -> httpx.Response:
        """Send a request whose answer must hold no secret."""
        answer = (client or self.api).request(method, path, **content)
        self.answers.append(full_answer(answer))
        return answer

    def run(self, command: Callable[[Sequence[str]], int], *arguments: str, stdin: str = "") -> int:
        """Run a command in this process and keep its output."""
        output = io.StringIO()
        with (
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(output),
            mock.patch.object(sys, "stdin", io.StringIO(stdin)),
        ):
            status = command(arguments)
        self.output.append(output.getvalue().encode())
        return status

    def configuration(self, camera: str) -> str:
        return self.send("GET", f"/api/v1/cameras/{camera}").json()["data"]["configuration"]["state"]

    def reaches(self, camera: str, state: str) -> bool:
        return self.stack.until(lambda: self.configuration(camera) == state, timeout_s=PATIENCE_S)


@pytest.fixture
def site(stack: RunningStack, tmp_path: Path) -> Iterator[Site]:
    secrets = PlantedSecrets()
    password = secrets.made_up("camera password")
    with RtspServer(numbered(50, width=320, height=128), auth="digest", password=password) as server:
        one = Site(stack, tmp_path, server, secrets)
        try:
            yield one
        finally:
            one.close()


def test_every_spelling_of_a_secret_is_found() -> None:
    """The search that the other test relies on: raw, percent-encoded, escaped, hexadecimal, in base64."""
    secrets = PlantedSecrets()
    secrets.plant("password", f"Wh0le{SPECIAL}")
    key = secrets.plant_bytes("key", bytes(range(200, 232)))
    evidence = {
        "url": b"rtsp://me:Wh0le%2F%40%3A%25%2B%C3%A9%22%27%20%5C%7B%7D%26%3C@host",
        "json": b'{"password": "Wh0le/@:%+\\u00e9\\"\' \\\\{}&<"}',
        "basic": b"Authorization: Basic " + b64encode(f"user:Wh0le{SPECIAL}".encode()),
        "dump": b"\\x00" + key.hex().encode(),
        "encoded": b"0" + b64encode(b"ab" + key + b"c"),
        "raw": b"\0" + key,
        "nothing": b"Wh0le",
    }
    names = {name: ["password"] for name in ("url", "json", "basic")} | {
        name: ["key"] for name in ("dump", "encoded", "raw")
    }
    assert secrets.leaks(evidence) == sorted(f"{one} in {name}" for name, (one,) in names.items())
    assert len(set(spellings(b"abcdef"))) == len(list(spellings(b"abcdef"))) - 4  # no case, no +/ in it


def test_no_planted_secret_is_found_anywhere(site: Site) -> None:
    """Cameras, users, keys, devices and databases are used, misused and broken; no secret is where it must not be."""
    camera_succeeds(site)
    cameras_fail(site)
    accounts_are_used(site)
    accounts_are_misused(site)
    commands_fail(site)
    the_database_fails(site)
    keys_are_planted(site)
    evidence = dict(collected(site))
    unreached = [
        f"{marker!r} in {source}"
        for source, marker in MARKERS.items()
        if not any(name.startswith(source) and marker in content for name, content in evidence.items())
    ]
    assert (site.secrets.leaks(evidence), unreached) == ([], [])
    secrets_are_in_their_places(site)


def camera_succeeds(site: Site) -> None:
    """A camera with its password in the address, percent-encoded: configured, tested, and a snapshot captured."""
    password = site.secrets.made_up("camera password")
    address = site.server.url(user="viewer", password=password)
    body = {"name": "Gate", "slug": CAMERA, "rtsp_url": address} | SCENE
    assert site.send("POST", "/api/v1/cameras", json=body).status_code == 201
    site.agent.start()
    assert site.reaches(CAMERA, "applied")
    assert site.send("POST", f"/api/v1/cameras/{CAMERA}/test-connection", json={}).json()["data"]["success"]
    assert site.send("POST", f"/api/snapshots/capture/{CAMERA}").json()["status"] == "stored"


def cameras_fail(site: Site) -> None:
    """Imports, a refused password, an unreachable camera, and requests that are wrong in every way."""
    secrets, port = site.secrets, reserve_port()
    imported, encoded = secrets.made_up("imported password"), secrets.made_up("imported address")
    quoted = encoded.replace("%", "%25").replace("/", "%2F").replace("@", "%40").replace('"', "%22").replace(" ", "%20")
    cell = imported.replace('"', '""')
    rows = [
        "name,rtsp_url,username,password,fps",
        f'Imported,rtsp://127.0.0.1:{port}/live,viewer,"{cell}",',
        f"Encoded,rtsp://viewer:{quoted}@127.0.0.1:{port}/other,,,",
        f'Bad row,rtsp://127.0.0.1:{port}/bad,viewer,"{cell}",often',
        f"Bad address,rtsp://viewer:{quoted}@/bad,,,",
        f'Too many cells,rtsp://127.0.0.1:{port}/bad,viewer,"{cell}",1,1',
    ]
    for all_or_nothing in (True, False):
        data = b64encode("\n".join(rows).encode()).decode()
        body = {"format": "csv", "data": data, "all_or_nothing": all_or_nothing}
        report = site.send("POST", "/api/v1/cameras/import", json=body)
    assert report.json()["data"]["created"] == 2, report.text
    site.send("POST", "/api/v1/cameras/import", files={"file": ("c.csv", f'name,rtsp_url\n"{imported}')})
    site.send("POST", "/api/v1/cameras/import", files={"file": ("c.json", f'[{{"password": "{imported}"')})
    wrong = secrets.made_up("wrong camera password")
    body = {"name": "Wrong", "rtsp_url": site.server.url(user="viewer"), "username": "viewer", "password": wrong}
    body["rtsp_url"] = site.server.url()
    assert site.send("POST", "/api/v1/cameras", json=body | SCENE).status_code == 201
    for camera in ("imported", "encoded"):
        body = site.send("GET", f"/api/v1/cameras/{camera}").json()["data"] | SCENE
        assert site.send("PUT", f"/api/v1/cameras/{camera}", json=body).status_code == 200
    assert site.reaches("wrong", "rejected")
    for camera in ("wrong", "imported", "encoded"):
        tested = site.send("POST", f"/api/v1/cameras/{camera}/test-connection", json={"timeout_seconds": 5})
        assert not tested.json().get("data", {}).get("success"), tested.text
        site.send("POST", f"/api/snapshots/capture/{camera}?timeout_seconds=2")
    for body in wrong_bodies(secrets.made_up("rejected password")):
        for method, path in (("POST", "/api/v1/cameras"), ("PUT", f"/api/v1/cameras/{CAMERA}")):
            answer = site.send(method, path, content=body, headers={"Content-Type": "application/json"})
            assert answer.status_code in (409, 422), (body, answer.text)


def wrong_bodies(password: str) -> Iterator[str]:
    """Yield bodies of a camera that the API rejects, each with the password in it."""
    address = "rtsp://127.0.0.1/live"
    for field in ("password", "rtsp_url", "username", "fps", "is_active", "settings", "slug", "codec"):
        for value in ([password], {"value": password}, password * 60):
            yield json.dumps({"name": "Bad", "rtsp_url": address, field: value})
    for wrong in ("rtsp://v:{}@/live", "rtsp://v:{}@host:99999/", "ftp://v:{}@host/", "gst:rtspsrc user-pw={}"):
        yield json.dumps({"name": "Bad", "rtsp_url": wrong.format(password)})
    yield json.dumps({"name": "Bad", "rtsp_url": f"rtsp://v:{password}@host:554/", "password": password})
    yield json.dumps({"name": "Bad", "rtsp_url": "http://127.0.0.1/video?user=v&password=Pl4ntedRejectedPassword"})
    yield json.dumps({"name": "Bad", "rtsp_url": "rtsp://127.0.0.1/user=v_password=Pl4ntedRejectedPassword_channel=1"})
    yield json.dumps({"name": "Bad", "rtsp_url": address, "pasword": password})
    yield json.dumps({"name": "Bad", "rtsp_url": address, "password": f"{password}\n"})
    yield json.dumps(password)
    yield json.dumps([{"password": password}])
    yield json.dumps({"name": "Bad", "password": password})[:-1]


def accounts_are_used(site: Site) -> None:
    """A user, a key, log-ins of both kinds and a session; their secrets are in these answers only."""
    secrets = site.secrets
    assert site.stack.stack.first_admin is not None
    secrets.plant("admin's password", site.stack.stack.first_admin.password)
    secrets.plant("admin's access token", site.api.headers["authorization"].removeprefix("Bearer "))
    password = secrets.made_up("user password")
    body = {"username": USER, "role": "viewer", "password": password}
    assert site.send("POST", "/api/v1/users", json=body).status_code == 201
    key = site.api.post("/api/v1/api-keys", json={"name": "secrets", "scopes": ["cameras:read"]}).json()["data"]
    secrets.plant("API key", key["key"])
    assert site.send("GET", "/api/v1/cameras", client=site.nobody, headers={"X-API-Key": key["key"]}).is_success
    reset = site.api.post(f"/api/v1/users/{USER}/reset-password").json()["data"]["reset_token"]
    secrets.plant("reset token", reset)
    body = {"reset_token": reset, "new_password": password}
    assert site.send("POST", "/api/auth/reset-password", client=site.nobody, json=body).is_success
    login = site.nobody.post("/api/auth/login-json", json={"username": USER, "password": password}).json()
    secrets.plant("access token", login["access_token"])
    secrets.plant("refresh token", login["refresh_token"])
    renewed = site.nobody.post("/api/auth/refresh", json={"refresh_token": login["refresh_token"]}).json()
    secrets.plant("renewed refresh token", renewed["refresh_token"])
    again = site.send("POST", "/api/auth/refresh", client=site.nobody, json={"refresh_token": login["refresh_token"]})
    assert again.status_code == 401
    page = {"Sec-Fetch-Site": "same-origin"}
    session = site.nobody.post("/api/v1/session", json={"username": USER, "password": password}, headers=page)
    secrets.plant("session cookie", session.cookies[PLAIN_NAME])
    site.nobody.cookies.clear()
    headers = bearer(renewed["access_token"])
    body = {"current_password": secrets.made_up("wrong current password"), "new_password": password}
    assert not site.send("PUT", "/api/auth/password", client=site.nobody, headers=headers, json=body).is_success
    cookies = {"Cookie": f"{PLAIN_NAME}={session.cookies[PLAIN_NAME]}", **page}
    assert site.send("DELETE", "/api/v1/session", client=site.nobody, headers=cookies).is_success


def accounts_are_misused(site: Site) -> None:
    """Log-ins, tokens and keys that are rejected, in every place of a request."""
    guess = site.secrets.made_up("guess")
    word = site.secrets.plant("guessed word", "Gu3ssedW0rd")
    for body in (
        {"username": USER, "password": guess},
        {"username": guess, "password": guess},
        {"username": USER, "password": [guess]},
        {"username": USER, "password": {"": guess}},
        {"username": USER, "password": guess * 100},
        {"username": [USER], "password": guess, "pasword": guess},
        guess,
        [guess],
    ):
        for path in ("/api/auth/login-json", "/api/v1/auth/login", "/api/v1/session", "/api/auth/refresh"):
            headers = {"Sec-Fetch-Site": "same-origin"}
            assert not site.send("POST", path, client=site.nobody, json=body, headers=headers).is_success
    site.send("POST", "/api/auth/login-json", client=site.nobody, data={"username": USER, "password": guess})
    for body in ({"refresh_token": guess}, {"refresh_token": [guess]}):
        site.send("POST", "/api/auth/logout", client=site.nobody, json=body)
        site.send("POST", "/api/auth/reset-password", client=site.nobody, json=body)
    for body in ({"password": guess}, {"username": USER, "password": guess}, {"username": "x y", "password": guess}):
        site.send("POST", "/api/v1/users", json={"role": "viewer"} | body)
    site.send("POST", "/api/v1/users", json={"username": "secrets-other", "role": "viewer", "password": word[:5]})
    for headers in (
        {"Authorization": f"Bearer {word}"},
        {"Authorization": f"Bearer vdk_{word}"},
        {"Authorization": f"Basic {b64encode(f'{USER}:{word}'.encode()).decode()}"},
        {"X-API-Key": word},
        {"Cookie": f"{PLAIN_NAME}={word}"},
        {"If-None-Match": "x", "Authorization": word},
    ):
        site.send("GET", "/api/v1/cameras", client=site.nobody, headers=headers)
    for name in ("api_key", "access_token", "token", "password"):
        assert site.send("GET", f"/api/v1/cameras?{name}={word}").status_code == 422


def commands_fail(site: Site) -> None:
    """The command-line programs with wrong passwords, addresses and files."""
    secrets, password = site.secrets, site.secrets.made_up("database password")
    port = httpx.URL(site.database).port
    quoted = site.database.replace(str(httpx.URL(site.database).password), "Pl4ntedDatabasePassword")
    for url in (quoted, f"postgresql://vedette:{password}@127.0.0.1:{port}/vedette", f"postgresql:{password}"):
        variables = {"DATABASE_URL": url}
        assert site.run(lambda given, at=variables: admin_main(given, variables=at), "user", "list")
        assert site.run(lambda given, at=variables: plates_main(given, variables=at), "status")
        assert site.run(lambda given, at=variables: admin_main(given, variables=at), "adopt", url)
    state = ("--state", str(site.stack.state.path))
    create = ("user", "create", USER, "--role", "viewer", "--password-stdin", *state)
    for stdin in (secrets.made_up("user password"), "Pl4nt"):
        assert site.run(admin_main, *create, stdin=stdin)
    assert site.run(local_main, "logs", "-n", "100000", *state) == 0
    site.run(local_main, "status", "--json", *state)
    config = site.folder / "bad.toml"
    rejected = secrets.made_up("password of agent.toml").replace("\\", "").replace('"', "")
    head = f'site_id = "a"\ndevice_id = "b"\nstate_dir = "{site.folder / "bad"}"\n'
    for tail in (
        f'[mqtt]\nhost = "mqtt://agent:{rejected}@127.0.0.1"\n',
        f'[mqtt]\nhost = "h"\npassword = "{rejected}"\n',
        f'[mqtt]\nhost = "h"\n[[cameras]]\nid = "c"\nmodel.name = "none"\nsource = "rtsp://v:{rejected}@/x"\n',
        f'[mqtt]\nhost = "h"\n[[cameras]]\nid = "c"\nmodel.name = "none"\nsource = ["rtsp://v:{rejected}@127.0.0.1/x"]\n',
        f'[mqtt]\nhost = "h"\n[[cameras]]\nid = "c"\nmodel.name = "none"\nsource = rtsp://v:{rejected}@127.0.0.1/x\n',
        f'[mqtt]\nhost = "h"\n[[cameras]]\nid = "c"\nmodel.name = "none"\nsource = "rtsp://v:{rejected}@127.0.0.1:1/x"\n',
    ):
        config.write_text(head + tail, encoding="utf-8")
        site.run(edge_main, "check", "--config", str(config))
    config.unlink()
    with pytest.raises(ConfigurationError) as raised:
        build_fanout({"REDIS_URL": f"redis//:{secrets.made_up('Redis password')}@127.0.0.1"})
    site.output.append(str(raised.value).encode())


def the_database_fails(site: Site) -> None:
    """A constraint, a column that is missing, and a server that was killed: requests with secrets get errors."""
    password = site.secrets.made_up("password during a failure")
    camera = {"name": "Never", "rtsp_url": "rtsp://127.0.0.1/never", "username": "v", "password": password} | SCENE
    login = {"username": USER, "password": password}
    with psycopg.connect(site.database, autocommit=True) as connection:
        connection.execute("ALTER TABLE cameras ADD CONSTRAINT secrets_never CHECK (name <> 'Never') NOT VALID")
        assert site.send("POST", "/api/v1/cameras", json=camera).status_code >= 422
        connection.execute("ALTER TABLE cameras DROP CONSTRAINT secrets_never")
        connection.execute("ALTER TABLE users RENAME COLUMN password_hash TO secrets_hash")
        try:
            assert site.send("POST", "/api/auth/login-json", client=site.nobody, json=login).status_code == 500
            assert site.send("POST", "/api/v1/users", json=login | {"role": "viewer"}).status_code == 500
        finally:
            connection.execute("ALTER TABLE users RENAME COLUMN secrets_hash TO password_hash")
    os.kill(site.stack.pid_of("postgres"), signal.SIGKILL)
    assert site.send("POST", "/api/auth/login-json", client=site.nobody, json=login).status_code == 503
    site.send("POST", "/api/v1/cameras", json=camera)
    site.send("POST", "/api/auth/refresh", client=site.nobody, json={"refresh_token": password})
    assert site.agent.pid is not None
    os.kill(site.agent.pid, signal.SIGSEGV)
    assert site.stack.until(lambda: site.api.get("/api/v1/cameras").is_success)
    assert site.stack.until(lambda: not site.agent.alive)
    site.agent.start()


def keys_are_planted(site: Site) -> None:
    """Register the keys and passwords that the system made for itself."""
    secrets, state = site.secrets, site.stack.state.path
    setting = site.stack.stack.environment["PLATE_MASTER_KEY"]
    keys = master_keys(setting)
    variables = {"DATABASE_URL": site.database, "PLATE_MASTER_KEY": setting}
    assert site.run(lambda given: plates_main(given, variables=variables), "protect", PROTECTED) == 0
    assert site.run(lambda given: plates_main(given, variables=variables), "status") == 0
    for line in (state / "master.key").read_text(encoding="ascii").splitlines():
        if not line.startswith("#"):
            secrets.plant_bytes("master key", b64decode(line.split()[1]))
    with psycopg.connect(site.database) as connection:
        for name, query, context in WRAPPED_KEYS:
            for wrapped, by, site_id in connection.execute(query):
                secrets.plant_bytes(name, unwrapped(keys, wrapped, by, context or site_id))
    secrets.plant_bytes("device's key", b64decode((site.folder / "agent" / "device.key").read_bytes()))
    secrets.plant("database's password", str(httpx.URL(site.database).password))


def unwrapped(keys: MasterKeys, wrapped: bytes, wrapped_by: str, context: str) -> bytes:
    return keys.unwrap(WrappedKey(bytes(wrapped), wrapped_by), context)


WRAPPED_KEYS: tuple[tuple[str, LiteralString, str | None], ...] = (
    ("plate key", "SELECT wrapped_key, wrapped_by, site_id FROM site_keys", None),
    ("key of camera passwords", "SELECT wrapped_key, wrapped_by, '' FROM camera_keys", CAMERA_CONTEXT),
    ("signing key", "SELECT private_key, wrapped_by, '' FROM signing_keys", SIGNING_CONTEXT),
)
MARKERS = {
    "file logs/api.log": b"secrets_never",
    "file logs/postgres.log": b"secrets_never",
    "agent logs/agent.log": b"camera wrong",
    "agent agent/": CAMERA.encode(),
    "table cameras": CAMERA.encode(),
    "table audit_log": CAMERA.encode(),
    "table commands": CAMERA.encode(),
    "GET /api/cameras/export": CAMERA.encode(),
    "GET /api/v1/audit": CAMERA.encode(),
    "GET /api/commands/{command}": CAMERA.encode(),
    "GET /api/events": CAMERA.encode(),
    "MQTT": CAMERA.encode(),
    "Redis": CAMERA.encode(),
    "file objects/": CAMERA.encode(),
    "command lines": b"edge_agent",
    "answers": b"invalid-parameter",
    "output": b"already",
}
"""A text that is in each kind of place, by the beginning of the place's name."""


def collected(site: Site) -> Iterator[tuple[str, bytes]]:
    """Yield everything that must hold no secret, with its name."""
    with psycopg.connect(site.database) as connection:
        row = connection.execute("SELECT id::text FROM commands WHERE device_id = %s", [DEVICE]).fetchone()
        event = connection.execute("SELECT id FROM events WHERE device_id = %s", [DEVICE]).fetchone()
        snapshot = connection.execute("SELECT id FROM camera_snapshots WHERE device_id = %s", [DEVICE]).fetchone()
    assert row is not None
    assert event is not None
    assert snapshot is not None
    known = {"command": row[0], "event": str(event[0]), "snapshot_id": str(snapshot[0]), "user": USER}
    known |= {"camera": CAMERA, "camera_id": CAMERA, "device_id": DEVICE, "device": DEVICE}
    yield from get_answers(site.api, PLACEHOLDERS | known)
    yield "GET /api/v1/cameras/export as JSON", full_answer(site.api.get("/api/v1/cameras/export?format=json"))
    yield "GET /api/v1/audit", full_answer(site.api.get("/api/v1/audit?page_size=500"))
    yield "answers", b"\n".join(site.answers)
    yield "output", b"\n".join(site.output)
    yield from table_texts(site.database)
    state, agent = site.stack.state.path, site.folder
    yield from files_below(state, without=[state / "postgres" / "data", *secret_files(site)])
    for name, content in files_below(agent, without=secret_files(site)):
        yield name.replace("file", "agent", 1), content
    yield "MQTT", site.mqtt.content
    yield "Redis", site.redis.content
    yield "command lines", command_lines()


def secret_files(site: Site) -> list[Path]:
    """Return the files that are documented to hold secrets."""
    state = site.stack.state.path
    own = [state / "postgres" / "password", state / "master.key"]
    return [*own, site.folder / "agent" / "device.key", site.folder / "mqtt-password"]


def secrets_are_in_their_places(site: Site) -> None:
    """The documented files are private, and the search finds the secrets that are in them and in an export."""
    for path in secret_files(site):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    let_out = full_answer(site.api.get("/api/v1/cameras/export?include_credentials=true"))
    found = {leak.partition(" in ")[0] for leak in site.secrets.leaks({"export": let_out})}
    assert {"camera password", "imported password", "imported address", "wrong camera password"} <= found
    for path in secret_files(site):
        assert site.secrets.leaks({"file": path.read_bytes()}), path
