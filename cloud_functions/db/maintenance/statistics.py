"""Statistics of the planner that are stale, pending lists of GIN indexes, and tables that need a VACUUM.

Autovacuum does this work, but never analyses a partitioned table as a whole, and may be behind or off.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from psycopg import sql

from cloud_functions.db.types import Connection

_STALE: Final = """
SELECT pg_class.relname FROM pg_class JOIN pg_stat_all_tables AS stats ON stats.relid = pg_class.oid
WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND pg_has_role(relowner, 'USAGE')
  AND n_mod_since_analyze > greatest(1000, 0.2 * n_live_tup)
UNION ALL
SELECT parent.relname FROM pg_class AS parent LEFT JOIN pg_stat_all_tables AS stats ON stats.relid = parent.oid
WHERE parent.relnamespace = current_schema()::regnamespace AND parent.relkind = 'p' AND NOT parent.relispartition
  AND pg_has_role(parent.relowner, 'USAGE')
  AND coalesce(stats.last_analyze < now() - interval '7 days', true)
  AND (SELECT sum(n_live_tup) FROM pg_partition_tree(parent.oid) AS part
       JOIN pg_stat_all_tables AS parts ON parts.relid = part.relid WHERE part.isleaf) > 1000
ORDER BY relname
"""
_GIN: Final = """
SELECT pg_class.oid FROM pg_class JOIN pg_index ON indexrelid = pg_class.oid JOIN pg_am ON pg_am.oid = relam
WHERE relnamespace = current_schema()::regnamespace AND relkind = 'i' AND amname = 'gin' AND indisvalid
  AND pg_has_role(relowner, 'USAGE') AND pg_relation_size(pg_class.oid) > 0
  AND NOT coalesce('fastupdate=off' = ANY (reloptions), false)
ORDER BY relname
"""
_NEEDS_VACUUM: Final = """
SELECT pg_class.relname, n_dead_tup, age(relfrozenxid)
FROM pg_class JOIN pg_stat_all_tables AS stats ON relid = pg_class.oid
WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'
  AND (n_dead_tup > greatest(10000, 0.3 * n_live_tup)
       OR age(relfrozenxid) > 1.2 * current_setting('autovacuum_freeze_max_age')::bigint)
ORDER BY n_dead_tup DESC LIMIT 20
"""


class VacuumSuggestion(NamedTuple):
    """A table on which autovacuum is behind."""

    table: str
    dead_rows: int
    transaction_age: int


def tables_with_stale_statistics(connection: Connection) -> list[str]:
    """Return the tables of which a fifth changed since they were analysed, and partitioned ones after seven days."""
    return [name for (name,) in connection.execute(_STALE)]


def analyse(connection: Connection, table: str) -> None:
    """Renew a table's statistics. Waits at most two seconds for the lock, which no reader and no writer holds."""
    connection.execute("SET LOCAL lock_timeout = '2s'")
    connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(table)))


def gin_indexes(connection: Connection) -> list[int]:
    """Return the oids of GIN indexes that may have a pending list."""
    return [oid for (oid,) in connection.execute(_GIN)]


def merge_pending_list(connection: Connection, index: int) -> int:
    """Move the pending entries of a GIN index into it, so that searches need not read them; return their pages."""
    connection.execute("SET LOCAL lock_timeout = '2s'")
    row: Any = connection.execute("SELECT gin_clean_pending_list(%s::oid::regclass)", [index]).fetchone()
    return row[0]


def vacuum_suggestions(connection: Connection) -> list[VacuumSuggestion]:
    """Return the tables with many dead rows, or with rows so old that autovacuum should have frozen them."""
    return [VacuumSuggestion(*row) for row in connection.execute(_NEEDS_VACUUM)]
