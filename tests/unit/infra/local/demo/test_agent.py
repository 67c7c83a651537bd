"""The demo's agent is kept running, and only one demo at a time has an agent in a state folder."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from infra.local.demo.agent import DemoAgent
from infra.local.processes.process import Process, wait_until
from infra.local.processes.state_folder import StateFolder
from shared.errors import ConfigurationError, TransientError

MakeProcess = Callable[[str], Process]


@pytest.fixture
def make_process(tmp_path: Path) -> Iterator[MakeProcess]:
    """Makes a process that runs Python code, and ends it after the test."""
    made: list[Process] = []

    def make(code: str) -> Process:
        process = Process(name="agent", command=[sys.executable, "-c", code], folder=tmp_path, ready=lambda: True)
        made.append(process)
        return process

    yield make
    for process in made:
        process.stop()


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=200)


def _printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_cloud_27_an_agent_that_is_killed_is_started_again(make_process: MakeProcess, console: Console) -> None:
    """After ``kill -9`` another process takes its place, and a line says so."""
    process = make_process("import time; time.sleep(60)")
    agent = DemoAgent(process=process, console=console, restart_pause_s=0.01)
    agent.start()
    first = process.pid
    process.kill()

    def again() -> bool:
        agent.check()
        return process.pid not in (None, first)

    assert wait_until(again, timeout_s=20)
    assert "the edge agent ended; starting it again" in _printed(console)


def test_cloud_27_an_agent_that_keeps_ending_ends_the_demo(make_process: MakeProcess, console: Console) -> None:
    """Three restarts in a row, then an error with what the agent said last."""
    process = make_process("print('edge-agent: no luck'); raise SystemExit(1)")
    agent = DemoAgent(process=process, console=console, restart_pause_s=0.01)
    agent.start()

    def check() -> bool:
        agent.check()
        return False

    with pytest.raises(TransientError, match=r"keeps ending:\n(.*\n)*  edge-agent: no luck"):
        wait_until(check, timeout_s=20)
    assert _printed(console).count("starting it again") == 3


def test_cloud_27_an_agent_that_cannot_be_started_for_now_is_tried_again(
    make_process: MakeProcess, console: Console, tmp_path: Path
) -> None:
    """A log that cannot be opened (as on a full disk) costs the demo nothing but a line."""
    process = make_process("import time; time.sleep(60)")
    agent = DemoAgent(process=process, console=console, restart_pause_s=0.01)
    agent.start()
    process.kill()
    logs = tmp_path / "logs"
    logs.rename(tmp_path / "away")
    logs.write_text("in the way", encoding="utf-8")

    def restart_failed() -> bool:
        agent.check()
        return "the edge agent cannot be started (File exists); trying again" in _printed(console)

    assert wait_until(restart_failed, timeout_s=20)
    logs.unlink()

    def again() -> bool:
        agent.check()
        return process.alive

    assert wait_until(again, timeout_s=20)


def test_cloud_28_only_one_demo_has_its_agent_in_a_folder(tmp_path: Path) -> None:
    """The second is refused, and may have the folder once the first has ended."""
    first, second = StateFolder(tmp_path / "state"), StateFolder(tmp_path / "state")
    first.prepare()
    with (
        first.lock_agent(),
        pytest.raises(ConfigurationError, match="another demo already plays a camera"),
        second.lock_agent(),
    ):
        pass
    with second.lock_agent():
        pass
