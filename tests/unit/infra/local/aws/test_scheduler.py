"""The scheduler of the one-machine stack runs the maintenance tasks when they are due."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cfnlint.decode import cfn_yaml

from cloud_functions.maintenance.cron import Schedule, parse_schedule
from cloud_functions.maintenance.schedule import TASKS
from infra.local.aws.scheduler import ScheduledTask, run_schedule, scheduled_tasks
from shared.clock import ManualClock
from shared.errors import TransientError

TEMPLATE = Path(__file__).resolve().parents[5] / "template.yaml"
START = datetime(2026, 12, 1, 1, 58, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAILY: Schedule = parse_schedule("cron(0 2 * * ? *)")
EVERY_MINUTE: Schedule = parse_schedule("rate(1 minute)")


class _Stop(threading.Event):
    """An event whose wait advances a clock."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self._clock.advance(timeout)
        return self.is_set()


class SchedulerHarness:
    """Runs a schedule for a number of invocations and records them; each takes a second."""

    def __init__(
        self,
        invocations: int,
        *,
        start: datetime = START,
        failing: frozenset[int] = frozenset(),
        error: type[Exception] = TransientError,
    ) -> None:
        """``failing``: the numbers of the invocations that raise ``error``, counted from 1."""
        self.clock = ManualClock(start)
        self.invoked: list[tuple[str, datetime]] = []
        self.stopped = _Stop(self.clock)
        self._invocations, self._failing, self._error = invocations, failing, error

    def invoke(self, event: Mapping[str, str]) -> object:
        self.invoked.append((event["task"], self.clock.now()))
        number = len(self.invoked)
        self.clock.advance(1.0)
        if number >= self._invocations:
            self.stopped.set()
        if number in self._failing:
            raise self._error("the database is unavailable")
        return {}

    def run(self, schedule: list[ScheduledTask]) -> list[tuple[str, str]]:
        """Return the tasks and the times of day of their invocations."""
        run_schedule(schedule, invoke=self.invoke, stopped=self.stopped, clock=self.clock)
        return [(task, f"{at:%d %H:%M:%S}") for task, at in self.invoked]


def test_the_template_and_the_scheduler_agree_with_the_table_of_tasks() -> None:
    """Each task of the table has the same schedule on AWS and on one machine, and there are no others."""
    functions = cfn_yaml.load(str(TEMPLATE))["Resources"]["MaintenanceFunction"]["Properties"]["Events"].values()
    schedules = {json.loads(event["Properties"]["Input"])["task"]: event["Properties"] for event in functions}
    assert {name: event["ScheduleExpression"] for name, event in schedules.items()} == {
        name: task.expression for name, task in TASKS.items()
    }
    assert not any("ScheduleExpressionTimezone" in event for event in schedules.values())
    local = {task.event["task"]: task.schedule for task in scheduled_tasks({}, now=START)}
    assert local == {name: parse_schedule(task.expression) for name, task in TASKS.items()}


def test_every_task_is_in_one_of_the_two_threads() -> None:
    """Those of every minute in one, all others in the other, so that a long task delays no sweep."""
    frequent, others = (
        {task.event["task"] for task in scheduled_tasks({}, now=START, are_frequent=are_frequent)}
        for are_frequent in (True, False)
    )
    assert frequent == {name for name, task in TASKS.items() if task.expression == "rate(1 minute)"}
    assert {"devices", "gaps"} <= frequent
    assert others == set(TASKS) - frequent


def test_a_task_runs_at_its_own_times() -> None:
    """A daily task at its time of day, one of every minute at each full minute."""
    harness = SchedulerHarness(invocations=5)
    schedules = {"gaps": EVERY_MINUTE, "daily": DAILY}
    tasks = [ScheduledTask({"task": name}, each, each.next_after(START)) for name, each in schedules.items()]
    assert harness.run(tasks) == [
        ("gaps", "01 01:59:00"),
        ("gaps", "01 02:00:00"),
        ("daily", "01 02:00:01"),
        ("gaps", "01 02:01:00"),
        ("gaps", "01 02:02:00"),
    ]


def test_a_task_that_was_missed_runs_once_at_the_start() -> None:
    """One that has succeeded since its last due time waits for the next one; one that never did runs now."""
    yesterday = datetime(2026, 11, 30, 2, 0, tzinfo=UTC)
    assert TASKS["snapshots"].schedule == DAILY
    for succeeded, due in (
        (None, START),
        (yesterday - MINUTE, START),
        (yesterday + MINUTE, yesterday + timedelta(days=1)),
        (START, yesterday + timedelta(days=1)),
    ):
        successes = {} if succeeded is None else {"snapshots": succeeded}
        [task] = [one for one in scheduled_tasks(successes, now=START) if one.event["task"] == "snapshots"]
        assert task.due == due
    harness = SchedulerHarness(invocations=2)
    assert harness.run([ScheduledTask({"task": "snapshots"}, DAILY, START)]) == [
        ("snapshots", "01 01:58:30"),
        ("snapshots", "01 02:00:00"),
    ]


def test_a_failed_task_is_retried_after_a_minute() -> None:
    """If the database is unavailable at the time of a daily task, the task is not delayed by a day."""
    harness = SchedulerHarness(invocations=3, failing=frozenset({1}))
    assert harness.run([ScheduledTask({"task": "partitions"}, DAILY, DAILY.next_after(START))]) == [
        ("partitions", "01 02:00:00"),
        ("partitions", "01 02:01:01"),
        ("partitions", "02 02:00:00"),
    ]


def test_a_clock_that_is_set_back_delays_no_task() -> None:
    """A task of every minute runs at the next minute of the new clock."""
    task = ScheduledTask({"task": "gaps"}, EVERY_MINUTE, START + MINUTE)
    assert not task.is_due(START - timedelta(hours=1))
    assert task.is_due(START - timedelta(hours=1) + MINUTE)


def test_python_an_unexpected_error_of_a_task_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    """A task that fails four times with the same error is retried, and the log contains one traceback."""
    harness = SchedulerHarness(invocations=9, failing=frozenset({1, 3, 5, 7}), error=ZeroDivisionError)
    tasks = [ScheduledTask({"task": "partitions"}, DAILY, START), ScheduledTask({"task": "gaps"}, EVERY_MINUTE, START)]
    invoked = [task for task, _ in harness.run(tasks)]
    assert (invoked.count("partitions"), invoked.count("gaps")) >= (4, 4)
    assert caplog.text.count("Traceback") == 1


def test_cloud_a2_pauses_between_retries_of_a_failing_task_grow() -> None:
    """Four retries follow after a minute each; then the pause doubles up to an hour. A success resets it."""
    now = datetime(2026, 12, 1, 3, 0, tzinfo=UTC)
    task = ScheduledTask({"task": "partitions"}, DAILY, now)
    pauses_s: list[float] = []
    for _ in range(11):
        task.record_call(now, done=False)
        pauses_s.append((task.due - now).total_seconds())
    assert pauses_s == [60, 60, 60, 60, 120, 240, 480, 960, 1920, 3600, 3600]
    task.record_call(now, done=True)
    assert task.due == datetime(2026, 12, 2, 2, 0, tzinfo=UTC)
