"""The database: whether it can be used, its schema, partitions and failed maintenance."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

from cloud_functions.db.connect import connector, database_error
from cloud_functions.db.partitions.partitions import list_partitions, month_start, months_in_default, partition_of
from infra.admin.doctor.causes import Cause, address, try_connect
from infra.admin.doctor.context import CONNECT_TIMEOUT_S, DoctorContext
from shared.diagnosis import Finding

OLDEST_POSTGRESQL: Final = 15
_COUNTED: Final = 1000
_MIGRATE: Final = "run vedette-admin migrate up, with the release that is deployed"
_SIZE: Final = """
SELECT current_setting('server_version'), current_setting('server_version_num')::int / 10000,
       pg_size_pretty(pg_database_size(current_database())),
       EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_trgm'), pg_is_in_recovery(),
       (SELECT count(*) FROM pg_stat_activity), current_setting('max_connections')::int
"""
_INVALID_INDEXES: Final = """
SELECT indexrelid::regclass::text FROM pg_index JOIN pg_class ON pg_class.oid = indrelid
WHERE NOT indisvalid AND relnamespace = 'public'::regnamespace
  AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index AS building WHERE building.index_relid = indexrelid)
ORDER BY 1
"""
_FAILED: Final = "SELECT task, failures FROM maintenance_retries ORDER BY task"


def database(context: DoctorContext) -> Iterator[Finding]:
    """Whether the server can be reached with these credentials, its version, and its free connections."""
    settings = context.database_settings()
    given: dict[str, Any] = {} if settings.url is None else _parts(settings.url)
    host = str(given.get("host") or settings.host or "")
    if host and not host.startswith("/") and "," not in host:
        port = int(given.get("port") or settings.port)
        if cause := try_connect(host, port, setting=_variable(context), timeout_s=CONNECT_TIMEOUT_S):
            yield Finding("database", "fault", *cause)
            return
        where = address(host, port)
    else:
        where = host or "the database"
    try:
        with connector(settings)() as connection:
            row = connection.execute(_SIZE).fetchone()
    except psycopg.OperationalError as error:
        yield Finding("database", "fault", *_refusal(error, where=where, setting=_variable(context)))
        return
    except psycopg.Error as error:
        raise database_error(error) from error
    assert row is not None  # noqa: S101 - a SELECT without FROM returns one row
    yield from _server(where, row)


def _server(where: str, row: tuple[Any, ...]) -> Iterator[Finding]:
    version, major, size, has_trigrams, is_standby, used, most = row
    if major < OLDEST_POSTGRESQL:
        text = f"PostgreSQL {version} at {where} is too old"
        yield Finding("database", "fault", text, f"upgrade it to {OLDEST_POSTGRESQL} or newer")
    elif is_standby:
        text = f"PostgreSQL {version} at {where} is a standby and refuses writes"
        yield Finding("database", "fault", text, "name the primary in the connection string, or promote this server")
    elif not has_trigrams:
        text = f"PostgreSQL {version} at {where} lacks the extension pg_trgm"
        yield Finding("database", "fault", text, _MIGRATE)
    else:
        yield Finding("database", "ok", f"PostgreSQL {version} at {where}, {size}, {used} of {most} connections in use")
    if used * 10 >= most * 9:
        text = f"{used} of {most} connections are in use"
        yield Finding("database", "warning", text, "limit the functions' concurrency, or raise max_connections")


def database_writes(context: DoctorContext) -> Iterator[Finding]:
    """Whether the server accepts writes: it is not read-only, and its disk is not full."""
    with context.connection():
        pass  # a fault of the connection is not one of writing
    try:
        with connector(context.database_settings())() as connection, connection.transaction():
            connection.execute("SET LOCAL statement_timeout = '5s'")
            connection.execute("CREATE TEMPORARY TABLE vedette_write_check (filler text) ON COMMIT DROP")
            connection.execute("INSERT INTO vedette_write_check VALUES ('written')")
    except psycopg.errors.ReadOnlySqlTransaction:
        remedy = "name the primary, or turn default_transaction_read_only off"
        yield Finding("writes", "fault", "the database is read-only", remedy)
    except psycopg.errors.DiskFull:
        yield Finding("writes", "fault", "the disk of the database is full", "enlarge it, or shorten the retention")
    except psycopg.errors.InsufficientPrivilege:
        yield Finding("writes", "skipped", "the user may not create temporary tables, so writes are not checked")
    except psycopg.Error as error:
        yield Finding("writes", "fault", str(database_error(error)), "see the log of PostgreSQL")
    else:
        yield Finding("writes", "ok", "the database accepts writes")


def schema(context: DoctorContext) -> Iterator[Finding]:
    """The revision against that of this release, and indexes that are not used because building them failed."""
    from cloud_functions.db.migrate import head_revision

    newest = head_revision()
    with context.connection() as connection:
        has_version = connection.execute("SELECT to_regclass('alembic_version') IS NOT NULL").fetchone() == (True,)
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone() if has_version else None
        invalid = [name for (name,) in connection.execute(_INVALID_INDEXES)]
    revision = None if row is None else str(row[0])
    if revision is None:
        yield Finding("schema", "fault", "the database is empty: it was never migrated", _MIGRATE)
    elif revision == newest:
        yield Finding("schema", "ok", f"revision {revision}, the newest of this release")
    elif revision < newest:
        text = f"revision {revision} is older than this release, which needs {newest}"
        yield Finding("schema", "fault", text, _MIGRATE)
    else:
        text = f"revision {revision} is newer than this release, which knows {newest}"
        yield Finding("schema", "warning", text, "deploy the release that migrated it; an older one runs meanwhile")
    if invalid:
        text = f"invalid indexes, which slow down writes and help no query: {', '.join(invalid)}"
        yield Finding("schema", "warning", text, "REINDEX INDEX CONCURRENTLY each of them")


def partitions(context: DoctorContext) -> Iterator[Finding]:
    """Whether the partitions of this month and the next exist, and whether events are in the default partition."""
    now = context.clock.now()
    with context.connection() as connection:
        have = {partition.name for partition in list_partitions(connection)}
        stray = sum(month.events for month in months_in_default(connection, limit=_COUNTED))
    wanted = [partition_of(month_start(now, months_later=later)).name for later in (0, 1)]
    missing = [name for name in wanted if name not in have]
    remedy = "run the maintenance task partitions: does its schedule run, and does its log say why it failed?"
    if missing:
        yield Finding("partitions", "warning", f"partitions are missing: {', '.join(missing)}", remedy)
    if stray:
        many = "more than " if stray >= _COUNTED else ""
        text = f"{many}{stray} events are in the default partition, where queries are slower"
        yield Finding("partitions", "warning", text, remedy)
    if not missing and not stray:
        yield Finding("partitions", "ok", f"{len(have)} months, this and the next among them")


def maintenance(context: DoctorContext) -> Iterator[Finding]:
    """The maintenance tasks whose last run failed."""
    with context.connection() as connection:
        failed = connection.execute(_FAILED).fetchall()
    if failed:
        text = "failed and not repeated successfully: " + ", ".join(f"{task} ({times} times)" for task, times in failed)
        yield Finding(
            "maintenance", "warning", text, "the log of the maintenance function names the step and the cause"
        )
    else:
        yield Finding("maintenance", "ok", "no task waits for a retry")


def _parts(url: str) -> dict[str, Any]:
    try:
        return dict(conninfo_to_dict(url))
    except psycopg.ProgrammingError:
        return {"host": urlsplit(url).hostname or ""}


def _variable(context: DoctorContext) -> str:
    if context.state is not None:
        return "the stack (vedette-local status)"
    return "DATABASE_URL" if context.variable("DATABASE_URL") else "the DATABASE_… variables"


def _refusal(error: psycopg.OperationalError, *, where: str, setting: str) -> Cause:
    """Distinguish why a server that listens refuses the connection; libpq's errors have no code."""
    text = str(error).lower()
    for part, words, remedy in (
        ("password authentication failed", "refuses the password", f"correct user and password in {setting}"),
        ("no password supplied", "requires a password", f"add it to {setting}"),
        ("no pg_hba.conf entry", "accepts no such connection (pg_hba.conf)", "allow this host and user, or use TLS"),
        (
            "certificate",
            "has a certificate that is not accepted",
            "correct sslrootcert and sslmode, or the certificate",
        ),
        ("ssl", "and this client do not agree on TLS", f"correct sslmode in {setting}"),
        ("does not exist", "has no such database or user", f"create it, or correct {setting}"),
        ("too many", "has no free connection", "limit the functions' concurrency, or raise max_connections"),
        ("starting up", "is starting up", "wait; if it lasts, see its log"),
        ("shutting down", "is shutting down", "wait, then start it"),
        ("timeout", "accepts connections and does not answer", "is it overloaded, or is the host a wrong one?"),
    ):
        if part in text:
            return Cause(f"{where} {words}", remedy)
    return Cause(f"{where} refuses the connection: {database_error(error)}", f"see the server's log, and {setting}")
