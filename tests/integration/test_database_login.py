"""Log-in with IAM tokens over verified TLS, and sessions that the server ends, on a real PostgreSQL."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from cloud_functions.db.connect import Database
from cloud_functions.settings import DatabaseSettings, Environment
from infra.local.servers.postgres import PostgresBinaries, PostgresServer
from shared.errors import TransientError
from tests.support.certificates import TestAuthority
from tests.support.ports import reserve_port
from tests.support.waiting import eventually

ROLE = "token_reader"


class Tokens:
    """Stands for AWS: each token is valid until the next one is made. RDS's tokens are that long, with such signs."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.requests: list[dict[str, Any]] = []

    def client(self, service: str) -> Tokens:
        assert service == "rds"
        return self

    def generate_db_auth_token(self, **request: Any) -> str:
        self.requests.append(request)
        token = f"host:5432/?Action=connect&DBUser={ROLE}&X-Amz-Credential=A%2Fb' {len(self.requests)}"
        statement = sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(ROLE), token)
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(statement)
        return token


@pytest.fixture
def authority(tmp_path: Path) -> TestAuthority:
    return TestAuthority(tmp_path)


@pytest.fixture
def tls_url(tmp_path: Path, authority: TestAuthority) -> Iterator[str]:
    """A server with a certificate for 127.0.0.1, and a role that may log in. The embedded build has no TLS."""
    binaries = PostgresBinaries.system()
    if binaries is None:
        pytest.skip("needs a PostgreSQL of the system, whose build has TLS")
    folder = Path(tempfile.mkdtemp(prefix="vedette-tls-"))
    server = PostgresServer(folder=folder, binaries=binaries, port=reserve_port(), durable=False)
    try:
        server.start()
        data = server.folder / "data"
        for path, name in zip(authority.issue("server"), ("server.crt", "server.key"), strict=True):
            (data / name).write_bytes(path.read_bytes())
            (data / name).chmod(0o600)
            os.chown(data / name, data.stat().st_uid, data.stat().st_gid)
        with psycopg.connect(server.url_of("postgres"), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET ssl = on")
            connection.execute("SELECT pg_reload_conf()")
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(ROLE)))
            eventually(lambda: connection.execute("SHOW ssl").fetchone() == ("on",))
        yield server.url_of("postgres")
    finally:
        server.process.stop()
        shutil.rmtree(folder)


def _settings(url: str, **variables: str) -> DatabaseSettings:
    parts = conninfo_to_dict(url)
    given = {
        "DATABASE_IAM_AUTH": "true",
        "DATABASE_HOST": "127.0.0.1",
        "DATABASE_PORT": str(parts["port"]),
        "DATABASE_NAME": str(parts["dbname"]),
        "DATABASE_USER": ROLE,
    }
    return DatabaseSettings.from_environment(Environment(given | variables))


def test_each_connection_has_a_new_token_over_verified_tls(tls_url: str, authority: TestAuthority) -> None:
    """A token is valid for 15 minutes, so it is not kept; naming the authority is enough to check the server."""
    settings = _settings(tls_url, DATABASE_SSL_ROOT_CERT=str(authority.ca_file))
    assert settings.ssl_mode == "verify-full"
    tokens: Any = Tokens(tls_url)
    database = Database.from_settings(settings, aws=tokens)
    for number in (1, 2):
        with database.transaction() as connection:
            row = connection.execute(
                "SELECT current_user, ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
            ).fetchone()
        assert row == (ROLE, True)
        assert len(tokens.requests) == number
        database.close()
    assert tokens.requests[0] == {"DBHostname": "127.0.0.1", "Port": settings.port, "DBUsername": ROLE}


def test_a_server_that_cannot_prove_its_name_gets_no_connection(
    tls_url: str, authority: TestAuthority, tmp_path: Path
) -> None:
    """Neither one with a certificate of another authority, nor one with a certificate for another name."""
    (tmp_path / "other").mkdir()
    other = TestAuthority(tmp_path / "other")
    tokens: Any = Tokens(tls_url)
    for variables in (
        {"DATABASE_SSL_ROOT_CERT": str(other.ca_file)},
        {"DATABASE_SSL_ROOT_CERT": str(authority.ca_file), "DATABASE_HOST": "localhost"},
    ):
        database = Database.from_settings(_settings(tls_url, **variables), aws=tokens)
        with pytest.raises(TransientError, match="certificate"), database.transaction():
            pass


def test_the_server_ends_an_idle_session_and_the_next_transaction_opens_another(database_url: str) -> None:
    """A frozen process closes nothing, and an open connection keeps a database awake."""
    variables = {"DATABASE_URL": database_url, "DATABASE_IDLE_SESSION_TIMEOUT_S": "1"}
    database = Database.from_settings(DatabaseSettings.from_environment(Environment(variables)))
    with database.transaction() as connection:
        first = connection.info.backend_pid
        assert connection.execute("SHOW idle_session_timeout").fetchone() == ("1s",)
    with psycopg.connect(database_url, autocommit=True) as other:
        query = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s"
        eventually(lambda: other.execute(query, [first]).fetchone() == (0,))
    with database.transaction() as connection:
        assert connection.info.backend_pid != first
    database.close()
