"""Terminates Vedette's own sessions whose client has stopped in the middle of a COPY.

PostgreSQL ends a client that stops between two statements by ``idle_in_transaction_session_timeout``. No timeout
applies in the middle of a COPY: the server would wait for the client's next bytes, and hold its locks, indefinitely.
"""

from __future__ import annotations

from typing import Final

from cloud_functions.db.types import Connection

# A COPY of events takes one or two seconds.
_END: Final = """
SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
  AND application_name LIKE 'vedette%%' AND state = 'active' AND wait_event = 'ClientRead'
  AND query ~* '^\\s*copy\\s+events\\s' AND state_change < now() - make_interval(secs => %s)
"""


def terminate_stalled_copies(connection: Connection, *, after_s: float) -> list[int]:
    """Terminate sessions that have waited for the rest of a COPY for ``after_s``; return their process ids."""
    return [pid for pid, ended in connection.execute(_END, [after_s]) if ended]
