"""The command ``vedette-local`` with real processes and one state folder, which leaves no process running."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import httpx
import psycopg
import pytest

from infra.local import cli
from infra.local.aws.resources import BUCKET
from infra.local.processes.identity import NOBODY
from infra.local.processes.process import PidFile, ProcessIdentity, wait_until
from infra.local.servers.postgres import DATABASE, cluster_url
from tests.support import old_systems
from tests.support.backing_services import BrokerFixture, PostgresFixture
from tests.support.ports import reserve_port
from tests.support.users import log_in

ROOT = Path(__file__).resolve().parents[2]
PARTS = {"redis", "broker", "postgres", "api", "aws", "iot_rule", "schedule"}
ADMIN = re.compile(r"^  admin    (\S+) / (\S+)$", re.MULTILINE)


class Stack:
    """The command with a fixed state folder."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.port = reserve_port()

    def run(self, *arguments: str, prefix: Sequence[str] = (), **variables: str) -> subprocess.CompletedProcess[str]:
        command = [*prefix, sys.executable, "-m", "infra.local.cli", *arguments, "--state", str(self.state)]
        environment = {**os.environ, **variables}
        return subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120
        )

    def up(self, *more: str, **variables: str) -> str:
        done = self.run("up", "--port", str(self.port), *more, **variables)
        assert done.returncode == 0, done.stderr
        assert f"http://127.0.0.1:{self.port}/docs" in done.stdout
        return done.stdout

    def status(self) -> dict[str, Any]:
        return json.loads(self.run("status", "--json").stdout)

    def pids(self) -> dict[str, int]:
        return {name: part["pid"] for name, part in self.status()["parts"].items()}

    def pid_file(self, name: str) -> int | None:
        """Return the pid in a part's pid file, if that process still runs."""
        identity = PidFile(self.state / "run" / f"{name}.pid").read()
        return identity.pid if identity is not None and identity.alive else None

    def identities(self) -> list[ProcessIdentity]:
        """Return the identities of all running processes, including the functions and the supervisor."""
        pids = [json.loads(path.read_text())["pid"] for path in (self.state / "run").glob("*.pid")]
        return [identity for pid in pids if (identity := ProcessIdentity.of(pid))]

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=20) as answer:
            return json.loads(answer.read())

    def database_url(self) -> str:
        return cluster_url(self.state / "postgres", port=self._port("postgres"), database=DATABASE)

    def s3(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self._port('aws')}",
            region_name="eu-central-1",
            aws_access_key_id="x",
            aws_secret_access_key="x",
        )

    def _port(self, name: str) -> int:
        return int(json.loads((self.state / "ports.json").read_text())[name])


@contextmanager
def new_stack() -> Generator[Stack]:
    folder = Path(tempfile.mkdtemp(prefix="vedette-cli-"))
    folder.chmod(0o755)
    running = Stack(folder)
    yield running
    if running.pid_file("supervisor"):
        running.run("down")
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def stack() -> Iterator[Stack]:
    """A stack that is not started."""
    with new_stack() as stack:
        yield stack


class SharedStack(NamedTuple):
    """A running stack, and what its first start has printed."""

    stack: Stack
    first_output: str


@pytest.fixture(scope="module")
def shared() -> Iterator[SharedStack]:
    """One stack for the tests of the group ``stack-cli``, which leave it running. A start takes ten seconds."""
    with new_stack() as stack:
        yield SharedStack(stack, stack.up())


def test_stack_starts_recovers_stops_and_resets(stack: Stack) -> None:
    """``up`` is idempotent, a killed part or supervisor is replaced and data kept, then ``down`` and ``reset`` work."""
    stack.up()
    status = stack.status()
    assert (status["ready"], set(status["parts"])) == (True, PARTS)
    pids = stack.pids()
    stack.up()
    assert stack.pids() == pids
    assert stack.get("/health")["status"] == "ok"
    assert stack.get("/api/events")["total"] == 0
    with psycopg.connect(stack.database_url()) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS number")
    s3 = stack.s3()
    s3.put_object(Bucket=BUCKET, Key="a/picture.jpg", Body=b"picture")
    os.kill(pids["redis"], signal.SIGKILL)
    assert wait_until(lambda: stack.pid_file("redis") not in {None, pids["redis"]}, timeout_s=20)

    running = stack.identities()
    supervisor = stack.pid_file("supervisor")
    assert supervisor is not None
    os.kill(supervisor, signal.SIGKILL)
    assert wait_until(lambda: not [identity for identity in running if identity.alive], timeout_s=20)
    assert stack.run("status").returncode == 3
    assert stack.status()["phase"] == "crashed"
    stack.up()
    assert stack.status()["ready"]
    with psycopg.connect(stack.database_url()) as connection:
        assert connection.execute("SELECT number FROM kept").fetchall() == [(1,)]
    assert s3.get_object(Bucket=BUCKET, Key="a/picture.jpg")["Body"].read() == b"picture"
    s3.close()

    running = stack.identities()
    assert len(running) >= len(PARTS) + 2
    assert stack.run("down").stdout.strip() == "stopped"
    assert not [identity for identity in running if identity.alive]
    assert stack.run("down").stdout.strip() == "nothing was running"
    assert stack.run("logs", "postgres", "--lines", "5").stdout.startswith("== postgres ==")
    assert stack.run("reset", "--yes").returncode == 0
    assert not stack.state.exists()
    assert stack.run("reset", "--yes").stdout.strip() == "there is nothing to reset"


def test_the_variables_of_redis_and_snapshots_are_obeyed(stack: Stack, tmp_path: Path) -> None:
    """Redis is where REDIS_PORT says, and objects are in SNAPSHOTS_DIR, also after a start without the variables.

    Another SNAPSHOTS_DIR is refused: objects would be left behind. ``reset`` keeps the folder. A database without
    users, as API_AUTHENTICATION=gateway and an earlier release leave it, gets the admin at its next start.
    """
    port, folder = reserve_port(), tmp_path / "snapshots"
    folder.mkdir()
    variables = {"REDIS_PORT": str(port), "SNAPSHOTS_DIR": str(folder), "ENABLE_SNAPSHOTS": "true"}
    assert ADMIN.search(stack.up(API_AUTHENTICATION="gateway", **variables)) is None
    assert stack.get("/api/auth/me")["permissions"] != []
    stack.s3().put_object(Bucket=BUCKET, Key="a/picture.jpg", Body=b"picture")
    assert (folder / BUCKET / "a" / "picture.jpg").read_bytes() == b"picture"
    elsewhere = {"SNAPSHOTS_DIR": str(tmp_path / "elsewhere")}
    assert "another SNAPSHOTS_DIR" in stack.run("up", "--port", str(stack.port), **elsewhere).stderr
    closed = stack.run("up", "--port", str(stack.port), ANONYMOUS_ROLE="", CORS_ORIGINS="https://app.example")
    assert (closed.returncode, "with another ANONYMOUS_ROLE and another CORS_ORIGINS:" in closed.stderr) == (2, True)
    assert "without effect" not in stack.run("logs", "api").stdout
    stack.run("down")
    done = stack.run("up", "--port", str(stack.port), **elsewhere)
    assert (done.returncode, "not moved by themselves" in done.stderr) == (2, True)
    assert ADMIN.search(stack.up()) is not None
    command = [sys.executable, "-m", "infra.admin.cli", "user", "reset", "admin", "--state", str(stack.state)]
    reset = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    password = reset.stdout.rpartition("password: ")[2].strip()
    assert log_in(f"http://127.0.0.1:{stack.port}", "admin", password)
    assert stack.status()["parts"]["redis"]["url"] == f"redis://127.0.0.1:{port}/0"
    assert stack.s3().get_object(Bucket=BUCKET, Key="a/picture.jpg")["Body"].read() == b"picture"
    assert stack.status()["objects"] == str(folder)
    assert f"the snapshots in {folder} are kept" in stack.run("reset", "--yes").stdout
    assert (folder / BUCKET / "a" / "picture.jpg").is_file()


@pytest.mark.xdist_group("stack-cli")
def test_the_first_start_creates_an_admin_and_shows_its_password_once(shared: SharedStack) -> None:
    """It can log in; others may only read. The password is in no file, and no later command shows it."""
    stack = shared.stack
    shown = ADMIN.search(shared.first_output)
    assert shown is not None
    name, password = shown.groups()
    api = f"http://127.0.0.1:{stack.port}"
    headers = log_in(api, name, password)
    assert httpx.get(f"{api}/api/auth/me", headers=headers).json()["user"]["role"] == "admin"
    assert log_in(api, "admin@example.com", password)
    watchlist = {"name": "staff"}
    assert httpx.post(f"{api}/api/plates/watchlists", json=watchlist).status_code == 401
    assert httpx.post(f"{api}/api/plates/watchlists", json=watchlist, headers=headers).status_code == 201
    assert stack.get("/api/plates/watchlists")["watchlists"][0]["name"] == "staff"

    again = stack.up()
    status = stack.run("status").stdout
    for line in ("page     http", "API      http", "Redis    redis://", "MQTT     mqtt://"):
        assert f"\n  {line}" in again
        assert f"\n  {line}" in status
    assert ADMIN.search(again) is None
    stack.run("down")
    restarted = stack.up()
    assert ADMIN.search(restarted) is None
    assert log_in(api, name, password)
    files = [path for path in stack.state.rglob("*") if path.is_file()]
    assert [path for path in files if password.encode() in path.read_bytes()] == []


@pytest.mark.xdist_group("stack-cli")
def test_another_system_is_adopted_by_a_running_stack(shared: SharedStack, tmp_path: Path) -> None:
    """``vedette-admin adopt --state``: events keep their ids, and their pictures are in the stack's bucket."""
    stack = shared.stack
    with psycopg.connect(stack.database_url(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE old_system")
    old_url = f"{stack.database_url().removesuffix(DATABASE)}old_system"
    old_systems.make(old_url, old_systems.PUBLISHED_EVENTS)
    path = "camera-1/2024-03-15/motion_103045_123456.png"
    moment = datetime(2024, 3, 15, 10, 30, 45, 123456)  # noqa: DTZ001 - as the other system stores it
    columns = "event_type, camera_id, timestamp, frame_number, snapshot_path, event_data"
    old_systems.fill(
        old_url, "events", columns, [["motion", "camera-1", moment, 7, path, json.dumps(old_systems.MOTION)]]
    )
    old_systems.save(tmp_path / "snapshots", path, old_systems.png())
    command = [sys.executable, "-m", "infra.admin.cli", "adopt", old_url, "--snapshots", str(tmp_path / "snapshots")]
    done = subprocess.run(
        [*command, "--state", str(stack.state)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "events: 1 rows = 1 stored + 0 refused; agrees" in done.stdout
    assert "pictures: 1 copied, 0 not found" in done.stdout
    assert stack.get("/api/events/1")["snapshot_path"] == path
    with urllib.request.urlopen(f"http://127.0.0.1:{stack.port}/api/events/1/snapshot", timeout=20) as answer:
        assert answer.read() == old_systems.png()


def test_cloud_b8_removed_state_folder_stops_the_stack(stack: Stack) -> None:
    """``rm -rf`` of the folder while the stack runs ends every process, and the next ``up`` starts an empty stack."""
    stack.up()
    running = stack.identities()
    assert len(running) > len(PARTS)
    shutil.rmtree(stack.state)
    assert wait_until(lambda: not [identity for identity in running if identity.alive], timeout_s=30)
    assert not stack.state.exists()
    stack.up()
    assert stack.get("/api/events")["total"] == 0


@pytest.mark.xdist_group("stack-cli")
def test_cloud_b9_logs_are_rotated_while_the_stack_runs(shared: SharedStack) -> None:
    """A log above ten megabytes is rotated within seconds, and one copy is kept."""
    log_path = shared.stack.state / "logs" / "api.log"
    with log_path.open("ab") as log_file:
        log_file.write(b"a line\n" * 1_600_000)
    assert wait_until(lambda: log_path.stat().st_size < 1_000_000, timeout_s=20)
    assert log_path.with_suffix(".log.1").stat().st_size > 10_000_000


@pytest.mark.xdist_group("stack-cli")
def test_cloud_c11_other_options_for_a_running_stack_are_refused(shared: SharedStack) -> None:
    """``up --port`` is refused for a stack that runs on another port; without the option ``up`` uses that stack."""
    stack = shared.stack
    done = stack.run("up", "--port", str(reserve_port()))
    assert done.returncode == 2
    assert f"is already running with --port {stack.port}" in done.stderr
    assert stack.run("up").returncode == 0


def test_a_busy_port_is_reported_with_its_process(stack: Stack) -> None:
    """The error names the port, the process that listens on it, and the option to use; no process is left running."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", stack.port))
        holder.listen()
        done = stack.run("up", "--port", str(stack.port))
    assert done.returncode == 2
    assert f"port {stack.port} is held by" in done.stderr
    assert f"(pid {os.getpid()})" in done.stderr
    assert "--port" in done.stderr
    assert not stack.identities()


def test_external_services_are_used(
    stack: Stack, postgres: PostgresFixture, mqtt_broker: BrokerFixture, redis_url: str
) -> None:
    """``--external`` uses the services in the environment variables, migrates the database and starts none of them."""
    url = postgres.server.url_of(postgres.new_database(migrated=False))
    stack.up("--external", DATABASE_URL=url, MQTT_URL=mqtt_broker.url, REDIS_URL=redis_url)
    assert set(stack.status()["parts"]) == {"api", "aws", "iot_rule", "schedule"}
    assert stack.get("/api/events")["total"] == 0
    assert url.split(":")[2].split("@")[0] not in (stack.state / "run" / "stack.json").read_text()


def test_stack_runs_as_an_ordinary_user(stack: Stack) -> None:
    """The stack needs no privileges (as root, the test runs it as uid 65534 in a user namespace)."""
    prefix: list[str] = []
    if os.geteuid() == 0:
        launcher = ROOT / "infra" / "local" / "processes" / "launch.py"
        prefix = [sys.executable, "-I", "-S", str(launcher), str(os.getpid()), "0", f"userns:{NOBODY}"]
    done = stack.run("up", "--port", str(stack.port), prefix=prefix)
    assert done.returncode == 0, done.stderr
    assert stack.get("/health")["status"] == "ok"
    assert stack.run("down", prefix=prefix).stdout.strip() == "stopped"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["up", "--port", "0"], "--port must be from 1 to 65535"),
        (["up", "--external"], "none of them is set"),
        (["demo", "--source", "missing.mp4"], "no file missing.mp4"),
        (["logs", "nobody"], "no log of nobody"),
    ],
)
def test_usage_errors_are_one_line(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exit status is 2, and one line describes the error."""
    for name in ("DATABASE_URL", "REDIS_URL", "MQTT_URL"):
        monkeypatch.delenv(name, raising=False)
    assert cli.main([*arguments, "--state", str(tmp_path / "state")]) == 2
    assert said in capsys.readouterr().err


def test_reset_asks_for_confirmation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Any answer except yes deletes nothing."""
    from infra.local.processes.state_folder import StateFolder

    state = StateFolder(tmp_path / "state")
    state.prepare()
    monkeypatch.setattr("builtins.input", lambda _: "")
    assert cli.main(["reset", "--state", str(state.path)]) == 1
    assert state.exists
    monkeypatch.setattr("builtins.input", lambda _: "y")
    assert cli.main(["reset", "--state", str(state.path)]) == 0
    assert not state.path.exists()


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """``--help`` describes each command."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert all(command in shown for command in ("up", "down", "status", "reset", "demo", "logs"))
