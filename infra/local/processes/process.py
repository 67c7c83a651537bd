"""One supervised process: start, readiness, stop, kill, and cleanup after a crash of its supervisor.

Each process has its own session, so Ctrl-C in the terminal reaches only the supervisor, which stops the parts in order.
A process dies with the thread that started it, so start it from a long-lived thread. It writes to a log file, and a pid
file holds its pid and start time: a later supervisor recognises processes that a crash left running, and never signals
an unrelated process that was given the same pid.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.local.processes.ports import listens
from shared.errors import TransientError
from shared.redact import redact

log = logging.getLogger(__name__)

_LAUNCHER = Path(__file__).with_name("launch.py")
_POLL_S = 0.004
_LOG_LINES_SHOWN = 12


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A pid and the start time of its process, which distinguishes it from a later process with the same pid."""

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity | None:
        """Return the identity of the running process ``pid``; None if there is none, or only a zombie."""
        if sys.platform == "linux":
            try:
                stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
            except OSError:
                return None
            # The name, in brackets, may contain spaces and brackets.
            fields = stat.rpartition(")")[2].split()
            boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
            return None if fields[0] in "ZX" else cls(pid=pid, started=f"{boot}/{fields[19]}")
        found = subprocess.run(  # noqa: S603
            ["/bin/ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
        )
        return cls(pid=pid, started=found.stdout.strip()) if found.returncode == 0 else None

    @property
    def alive(self) -> bool:
        return ProcessIdentity.of(self.pid) == self

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, unless the process has ended."""
        if self.alive:
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return

    def wait_gone(self, timeout_s: float) -> bool:
        """Wait until the process has ended; return whether it has."""
        return wait_until(lambda: not self.alive, timeout_s=timeout_s)


def wait_until(condition: Callable[[], bool], *, timeout_s: float, poll_s: float = _POLL_S) -> bool:
    """Poll until the condition is true; return False on timeout."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(poll_s)
    return True


class PidFile:
    """A file with the identity of a process."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> ProcessIdentity | None:
        """Return the process that was written last, running or not; None if the file is missing or invalid."""
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
            return ProcessIdentity(pid=int(found["pid"]), started=str(found["started"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, identity: ProcessIdentity) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_suffix(".new")
        temporary.write_text(json.dumps({"pid": identity.pid, "started": identity.started}), encoding="utf-8")
        temporary.replace(self._path)

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)


class Process:
    """A service's process. ``begin`` and ``wait_ready`` are separate so that processes can start in parallel.

    It is ready when it accepts connections on ``port``, if it has one, and ``ready`` returns True.
    """

    def __init__(
        self,
        *,
        name: str,
        command: Sequence[str],
        folder: Path,
        port: int | None = None,
        ready: Callable[[], bool] = lambda: True,
        environment: Mapping[str, str] | None = None,
        identity: str = "same",
        stop_signal: signal.Signals = signal.SIGTERM,
        stop_timeout_s: float = 5.0,
        death_signal: signal.Signals = signal.SIGKILL,
        ready_timeout_s: float = 30.0,
    ) -> None:
        self.name = name
        self.command = list(command)
        self.log_path = folder / "logs" / f"{name}.log"
        self._pid_file = PidFile(folder / "run" / f"{name}.pid")
        self._port = port
        self._ready = ready
        self._environment = dict(environment or {})
        self._identity = identity
        self._stop_signal = stop_signal
        self._stop_timeout_s = stop_timeout_s
        self._death_signal = death_signal
        self._ready_timeout_s = ready_timeout_s
        self._child: subprocess.Popen[bytes] | None = None
        self._log_starts_at = 0

    @property
    def pid(self) -> int | None:
        """The pid; None while the process does not run."""
        return self._child.pid if self._child is not None and self._child.poll() is None else None

    @property
    def alive(self) -> bool:
        return self.pid is not None

    @property
    def exit_status(self) -> int | None:
        """Exit status (negative: the signal that ended it); None while it runs or before it was started."""
        return None if self._child is None else self._child.poll()

    def start(self) -> None:
        """Start and wait until ready."""
        self.begin()
        self.wait_ready()

    def begin(self) -> None:
        """Start without waiting for readiness, after stopping a process of this name that a crashed supervisor left."""
        self.stop_leftover()
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        launcher = [sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid()), str(int(self._death_signal))]
        with self.log_path.open("ab") as log_file:
            self._log_starts_at = log_file.tell()
            self._child = subprocess.Popen(  # noqa: S603
                [*launcher, self._identity, *self.command],
                stdin=subprocess.DEVNULL,
                stdout=log_file,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self._environment},
                start_new_session=True,
            )
        identity = ProcessIdentity.of(self._child.pid)
        if identity is not None:
            self._pid_file.write(identity)

    def wait_ready(self) -> None:
        """Wait until the readiness probe succeeds; raise TransientError with the last log lines on failure."""
        deadline = time.monotonic() + self._ready_timeout_s
        while not self._is_ready():
            code = self._require_child().poll()
            if code is not None:
                raise TransientError(f"{self.name} exited during startup with status {code}:\n{self.last_log_lines()}")
            if time.monotonic() > deadline:
                self.kill()
                raise TransientError(
                    f"{self.name} was not ready within {self._ready_timeout_s:g} s:\n{self.last_log_lines()}"
                )
            time.sleep(_POLL_S)

    def stop_leftover(self) -> None:
        """Stop the process in the pid file if it still runs and is not our child."""
        left = self._pid_file.read()
        if left is not None and left.alive and left.pid != self.pid:
            log.warning("%s is still running from an earlier start (pid %d): stopping it", self.name, left.pid)
            left.signal(self._stop_signal)
            if not left.wait_gone(self._stop_timeout_s):
                left.signal(signal.SIGKILL)
                left.wait_gone(self._stop_timeout_s)
        if not self.alive:
            self._pid_file.remove()

    def begin_stop(self) -> None:
        """Send the stop signal, without waiting."""
        if self._child is not None and self._child.poll() is None:
            self._child.send_signal(self._stop_signal)

    def stop(self) -> None:
        """Stop the process; kill it if it does not end in time."""
        self.begin_stop()
        if self._child is not None:
            try:
                self._child.wait(self._stop_timeout_s)
            except subprocess.TimeoutExpired:
                log.warning("%s did not exit within %g s: killing it", self.name, self._stop_timeout_s)
                self._child.kill()
                self._child.wait()
            self._child = None
        self._pid_file.remove()

    def kill(self) -> None:
        """Send SIGKILL and wait until the process has ended."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()

    def restart(self) -> None:
        """Stop the process if it runs, and start it."""
        self.stop()
        self.start()

    def last_log_lines(self) -> str:
        """Return the last log lines since the latest start, with secrets masked."""
        try:
            with self.log_path.open("rb") as log_file:
                # A rotated log is shorter than the remembered position.
                log_file.seek(min(self._log_starts_at, max(self.log_path.stat().st_size - 16_384, 0)))
                text = log_file.read()[-16_384:].decode("utf-8", errors="replace")
        except OSError:
            return f"(no log at {self.log_path})"
        return redact("\n".join(f"  {line}" for line in text.splitlines()[-_LOG_LINES_SHOWN:]))

    def _is_ready(self) -> bool:
        pid = self.pid
        return pid is not None and (self._port is None or listens(pid, self._port)) and self._ready()

    def _require_child(self) -> subprocess.Popen[bytes]:
        if self._child is None:
            raise TransientError(f"{self.name} was not started")
        return self._child
