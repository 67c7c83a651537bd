"""Replaces EventBridge Scheduler: invokes the maintenance function as the template's schedules do.

``python -m infra.local.aws.scheduler`` runs until SIGTERM. All tasks run once at the start, because the machine may
have been off when they were due. The environment is that of the maintenance function.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cloud_functions.maintenance.handler import handler
from cloud_functions.maintenance.schedule import DAY_S, MINUTE_S, TASKS
from shared.errors import VedetteError
from shared.log_lines import line_handler
from shared.retry import FaultLog

log = logging.getLogger(__name__)

HOUR_S = 3600.0
FIRST_WAIT_S = 5.0
"""The database may still be starting, and no task is urgent."""

Invoke = Callable[[Mapping[str, str]], object]


@dataclass(slots=True)
class ScheduledTask:
    """An event for the maintenance function, and its interval."""

    event: Mapping[str, str]
    every_s: float
    due_s: float = 0.0
    failures: int = 0
    """In a row."""

    def record_call(self, now_s: float, *, done: bool) -> None:
        """Record a call. A failed task is due after a minute; from the fifth in a row the wait doubles, up to 1 h."""
        self.failures = 0 if done else self.failures + 1
        pause_s = min(MINUTE_S * 2 ** min(max(self.failures - 4, 0), 6), HOUR_S) if self.failures else DAY_S
        self.due_s = now_s + min(pause_s, self.every_s)


def scheduled_tasks() -> list[ScheduledTask]:
    """Return every maintenance task with its interval."""
    return [ScheduledTask({"task": name}, task.every_s) for name, task in TASKS.items()]


def run_schedule(
    schedule: list[ScheduledTask],
    *,
    invoke: Invoke,
    stopped: threading.Event,
    monotonic: Callable[[], float] = time.monotonic,
    first_wait_s: float = FIRST_WAIT_S,
) -> None:
    """Invoke each task when it is due, until ``stopped`` is set; failed tasks are retried."""
    faults = FaultLog(log, monotonic=monotonic, forget_after_s=DAY_S)
    stopped.wait(first_wait_s)
    while not stopped.is_set():
        now_s = monotonic()
        for task in schedule:
            if now_s >= task.due_s:
                task.record_call(now_s, done=_call(invoke, task, faults))
        stopped.wait(max(min(task.due_s for task in schedule) - monotonic(), 0.0))


def _call(invoke: Invoke, task: ScheduledTask, faults: FaultLog) -> bool:
    try:
        log.info("%s: %s", task.event, invoke(task.event))
    except VedetteError as error:
        log.warning("%s: %s", task.event, error)
        return False
    except Exception as error:
        faults.log(error, f"{task.event} failed")
        return False
    return True


def main() -> None:
    """Run until SIGTERM."""
    logging.basicConfig(level=logging.INFO, handlers=[line_handler()])
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    run_schedule(scheduled_tasks(), invoke=lambda event: handler(dict(event), None), stopped=stopped)


if __name__ == "__main__":
    main()
