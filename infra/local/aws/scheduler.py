"""Replaces EventBridge Scheduler: invokes the maintenance function at the times of the table of tasks.

``python -m infra.local.aws.scheduler`` runs until SIGTERM. At the start, a task runs once if it has not succeeded since
its last due time, because the machine may have been off then. Tasks that run each minute have a thread of their own, so
that a long nightly task does not delay them. The environment is that of the maintenance function.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cloud_functions.maintenance.cron import Schedule
from cloud_functions.maintenance.handler import Maintenance, open_maintenance
from cloud_functions.maintenance.schedule import TASKS
from shared.clock import Clock, SystemClock
from shared.errors import VedetteError
from shared.log_lines import line_handler
from shared.retry import FaultLog

log = logging.getLogger(__name__)

FIRST_WAIT_S: Final = 5.0
"""The database may still be starting, and no task is urgent."""
_LONGEST_WAIT_S: Final = 60.0
"""The time is read again after this wait, in case the clock was set."""
_MINUTE: Final = timedelta(minutes=1)
_HOUR: Final = timedelta(hours=1)
_FORGET_FAULTS_AFTER_S: Final = 86_400.0

Invoke = Callable[[Mapping[str, str]], object]


@dataclass(slots=True)
class ScheduledTask:
    """An event for the maintenance function, its schedule, and when it is due."""

    event: Mapping[str, str]
    schedule: Schedule
    due: datetime
    failures: int = 0
    """In a row."""

    def record_call(self, now: datetime, *, done: bool) -> None:
        """Record a call. A failed task is due after a minute; from the fifth in a row the wait doubles, up to 1 h."""
        self.failures = 0 if done else self.failures + 1
        self.due = self.schedule.next_after(now)
        if self.failures:
            self.due = min(self.due, now + min(_MINUTE * 2 ** min(max(self.failures - 4, 0), 6), _HOUR))

    def is_due(self, now: datetime) -> bool:
        """Return whether it is due. After the clock was set back, it is due at its next time on the new clock."""
        self.due = min(self.due, self.schedule.next_after(now))
        return now >= self.due


def scheduled_tasks(
    successes: Mapping[str, datetime], *, now: datetime, are_frequent: bool | None = None
) -> list[ScheduledTask]:
    """Return the tasks and when each is due: now, if it has not succeeded since its last due time.

    ``successes``: when each task last succeeded. ``are_frequent``: only those that do (or do not) run each minute.
    """
    return [
        ScheduledTask({"task": name}, task.schedule, _first_due(task.schedule, successes.get(name), now))
        for name, task in TASKS.items()
        if are_frequent in (None, task.is_frequent)
    ]


def _first_due(schedule: Schedule, succeeded: datetime | None, now: datetime) -> datetime:
    return now if succeeded is None or succeeded < schedule.last_at(now) else schedule.next_after(now)


def run_schedule(schedule: list[ScheduledTask], *, invoke: Invoke, stopped: threading.Event, clock: Clock) -> None:
    """Invoke each task when it is due, until ``stopped`` is set; failed tasks are retried."""
    faults = FaultLog(log, monotonic=clock.monotonic, forget_after_s=_FORGET_FAULTS_AFTER_S)
    while not stopped.is_set():
        for task in schedule:
            if not stopped.is_set() and task.is_due(clock.now()):
                done = _call(invoke, task, faults)
                task.record_call(clock.now(), done=done)
        wait_s = (min(task.due for task in schedule) - clock.now()).total_seconds()
        stopped.wait(min(max(wait_s, 0.0), _LONGEST_WAIT_S))


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


def _successes(maintenance: Maintenance, stopped: threading.Event) -> Mapping[str, datetime]:
    """Return when each task last succeeded; wait until the database answers."""
    wait_s = FIRST_WAIT_S
    while not stopped.wait(wait_s):
        try:
            return maintenance.last_successes()
        except VedetteError as error:
            log.warning("waiting for the database: %s", error)
            wait_s = min(wait_s * 2, _LONGEST_WAIT_S)
    return {}


def _run_tasks(*, are_frequent: bool, stopped: threading.Event) -> None:
    """Run the tasks that run each minute, or all others, until ``stopped`` is set. After an error all tasks stop."""
    clock = SystemClock()
    try:
        maintenance = open_maintenance()
        successes = _successes(maintenance, stopped)
        tasks = scheduled_tasks(successes, now=clock.now(), are_frequent=are_frequent)
        run_schedule(tasks, invoke=maintenance.handle, stopped=stopped, clock=clock)
    finally:
        stopped.set()


def main() -> None:
    """Run until SIGTERM."""
    logging.basicConfig(level=logging.INFO, handlers=[line_handler()])
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    others = threading.Thread(target=_run_tasks, kwargs={"are_frequent": False, "stopped": stopped}, name="others")
    others.start()
    _run_tasks(are_frequent=True, stopped=stopped)
    others.join()


if __name__ == "__main__":
    main()
