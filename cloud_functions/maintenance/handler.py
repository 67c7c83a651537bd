"""Entry point and composition root of the maintenance function: ``cloud_functions.maintenance.handler.handler``.

The input ``{"task": "gaps"}`` of a schedule runs that task. An event without a task runs all of them.
"""

from __future__ import annotations

import functools
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from cloud_functions.aws import AwsClients
from cloud_functions.db.connect import Database
from cloud_functions.db.devices.canaries import canary_ages
from cloud_functions.db.maintenance.retries import claim_retries, record_failure, record_success
from cloud_functions.db.maintenance.runs import (
    last_successes,
    record_end,
    record_start,
    register_tasks,
    take_interrupted,
)
from cloud_functions.db.types import Connection
from cloud_functions.device_commands import CommandPublisher, IotCommandPublisher
from cloud_functions.maintenance.event_queue import EventQueue, SqsEventQueue
from cloud_functions.maintenance.schedule import RETRY_TASK, SWEEP_TASK, TASKS
from cloud_functions.maintenance.tasks.context import MaintenanceContext
from cloud_functions.observability import Metrics, NoMetrics, build_metrics, configure_logging, invocation_ids
from cloud_functions.settings import (
    DatabaseSettings,
    Environment,
    GapSettings,
    MaintenanceSettings,
    warn_of_obsolete_variables,
)
from cloud_functions.snapshot_store import S3SnapshotStore
from shared.clock import Clock, SystemClock
from shared.errors import ConfigurationError, TransientError, VedetteError
from shared.retry import FaultLog

log = logging.getLogger(__name__)


class Maintenance:
    """Runs tasks by name."""

    def __init__(self, *, context: MaintenanceContext, metrics: Metrics) -> None:
        self._context = context
        self._metrics = metrics
        self._faults = FaultLog(log)
        self._is_registered = False

    def handle(self, event: Mapping[str, Any]) -> dict[str, int]:
        """Run the task that the event names, or all tasks; return the number of changes by task.

        Raises:
            ConfigurationError: there is no such task.
            TransientError: the named steps failed, and all others ran. Their tasks run again some minutes later.
        """
        name = event.get("task")
        if name is not None and name not in TASKS:
            raise ConfigurationError(f"unknown task {str(name)[:100]!r}; known tasks: {', '.join(TASKS)}")
        self._register()
        done: dict[str, int] = {}
        failed: list[str] = []
        for task in self._tasks(name):
            done[task], steps = self._run(task)
            self._metrics.count(f"Maintenance_{task}", done[task])
            failed += steps
            if not steps:
                self._metrics.record(f"MaintenanceSucceededAt_{task}", self._context.clock.now().timestamp())
        if SWEEP_TASK in done:
            self._record_canaries()
        self._metrics.count("MaintenanceFailures", len(failed))
        self._metrics.flush()
        if failed:
            raise TransientError(f"maintenance did not finish: {', '.join(failed)}")
        return done

    def last_successes(self) -> dict[str, datetime]:
        """Return when each task last succeeded; tasks that never did are missing. Raises as ``transaction`` does."""
        with self._context.database.transaction() as connection:
            return last_successes(connection)

    def _register(self) -> None:
        """Record the table of tasks once, so that the health report shows tasks that never ran."""
        if not self._is_registered:
            now = self._context.clock.now()
            tasks = {name: (task.expression, task.schedule.next_after(now)) for name, task in TASKS.items()}
            self._is_registered = self._record(functools.partial(register_tasks, tasks=tasks), "the table of tasks")

    def _record_canaries(self) -> None:
        """Record by how much the most overdue canary is late, for the alarm; nothing where no device sends any."""
        try:
            with self._context.database.transaction() as connection:
                ages = canary_ages(connection)
        except VedetteError as error:
            log.warning("the receipts of canaries cannot be read: %s", error)
            return
        if ages:
            self._metrics.record("CanaryLateSeconds", max(age.late_s for age in ages))
        late = [age.device_id for age in ages if age.late_s > 0]
        if late:
            log.warning("no subscriber receives the canaries of %d devices: %s", len(late), ", ".join(late[:20]))

    def _tasks(self, name: str | None) -> list[str]:
        if name is None:
            return list(TASKS)
        if name != RETRY_TASK:
            return [name]
        try:
            with self._context.database.transaction() as connection:
                for task in take_interrupted(connection, now=self._context.clock.now(), but=name):
                    record_failure(connection, task)
                return [name, *claim_retries(connection, [task for task in TASKS if task != name])]
        except VedetteError as error:
            log.warning("deferring the retry of failed tasks: %s", error)
            return [name]

    def _run(self, task: str) -> tuple[int, list[str]]:
        """Run all steps of a task; return the number of changes and the names of the failed steps."""
        now = self._context.clock.now()
        next_due = TASKS[task].schedule.next_after(now)
        self._record(functools.partial(record_start, task=task, at=now, next_due=next_due), f"the start of task {task}")
        done, failed = 0, []
        for step in TASKS[task].steps:
            try:
                done += step.run(self._context)
            except VedetteError as error:
                log.warning("maintenance step %s.%s failed: %s", task, step.name, error)
                failed.append(f"{task}.{step.name}")
            except Exception as error:
                self._faults.log(error, f"maintenance step {task}.{step.name} failed")
                failed.append(f"{task}.{step.name}")
        self._record(functools.partial(self._record_result, task=task, failed=failed), f"the result of task {task}")
        return done, failed

    def _record_result(self, connection: Connection, *, task: str, failed: Sequence[str]) -> None:
        record_end(connection, task, at=self._context.clock.now(), error=", ".join(failed) or None)
        if task != RETRY_TASK:
            record_failure(connection, task) if failed else record_success(connection, task)

    def _record(self, write: Callable[[Connection], None], what: str) -> bool:
        """Write in a transaction; return whether that worked. Tasks run even if it does not."""
        try:
            with self._context.database.transaction() as connection:
                write(connection)
        except VedetteError as error:
            log.warning("%s could not be recorded: %s", what, error)
            return False
        return True


def build_maintenance(
    environment: Mapping[str, str] | None = None,
    *,
    database: Database | None = None,
    commands: CommandPublisher | None = None,
    events: EventQueue | None = None,
    fanout_queues: Mapping[str, EventQueue] | None = None,
    metrics: Metrics | None = None,
    clock: Clock | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Maintenance:
    """Build maintenance from environment variables; arguments replace the defaults. Opens no connection."""
    env = Environment(environment)
    settings = MaintenanceSettings.from_environment(env)
    aws = AwsClients()
    context = MaintenanceContext(
        database=database or Database.from_settings(DatabaseSettings.from_environment(env), aws=aws),
        commands=commands or IotCommandPublisher(aws=aws, endpoint_url=settings.iot_data_endpoint),
        settings=settings,
        gaps=GapSettings.from_environment(env),
        clock=clock or SystemClock(),
        events=events or _event_queue(settings, aws),
        fanout_queues=_fanout_queues(settings, aws) if fanout_queues is None else fanout_queues,
        snapshots=S3SnapshotStore(bucket=settings.snapshot_bucket, aws=aws) if settings.snapshot_bucket else None,
        sleep=sleep,
    )
    return Maintenance(context=context, metrics=metrics or NoMetrics())


def _fanout_queues(settings: MaintenanceSettings, aws: AwsClients) -> dict[str, EventQueue]:
    return {target: SqsEventQueue(queue_url=url, aws=aws) for target, url in settings.fanout_queues.items()}


def _event_queue(settings: MaintenanceSettings, aws: AwsClients) -> EventQueue | None:
    url = settings.ingest_queue_url
    return None if url is None else SqsEventQueue(queue_url=url, aws=aws)


def open_maintenance() -> Maintenance:
    """Build maintenance for this process: from its environment, with its logging and its metrics."""
    configure_logging(service="maintenance", variables=os.environ)
    warn_of_obsolete_variables()
    return build_maintenance(metrics=build_metrics(service="maintenance", variables=os.environ))


_maintenance = functools.cache(open_maintenance)


def handler(event: dict[str, Any], context: object) -> dict[str, int]:
    """Handle one scheduled Lambda invocation."""
    invocation_ids().begin(context)
    return _maintenance().handle(event)
