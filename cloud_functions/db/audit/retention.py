"""Removes the oldest entries of the audit log, so that what remains is still verified.

Only the beginning of a chain is removed. A trigger keeps number and hash of the last removed entry, and adds an entry
that says what was removed.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from cloud_functions.db.types import Connection

_OLDEST: Final = """
SELECT chains.chain, chains.removed_sequence, oldest.through
FROM audit_chains AS chains CROSS JOIN LATERAL (
    SELECT coalesce(min(sequence) FILTER (WHERE at >= %(before)s) - 1, max(sequence)) AS through
    FROM (SELECT sequence, at FROM audit_log WHERE audit_log.chain = chains.chain
          ORDER BY sequence LIMIT %(limit)s) AS first_entries
) AS oldest
WHERE oldest.through > chains.removed_sequence
ORDER BY chains.chain LIMIT 1 FOR UPDATE OF chains SKIP LOCKED
"""
_REMOVE: Final = "UPDATE audit_chains SET removed_sequence = %s WHERE chain = %s"


def remove_entries_before(connection: Connection, before: datetime, *, limit: int) -> int:
    """Remove entries of one chain that are older than ``before``; return how many, at most ``limit``.

    0 if no chain has any, except chains that another transaction is writing to. Repeat it in further transactions: an
    entry that says what was removed is newer than the beginning of this one.
    """
    row = connection.execute(_OLDEST, {"before": before, "limit": limit}).fetchone()
    if row is None:
        return 0
    chain, removed, through = row
    connection.execute(_REMOVE, [through, chain])
    return through - removed
