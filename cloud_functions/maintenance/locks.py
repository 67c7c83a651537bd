"""Trying a step again that met a lock: short waits for the lock, pauses between, so that others get through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import psycopg

from cloud_functions.db.connect import Database, LockedError

Result = TypeVar("Result")
PAUSES_S: Final = (0.2, 0.5, 1.0, 2.0, 4.0)
"""Between attempts, in seconds."""


def in_transaction(
    database: Database, step: Callable[[psycopg.Connection[Any]], Result], *, sleep: Callable[[float], None]
) -> Result:
    """Return what ``step`` returns in a transaction of its own; one that meets a lock is tried again some times.

    Raises:
        LockedError: somebody held the lock each time.
    """
    for pause_s in PAUSES_S:
        try:
            with database.transaction() as connection:
                return step(connection)
        except LockedError:
            sleep(pause_s)
    with database.transaction() as connection:
        return step(connection)
