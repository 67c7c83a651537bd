"""The maintenance function's entry point: ``cloud_functions.maintenance.handler.handler``, called by schedules.

A schedule's input ``{"task": "gaps"}`` runs that task; a bare scheduled event runs all of them.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Mapping
from typing import Any

from cloud_functions.aws import AwsClients
from cloud_functions.db.connect import Database
from cloud_functions.device_commands import CommandPublisher, IotCommandPublisher
from cloud_functions.maintenance.tasks import TASKS, Tools
from cloud_functions.observability import Metrics, NoMetrics, metrics_for, wire_logging
from cloud_functions.settings import DatabaseSettings, Environment, GapSettings, MaintenanceSettings
from shared.clock import Clock, SystemClock
from shared.errors import ConfigurationError, TransientError, VedetteError

log = logging.getLogger(__name__)


class Maintenance:
    """Runs tasks by name."""

    def __init__(self, *, tools: Tools, metrics: Metrics) -> None:
        self._tools = tools
        self._metrics = metrics

    def handle(self, event: Mapping[str, Any]) -> dict[str, int]:
        """Run the task that the event names, or every task; return what each did.

        Raises:
            ConfigurationError: there is no such task.
            TransientError: a task failed (the others were run); the schedule will come again.
        """
        name = event.get("task")
        if name is not None and name not in TASKS:
            raise ConfigurationError(f"there is no task {str(name)[:100]!r}; there are: {', '.join(TASKS)}")
        done: dict[str, int] = {}
        failed: list[str] = []
        for task in [name] if name else TASKS:
            try:
                done[task] = TASKS[task](self._tools)
                self._metrics.count(f"Maintenance_{task}", done[task])
            except VedetteError as error:
                log.warning("maintenance task %s failed: %s", task, error)
                failed.append(task)
        self._metrics.count("MaintenanceFailures", len(failed))
        self._metrics.flush()
        if failed:
            raise TransientError(f"maintenance did not finish: {', '.join(failed)}")
        return done


def build_maintenance(
    environment: Mapping[str, str] | None = None,
    *,
    database: Database | None = None,
    commands: CommandPublisher | None = None,
    metrics: Metrics | None = None,
    clock: Clock | None = None,
) -> Maintenance:
    """Wire maintenance from environment variables; what is given stands in for what would be made. Opens nothing."""
    env = Environment(environment)
    settings = MaintenanceSettings.from_environment(env)
    aws = AwsClients()
    tools = Tools(
        database=database or Database.from_settings(DatabaseSettings.from_environment(env), aws=aws),
        commands=commands or IotCommandPublisher(aws=aws, endpoint_url=settings.iot_data_endpoint),
        settings=settings,
        gaps=GapSettings.from_environment(env),
        clock=clock or SystemClock(),
    )
    return Maintenance(tools=tools, metrics=metrics or NoMetrics())


@functools.cache
def _maintenance() -> Maintenance:
    wire_logging(service="maintenance", variables=os.environ)
    return build_maintenance(metrics=metrics_for(service="maintenance", variables=os.environ))


def handler(event: dict[str, Any], context: object) -> dict[str, int]:
    """Take one scheduled call from Lambda."""
    del context
    return _maintenance().handle(event)
