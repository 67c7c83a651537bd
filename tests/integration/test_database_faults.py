"""Connections when the server becomes read-only, is restarted, freezes or fails over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from cloud_functions.db.connect import ConnectionLostError, Database, connect_to, connector
from cloud_functions.db.stalled_sessions import terminate_stalled_copies
from cloud_functions.settings import DatabaseSettings, Environment
from infra.local.servers.postgres import PostgresBinaries, PostgresServer
from shared.clock import ManualClock
from shared.errors import ConfigurationError, PermanentError, TransientError
from tests.support.backing_services import PostgresFixture
from tests.support.ingest_harness import IngestHarness, open_ingest, rows
from tests.support.ports import reserve_port
from tests.support.waiting import eventually
from tests.support.wire_events import batch, failures, wire_event


def set_read_only(url: str, value: str) -> None:
    """Make the server refuse writes, as a demoted node does, or accept them again."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}".encode())
        connection.execute("SELECT pg_reload_conf()")


@pytest.fixture
def read_only(postgres: PostgresFixture, database_url: str) -> Iterator[str]:
    """A database that a test can make read-only; it is writable again after the test."""
    yield database_url
    set_read_only(postgres.url, "off")


@pytest.fixture
def ingest(read_only: str) -> Iterator[IngestHarness]:
    with open_ingest(read_only) as one:
        yield one


def backend(database: Database) -> int:
    with database.transaction() as connection:
        return connection.info.backend_pid


def test_cloud_a1_refused_write_closes_the_connection(ingest: IngestHarness) -> None:
    """After the server was read-only, the same process stores again, with a new connection."""
    assert failures(ingest.handle(batch([wire_event()]))) == []
    before = backend(ingest.database)
    set_read_only(ingest.url, "on")
    refused = batch([wire_event()])
    eventually(lambda: rows(ingest.url, "SHOW default_transaction_read_only") == [("on",)])
    assert len(failures(ingest.handle(refused))) == 1
    set_read_only(ingest.url, "off")
    eventually(lambda: rows(ingest.url, "SHOW default_transaction_read_only") == [("off",)])
    assert failures(ingest.handle(refused)) == []
    assert backend(ingest.database) != before
    assert ingest.rows("SELECT count(*) FROM events") == [(2,)]


@pytest.mark.parametrize(
    ("statement", "kept"),
    [
        ("SELECT 1/0", True),
        ("SELECT * FROM nothing_of_that_name", True),
        ("SELECT pg_sleep(5)", True),
        ("DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'VD001'; END $$", True),
        ("DO $$ BEGIN RAISE EXCEPTION 'demoted' USING ERRCODE = '25006'; END $$", False),
        ("DO $$ BEGIN RAISE EXCEPTION 'broken' USING ERRCODE = 'XX000'; END $$", False),
        ("DO $$ BEGIN RAISE EXCEPTION 'shutting down' USING ERRCODE = '57P01'; END $$", False),
        ("SELECT pg_terminate_backend(pg_backend_pid())", False),
    ],
)
def test_cloud_a1_connection_is_kept_only_while_it_is_usable(database_url: str, statement: str, kept: bool) -> None:
    """Errors of values, statements and time limits keep the connection; errors that it may have caused close it."""
    database = Database(connect=connector(DatabaseSettings(url=database_url)), statement_timeout_ms=500)
    before = backend(database)
    with pytest.raises((TransientError, PermanentError, ConfigurationError)), database.transaction() as connection:
        connection.execute(statement.encode())
    assert (backend(database) == before) is kept
    database.close()


def test_cloud_a1_ingest_stores_again_when_its_connection_is_terminated(ingest: IngestHarness) -> None:
    """A batch whose connection is terminated is stored with a new connection and is not returned."""
    ingest.handle(batch([wire_event()]))
    pid = backend(ingest.database)
    end = "CREATE FUNCTION end_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
    end += f" IF pg_backend_pid() = {pid} THEN PERFORM pg_terminate_backend({pid}); END IF; RETURN NULL; END $$;"
    end += " CREATE TRIGGER end_once AFTER INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION end_once()"
    with psycopg.connect(ingest.url, autocommit=True) as connection:
        connection.execute(end.encode())
    assert failures(ingest.handle(batch([wire_event()]))) == []
    assert ingest.rows("SELECT count(*) FROM events") == [(2,)]
    assert backend(ingest.database) != pid


def test_cloud_a1_restarted_server_gets_a_new_connection(postgres: PostgresFixture, database_url: str) -> None:
    """A connection from before a restart is replaced before it is used."""
    with open_ingest(database_url) as one:
        one.handle(batch([wire_event()]))
        postgres.kill()
        postgres.start()
        assert failures(one.handle(batch([wire_event()]))) == []


def test_cloud_a1_writable_host_is_selected(postgres: PostgresFixture, service_folder: Path, read_only: str) -> None:
    """The first of two hosts in the connection string is read-only, so writes use the second."""
    folder = service_folder / "second"
    folder.mkdir()
    folder.chmod(0o755)
    second = PostgresServer(folder=folder, binaries=PostgresBinaries.choose(), durable=False, port=reserve_port())
    second.start()
    try:
        password = psycopg.conninfo.conninfo_to_dict(read_only)["password"]
        with psycopg.connect(second.url_of("postgres"), autocommit=True) as connection:
            connection.execute(f"ALTER USER vedette PASSWORD '{password}'".encode())
        both = f"postgresql://vedette:{password}@127.0.0.1:{postgres.port},127.0.0.1:{second.port}/postgres"
        set_read_only(postgres.url, "on")
        eventually(lambda: rows(postgres.url, "SHOW default_transaction_read_only") == [("on",)])
        with connect_to(both) as connection:
            assert connection.info.port == second.port
        second.process.stop()
        with pytest.raises(psycopg.OperationalError, match="read-only"):
            connect_to(both)
    finally:
        second.process.stop()


def test_cloud_a1_old_connection_is_replaced(database_url: str) -> None:
    """A process that only reads does not stay connected to a demoted node without limit."""
    clock = ManualClock()
    database = Database(connect=connector(DatabaseSettings(url=database_url)), max_age_s=60, monotonic=clock.monotonic)
    first = backend(database)
    clock.advance(59)
    assert backend(database) == first
    clock.advance(2)
    assert backend(database) != first
    database.close()


def test_cloud_a1_unreachable_server_is_reported_without_password() -> None:
    """The error is that of a lost connection and does not contain the password."""
    database = Database(connect=connector(DatabaseSettings(url="postgresql://vedette:sesame@127.0.0.1:1/vedette")))
    with pytest.raises(ConnectionLostError) as raised, database.transaction():
        pass
    assert "sesame" not in str(raised.value)


FROZEN = """
import sys, time, psycopg
from cloud_functions.db.connect import Database
from cloud_functions.settings import DatabaseSettings, Environment
database = Database.from_settings(DatabaseSettings.from_environment(Environment()))
with database.transaction() as connection:
    connection.execute("SELECT highest FROM device_sequences FOR UPDATE")
    if sys.argv[1] == "copy":
        with connection.cursor().copy("COPY events (id, event_id) FROM STDIN") as copy:
            copy.write("1")
            print("there", flush=True)
            time.sleep(600)
    print("there", flush=True)
    time.sleep(600)
"""


def frozen_client(url: str, where: str, **variables: str) -> subprocess.Popen[str]:
    """Start a client that stops (SIGSTOP) inside a transaction that locks the rows of the devices' sequences."""
    environment = os.environ | {"DATABASE_URL": url} | variables
    client = subprocess.Popen([sys.executable, "-c", FROZEN, where], stdout=subprocess.PIPE, text=True, env=environment)
    assert client.stdout is not None
    assert client.stdout.readline() == "there\n"
    client.send_signal(signal.SIGSTOP)
    return client


def end(client: subprocess.Popen[str]) -> None:
    client.kill()
    client.wait()
    assert client.stdout is not None
    client.stdout.close()


def test_cloud_b7_frozen_transaction_blocks_for_a_limited_time(ingest: IngestHarness) -> None:
    """The server terminates a transaction whose client is frozen; the batch that waited for it is stored."""
    ingest.handle(batch([wire_event(sequence=1)]))
    client = frozen_client(ingest.url, "idle", DATABASE_IDLE_IN_TRANSACTION_TIMEOUT_MS="1500")
    try:
        assert failures(ingest.handle(batch([wire_event(sequence=2)]))) == []
    finally:
        end(client)


def test_cloud_b7_client_frozen_during_copy_is_terminated_by_maintenance(ingest: IngestHarness) -> None:
    """PostgreSQL has no time limit for the data of a COPY, so the task of every minute terminates the session."""
    ingest.handle(batch([wire_event(sequence=1)]))
    client = frozen_client(ingest.url, "copy", DATABASE_IDLE_IN_TRANSACTION_TIMEOUT_MS="1000")
    try:
        time.sleep(1.5)
        with ingest.database.transaction() as connection:
            assert terminate_stalled_copies(connection, after_s=60) == []
            assert len(terminate_stalled_copies(connection, after_s=1)) == 1
        assert failures(ingest.handle(batch([wire_event(sequence=2)]))) == []
    finally:
        end(client)


def test_cloud_b7_every_connection_has_socket_timeouts(database_url: str) -> None:
    """Settings control keepalives and the limit for unacknowledged data; the connection string overrides them."""
    settings = DatabaseSettings.from_environment(
        Environment(
            {"DATABASE_URL": database_url, "DATABASE_KEEPALIVE_IDLE_S": "7", "DATABASE_TCP_USER_TIMEOUT_MS": "900"}
        )
    )
    with connector(settings)() as connection:
        parameters = connection.info.get_parameters()
        assert (parameters["keepalives_idle"], parameters["tcp_user_timeout"]) == ("7", "900")
    with connect_to(database_url + "?tcp_user_timeout=1234&application_name=mine") as connection:
        parameters = connection.info.get_parameters()
        assert (parameters["tcp_user_timeout"], parameters["application_name"]) == ("1234", "mine")
