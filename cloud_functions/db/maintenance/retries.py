"""Which maintenance tasks failed and when they are due again, so that nothing waits for tomorrow's schedule."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from cloud_functions.db.types import Connection

# 5 minutes after the first failure, doubled with each further one, at most an hour.
_FAILED: Final = """
INSERT INTO maintenance_retries AS known (task, due_at) VALUES (%s, now() + interval '5 minutes')
ON CONFLICT (task) DO UPDATE SET failures = known.failures + 1,
    due_at = now() + LEAST(interval '5 minutes' * 2 ^ LEAST(known.failures, 10), interval '1 hour')
"""
# Whoever takes a task has it for an hour: the next minute's call does not take it as well.
_CLAIM: Final = """
UPDATE maintenance_retries SET due_at = now() + interval '1 hour'
WHERE task = ANY (%s) AND due_at <= now() RETURNING task
"""


def record_failure(connection: Connection, task: str) -> None:
    """Have a task run again before its schedule comes round."""
    connection.execute(_FAILED, [task])


def record_success(connection: Connection, task: str) -> None:
    """Forget that a task failed."""
    connection.execute("DELETE FROM maintenance_retries WHERE task = %s", [task])


def claim_retries(connection: Connection, tasks: Collection[str]) -> list[str]:
    """Take those of ``tasks`` that are due again."""
    return sorted(task for (task,) in connection.execute(_CLAIM, [list(tasks)]))
