"""Migrations during operation: locks end with the transaction, waits are short, errors are readable."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from cloud_functions.db.connect import connect_to
from cloud_functions.db.migrate import current_revision, downgrade, head_revision, main, upgrade
from cloud_functions.db.migration_lock import MIGRATION_LOCK, begin_migration
from infra.local.servers.schema import MIGRATIONS, _digest, migrate
from shared.errors import ConfigurationError, TransientError
from tests.support.ingest_harness import rows

ADVISORY = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"


def test_cloud_a4_lock_ends_with_its_transaction(empty_url: str) -> None:
    """A session that stays open, as one behind a pooler does, holds the lock for its transaction only."""
    with connect_to(empty_url, autocommit=False) as migrating:
        begin_migration(migrating)
        assert rows(empty_url, ADVISORY) == [(1,)]
        migrating.commit()
        assert rows(empty_url, ADVISORY) == [(0,)]
    upgrade(empty_url)
    assert rows(empty_url, ADVISORY) == [(0,)]


def test_cloud_a4_session_lock_of_a_pooled_connection_is_reported(empty_url: str) -> None:
    """A session lock of an older release on a pooler's connection ends the wait with an error that names it."""
    with psycopg.connect(empty_url, autocommit=True, application_name="pooled") as stranded:
        stranded.execute("SELECT pg_advisory_lock(%s)", [MIGRATION_LOCK])
        with pytest.raises(TransientError, match=rf"pid {stranded.info.backend_pid} \(pooled, .*pg_terminate_backend"):
            upgrade(empty_url, wait_s=0.5)
    upgrade(empty_url)
    assert current_revision(empty_url) == head_revision()


def test_cloud_a4_concurrent_deployments_migrate_once(empty_url: str) -> None:
    """The second deployment waits and then has nothing to do."""
    command = [sys.executable, "-m", "cloud_functions.db.migrate", "upgrade"]
    environment = os.environ | {"DATABASE_URL": empty_url}
    running = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [one.communicate()[0] for one in running] == [f"{head_revision()}\n"] * 3
    assert current_revision(empty_url) == head_revision()


def test_cloud_a4_no_reader_waits_long_behind_a_waiting_migration(empty_url: str) -> None:
    """A report blocks the ALTER TABLE of 0006; other readers are not delayed, and the error names the blocker."""
    upgrade(empty_url, "0005")
    with psycopg.connect(empty_url, application_name="a report") as report, ThreadPoolExecutor(1) as pool:
        report.execute("SELECT count(*) FROM events")
        migrating = pool.submit(upgrade, empty_url, "0006", wait_s=3)
        answered = 0
        with psycopg.connect(empty_url, autocommit=True, options="-c statement_timeout=2000") as reader:
            while not migrating.done():
                reader.execute("SELECT count(*) FROM events")  # raises an error after waiting two seconds
                answered += 1
                time.sleep(0.01)
        with pytest.raises(TransientError, match="a report"):
            migrating.result()
        assert answered > 3
        assert current_revision(empty_url) == "0005"
    upgrade(empty_url, "0006")
    downgrade(empty_url, "0005")


def test_cloud_c8_newer_database_is_reported(
    empty_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line on stderr names the revision and a solution, and the exit status is 1."""
    upgrade(empty_url)
    with psycopg.connect(empty_url) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    monkeypatch.setenv("DATABASE_URL", empty_url)
    for step in (["upgrade"], ["downgrade", "base"]):
        assert main(step) == 1
        error_text = capsys.readouterr().err
        assert "9999" in error_text
        assert "newer release" in error_text
        assert error_text.count("\n") == 1


@pytest.mark.parametrize("table", ["events", "plate_events"])
def test_cloud_c8_tables_of_another_application_are_not_changed(empty_url: str, table: str) -> None:
    """A database with another application's table of the same name is refused with its name and not changed."""
    with psycopg.connect(empty_url) as connection:
        connection.execute(f"CREATE TABLE {table} (theirs int)".encode())
    with pytest.raises(ConfigurationError, match=f"did not create: {table}"):
        upgrade(empty_url)
    assert rows(empty_url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(1,)]


def test_cloud_c8_missing_rights_wrong_passwords_and_wrong_revisions_are_reported(
    empty_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line names the problem, without a traceback and without a password."""
    with psycopg.connect(empty_url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS powerless")
        connection.execute("CREATE ROLE powerless LOGIN PASSWORD 'sesame'")
        connection.execute("REVOKE CREATE ON SCHEMA public FROM public")
    account = empty_url.partition("@")[2]
    for url, step, expected in (
        (f"postgresql://powerless:sesame@{account}", ["upgrade"], "permission denied"),
        (f"postgresql://powerless:simsim@{account}", ["upgrade"], "password authentication failed"),
        (f"postgresql://powerless:sesame@{account}", ["upgrade", "0815"], "0815"),
        ("postgresql://powerless:sesame@127.0.0.1:1/nowhere", ["current"], "refused"),
        ("no connection string: sesame", ["upgrade"], "not a PostgreSQL connection string"),
    ):
        monkeypatch.setenv("DATABASE_URL", url)
        assert main(step) == 1
        error_text = capsys.readouterr().err
        assert expected in error_text
        assert "sesame" not in error_text
        assert "simsim" not in error_text
        assert error_text.count("\n") == 1


def test_cloud_c8_local_stack_reports_the_same(empty_url: str, tmp_path: Path) -> None:
    """The migration of ``vedette-local up`` raises readable errors for a newer and for an unavailable database."""
    upgrade(empty_url)
    with psycopg.connect(empty_url) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(ConfigurationError, match=r"9999.*newer release"):
        migrate(empty_url, remembered=tmp_path / "schema.json")
    (tmp_path / "schema.json").write_text(f'{{"digest": "{_digest(MIGRATIONS)}", "revision": "0001"}}')
    with pytest.raises(TransientError, match="refused"):
        migrate("postgresql://vedette:sesame@127.0.0.1:1/vedette", remembered=tmp_path / "schema.json")
