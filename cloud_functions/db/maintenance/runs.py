"""When each maintenance task ran, when it succeeded, and when it is due: what the health report shows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from cloud_functions.db.types import Connection
from shared.clock import format_utc

LONGEST_RUN: Final = timedelta(minutes=75)
"""A run that has not ended after this time was interrupted: no function and no time budget lasts that long."""
LATE_AFTER: Final = timedelta(minutes=15)
"""Time after its due time at which a task is late. Others that run first may take this long."""

_REGISTER: Final = """
INSERT INTO maintenance_tasks AS known (task, schedule, next_due_at)
SELECT * FROM unnest(%s::text[], %s::text[], %s::timestamptz[])
ON CONFLICT (task) DO UPDATE SET schedule = EXCLUDED.schedule, next_due_at = EXCLUDED.next_due_at
WHERE known.schedule <> EXCLUDED.schedule
"""
_UNREGISTER: Final = "DELETE FROM maintenance_tasks WHERE task <> ALL (%s)"
_START: Final = "UPDATE maintenance_tasks SET started_at = %s, next_due_at = %s WHERE task = %s"
_FINISH: Final = """
UPDATE maintenance_tasks SET finished_at = %(at)s, error = %(error)s,
    succeeded_at = CASE WHEN %(error)s::text IS NULL THEN %(at)s ELSE succeeded_at END,
    failures = CASE WHEN %(error)s::text IS NULL THEN 0 ELSE failures + 1 END
WHERE task = %(task)s
"""
_INTERRUPTED: Final = """
UPDATE maintenance_tasks SET finished_at = %(now)s, failures = failures + 1, error = 'it was interrupted'
WHERE task <> %(but)s AND started_at < %(now)s - %(longest)s AND (finished_at IS NULL OR finished_at < started_at)
RETURNING task
"""
_SUCCESSES: Final = "SELECT task, succeeded_at FROM maintenance_tasks WHERE succeeded_at IS NOT NULL"
_STATES: Final = """
SELECT task, schedule, CASE
        WHEN next_due_at < %(now)s - %(late_after)s THEN 'late'
        WHEN failures > 0 THEN 'failed'
        WHEN started_at IS NULL THEN 'waiting'
        WHEN finished_at IS NULL OR finished_at < started_at THEN 'running'
        ELSE 'ok' END AS status,
    started_at, succeeded_at, next_due_at, failures, error
FROM maintenance_tasks ORDER BY task
"""


def register_tasks(connection: Connection, tasks: Mapping[str, tuple[str, datetime]]) -> None:
    """Record the schedule and the next due time of each task; tasks that are not among them are removed."""
    schedules, due = [schedule for schedule, _ in tasks.values()], [at for _, at in tasks.values()]
    connection.execute(_REGISTER, [list(tasks), schedules, due])
    connection.execute(_UNREGISTER, [list(tasks)])


def record_start(connection: Connection, task: str, *, at: datetime, next_due: datetime) -> None:
    """Record that a run of the task begins."""
    connection.execute(_START, [at, next_due, task])


def record_end(connection: Connection, task: str, *, at: datetime, error: str | None) -> None:
    """Record that a run ended; with ``error``, which names the failed steps, it failed."""
    connection.execute(_FINISH, {"task": task, "at": at, "error": error})


def take_interrupted(connection: Connection, *, now: datetime, but: str) -> list[str]:
    """Record interrupted runs of tasks other than ``but`` as failed, and return those tasks."""
    parameters = {"now": now, "but": but, "longest": LONGEST_RUN}
    return [task for (task,) in connection.execute(_INTERRUPTED, parameters)]


def last_successes(connection: Connection) -> dict[str, datetime]:
    """Return when each task last succeeded; tasks that never did are missing."""
    return dict(connection.execute(_SUCCESSES).fetchall())


def task_states(connection: Connection, *, now: datetime) -> list[dict[str, Any]]:
    """Return the state of each task as JSON values; times are RFC 3339."""
    return [
        {
            "task": task,
            "schedule": schedule,
            "status": status,
            "last_run": None if started is None else format_utc(started),
            "last_success": None if succeeded is None else format_utc(succeeded),
            "next_due": format_utc(due),
            "failures": failures,
            "error": error,
        }
        for task, schedule, status, started, succeeded, due, failures, error in connection.execute(
            _STATES, {"now": now, "late_after": LATE_AFTER}
        )
    ]
