"""The advisory lock and the time limits of a migration's transaction.

A statement that waits for a table's exclusive lock blocks every later reader of that table. It therefore waits for at
most 0.25 s; then the whole migration is rolled back and retried, and other sessions continue in between.
"""

from __future__ import annotations

from typing import Any, Final

from cloud_functions.db.types import Connection
from shared.errors import TransientError

MIGRATION_LOCK: Final = 0x7645_4454_5431
"""Key of the advisory lock; releases up to revision 0008 take it for a session, later ones for a transaction."""
LOCK_TIMEOUT_MS: Final = 250
STATEMENT_TIMEOUT_S: Final = 3600
"""Time limit for one statement of a migration: filling rollups from tens of millions of events takes minutes."""

_HOLDER: Final = """
SELECT activity.pid, COALESCE(NULLIF(activity.application_name, ''), '?'), COALESCE(client_addr::text, 'local'),
       activity.state, date_trunc('second', now() - COALESCE(activity.xact_start, activity.state_change))::text
FROM pg_locks JOIN pg_stat_activity AS activity USING (pid)
WHERE locktype = 'advisory' AND granted AND (classid::bigint << 32) | objid::bigint = %s AND objsubid = 1
  AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_BLOCKERS: Final = """
SELECT activity.pid, COALESCE(NULLIF(activity.application_name, ''), '?'), COALESCE(client_addr::text, 'local'),
       activity.state, date_trunc('second', now() - activity.xact_start)::text
FROM pg_stat_activity AS activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
ORDER BY xact_start LIMIT 3
"""


class MigrationLockedError(TransientError):
    """Another session holds the migration lock."""


def begin_migration(connection: Connection | None, *, statement_timeout_s: float = STATEMENT_TIMEOUT_S) -> None:
    """Take the migration lock in the connection's transaction and set its time limits.

    Raises:
        MigrationLockedError: another session has the lock; the text names the session.
    """
    assert connection is not None  # noqa: S101 - Alembic is never run offline here
    connection.execute("SELECT set_config('lock_timeout', %s, true)", [f"{LOCK_TIMEOUT_MS}ms"])
    connection.execute("SELECT set_config('statement_timeout', %s, true)", [f"{statement_timeout_s * 1000:.0f}ms"])
    connection.execute("SELECT set_config('idle_in_transaction_session_timeout', '60s', true)")
    row = connection.execute("SELECT pg_try_advisory_xact_lock(%s)", [MIGRATION_LOCK]).fetchone()
    if row is None or not row[0]:
        raise MigrationLockedError(
            f"another migration of this database is running: {_sessions(connection, _HOLDER, [MIGRATION_LOCK])}"
        )


def describe_blockers(connection: Connection) -> str:
    """Return the sessions with the longest open transactions: one of them holds the required lock."""
    return _sessions(connection, _BLOCKERS, [])


def _sessions(connection: Connection, query: str, parameters: list[Any]) -> str:
    rows = connection.execute(query.encode(), parameters or None).fetchall()
    sessions = [
        f"pid {pid} ({name}, {client}, {state or 'state unknown'}, for {since})"
        for pid, name, client, state, since in rows
    ]
    return "; ".join(sessions) or "a session that has just ended"
