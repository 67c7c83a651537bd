"""Reads the tables ``events`` and ``plate_events`` of another system, in batches. Nothing is ever written to it.

Every column is read as text, so that a value that Python cannot represent refuses its row, not the batch.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql

from cloud_functions.db.connect import connect_to, database_error
from shared.errors import ConfigurationError, TransientError

OldRow = Mapping[str, str | None]
"""A row as text by column name. Times are ISO 8601; those without an offset are UTC."""
Position = tuple[str, ...]
"""The key of a row, as text, in the order in which the table is read."""


@dataclass(frozen=True, slots=True)
class OldTable:
    """One kind of table that is copied."""

    name: str
    key: tuple[tuple[str, LiteralString], ...]
    """Columns that identify a row, each with the type in which it is compared."""
    required: frozenset[str]

    def position(self, row: OldRow) -> Position:
        return tuple(str(row[column]) for column, _ in self.key)


EVENTS: Final = OldTable(
    "events", (("id", "bigint"),), frozenset({"id", "event_type", "camera_id", "timestamp", "event_data"})
)
PLATE_EVENTS: Final = OldTable(
    "plate_events",
    (("captured_at", "timestamptz"), ("event_id", "uuid")),
    frozenset({"event_id", "captured_at", "camera_id", "plate_text", "plate_confidence"}),
)
TABLES: Final = (EVENTS, PLATE_EVENTS)
OTHER_TABLES: Final = ("cameras", "camera_groups", "camera_health", "camera_snapshots", "snapshots")
"""Tables of the same systems that are not copied, so the report names them."""

_COLUMNS: Final = """
SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""

_CLOSED: Final = """
SELECT name FROM unnest(%s::text[]) AS name WHERE NOT has_column_privilege(%s, name, 'SELECT')
"""
_FORMATS: Final = "SELECT set_config('TimeZone', 'UTC', true), set_config('DateStyle', 'ISO', true)"


class OldDatabase:
    """A connection to the other system's database, in read-only transactions."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        info = connection.info
        self.name = f"{info.host or 'local'}:{info.port}/{info.dbname}"
        """Where it is, without credentials."""

    def tables(self) -> dict[str, list[str]]:
        """Return the columns of each table that can be copied, by the table's name.

        Raises ConfigurationError if there is none, or if they are Vedette's own.
        """
        with self._reading() as connection:
            found = {table.name: _columns(connection, table.name) for table in TABLES}
        if {"event_id", "device_id"} <= set(found["events"]):
            raise ConfigurationError("the old database is one of Vedette: use pg_dump and pg_restore")
        found = {table.name: found[table.name] for table in TABLES if table.required <= set(found[table.name])}
        if not found:
            raise ConfigurationError("the old database has no table events or plate_events with the documented columns")
        self._require_access(found)
        return found

    def other_tables(self) -> dict[str, int]:
        """Return the number of rows of each table that is not copied, as far as the user may read it."""
        with self._reading() as connection:
            present = [name for name in OTHER_TABLES if _columns(connection, name) and _may_read(connection, name)]
            return {name: _count(connection, name) for name in present}

    def count(self, table: OldTable, *, after: Position | None = None) -> int:
        """Return the number of rows, or of those after a position."""
        query = sql.SQL("SELECT count(*) FROM {} AS t {}").format(sql.Identifier(table.name), _after(table, after))
        with self._reading() as connection:
            [(rows,)] = connection.execute(query, after or ()).fetchall()
        return int(rows)

    def highest_id(self) -> int:
        """Return the highest id of ``events``; 0 for an empty table."""
        with self._reading() as connection:
            [(highest,)] = connection.execute("SELECT COALESCE(max(id), 0) FROM events").fetchall()
        return int(highest)

    def camera_ids(self, table: OldTable) -> list[str]:
        """Return the different ids of cameras."""
        query = sql.SQL("SELECT DISTINCT camera_id::text FROM {} WHERE camera_id IS NOT NULL ORDER BY 1")
        with self._reading() as connection:
            return [name for (name,) in connection.execute(query.format(sql.Identifier(table.name)))]

    def rows(
        self, table: OldTable, columns: Sequence[str], *, after: Position | None, batch: int
    ) -> Iterator[list[OldRow]]:
        """Yield the rows after a position in batches, in the order of the key."""
        # The key is qualified: ORDER BY would otherwise take the selected columns, which are text.
        key = sql.SQL(", ").join(sql.Identifier("t", name) for name, _ in table.key)
        wanted = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(name)) for name in columns)
        query = sql.SQL("SELECT {} FROM {} AS t {} ORDER BY {} LIMIT {}")
        while True:
            name, where = sql.Identifier(table.name), _after(table, after)
            statement = query.format(wanted, name, where, key, sql.Literal(batch))
            with self._reading() as connection:
                found = connection.execute(statement, after or ()).fetchall()
            if not found:
                return
            rows: list[OldRow] = [dict(zip(columns, row, strict=True)) for row in found]
            yield rows
            after = table.position(rows[-1])

    def _require_access(self, tables: Mapping[str, Sequence[str]]) -> None:
        """Raise ConfigurationError before anything is copied if a column of the tables cannot be read."""
        with self._reading() as connection:
            closed = [
                f"{table}.{column}"
                for table, columns in tables.items()
                for (column,) in connection.execute(_CLOSED, [list(columns), table])
            ]
        if closed:
            raise ConfigurationError(
                f"the user of the old database may not read {', '.join(closed[:5])}: grant SELECT on its tables"
            )

    @contextmanager
    def _reading(self) -> Generator[psycopg.Connection[Any]]:
        try:
            with self._connection.transaction():
                self._connection.execute(_FORMATS)
                yield self._connection
        except psycopg.Error as error:
            raise database_error(error) from error


@contextmanager
def open_old_database(url: str) -> Generator[OldDatabase]:
    """Connect for reading only. Raises ConfigurationError or TransientError, without the password."""
    try:
        connection = connect_to(url, application_name="vedette-adopt", autocommit=False)
    except psycopg.Error as error:
        raise TransientError(f"the old database cannot be reached: {database_error(error)}") from error
    except ConfigurationError:
        raise ConfigurationError("the address of the old database is not a PostgreSQL connection string") from None
    with connection:
        connection.read_only = True
        yield OldDatabase(connection)


def _after(table: OldTable, after: Position | None) -> sql.Composable:
    if after is None:
        return sql.SQL("")
    key = sql.SQL(", ").join(sql.Identifier("t", name) for name, _ in table.key)
    types = sql.SQL(", ").join(sql.SQL("%s::{}").format(sql.SQL(kind)) for _, kind in table.key)
    return sql.SQL("WHERE ({}) > ({})").format(key, types)


def _columns(connection: psycopg.Connection[Any], table: str) -> list[str]:
    return [name for (name,) in connection.execute(_COLUMNS, [table])]


def _may_read(connection: psycopg.Connection[Any], table: str) -> bool:
    return connection.execute("SELECT has_table_privilege(%s, 'SELECT')", [table]).fetchone() == (True,)


def _count(connection: psycopg.Connection[Any], table: str) -> int:
    [(rows,)] = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))).fetchall()
    return int(rows)
