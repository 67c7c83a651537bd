"""Failed maintenance tasks and the times of their retries, so that they do not wait for the next schedule."""

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
# A claim lasts an hour, so that the next minute's call does not claim the same task.
_CLAIM: Final = """
UPDATE maintenance_retries SET due_at = now() + interval '1 hour'
WHERE task = ANY (%s) AND due_at <= now() RETURNING task
"""


def record_failure(connection: Connection, task: str) -> None:
    """Schedule a retry of a failed task."""
    connection.execute(_FAILED, [task])


def record_success(connection: Connection, task: str) -> None:
    """Remove the task's scheduled retry."""
    connection.execute("DELETE FROM maintenance_retries WHERE task = %s", [task])


def claim_retries(connection: Connection, tasks: Collection[str]) -> list[str]:
    """Claim those of ``tasks`` whose retry is due, and return them."""
    return sorted(task for (task,) in connection.execute(_CLAIM, [list(tasks)]))
