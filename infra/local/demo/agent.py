"""The demo's edge agent: restarted when it ends; its messages are printed."""

from __future__ import annotations

import os
import time
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from infra.local.processes.process import Process
from shared.errors import ConfigurationError, TransientError
from shared.redact import redact

_RESTART_PAUSE_S = 2.0
_MAX_RESTARTS = 3
_STABLE_AFTER_S = 60.0
"""After this run time the restart counter is reset."""
_MESSAGE_PREFIX = "edge-agent: "
_WRONG_CONFIGURATION = 2


class DemoAgent:
    """Supervises the agent's process while the demo runs; call ``check`` periodically."""

    def __init__(self, *, process: Process, console: Console, restart_pause_s: float = _RESTART_PAUSE_S) -> None:
        self._process = process
        self._console = console
        self._pause_s = restart_pause_s
        self._log = LogTail(process.log_path)
        self._began_s = time.monotonic()
        self._restarts = 0
        self._restart_at_s: float | None = None

    def start(self) -> None:
        """Start the agent."""
        self._process.start()
        self._began_s = time.monotonic()

    def stop(self) -> None:
        """Stop the agent."""
        self._process.stop()

    def check(self) -> None:
        """Print the agent's new messages, and restart the agent if it has ended.

        Raises:
            ConfigurationError: the agent rejected its configuration.
            TransientError: it has ended repeatedly.
        """
        self._forward_messages()
        now_s = time.monotonic()
        if self._process.alive:
            if now_s - self._began_s > _STABLE_AFTER_S:
                self._restarts = 0
        elif self._restart_at_s is None:
            self._raise_if_not_restartable()
            self._console.print("the edge agent ended; starting it again", style="yellow")
            self._restart_at_s = now_s + self._pause_s
        elif now_s >= self._restart_at_s:
            self._restart(now_s)

    def _restart(self, now_s: float) -> None:
        try:
            self._process.begin()
        except OSError as error:  # for example a full disk: the stack keeps running, so retry
            reason = os.strerror(error.errno) if error.errno else str(error)
            self._console.print(f"the edge agent cannot be started ({reason}); trying again", style="yellow")
            self._restart_at_s = now_s + self._pause_s
            return
        self._restart_at_s, self._began_s = None, now_s
        self._restarts += 1

    def _forward_messages(self) -> None:
        for line in self._log.added():
            # Messages for the user only; tracebacks are shown by `vedette-local logs agent`.
            if line.startswith(_MESSAGE_PREFIX):
                self._console.print(escape(redact(line.removeprefix(_MESSAGE_PREFIX))), style="dim")

    def _raise_if_not_restartable(self) -> None:
        if self._process.exit_status == _WRONG_CONFIGURATION:
            raise ConfigurationError(f"the edge agent rejected its configuration:\n{self._process.last_log_lines()}")
        if self._restarts >= _MAX_RESTARTS:
            raise TransientError(f"the edge agent keeps exiting:\n{self._process.last_log_lines()}")


class LogTail:
    """Reads the lines that are appended to a file after construction."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = path.stat().st_size if path.is_file() else 0
        self._rest = b""

    def added(self) -> list[str]:
        """Return the complete lines since the last call."""
        try:
            with self._path.open("rb") as file:
                if self._path.stat().st_size < self._position:  # rotated
                    self._position = 0
                file.seek(self._position)
                data = self._rest + file.read()
                self._position = file.tell()
        except OSError:
            return []
        *lines, self._rest = data.split(b"\n")
        return [line.decode("utf-8", errors="replace") for line in lines]
