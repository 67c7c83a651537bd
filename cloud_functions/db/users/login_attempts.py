"""Counts log-in attempts in windows of time, for each account and for each address.

An attempt is counted before its password is checked, so that parallel attempts cannot exceed the limit.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final, NamedTuple

from cloud_functions.db.types import Connection

_COUNT: Final = """
INSERT INTO login_attempts AS stored (subject, attempts, window_ends) VALUES (%s, 1, now() + %s)
ON CONFLICT (subject) DO UPDATE SET
    attempts = CASE WHEN stored.window_ends <= now() THEN 1 ELSE least(stored.attempts + 1, 1000000) END,
    window_ends = CASE WHEN stored.window_ends <= now() THEN excluded.window_ends ELSE stored.window_ends END
RETURNING attempts, extract(epoch FROM window_ends - now())::double precision
"""
_DELETE_EXPIRED: Final = """
DELETE FROM login_attempts WHERE subject IN (
    SELECT subject FROM login_attempts WHERE window_ends < now() LIMIT %s FOR UPDATE SKIP LOCKED)
"""


class AttemptCount(NamedTuple):
    """The attempts of one subject in its current window, with this one."""

    attempts: int
    window_ends_in_s: float


def count_attempt(connection: Connection, subject: str, *, window: timedelta) -> AttemptCount:
    """Count one attempt of the subject, in a new window if its last one has ended."""
    row = connection.execute(_COUNT, [subject, window]).fetchone()
    assert row is not None  # noqa: S101 - RETURNING after an insert or update
    return AttemptCount(*row)


def forget_attempts(connection: Connection, subject: str) -> None:
    """Delete the count of the subject: the log-in succeeded."""
    connection.execute("DELETE FROM login_attempts WHERE subject = %s", [subject])


def take_back_attempt(connection: Connection, subject: str) -> None:
    """Subtract one attempt from the count of the subject."""
    connection.execute("UPDATE login_attempts SET attempts = greatest(attempts - 1, 0) WHERE subject = %s", [subject])


def delete_expired_attempts(connection: Connection, *, limit: int) -> None:
    """Delete at most ``limit`` counts whose window has ended, and skip those that another session uses."""
    connection.execute(_DELETE_EXPIRED, [limit])
