"""Supervised processes: started, found again, and never left behind."""

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
DEAF = [
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
    """A started process runs; a stopped one does not, and its pid file is gone."""
    pid = sleeper.pid
    assert pid is not None
    sleeper.stop()
    assert not sleeper.alive
    assert ProcessIdentity.of(pid) is None
    assert sleeper.exit_status is None


def test_kill_and_restart(sleeper: Process) -> None:
    """``kill -9`` is seen at once; ``restart`` gives a new process."""
    first = sleeper.pid
    sleeper.kill()
    assert (sleeper.alive, sleeper.exit_status) == (False, -signal.SIGKILL)
    sleeper.restart()
    assert sleeper.alive
    assert sleeper.pid != first


def test_the_next_supervisor_stops_what_the_last_left(tmp_path: Path, sleeper: Process) -> None:
    """A process named by the pid file is stopped before another is started under the name."""
    left = sleeper.pid
    assert left is not None
    other = _process(tmp_path, SLEEPER)
    other.start()
    assert not sleeper.alive
    assert other.alive
    other.stop()


def test_a_stranger_with_the_same_pid_is_left_alone(tmp_path: Path, sleeper: Process) -> None:
    """A pid file whose start time does not match names nobody."""
    assert sleeper.pid is not None
    PidFile(tmp_path / "run" / "thing.pid").write(ProcessIdentity(pid=sleeper.pid, started="another boot/1"))
    _process(tmp_path, SLEEPER).stop_leftover()
    assert sleeper.alive


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"pid": "x", "started": 1}'])
def test_a_spoilt_pid_file_names_nobody(tmp_path: Path, text: str) -> None:
    """Half a file or another's is as good as none."""
    path = tmp_path / "thing.pid"
    path.write_text(text, encoding="utf-8")
    assert PidFile(path).read() is None


def test_what_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    """Stopping ends in SIGKILL where asking did not help, for children and for leftovers."""
    deaf = _process(tmp_path, DEAF, stop_timeout_s=0.2)
    deaf.start()
    pid = deaf.pid
    assert pid is not None
    _process(tmp_path, SLEEPER, stop_timeout_s=0.2).stop_leftover()
    assert ProcessIdentity.of(pid) is None
    deaf.start()
    deaf.stop()
    assert not deaf.alive


def test_ending_at_once_says_why_without_secrets(tmp_path: Path) -> None:
    """The error carries the log's last lines with credentials masked."""
    command = [sys.executable, "-S", "-c", "import sys; sys.exit('no such host: rtsp://me:secret@camera/')"]
    with pytest.raises(TransientError, match="no such host") as error:
        _process(tmp_path, command).start()
    assert "secret" not in str(error.value)


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The launcher says which command it could not execute."""
    with pytest.raises(TransientError, match="/no/such/program"):
        _process(tmp_path, ["/no/such/program"]).start()


def test_never_ready_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
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
def test_a_killed_supervisor_takes_its_children_along(tmp_path: Path, identity: str) -> None:
    """After ``kill -9`` of the supervisor nothing is left, whichever user the child became."""
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


def test_ports_and_their_holders() -> None:
    """A port that somebody listens on is not free, answers, and is traced to its process."""
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
