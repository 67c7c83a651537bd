"""The demo's agent is restarted when it ends, and a state folder has at most one agent."""

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
    """Return a function that makes a process running Python code; it is stopped after the test."""
    processes: list[Process] = []

    def make(code: str) -> Process:
        process = Process(name="agent", command=[sys.executable, "-c", code], folder=tmp_path, ready=lambda: True)
        processes.append(process)
        return process

    yield make
    for process in processes:
        process.stop()


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=200)


def _printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_cloud_27_a_killed_agent_is_restarted(make_process: MakeProcess, console: Console) -> None:
    """After ``kill -9`` a new process runs, and a message is printed."""
    process = make_process("import time; time.sleep(60)")
    agent = DemoAgent(process=process, console=console, restart_pause_s=0.01)
    agent.start()
    first = process.pid
    process.kill()

    def restarted() -> bool:
        agent.check()
        return process.pid not in (None, first)

    assert wait_until(restarted, timeout_s=20)
    assert "the edge agent ended; starting it again" in _printed(console)


def test_cloud_27_an_agent_that_keeps_ending_ends_the_demo(make_process: MakeProcess, console: Console) -> None:
    """After three restarts an error contains the last lines of the agent's log."""
    process = make_process("print('edge-agent: no luck'); raise SystemExit(1)")
    agent = DemoAgent(process=process, console=console, restart_pause_s=0.01)
    agent.start()

    def check() -> bool:
        agent.check()
        return False

    with pytest.raises(TransientError, match=r"keeps exiting:\n(.*\n)*  edge-agent: no luck"):
        wait_until(check, timeout_s=20)
    assert _printed(console).count("starting it again") == 3


def test_cloud_27_a_failed_start_of_the_agent_is_repeated(
    make_process: MakeProcess, console: Console, tmp_path: Path
) -> None:
    """If the log cannot be opened, as on a full disk, a message is printed and the demo continues."""
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

    def restarted() -> bool:
        agent.check()
        return process.alive

    assert wait_until(restarted, timeout_s=20)


def test_cloud_28_a_folder_has_the_agent_of_one_demo_only(tmp_path: Path) -> None:
    """A second demo is rejected until the first has ended."""
    first, second = StateFolder(tmp_path / "state"), StateFolder(tmp_path / "state")
    first.prepare()
    with (
        first.lock_agent(),
        pytest.raises(ConfigurationError, match="another demo already runs an agent"),
        second.lock_agent(),
    ):
        pass
    with second.lock_agent():
        pass
