"""Repeats a transaction that could not get a lock. Short lock waits with pauses between them let writers continue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import psycopg

from cloud_functions.db.connect import Database, LockedError

Result = TypeVar("Result")
PAUSES_S: Final = (0.2, 0.5, 1.0, 2.0, 4.0)
"""Pauses between attempts."""


def in_transaction(
    database: Database, step: Callable[[psycopg.Connection[Any]], Result], *, sleep: Callable[[float], None]
) -> Result:
    """Run ``step`` in its own transaction and return its result; repeat it if a lock is held.

    Raises:
        LockedError: another session held the lock in every attempt.
    """
    for pause_s in PAUSES_S:
        try:
            with database.transaction() as connection:
                return step(connection)
        except LockedError:
            sleep(pause_s)
    with database.transaction() as connection:
        return step(connection)
