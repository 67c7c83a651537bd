"""The tables of a database, found in its catalog: columns, foreign keys, sequences and months."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, LiteralString

from psycopg import sql

from cloud_functions.db.partitions.partitions import list_partitions
from cloud_functions.db.types import Connection
from shared.errors import PermanentError

SETTINGS: Final[LiteralString] = """
SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL TimeZone = 'UTC';
SET LOCAL DateStyle = 'ISO'; SET LOCAL IntervalStyle = 'postgres'; SET LOCAL bytea_output = 'hex';
SET LOCAL extra_float_digits = 1; SET LOCAL row_security = off; SET LOCAL client_encoding = 'UTF8'
"""
"""What COPY writes is the same with these settings, whatever those of server and role are."""
_REVISION_TABLE: Final = "alembic_version"
_TABLES: Final = """
SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')
AND NOT relispartition ORDER BY relname
"""
# Generated columns are computed again by the database that loads the rows.
_COLUMNS: Final = """
SELECT relname, array_agg(attname::text ORDER BY attnum)
FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
  AND attnum > 0 AND NOT attisdropped AND attgenerated = '' GROUP BY relname
"""
_FOREIGN_KEYS: Final = """
SELECT one.relname, other.relname FROM pg_constraint
JOIN pg_class AS one ON one.oid = conrelid JOIN pg_class AS other ON other.oid = confrelid
WHERE contype = 'f' AND one.relnamespace = current_schema()::regnamespace AND conrelid <> confrelid
"""
_SEQUENCES: Final = """
SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'S' ORDER BY relname
"""
_ESTIMATE: Final = """
SELECT COALESCE(sum(GREATEST(reltuples, 0)), 0)::bigint FROM pg_class
WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'
"""
_DIGEST_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Table:
    """A table and the columns whose values are stored."""

    name: str
    columns: tuple[str, ...]

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.name)

    @property
    def column_list(self) -> sql.Composed:
        return sql.SQL(", ").join(map(sql.Identifier, self.columns))


@dataclass(slots=True)
class RowDigest:
    """A checksum of the rows of a table in COPY's text format, whatever their order."""

    rows: int = 0
    _sum: int = 0
    _rest: bytes = field(default=b"")

    def add(self, block: bytes) -> int:
        """Add a part of the table; return how many rows ended in it."""
        *lines, self._rest = (self._rest + block).split(b"\n")
        for line in lines:
            self._sum += int.from_bytes(hashlib.blake2b(line, digest_size=_DIGEST_BYTES).digest())
        self.rows += len(lines)
        return len(lines)

    def hexdigest(self) -> str:
        return f"{self._sum % (1 << 8 * _DIGEST_BYTES):0{2 * _DIGEST_BYTES}x}"


def list_tables(connection: Connection) -> list[Table]:
    """Return all tables but that of the revision; each after those that its foreign keys refer to."""
    columns = dict(connection.execute(_COLUMNS).fetchall())
    names = [name for (name,) in connection.execute(_TABLES) if name != _REVISION_TABLE]
    needs: dict[str, set[str]] = {name: set() for name in names}
    for one, other in connection.execute(_FOREIGN_KEYS):
        if one in needs and other in needs:
            needs[one].add(other)
    return [Table(name, tuple(columns.get(name, ()))) for name in _ordered(needs)]


def _ordered(needs: Mapping[str, set[str]]) -> list[str]:
    ordered: list[str] = []
    while len(ordered) < len(needs):
        ready = [name for name, others in needs.items() if name not in ordered and others <= {*ordered}]
        if not ready:
            raise PermanentError(f"tables refer to each other: {', '.join(sorted(needs.keys() - {*ordered}))}")
        ordered += ready
    return ordered


def estimated_rows(connection: Connection) -> int:
    """Return the number of rows by the statistics of the server, for the progress bar."""
    row = connection.execute(_ESTIMATE).fetchone()
    return int(row[0]) if row else 0


def sequence_values(connection: Connection) -> dict[str, int]:
    """Return the last value of each sequence that was used. Values do not belong to a snapshot: they may be newer."""
    values: dict[str, int] = {}
    for name in [name for (name,) in connection.execute(_SEQUENCES).fetchall()]:
        row = connection.execute(
            sql.SQL("SELECT last_value, is_called FROM {}").format(sql.Identifier(name))
        ).fetchone()
        if row is not None and row[1]:
            values[name] = int(row[0])
    return values


def months_of_events(connection: Connection) -> list[datetime]:
    """Return the months that have a partition."""
    return [partition.start for partition in list_partitions(connection)]


def lock_tables(connection: Connection, tables: Sequence[Table], mode: LiteralString) -> None:
    """Lock all tables until the end of the transaction, in one order."""
    names = sql.SQL(", ").join(table.identifier for table in sorted(tables, key=lambda table: table.name))
    connection.execute(sql.SQL("LOCK TABLE {} IN {} MODE").format(names, sql.SQL(mode)))


def digest_of(connection: Connection, table: Table) -> RowDigest:
    """Return the checksum of a table as it is in the database."""
    digest = RowDigest()
    statement = sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT").format(table.column_list, table.identifier)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for block in copy:
            digest.add(bytes(block))
    return digest
