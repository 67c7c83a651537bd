"""Dumps the database: every table in one snapshot, by COPY.

COPY through psycopg, and not ``pg_dump``: it needs no program of the server's version on the machine that runs it (an
older ``pg_dump`` refuses a newer server), works through the connection that DATABASE_URL names, and its rows can be
loaded by any later server. The schema is not dumped, because the migrations create it.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

from cloud_functions.db.connect import connect_to, database_error
from cloud_functions.db.types import Connection
from infra.admin.backup.manifest import TableFile, hashed_file
from infra.admin.backup.tables import (
    SETTINGS,
    RowDigest,
    Table,
    list_tables,
    lock_tables,
    months_of_events,
    sequence_values,
)
from shared.errors import ConfigurationError, TransientError

_COMPRESSION: Final = 4
_ATTEMPTS: Final = 3
_WRAPPED_BY: Final = """
SELECT wrapped_by FROM site_keys UNION SELECT wrapped_by FROM camera_keys
UNION SELECT wrapped_by FROM signing_keys WHERE wrapped_by IS NOT NULL
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseDump:
    """What was dumped."""

    created_at: datetime
    server_version: str
    revision: str
    tables: list[TableFile]
    sequences: dict[str, int]
    months: list[datetime]
    master_keys: list[str]


def dump_database(url: str, folder: Path, *, done: Callable[[int], None]) -> DatabaseDump:
    """Write all tables into ``folder``; ``done`` is called with numbers of rows.

    Ingest and the API go on meanwhile; only the dropping of old months, and migrations, wait.

    Raises:
        ConfigurationError: the database is not migrated, or a privilege is missing.
        TransientError: it cannot be reached, or its tables changed repeatedly meanwhile.
    """
    try:
        with connect_to(url, application_name="backup") as connection:
            for _ in range(_ATTEMPTS):
                dumped = _dump(connection, folder, done)
                if dumped is not None:
                    return dumped
    except psycopg.Error as error:
        raise database_error(error) from error
    except OSError as error:
        raise ConfigurationError(f"the backup cannot be written to {folder}: {error.strerror}") from error
    raise TransientError("tables were created or dropped while they were being locked: run the backup again")


def _dump(connection: Connection, folder: Path, done: Callable[[int], None]) -> DatabaseDump | None:
    """Return None if a table was created or dropped before all were locked."""
    tables = list_tables(connection)
    with connection.transaction():
        # The locks are taken before the snapshot: what the snapshot sees cannot be dropped any more.
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        connection.execute(SETTINGS)
        try:
            lock_tables(connection, tables, "ACCESS SHARE")
        except psycopg.errors.UndefinedTable as error:
            raise TransientError("a table was dropped meanwhile: run the backup again") from error
        if list_tables(connection) != tables:
            return None
        row = connection.execute(
            "SELECT now(), current_setting('server_version'), to_regclass('alembic_version')::text"
        ).fetchone()
        if row is None or row[2] is None:
            raise ConfigurationError("the database holds no schema of Vedette: there is nothing to back up")
        revision = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        files = [_dump_table(connection, table, folder, done) for table in tables]
        return DatabaseDump(
            created_at=row[0],
            server_version=row[1],
            revision="" if revision is None else revision[0],
            tables=files,
            sequences=sequence_values(connection),
            months=months_of_events(connection),
            master_keys=_wrapping_keys(connection, {table.name for table in tables}),
        )


def _dump_table(connection: Connection, table: Table, folder: Path, done: Callable[[int], None]) -> TableFile:
    digest = RowDigest()
    path = folder / f"{table.name}.copy.gz"
    statement = sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT").format(table.column_list, table.identifier)
    with hashed_file(path) as file:
        with (
            gzip.GzipFile("", "wb", _COMPRESSION, file, mtime=0) as packed,
            connection.cursor() as cursor,
            cursor.copy(statement) as copy,
        ):
            for block in copy:
                data = bytes(block)
                packed.write(data)
                done(digest.add(data))
        sha256 = file.digest.hexdigest()
    return TableFile(table.name, list(table.columns), path.name, digest.rows, digest.hexdigest(), sha256)


def _wrapping_keys(connection: Connection, tables: set[str]) -> list[str]:
    """Return the master keys without which what is sealed cannot be read."""
    found: set[str] = set()
    if {"site_keys", "camera_keys", "signing_keys"} <= tables:
        found |= {name for (name,) in connection.execute(_WRAPPED_BY)}
    if "webhooks" in tables:
        found |= {name for (name,) in connection.execute("SELECT DISTINCT secret_wrapped_by FROM webhooks")}
    return sorted(found)
