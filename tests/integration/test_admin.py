"""``vedette-admin`` on a real database: what it creates works in the API."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg
import pytest

from cloud_functions.db.migrate import head_revision
from infra.admin.cli import main
from tests.support.users import PASSWORD, users_api

LOGIN = "/api/auth/login-json"
Run = Any


@pytest.fixture
def run(database_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs the command and returns its status, output and errors."""

    def call(*arguments: str, stdin: str = "", variables: dict[str, str] | None = None) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        status = main(arguments, variables={"DATABASE_URL": database_url} if variables is None else variables)
        output = capsys.readouterr()
        return status, output.out, output.err

    return call


def test_the_life_of_a_user(run: Run, database_url: str) -> None:
    """Created, listed, disabled, enabled, reset; each password works from then on and is not printed again."""
    status, out, _ = run("user", "create", "Ana", "--role", "operator", "--password-stdin", stdin=f"{PASSWORD}\n")
    assert (status, out) == (0, "created Ana (operator)\n")
    with users_api(database_url) as api:

        def log_in(password: str) -> int:
            return api.post(LOGIN, {"username": "ana", "password": password}).status

        assert log_in(PASSWORD) == 200
        assert run("user", "disable", "ana")[0] == 0
        assert log_in(PASSWORD) == 401
        assert re.fullmatch(r"Ana\toperator\tall cameras\tdisabled\t20\d\d-\S+Z\n", run("user", "list")[1])
        assert run("user", "enable", "ana")[0] == 0
        status, out, _ = run("user", "reset", "ana")
        generated = out.partition("password: ")[2].strip()
        assert len(generated) >= 20
        assert log_in(PASSWORD) == 401
        assert log_in(generated) == 200


def test_a_key_has_its_scopes_groups_and_end(run: Run, database_url: str) -> None:
    """It is printed alone, so that a script can store it, and works until it is revoked."""
    status, out, _ = run("key", "create", "robot", "--scopes", "events:read,cameras:read", "--expires", "30")
    assert status == 0
    with users_api(database_url) as api:

        def get() -> int:
            return api.call("GET", "/api/events", headers={"x-api-key": out.strip()}).status

        assert get() == 200
        assert run("key", "revoke", "robot")[0] == 0
        assert get() == 401
    with psycopg.connect(database_url) as connection:
        [(scopes, days)] = connection.execute("SELECT scopes, expires_at - created_at FROM api_keys").fetchall()
    assert (scopes, days.days) == (["events:read", "cameras:read"], 30)


def test_groups_must_exist(run: Run, database_url: str) -> None:
    """They are stored by slug; a mistyped one is an error, because it would limit to nothing."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("INSERT INTO camera_groups (id, slug, name) VALUES (gen_random_uuid(), 'north', 'North')")
    assert run("user", "create", "ana", "--role", "viewer", "--groups", "north")[0] == 0
    status, _, err = run("user", "create", "ben", "--role", "viewer", "--groups", "north,south")
    assert status == 2
    assert "no camera group south" in err
    assert [line.split("\t")[:3] for line in run("user", "list")[1].splitlines()] == [["ana", "viewer", "north"]]


@pytest.mark.parametrize(
    ("arguments", "stdin", "status", "message"),
    [
        (["user", "create", "a@b", "--role", "viewer"], "", 2, "a username has"),
        (["user", "create", "ana", "--role", "viewer", "--password-stdin"], "short\n", 2, "12 to 1000 characters"),
        (["user", "create", "ana", "--role", "viewer", "--email", "x"], "", 2, "--email"),
        (["user", "disable", "nobody"], "", 1, "no user nobody"),
        (["user", "reset", "nobody"], "", 1, "no user nobody"),
        (["key", "create", "k", "--scopes", "events:everything"], "", 2, "--scopes takes"),
        (["key", "create", "k", "--scopes", ","], "", 2, "--scopes takes"),
        (["key", "create", "k", "--scopes", "*", "--expires", "0"], "", 2, "--expires"),
        (["key", "revoke", "k"], "", 1, "no API key k"),
        (["migrate", "down"], "", 2, "requires a revision"),
        (["migrate", "up", "9999"], "", 2, "9999"),
        (["migrate", "pending", "0001"], "", 2, "takes no revision"),
        (["migrate", "up", "--wait", "-1"], "", 2, "--wait must be"),
    ],
)
def test_an_error_is_one_line(run: Run, arguments: list[str], stdin: str, status: int, message: str) -> None:
    """On stderr, with nothing on stdout."""
    result = run(*arguments, stdin=stdin)
    assert result[:2] == (status, "")
    assert message in result[2]
    assert result[2].count("\n") == 1


ADMIN = f'"{sys.executable}" -m infra.admin.cli'


@pytest.mark.parametrize(
    ("line", "status", "message"),
    [
        (f"{ADMIN} user create ana --role admin --password-stdin <&-", 2, "there is no password on standard input"),
        (rf"printf '\xff234567890123\n' | {ADMIN} user create ana --role admin --password-stdin", 2, "is not UTF-8"),
        (f"{ADMIN} user create ana --role admin >&-", 2, "standard output is closed"),
        (f"{ADMIN} key create robot --scopes '*' >/dev/full", 1, "cannot write the output: No space left on device"),
        (f"{ADMIN} migrate current | true; exit ${{PIPESTATUS[0]}}", 1, ""),
    ],
)
def test_streams_that_cannot_be_used(database_url: str, line: str, status: int, message: str) -> None:
    """At most one line on stderr; nobody gets a password that is unknown."""
    environment = {**os.environ, "DATABASE_URL": database_url}
    result = subprocess.run(["bash", "-c", line], env=environment, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (status, "")
    assert message in result.stderr
    assert result.stderr.count("\n") == (1 if message else 0)
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT count(*) FROM users").fetchone() == (0,)


def test_names_are_taken_once(run: Run) -> None:
    """Regardless of case, for users and for keys."""
    assert run("user", "create", "ana", "--role", "viewer")[0] == 0
    assert run("user", "create", "ANA", "--role", "viewer")[::2] == (
        1,
        "vedette-admin: another user has this username or email\n",
    )
    assert run("key", "create", "robot", "--scopes", "*")[0] == 0
    assert run("key", "create", "Robot", "--scopes", "*")[0] == 1


def test_migrations(run: Run, database_url: str) -> None:
    """Down to a revision, which says what is lost and wants a confirmation, and up to the newest one."""
    assert run("migrate", "current")[1].strip() == head_revision()
    assert run("migrate", "pending")[1] == ""
    assert run("user", "create", "ana", "--role", "viewer")[0] == 0
    status, out, err = run("migrate", "down", "0013")
    assert (status, out) == (2, "")
    assert "  table users (1 rows)\n" in err
    assert "  column retry_until of expired_pictures\n" in err
    assert err.endswith("nothing was changed: repeat it with --yes to confirm\n")
    assert run("migrate", "current")[1].strip() == head_revision()
    assert run("migrate", "down", "0013", "--yes")[1] == "0013\n"
    pending = run("migrate", "pending")[1].splitlines()
    assert [line[:4] for line in pending] == [f"{number:04}" for number in range(14, int(head_revision()) + 1)]
    assert "0026  Webhooks, and what is delivered to each of them." in pending
    assert run("migrate", "up")[1].strip() == head_revision()
    assert run("user", "list")[1] == ""


def test_a_migration_that_waits_names_who_holds_the_lock(run: Run, database_url: str) -> None:
    """``--wait`` bounds the wait; nothing is changed, and the error is one line without the password."""
    with psycopg.connect(database_url, application_name="nightly-report") as reader:
        reader.execute("LOCK TABLE alembic_version IN SHARE MODE")  # each migration writes its revision there
        status, out, err = run("migrate", "down", f"{int(head_revision()) - 1:04}", "--yes", "--wait", "0.3")
    assert (status, out) == (1, "")
    assert "(nightly-report, 127.0.0.1" in err
    assert err.count("\n") == 1
    assert run("migrate", "current")[1].strip() == head_revision()


def test_the_database_of_a_stack(run: Run, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its address is in the state folder; without a stack and without DATABASE_URL it is an error."""
    parts = urlsplit(database_url)
    monkeypatch.setattr("infra.admin.database.DATABASE", parts.path[1:])
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres/password").write_text(unquote(parts.password or "") + "\n", encoding="ascii")
    (tmp_path / "ports.json").write_text(json.dumps({"postgres": parts.port}), encoding="utf-8")
    state = ("--state", str(tmp_path))
    assert run("user", "create", "ana", "--role", "admin", *state, variables={})[0] == 0
    assert run("user", "list")[1].startswith("ana\tadmin")
    assert run("user", "list", "--state", str(tmp_path / "other"), variables={})[0] == 2
    assert "DATABASE_URL is not set" in run("user", "list", variables={})[2]
