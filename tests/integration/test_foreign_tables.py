"""Databases in which another system has tables: Vedette names them, and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from cloud_functions.db.migrate import current_revision, upgrade
from shared.errors import ConfigurationError
from tests.support.backing_services import PostgresFixture

TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
THEIRS = [
    "events",
    "plate_events",
    "cameras",
    "camera_groups",
    "camera_health",
    "camera_snapshots",
    "users",
    "audit_log",
]
"""The tables of the documented systems, and of the newest migrations."""


@pytest.fixture
def url(postgres: PostgresFixture) -> str:
    """An empty database."""
    postgres.start()
    return postgres.server.url_of(postgres.new_database(migrated=False))


@pytest.fixture
def connection(url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(url, autocommit=True) as opened:
        yield opened


def test_a_table_of_any_migration_is_refused_before_the_first_one(
    url: str, connection: psycopg.Connection[Any]
) -> None:
    """No migration is committed before the one that would create the table."""
    for table in THEIRS:
        connection.execute(f"CREATE TABLE {table} (theirs int)".encode())
        with pytest.raises(ConfigurationError, match=f"did not create: {table};"):
            upgrade(url)
        assert connection.execute(TABLES).fetchall() == [(table,)]
        connection.execute(f"DROP TABLE {table}".encode())


def test_an_older_database_keeps_its_revision(url: str, connection: psycopg.Connection[Any]) -> None:
    """Only the tables of the migrations to come are refused."""
    upgrade(url, "0001")
    connection.execute("CREATE TABLE cameras (theirs int)")
    with pytest.raises(ConfigurationError, match="did not create: cameras;"):
        upgrade(url)
    assert current_revision(url) == "0001"


def test_a_revision_of_another_system_is_not_taken_for_a_newer_release(
    url: str, connection: psycopg.Connection[Any]
) -> None:
    """The two have different forms."""
    connection.execute("CREATE TABLE alembic_version (version_num varchar(32))")
    connection.execute("INSERT INTO alembic_version VALUES ('003')")
    with pytest.raises(ConfigurationError, match="revision 003 of another application's migrations"):
        upgrade(url)
