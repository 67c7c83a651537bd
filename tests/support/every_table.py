"""Rows in every table of a database, found by walking the catalog, and what migrations leave of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import psycopg

from cloud_functions.db.migrate import downgrade, head_revision, upgrade

Contents = Mapping[str, list[dict[str, Any]]]
"""Rows by table; each row by column."""

_TABLES: Final = """
SELECT relname, oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
AND NOT relispartition AND relname <> 'alembic_version' ORDER BY relname
"""
_COLUMNS: Final = """
SELECT attname, format_type(atttypid, NULL), confrelid::regclass::text,
       (SELECT attname FROM pg_attribute WHERE attrelid = confrelid AND attnum = confkey[1])
FROM pg_attribute LEFT JOIN pg_constraint ON conrelid = attrelid AND contype = 'f' AND conkey = ARRAY[attnum]
WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped AND attgenerated = '' AND attidentity <> 'a' ORDER BY attnum
"""
_VALUES: Final = {
    "bigint": "7",
    "boolean": "true",
    "bytea": "decode(repeat('ab', 32), 'hex')",
    "date": "current_date",
    "double precision": "0.5",
    "integer": "7",
    "int8multirange": "'{[1,7)}'",
    "jsonb": "'{\"filled\": 7}'",
    "smallint": "7",
    "text": "'filled'",
    "text[]": "ARRAY['filled']",
    "timestamp with time zone": "now()",
    "uuid": "gen_random_uuid()",
    "xid8": "pg_current_xact_id()",
}
_CHECKED: Final = {
    ("audit_log", "actor_kind"): "'user'",
    ("audit_log", "outcome"): "'success'",
    ("camera_snapshots", "status"): "'stored'",
    ("commands", "status"): "'ok'",
    ("object_checks", "kind"): "'orphaned'",
    ("object_findings", "kind"): "'missing'",
    ("replays", "status"): "'pending'",
    ("retention_policies", "camera_id"): "NULL",
    ("retention_policies", "site_id"): "NULL",
    ("sequence_gaps", "state"): "'open'",
    ("users", "email"): "'filled@example.org'",
    ("websocket_connections", "caller"): "'token'",
    ("websocket_tickets", "caller"): "'token'",
    ("watchlist_patterns", "kind"): "'exact'",
    ("watchlist_patterns", "max_distance"): "NULL",
    ("webhook_deliveries", "status"): "'pending'",
    ("webhooks", "disabled_reason"): "'failing'",
    ("webhooks", "format"): "'cloudevents'",
}
"""Values of columns that take no others. A new CHECK constraint fails the insert, which names it."""


_NOT_KEPT: Final = {
    ("0012", table) for table in ("event_label_counts", "event_label_counts_daily", "event_label_counts_monthly")
}
"""What a downgrade of a revision deletes, because the release before does not count it."""
_COUNTERS: Final = frozenset({"watchlist_version"})
"""Tables that a migration may write, because it changes what they number."""


class _Column(NamedTuple):
    name: str
    type: str
    target: str | None
    """Table that it refers to, with the column of that table."""
    target_column: str | None


def fill_every_table(url: str) -> None:
    """Insert a row, with a value in every column, into each table that is empty."""
    with psycopg.connect(url, autocommit=True) as connection:
        tables = {name: _columns(connection, oid) for name, oid in connection.execute(_TABLES).fetchall()}
        while empty := [name for name in tables if not _has_rows(connection, name)]:
            ready = [name for name in empty if not {column.target for column in tables[name]} & ({*empty} - {name})]
            assert ready, f"the tables {', '.join(empty)} refer to each other"
            for name in ready:
                _insert(connection, name, tables[name])
                assert _has_rows(connection, name), name


def contents(url: str) -> Contents:
    """Return the rows of every table, in an order of their own."""
    with psycopg.connect(url) as connection:
        return {
            name: sorted(
                (row for (row,) in connection.execute(f'SELECT to_jsonb(t) FROM "{name}" AS t'.encode())),
                key=lambda row: json.dumps(row, sort_keys=True),
            )
            for name, _ in connection.execute(_TABLES).fetchall()
        }


def differences(before: Contents, after: Contents) -> dict[str, tuple[Any, Any]]:
    """Return the rows that only one of them has, by table, in the tables and columns that both have."""
    found: dict[str, tuple[Any, Any]] = {}
    for table in before.keys() & after.keys():
        names = set(before[table][0] if before[table] else ()) & set(after[table][0] if after[table] else ())
        one, other = (
            [json.dumps({name: row[name] for name in sorted(names)}) for row in rows]
            for rows in (before[table], after[table])
        )
        if sorted(one) != sorted(other):
            found[table] = ([row for row in one if row not in other], [row for row in other if row not in one])
    return found


def walk_down(url: str) -> None:
    """Migrate each revision down, up and down again; assert that tables keep what both schemas have a place for."""
    for number in range(int(head_revision()), 1, -1):
        revision, below = f"{number:04d}", f"{number - 1:04d}"
        before = contents(url)
        downgrade(url, below)
        kept = contents(url)
        lost = differences(before, kept)
        assert {name: rows for name, rows in lost.items() if (revision, name) not in _NOT_KEPT} == {}, revision
        upgrade(url, revision)
        after = {name: _with_columns_of(kept[name], rows) for name, rows in contents(url).items() if name in kept}
        changed = differences(before, after)
        assert {name: rows for name, rows in changed.items() if name not in _COUNTERS} == {}, revision
        downgrade(url, below)


def _with_columns_of(kept: list[dict[str, Any]], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows without the columns that the release below does not have: a downgrade drops their values."""
    return [{name: row[name] for name in row if not kept or name in kept[0]} for row in rows]


def _columns(connection: psycopg.Connection[Any], oid: int) -> list[_Column]:
    return [_Column(*row) for row in connection.execute(_COLUMNS, [oid]).fetchall()]


def _has_rows(connection: psycopg.Connection[Any], table: str) -> bool:
    return connection.execute(f'SELECT FROM "{table}" LIMIT 1'.encode()).fetchone() is not None


def _insert(connection: psycopg.Connection[Any], table: str, columns: list[_Column]) -> None:
    names = ", ".join(f'"{column.name}"' for column in columns)
    values = ", ".join(_value(table, column) for column in columns)
    connection.execute(f'INSERT INTO "{table}" ({names}) VALUES ({values})'.encode())


def _value(table: str, column: _Column) -> str:
    if column.target is not None and column.target != table:
        return f'(SELECT "{column.target_column}" FROM "{column.target}" LIMIT 1)'
    return _CHECKED.get((table, column.name), _VALUES[column.type])
