"""Processes that run a maintenance task and kill themselves with SIGKILL at a given statement.

``KilledMaintenance`` starts one interpreter, which forks for each run, so that a run costs no start of Python.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import psycopg

from cloud_functions.db.connect import Database
from cloud_functions.maintenance.handler import build_maintenance
from shared.clock import ManualClock


class _Counted(psycopg.Connection[Any]):
    """A connection that ends its process before a statement."""

    left = 0

    def execute(self, *arguments: Any, **options: Any) -> psycopg.Cursor[Any]:
        _Counted.left -= 1
        if _Counted.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().execute(*arguments, **options)


class KilledMaintenance:
    """Runs the task ``retention`` in processes that are killed."""

    def __init__(self, url: str, *, now: datetime, variables: Mapping[str, str]) -> None:
        self._order: dict[str, Any] = {"url": url, "now": now.isoformat(), "variables": dict(variables)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.killed_maintenance"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._lock = threading.Lock()

    def run(self, *, statements: int, at_once: int = 1) -> list[int]:
        """Run the task in ``at_once`` processes, each killed before its statement with this number.

        Return the exit status of each: -9 if it was killed, 0 if it had finished before, 1 if a step failed.
        """
        with self._lock:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(json.dumps(self._order | {"statements": statements, "at_once": at_once}) + "\n")
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate("")


def _main() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        children = [_fork(order) for _ in range(order["at_once"])]
        print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]), flush=True)


def _fork(order: Mapping[str, Any]) -> int:
    child = os.fork()
    if child == 0:
        os._exit(_run(order))
    return child


def _run(order: Mapping[str, Any]) -> int:
    _Counted.left = order["statements"]
    url, clock = order["url"], ManualClock(datetime.fromisoformat(order["now"]))
    database = Database(connect=lambda: _Counted.connect(url, autocommit=True))
    try:
        maintenance = build_maintenance(order["variables"], database=database, clock=clock, sleep=lambda _: None)
        maintenance.handle({"task": "retention"})
    except Exception as error:
        sys.stderr.write(f"{error!r}\n")
        return 1
    return 0


if __name__ == "__main__":
    _main()
