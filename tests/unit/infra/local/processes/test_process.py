"""Supervised processes start, stop, and end with their supervisor."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local.processes.identity import NOBODY
from infra.local.processes.ports import answers, describe_listener, free_port, is_free, listens
from infra.local.processes.process import PidFile, Process, ProcessIdentity, wait_until
from shared.errors import TransientError

SLEEPER = [sys.executable, "-S", "-c", "import time; print('up', flush=True); time.sleep(600)"]
IGNORES_SIGTERM = [
    sys.executable,
    "-S",
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)",
]


def _process(folder: Path, command: list[str], **settings: object) -> Process:
    log_path = folder / "logs" / "thing.log"
    ready = settings.pop("ready", lambda: log_path.is_file() and b"up" in log_path.read_bytes())
    return Process(name="thing", command=command, folder=folder, ready=ready, **settings)  # type: ignore[arg-type]


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Process]:
    process = _process(tmp_path, SLEEPER)
    process.start()
    yield process
    process.stop()


def test_start_and_stop(sleeper: Process) -> None:
    """After ``stop`` the process has ended, and no process has its pid."""
    pid = sleeper.pid
    assert pid is not None
    sleeper.stop()
    assert not sleeper.alive
    assert ProcessIdentity.of(pid) is None
    assert sleeper.exit_status is None


def test_kill_and_restart(sleeper: Process) -> None:
    """``kill -9`` is detected at once, and ``restart`` starts a new process."""
    first = sleeper.pid
    sleeper.kill()
    assert (sleeper.alive, sleeper.exit_status) == (False, -signal.SIGKILL)
    sleeper.restart()
    assert sleeper.alive
    assert sleeper.pid != first


def test_a_process_of_a_crashed_supervisor_is_stopped(tmp_path: Path, sleeper: Process) -> None:
    """The process in the pid file is stopped before another process of the same name starts."""
    left = sleeper.pid
    assert left is not None
    other = _process(tmp_path, SLEEPER)
    other.start()
    assert not sleeper.alive
    assert other.alive
    other.stop()


def test_an_unrelated_process_with_the_same_pid_is_not_stopped(tmp_path: Path, sleeper: Process) -> None:
    """The start time in the pid file must match, too."""
    assert sleeper.pid is not None
    PidFile(tmp_path / "run" / "thing.pid").write(ProcessIdentity(pid=sleeper.pid, started="another boot/1"))
    _process(tmp_path, SLEEPER).stop_leftover()
    assert sleeper.alive


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"pid": "x", "started": 1}'])
def test_an_invalid_pid_file_is_ignored(tmp_path: Path, text: str) -> None:
    """It is treated as a missing file."""
    path = tmp_path / "thing.pid"
    path.write_text(text, encoding="utf-8")
    assert PidFile(path).read() is None


def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    """This applies to child processes, and to processes of a crashed supervisor."""
    ignoring = _process(tmp_path, IGNORES_SIGTERM, stop_timeout_s=0.2)
    ignoring.start()
    pid = ignoring.pid
    assert pid is not None
    _process(tmp_path, SLEEPER, stop_timeout_s=0.2).stop_leftover()
    assert ProcessIdentity.of(pid) is None
    ignoring.start()
    ignoring.stop()
    assert not ignoring.alive


def test_a_process_that_ends_at_once_is_reported_without_secrets(tmp_path: Path) -> None:
    """The error contains the last lines of the log, with credentials masked."""
    command = [sys.executable, "-S", "-c", "import sys; sys.exit('no such host: rtsp://me:secret@camera/')"]
    with pytest.raises(TransientError, match="no such host") as error:
        _process(tmp_path, command).start()
    assert "secret" not in str(error.value)


def test_a_missing_program_is_reported_by_name(tmp_path: Path) -> None:
    """The error contains the command that the launcher could not execute."""
    with pytest.raises(TransientError, match="/no/such/program"):
        _process(tmp_path, ["/no/such/program"]).start()


def test_a_process_that_is_never_ready_is_an_error(tmp_path: Path) -> None:
    """A process that does not become ready in time is killed."""
    process = _process(tmp_path, SLEEPER, ready=lambda: False, ready_timeout_s=0.2)
    with pytest.raises(TransientError, match="not ready within"):
        process.start()
    assert not process.alive
    with pytest.raises(TransientError, match="was not started"):
        _process(tmp_path / "other", SLEEPER, ready=lambda: False).wait_ready()


LISTENER = """
import socket, sys, time
with socket.create_server(("127.0.0.1", int(sys.argv[1]))):
    time.sleep(600)
"""


def test_a_process_is_ready_when_it_listens_itself(tmp_path: Path) -> None:
    """A listener of another process on the port does not make the process ready; its own does."""
    port = free_port()
    listening = [sys.executable, "-S", "-c", LISTENER, str(port)]
    with socket.create_server(("127.0.0.1", port)):
        silent = _process(tmp_path, SLEEPER, port=port, ready_timeout_s=0.5)
        with pytest.raises(TransientError, match="not ready within"):
            silent.start()
        with pytest.raises(TransientError, match="in use"):
            _process(tmp_path, listening, port=port, ready=lambda: True).start()
    own = _process(tmp_path, listening, port=port, ready=lambda: True)
    own.start()
    try:
        assert own.pid is not None
        assert listens(own.pid, port)
        assert not listens(os.getpid(), port)
    finally:
        own.stop()
    assert not listens(os.getpid(), port)


SUPERVISOR = """
import sys, time
from pathlib import Path
from infra.local.processes.process import Process
process = Process(name="thing", command=["/bin/sleep", "600"],  # which every user may run
                  folder=Path(sys.argv[1]), ready=lambda: True, identity=sys.argv[2])
process.start()
print(process.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("identity", ["same", f"userns:{NOBODY}", f"setuid:{NOBODY}"])
def test_processes_end_with_a_killed_supervisor(tmp_path: Path, identity: str) -> None:
    """After ``kill -9`` of the supervisor its processes end, for every user that they run as."""
    if identity.startswith("setuid") and os.geteuid() != 0:
        identity = "same"  # an ordinary user cannot become another
    command = [sys.executable, "-c", SUPERVISOR, str(tmp_path), identity]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as supervisor:
        try:
            assert supervisor.stdout is not None
            child = ProcessIdentity.of(int(supervisor.stdout.readline()))
            assert child is not None
            command_line = Path(f"/proc/{child.pid}/cmdline")
            assert wait_until(lambda: command_line.read_bytes() == b"/bin/sleep\x00600\x00", timeout_s=20)
        finally:
            supervisor.kill()
        assert child.wait_gone(20)


def test_a_listener_is_found_by_its_port() -> None:
    """A port with a listener is not free, accepts connections, and its process is found."""
    port = free_port()
    assert is_free(port)
    assert not answers(port)
    assert describe_listener(port) is None
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", port))
        listener.listen()
        assert not is_free(port)
        assert answers(port)
        assert f"(pid {os.getpid()})" in str(describe_listener(port))


def test_the_pid_file_is_json(sleeper: Process, tmp_path: Path) -> None:
    """The pid file is readable JSON that names the process."""
    assert json.loads((tmp_path / "run" / "thing.pid").read_text(encoding="utf-8"))["pid"] == sleeper.pid
