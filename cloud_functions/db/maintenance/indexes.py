"""Bloated B-tree indexes: finds and rebuilds them, and removes what interrupted rebuilds left behind.

An index is bloated if it has more than twice the size that its rows need. What they need is estimated from the widths
of its columns, and after a rebuild from the size that it then had. ``REINDEX CONCURRENTLY`` blocks neither readers nor
writers, but it cannot run in a transaction, so it needs a session of its own.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from psycopg import sql

from cloud_functions.db.types import Connection

_ONE_AT_A_TIME: Final = 0x5EDE7E0F
"""Key of the advisory lock of the session that rebuilds indexes."""

# An entry has a header of 8 bytes and a pointer of 4; a page has 40 bytes of its own and is filled to 90 %.
_BLOATED: Final = """
WITH indexes AS (
    SELECT index.oid, index.relname, indrelid, indkey, greatest(index.reltuples, 0)::bigint AS row_count,
           pg_relation_size(index.oid) AS size_bytes
    FROM pg_index JOIN pg_class AS index ON index.oid = indexrelid JOIN pg_am ON pg_am.oid = index.relam
    WHERE index.relnamespace = current_schema()::regnamespace AND index.relkind = 'i' AND amname = 'btree'
      AND indisvalid AND indisready AND NOT indisexclusion AND index.reltuples >= 0 AND index.relpersistence = 'p'
      AND pg_has_role(index.relowner, 'USAGE') AND pg_relation_size(index.oid) > %(min_waste)s
), widths AS (
    SELECT indexes.oid, sum(avg_width) AS width, bool_and(avg_width IS NOT NULL) AS is_known
    FROM indexes
    CROSS JOIN unnest(indkey::smallint[]) WITH ORDINALITY AS key (attnum, number)
    LEFT JOIN pg_attribute AS attribute
        ON attribute.attrelid = CASE key.attnum WHEN 0 THEN indexes.oid ELSE indrelid END
        AND attribute.attnum = CASE key.attnum WHEN 0 THEN number ELSE key.attnum END
    LEFT JOIN pg_class AS owner ON owner.oid = attribute.attrelid
    LEFT JOIN pg_stats AS stats ON stats.schemaname = current_schema() AND stats.tablename = owner.relname
        AND stats.attname = attribute.attname AND NOT stats.inherited
    GROUP BY indexes.oid
), expected AS (
    SELECT indexes.*, greatest(
        indexes.row_count * (12 + ceil(width / 8.0) * 8) / 0.9 * 8192 / 8152 + 8192,
        rebuild.size_bytes * CASE rebuild.row_count WHEN 0 THEN 1 ELSE indexes.row_count::float8 / rebuild.row_count END
    ) AS needed_bytes
    FROM indexes JOIN widths USING (oid) LEFT JOIN index_rebuilds AS rebuild ON rebuild.name = indexes.relname
    WHERE is_known AND (rebuilt_at IS NULL
        OR rebuilt_at < now() - CASE WHEN rebuild.size_bytes IS NULL THEN interval '7 days' ELSE interval '1 day' END)
)
SELECT relname, size_bytes, needed_bytes::bigint FROM expected
WHERE size_bytes > 2 * needed_bytes AND size_bytes - needed_bytes > %(min_waste)s
ORDER BY size_bytes - needed_bytes DESC
"""
# A rebuild that is running shows its new index there.
_LEFTOVERS: Final = """
SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
WHERE relnamespace = current_schema()::regnamespace AND NOT indisvalid AND relname ~ '_cc(new|old)[0-9]*$'
  AND pg_has_role(relowner, 'USAGE') AND NOT EXISTS (
      SELECT FROM pg_stat_progress_create_index AS running WHERE running.relid = indrelid)
ORDER BY relname
"""
_LONG_TRANSACTION: Final = """
SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
               AND backend_type = 'client backend' AND xact_start < now() - interval '1 minute')
"""
_RECORD: Final = """
INSERT INTO index_rebuilds (name, size_bytes, row_count)
SELECT %(name)s::text, CASE WHEN %(done)s THEN pg_relation_size(oid) END, CASE WHEN %(done)s THEN reltuples END
FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relname = %(name)s::text
ON CONFLICT (name) DO UPDATE SET rebuilt_at = now(), size_bytes = EXCLUDED.size_bytes, row_count = EXCLUDED.row_count
"""


class BloatedIndex(NamedTuple):
    """An index, its size, and the size that its rows need."""

    name: str
    size_bytes: int
    needed_bytes: int


def bloated_indexes(connection: Connection, *, min_waste_bytes: int) -> list[BloatedIndex]:
    """Return the indexes that waste more than half of their size and ``min_waste_bytes``, the worst first.

    An index that was rebuilt is left out for a day, and one whose rebuild failed for seven.
    """
    return [BloatedIndex(*row) for row in connection.execute(_BLOATED, {"min_waste": min_waste_bytes})]


def leftover_indexes(connection: Connection) -> list[str]:
    """Return the invalid indexes of interrupted rebuilds."""
    return [name for (name,) in connection.execute(_LEFTOVERS)]


def begin_session(connection: Connection) -> str | None:
    """Prepare a session for rebuilds; return the reason if it cannot be used, or None."""
    backend: Any = connection.execute("SELECT pg_backend_pid()").fetchone()
    if backend[0] != connection.info.backend_pid:
        return "rebuilding indexes needs a connection without a pooler"
    locked: Any = connection.execute("SELECT pg_try_advisory_lock(%s)", [_ONE_AT_A_TIME]).fetchone()
    if not locked[0]:
        return "another session is rebuilding indexes"
    waits: Any = connection.execute(_LONG_TRANSACTION).fetchone()
    if waits[0]:
        return "a transaction has been open for more than a minute, and a rebuild would wait for it"
    return None


def rebuild(connection: Connection, name: str, *, timeout_s: float) -> None:
    """Rebuild an index without blocking readers and writers. Raises psycopg.Error, and may leave an invalid index."""
    connection.execute("SET lock_timeout = '30s'")
    connection.execute("SELECT set_config('statement_timeout', %s, false)", [f"{max(int(timeout_s * 1000), 1)}ms"])
    connection.execute(sql.SQL("REINDEX INDEX CONCURRENTLY {}").format(sql.Identifier(name)))


def drop_leftover(connection: Connection, name: str) -> None:
    """Drop an invalid index without blocking readers and writers. Waits at most two seconds for their transactions."""
    connection.execute("SET lock_timeout = '2s'")
    connection.execute("SET statement_timeout = '60s'")
    connection.execute(sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(sql.Identifier(name)))


def record_rebuild(connection: Connection, name: str, *, done: bool) -> None:
    """Record that an index was rebuilt, with its new size, or that its rebuild failed."""
    connection.execute(_RECORD, {"name": name, "done": done})
