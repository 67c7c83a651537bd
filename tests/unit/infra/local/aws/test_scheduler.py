"""The schedules of the one-machine stack."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest
from cfnlint.decode import cfn_yaml

from cloud_functions.maintenance.schedule import DAY_S, MINUTE_S, TASKS
from infra.local.aws.scheduler import ScheduledTask, run_schedule, scheduled_tasks
from shared.errors import TransientError

TEMPLATE = Path(__file__).resolve().parents[5] / "template.yaml"


class Night:
    """A clock that each call moves by a minute, and a record of what was called until enough has been."""

    def __init__(
        self, calls: int, *, fails: frozenset[int] = frozenset(), error: type[Exception] = TransientError
    ) -> None:
        self.now_s = 0.0
        self.called: list[tuple[str, float]] = []
        self.stopped = threading.Event()
        self._calls, self._fails, self._error = calls, fails, error

    def monotonic(self) -> float:
        return self.now_s

    def invoke(self, event: Mapping[str, str]) -> object:
        self.called.append((event["task"], self.now_s))
        number = len(self.called)
        self.now_s += MINUTE_S
        if number >= self._calls:
            self.stopped.set()
        if number in self._fails:
            raise self._error("the database is away")
        return {}

    def play(self, schedule: list[ScheduledTask]) -> None:
        run_schedule(schedule, invoke=self.invoke, stopped=self.stopped, monotonic=self.monotonic, first_wait_s=0.0)


def test_the_template_schedules_every_task_as_the_table_says() -> None:
    """AWS, the one-machine scheduler and the table of tasks agree on the tasks and on how often each runs."""
    functions = cfn_yaml.load(str(TEMPLATE))["Resources"]["MaintenanceFunction"]["Properties"]["Events"].values()
    schedules = {json.loads(event["Properties"]["Input"])["task"]: event["Properties"] for event in functions}
    assert {name: event["ScheduleExpression"] for name, event in schedules.items()} == {
        name: task.expression for name, task in TASKS.items()
    }
    assert {task.event["task"]: task.every_s for task in scheduled_tasks()} == {
        name: task.every_s for name, task in TASKS.items()
    }
    assert all((task.every_s == MINUTE_S) == (task.expression == "rate(1 minute)") for task in TASKS.values())
    assert all(task.every_s in (MINUTE_S, DAY_S) for task in TASKS.values())


def test_everything_once_at_first_then_each_at_its_own_pace() -> None:
    """A nightly task does not come again with the minute's."""
    night = Night(calls=5)
    night.play([ScheduledTask({"task": "tidy"}, 86_400.0), ScheduledTask({"task": "gaps"}, MINUTE_S)])
    assert [task for task, _ in night.called] == ["tidy", "gaps", "gaps", "gaps", "gaps"]


def test_what_failed_is_tried_again_soon() -> None:
    """A database that was away at the start does not cost a day."""
    night = Night(calls=2, fails=frozenset({1}))
    night.play([ScheduledTask({"task": "partitions"}, 86_400.0)])
    assert night.called == [("partitions", 0.0), ("partitions", MINUTE_S)]


def test_python_an_unexpected_failure_costs_neither_the_schedule_nor_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """One task fails four times in a way that nobody expected: the others run on, and one traceback is logged."""
    night = Night(calls=9, fails=frozenset({1, 3, 5, 7}), error=ZeroDivisionError)
    night.play([ScheduledTask({"task": "partitions"}, 86_400.0), ScheduledTask({"task": "gaps"}, MINUTE_S)])
    assert [task for task, _ in night.called][:8] == ["partitions", "gaps"] * 4
    assert caplog.text.count("Traceback") == 1


def test_cloud_a2_what_fails_again_and_again_is_tried_less_and_less_often() -> None:
    """Four times a minute, then two, four … an hour; one success, and it is due when its schedule says."""
    one = ScheduledTask({"task": "partitions"}, DAY_S)
    waits: list[float] = []
    for _ in range(11):
        one.record_call(1000.0, done=False)
        waits.append(one.due_s - 1000.0)
    assert waits == [60, 60, 60, 60, 120, 240, 480, 960, 1920, 3600, 3600]
    one.record_call(1000.0, done=True)
    assert one.due_s == 1000.0 + DAY_S
