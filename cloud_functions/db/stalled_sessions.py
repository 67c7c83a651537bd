"""Ends sessions of ours whose client stopped in the middle of sending events.

A client that stops between two statements is ended by ``idle_in_transaction_session_timeout``. In the middle of a COPY
no time limit of PostgreSQL counts: the server waits for the client's next bytes, with its locks, for ever.
"""

from __future__ import annotations

from typing import Final

from cloud_functions.db.types import Connection

# A COPY of ours is done within a second or two.
_END: Final = """
SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
  AND application_name LIKE 'vedette%%' AND state = 'active' AND wait_event = 'ClientRead'
  AND query ~* '^\\s*copy\\s+events\\s' AND state_change < now() - make_interval(secs => %s)
"""


def terminate_stalled_copies(connection: Connection, *, after_s: float) -> list[int]:
    """End sessions that have been waiting for the rest of a COPY for so long; return their process ids."""
    return [pid for pid, ended in connection.execute(_END, [after_s]) if ended]
