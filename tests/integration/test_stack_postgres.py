"""The one-machine stack's PostgreSQL and its ports, with real processes."""

from __future__ import annotations

import json
import os
import shutil
import socket
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from infra.local.processes import identity
from infra.local.processes.identity import choose_identity
from infra.local.processes.ports import LOOPBACK
from infra.local.processes.stack_options import StackOptions
from infra.local.processes.state_folder import StateFolder
from infra.local.servers.postgres import DATABASE, PostgresBinaries, PostgresServer
from infra.local.stack import Stack
from shared.errors import ConfigurationError
from tests.support.ports import reserve_port


class FolderWithTakenPort(StateFolder):
    """A state folder whose first choice for the database is a port that another program has just taken."""

    taken: int = 0

    def ports(self, names: list[str], **choices: Any) -> dict[str, int]:
        chosen = super().ports(names, **choices)
        if self.taken:
            chosen["postgres"], self.taken = self.taken, 0
        return chosen


def test_a_port_taken_during_startup_is_replaced(service_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The stack starts with other ports when another program takes one of its ports after it was chosen."""
    state = FolderWithTakenPort(service_folder / "stack-with-taken-port")
    state.prepare()
    stack = Stack(state=state, options=StackOptions(api_port=reserve_port()))
    with socket.create_server((LOOPBACK, 0)) as program:
        state.taken = program_port = program.getsockname()[1]
        stack.start()
        try:
            assert urlsplit(stack.urls["database"]).port != program_port
            with urllib.request.urlopen(f"{stack.urls['api']}/api/events") as response:
                assert json.loads(response.read())["total"] == 0
        finally:
            stack.stop()
    assert f"another process has taken port [{program_port}]" in caplog.text


@pytest.fixture(params=["embedded", "system"])
def binaries(request: pytest.FixtureRequest) -> PostgresBinaries:
    """Each usable set of PostgreSQL binaries; the system's only if it is new enough."""
    if request.param == "system" and PostgresBinaries.system() is None:
        return PostgresBinaries.choose("embedded")
    return PostgresBinaries.choose(request.param)


@pytest.fixture
def open_folder(service_folder: Path, request: pytest.FixtureRequest) -> Path:
    """A folder for this test that other users may enter."""
    name = "".join(letter if letter.isalnum() else "-" for letter in request.node.name)
    folder = service_folder / name
    folder.mkdir()
    return folder


def _count(server: PostgresServer) -> int:
    with psycopg.connect(server.url_of(DATABASE)) as connection:
        row = connection.execute("SELECT count(*) FROM kept").fetchone()
    assert row is not None
    return int(row[0])


def test_data_survives_stop_kill_and_a_lost_supervisor(open_folder: Path, binaries: PostgresBinaries) -> None:
    """Committed data survives every kind of end; the password does not change, and only the owner can read its file."""
    server = PostgresServer(folder=open_folder, binaries=binaries, port=reserve_port())
    server.start()
    server.create_database(DATABASE)
    server.create_database(DATABASE)  # a second call has no effect
    url = server.url_of(DATABASE)
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS number")
    server.kill()
    server.start()
    assert _count(server) == 1
    # As after a lost supervisor: the pid file is missing and the server still runs.
    (open_folder / "run" / "postgres.pid").unlink()
    other = PostgresServer(folder=open_folder, binaries=binaries, port=server.port)
    other.start()
    assert not server.process.alive
    assert other.url_of(DATABASE) == url
    assert _count(other) == 1
    assert (open_folder / "postgres" / "password").stat().st_mode & 0o777 == 0o600
    other.stop()


def test_cloud_29_state_folder_may_have_any_characters(open_folder: Path, binaries: PostgresBinaries) -> None:
    """The path may contain blanks, quotes and letters of any alphabet; the server restarts there after a kill."""
    folder = open_folder / "Straße \"7\" 名前 'x'"
    folder.mkdir()
    server = PostgresServer(folder=folder, binaries=binaries, durable=False, port=reserve_port())
    server.start()
    try:
        server.create_database(DATABASE)
        server.kill()
        server.begin_again()
        server.wait_ready()
        with psycopg.connect(server.url_of(DATABASE)) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    finally:
        server.stop()


def test_cloud_b8_removed_database_is_not_recreated_silently(open_folder: Path, binaries: PostgresBinaries) -> None:
    """An empty database would look like lost events, so the supervisor stops with an error that names the folder."""
    server = PostgresServer(folder=open_folder, binaries=binaries, durable=False, port=reserve_port())
    server.start()
    server.kill()
    shutil.rmtree(server.folder)
    with pytest.raises(ConfigurationError, match="was removed while it ran"):
        server.begin_again()
    assert not server.folder.exists()


def test_a_password_is_required(open_folder: Path, binaries: PostgresBinaries) -> None:
    """A wrong password is refused."""
    server = PostgresServer(folder=open_folder, binaries=binaries, port=reserve_port())
    server.start()
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(f"postgresql://vedette:wrong@127.0.0.1:{server.port}/postgres")
    server.stop()


def test_a_stale_lock_file_does_not_prevent_the_start(open_folder: Path, binaries: PostgresBinaries) -> None:
    """After a crash the pid in PostgreSQL's lock file may be that of another process."""
    server = PostgresServer(folder=open_folder, binaries=binaries, port=reserve_port())
    server.start()
    server.kill()
    lock = open_folder / "postgres" / "data" / "postmaster.pid"
    lines = lock.read_text(encoding="ascii").splitlines()
    lock.write_text("\n".join([str(os.getpid()), *lines[1:], ""]), encoding="ascii")
    server.start()
    server.stop()


def test_data_of_another_version_is_reported_and_not_changed(open_folder: Path, binaries: PostgresBinaries) -> None:
    """The error names both versions and a solution."""
    data = open_folder / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("9\n", encoding="ascii")
    with pytest.raises(ConfigurationError, match=rf"created by PostgreSQL 9, but this is {binaries.version}"):
        PostgresServer(folder=open_folder, binaries=binaries, port=reserve_port()).start()


def test_incomplete_clusters_are_recreated(open_folder: Path, binaries: PostgresBinaries) -> None:
    """An interrupted initdb does not prevent the next start."""
    (open_folder / "postgres" / "data.new").mkdir(parents=True)
    (open_folder / "postgres" / "data.new" / "PG_VERSION").write_text("1\n", encoding="ascii")
    server = PostgresServer(folder=open_folder, binaries=binaries, port=reserve_port())
    server.start()
    server.stop()


def test_root_in_a_closed_folder_uses_a_user_namespace(tmp_path: Path, binaries: PostgresBinaries) -> None:
    """The server also runs in a folder that only its owner may enter, such as one in /root."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    expected = "userns:65534" if os.geteuid() == 0 else "same"
    assert choose_identity(binaries=binaries.folder, state=closed) == expected
    server = PostgresServer(folder=closed, binaries=binaries, port=reserve_port())
    server.start()
    server.create_database(DATABASE)
    server.stop()


def test_without_namespace_and_access_the_error_gives_solutions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without user namespaces and access to the folder, the error suggests another folder or another user."""
    monkeypatch.setattr(identity.os, "geteuid", lambda: 0)
    monkeypatch.setattr(identity, "_launcher_works", lambda _: False)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(ConfigurationError, match="--state /var/tmp/vedette"):
        choose_identity(binaries=Path("/usr"), state=closed)


def test_missing_binaries_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder has no binaries; the error for a system without PostgreSQL names the package to install."""
    assert PostgresBinaries.at(tmp_path) is None
    monkeypatch.setattr(PostgresBinaries, "system", classmethod(lambda _: None))
    with pytest.raises(ConfigurationError, match="version 15 or newer"):
        PostgresBinaries.choose("system")
