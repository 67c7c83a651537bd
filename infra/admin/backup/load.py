"""Loads a dump into an empty database, in one transaction: a run that is killed leaves it empty."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, LiteralString

import psycopg
from psycopg import sql

from cloud_functions.db.connect import connect_to, database_error
from cloud_functions.db.types import Connection
from infra.admin.backup.manifest import Manifest, TableFile
from infra.admin.backup.tables import SETTINGS, Table, digest_of, list_tables, lock_tables
from shared.errors import ConfigurationError, PermanentError

_CHUNK_BYTES: Final = 1024 * 1024
_LOCK_WAIT: Final[LiteralString] = "SET LOCAL lock_timeout = '30s'"
_OF_A_NEW_STACK: Final = frozenset(
    {
        "audit_chains",
        "audit_log",
        "health_reports",
        "login_attempts",
        "maintenance_retries",
        "maintenance_tasks",
        "object_checks",
        "password_resets",
        "plate_conversion",
        "refresh_tokens",
        "signing_keys",
        "sites_version",
        "watchlist_version",
        "websocket_connections",
        "websocket_subscriptions",
        "websocket_tickets",
    }
)
"""Tables in which migrations, and a stack without cameras, write by themselves."""
_USERS: Final = "users"
"""Has the first administrator of a new stack."""
_COUNTERS: Final = ("sites_version", "watchlist_version")
"""Processes that run keep what they read under these versions."""
_POSITIONS: Final = "event_stream_head"
"""Counts the positions from which WebSocket clients resume, as sequences count ids."""
_IDS_PER_SECOND: Final = 1000
_MARK: Final = "restore "
"""The comment of the table of revisions, while a restore is not finished."""


def filled_tables(connection: Connection, tables: Sequence[Table]) -> list[str]:
    """Return the tables that have rows which a new, unused stack does not have."""
    filled: list[str] = []
    for table in tables:
        allowed = 1 if table.name == _USERS else 0
        if table.name in _OF_A_NEW_STACK:
            continue
        statement = sql.SQL("SELECT count(*) FROM (SELECT FROM {} LIMIT 2) AS rows").format(table.identifier)
        row = connection.execute(statement).fetchone()
        if row is not None and row[0] > allowed:
            filled.append(table.name)
    return filled


def require_empty(url: str) -> None:
    """Raise ConfigurationError if the database at ``url`` is in use."""
    try:
        with connect_to(url, application_name="restore") as connection:
            _require_empty(connection, list_tables(connection))
    except psycopg.Error as error:
        raise database_error(error) from error


def unfinished_restore(url: str) -> str | None:
    """Return the id of the backup whose rows were loaded by a restore that was not finished; None without one."""
    try:
        with connect_to(url, application_name="restore") as connection:
            row = connection.execute("SELECT obj_description(to_regclass('alembic_version'), 'pg_class')").fetchone()
    except psycopg.Error as error:
        raise database_error(error) from error
    text = None if row is None else row[0]
    return text.removeprefix(_MARK) if isinstance(text, str) and text.startswith(_MARK) else None


def finish_restore(url: str) -> None:
    """Remove the mark of an unfinished restore, and gather statistics for the planner."""
    try:
        with connect_to(url, application_name="restore") as connection:
            connection.execute("COMMENT ON TABLE alembic_version IS NULL")
            connection.execute("ANALYZE")
    except psycopg.Error as error:
        raise database_error(error) from error


def load_database(
    url: str, folder: Path, manifest: Manifest, *, now: datetime, done: Callable[[int], None]
) -> list[str]:
    """Load all tables, and compare them with the dump; return the tables that this release does not have.

    The database must be at the revision of the backup. Its own rows of a new stack are replaced. Triggers are off
    meanwhile, so that rollups, plates and the audit log stay as they were dumped.

    Raises:
        ConfigurationError: the database is in use.
        PermanentError: what was loaded is not what was dumped; nothing is changed.
        TransientError: another session holds a lock, or the connection was lost; nothing is changed.
    """
    try:
        with connect_to(url, application_name="restore") as connection, connection.transaction():
            connection.execute(SETTINGS)
            connection.execute(_LOCK_WAIT)
            tables = {table.name: table for table in list_tables(connection)}
            lock_tables(connection, list(tables.values()), "ACCESS EXCLUSIVE")
            _require_empty(connection, list(tables.values()))
            versions = _versions(connection, tables)
            _set_triggers(connection, tables.values(), enabled=False)
            _truncate(connection, tables.values())
            _make_months(connection, manifest)
            skipped = [entry.table for entry in manifest.tables if not _make_table(connection, tables, entry)]
            for entry in manifest.tables:
                if entry.table not in skipped:
                    _load_table(connection, Table(entry.table, tuple(entry.columns)), folder / entry.file, done)
            for entry in manifest.tables:
                if entry.table not in skipped:
                    _compare(connection, entry)
            _continue_sequences(connection, manifest, now)
            if _POSITIONS in tables:
                statement = sql.SQL("UPDATE {} SET position = position + %s").format(sql.Identifier(_POSITIONS))
                connection.execute(statement, [_given_since(manifest, now)])
            _raise_versions(connection, versions)
            _set_triggers(connection, tables.values(), enabled=True)
            mark = sql.SQL("COMMENT ON TABLE alembic_version IS {}").format(sql.Literal(_MARK + manifest.backup_id))
            connection.execute(mark)
            return skipped
    except psycopg.Error as error:
        raise database_error(error) from error


def _require_empty(connection: Connection, tables: Sequence[Table]) -> None:
    filled = filled_tables(connection, tables)
    if filled:
        raise ConfigurationError(
            f"the database is not empty ({', '.join(filled[:5])}{' …' if len(filled) > 5 else ''}): a restore never"
            " overwrites. Use a new database, or a new stack: vedette-local up --state NEW"
        )


def _set_triggers(connection: Connection, tables: Iterable[Table], *, enabled: bool) -> None:
    change = sql.SQL("ENABLE" if enabled else "DISABLE")
    for table in tables:
        connection.execute(sql.SQL("ALTER TABLE {} {} TRIGGER USER").format(table.identifier, change))


def _truncate(connection: Connection, tables: Iterable[Table]) -> None:
    names = sql.SQL(", ").join(table.identifier for table in tables)
    connection.execute(sql.SQL("TRUNCATE {}").format(names))


def _make_months(connection: Connection, manifest: Manifest) -> None:
    for month in manifest.months:
        connection.execute("SELECT events_ensure_partition(%s)", [datetime.fromisoformat(month)])


def _make_table(connection: Connection, tables: dict[str, Table], entry: TableFile) -> bool:
    """Return whether the table can be loaded. A month that retention has taken out of events is created again."""
    known = tables.get(entry.table)
    if known is None and set(entry.columns) == set(tables["events"].columns):
        like = sql.SQL("CREATE TABLE {} (LIKE events INCLUDING ALL)").format(sql.Identifier(entry.table))
        connection.execute(like)
        return True
    return known is not None


def _load_table(connection: Connection, table: Table, path: Path, done: Callable[[int], None]) -> None:
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(table.identifier, table.column_list)
    try:
        with gzip.open(path) as packed, connection.cursor() as cursor, cursor.copy(statement) as copy:
            while chunk := packed.read(_CHUNK_BYTES):
                copy.write(chunk)
                done(chunk.count(b"\n"))
    except (OSError, EOFError) as error:
        raise PermanentError(f"{path} cannot be read: {error}") from error


def _compare(connection: Connection, entry: TableFile) -> None:
    digest = digest_of(connection, Table(entry.table, tuple(entry.columns)))
    if (digest.rows, digest.hexdigest()) != (entry.rows, entry.row_digest):
        raise PermanentError(
            f"the table {entry.table} has {digest.rows:,} rows after loading, and differs from the {entry.rows:,} of"
            " the backup; nothing was changed"
        )


def _continue_sequences(connection: Connection, manifest: Manifest, now: datetime) -> None:
    """Continue all ids beyond those that can have been given between the backup and now.

    A subscriber or a page that kept an id from that time must not meet it again for another event.
    """
    leap = _given_since(manifest, now)
    for name, value in manifest.sequences.items():
        connection.execute(
            "SELECT setval(to_regclass(%(name)s), %(value)s) WHERE to_regclass(%(name)s) IS NOT NULL",
            {"name": sql.Identifier(name).as_string(connection), "value": value + leap},
        )


def _given_since(manifest: Manifest, now: datetime) -> int:
    """Return how many ids can have been given at most since the backup."""
    passed_s = (now.astimezone(UTC) - datetime.fromisoformat(manifest.created_at)).total_seconds()
    return int(max(passed_s, 0.0) * _IDS_PER_SECOND)


def _versions(connection: Connection, tables: dict[str, Table]) -> dict[str, int]:
    versions: dict[str, int] = {}
    for name in _COUNTERS:
        if name in tables:
            row = connection.execute(sql.SQL("SELECT version FROM {}").format(sql.Identifier(name))).fetchone()
            versions[name] = 0 if row is None else row[0]
    return versions


def _raise_versions(connection: Connection, before: dict[str, int]) -> None:
    """Let processes that ran before read the sites and watch-lists again."""
    for name, version in before.items():
        statement = sql.SQL("UPDATE {} SET version = GREATEST(version, %s) + 1").format(sql.Identifier(name))
        connection.execute(statement, [version])
