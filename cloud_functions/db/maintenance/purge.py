"""Deletes obsolete bookkeeping rows, a bounded number at a time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from psycopg import sql

from cloud_functions.db.partitions.partitions import ROLLUP_TABLES
from cloud_functions.db.types import Connection

TABLES_WITH_ZERO_COUNTS: Final = (*ROLLUP_TABLES, "plates", "plate_camera_counts")
"""Tables whose rows may have a count of zero after deletes."""

# Rows that another session is changing are skipped.
_EMPTY: Final = """
DELETE FROM {table} WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM {table} WHERE events = 0 LIMIT %s FOR UPDATE SKIP LOCKED))
"""
_OLD_GAPS: Final = """
DELETE FROM sequence_gaps WHERE gap_id IN (
    SELECT gap_id FROM sequence_gaps WHERE state <> 'open' AND closed_at < now() - %s LIMIT %s FOR UPDATE SKIP LOCKED)
"""
# A hold or a policy may keep events of any age.
_ODD_TIMES: Final = """
DELETE FROM event_odd_times WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM event_odd_times AS odd WHERE "timestamp" < %s AND NOT EXISTS (
        SELECT FROM events WHERE events.event_id = odd.event_id AND events."timestamp" = odd."timestamp")
    LIMIT %s FOR UPDATE OF odd SKIP LOCKED))
"""


def purge_zero_counts(connection: Connection, table: str, *, limit: int) -> int:
    """Delete rows of one of ``TABLES_WITH_ZERO_COUNTS`` with a count of zero; return how many (at most ``limit``)."""
    return connection.execute(sql.SQL(_EMPTY).format(table=sql.Identifier(table)), [limit]).rowcount


def purge_old_gaps(connection: Connection, *, older_than: timedelta, limit: int) -> int:
    """Delete gaps closed or lost for longer than ``older_than``; return how many (at most ``limit``)."""
    return connection.execute(_OLD_GAPS, [older_than, limit]).rowcount


def purge_unusual_times(connection: Connection, *, before: datetime, limit: int) -> int:
    """Delete the recorded times of deleted events older than ``before``; return how many (at most ``limit``)."""
    return connection.execute(_ODD_TIMES, [before, limit]).rowcount
