"""The scheduler of the one-machine stack runs the maintenance tasks when they are due."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest
from cfnlint.decode import cfn_yaml

from cloud_functions.maintenance.schedule import DAY_S, HOUR_S, MINUTE_S, TASKS
from infra.local.aws.scheduler import ScheduledTask, run_schedule, scheduled_tasks
from shared.errors import TransientError

TEMPLATE = Path(__file__).resolve().parents[5] / "template.yaml"


class SchedulerHarness:
    """Runs a schedule for a number of invocations and records them; each advances the clock by a minute."""

    def __init__(
        self, invocations: int, *, failing: frozenset[int] = frozenset(), error: type[Exception] = TransientError
    ) -> None:
        """``failing``: the numbers of the invocations that raise ``error``, counted from 1."""
        self.now_s = 0.0
        self.invoked: list[tuple[str, float]] = []
        self.stopped = threading.Event()
        self._invocations, self._failing, self._error = invocations, failing, error

    def monotonic(self) -> float:
        return self.now_s

    def invoke(self, event: Mapping[str, str]) -> object:
        self.invoked.append((event["task"], self.now_s))
        number = len(self.invoked)
        self.now_s += MINUTE_S
        if number >= self._invocations:
            self.stopped.set()
        if number in self._failing:
            raise self._error("the database is unavailable")
        return {}

    def run(self, schedule: list[ScheduledTask]) -> None:
        run_schedule(schedule, invoke=self.invoke, stopped=self.stopped, monotonic=self.monotonic, first_wait_s=0.0)


def test_the_template_and_the_scheduler_agree_with_the_table_of_tasks() -> None:
    """Each task of the table has the same schedule on AWS and on one machine, and there are no others."""
    functions = cfn_yaml.load(str(TEMPLATE))["Resources"]["MaintenanceFunction"]["Properties"]["Events"].values()
    schedules = {json.loads(event["Properties"]["Input"])["task"]: event["Properties"] for event in functions}
    assert {name: event["ScheduleExpression"] for name, event in schedules.items()} == {
        name: task.expression for name, task in TASKS.items()
    }
    assert {task.event["task"]: task.every_s for task in scheduled_tasks()} == {
        name: task.every_s for name, task in TASKS.items()
    }
    assert all((task.every_s == MINUTE_S) == (task.expression == "rate(1 minute)") for task in TASKS.values())
    assert all((task.every_s == HOUR_S) == (task.expression == "rate(1 hour)") for task in TASKS.values())
    assert all(task.every_s in (MINUTE_S, HOUR_S, DAY_S) for task in TASKS.values())


def test_every_task_runs_at_the_start_and_then_at_its_own_interval() -> None:
    """A daily task does not run again with a task that runs every minute."""
    harness = SchedulerHarness(invocations=5)
    harness.run([ScheduledTask({"task": "tidy"}, 86_400.0), ScheduledTask({"task": "gaps"}, MINUTE_S)])
    assert [task for task, _ in harness.invoked] == ["tidy", "gaps", "gaps", "gaps", "gaps"]


def test_a_failed_task_is_retried_after_a_minute() -> None:
    """If the database is unavailable at the start, a daily task is not delayed by a day."""
    harness = SchedulerHarness(invocations=2, failing=frozenset({1}))
    harness.run([ScheduledTask({"task": "partitions"}, 86_400.0)])
    assert harness.invoked == [("partitions", 0.0), ("partitions", MINUTE_S)]


def test_python_an_unexpected_error_of_a_task_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    """A task that fails four times with the same error is retried, and the log contains one traceback."""
    harness = SchedulerHarness(invocations=9, failing=frozenset({1, 3, 5, 7}), error=ZeroDivisionError)
    harness.run([ScheduledTask({"task": "partitions"}, 86_400.0), ScheduledTask({"task": "gaps"}, MINUTE_S)])
    assert [task for task, _ in harness.invoked][:8] == ["partitions", "gaps"] * 4
    assert caplog.text.count("Traceback") == 1


def test_cloud_a2_pauses_between_retries_of_a_failing_task_grow() -> None:
    """Four retries follow after a minute each; then the pause doubles up to an hour. A success resets it."""
    task = ScheduledTask({"task": "partitions"}, DAY_S)
    pauses_s: list[float] = []
    for _ in range(11):
        task.record_call(1000.0, done=False)
        pauses_s.append(task.due_s - 1000.0)
    assert pauses_s == [60, 60, 60, 60, 120, 240, 480, 960, 1920, 3600, 3600]
    task.record_call(1000.0, done=True)
    assert task.due_s == 1000.0 + DAY_S
