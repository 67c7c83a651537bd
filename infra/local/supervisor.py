"""The process that runs the stack: started by ``vedette-local up``, stopped by ``vedette-local down`` or a signal."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from infra.local.processes.first_admin import write_admin
from infra.local.processes.log_rotation import rotate_logs
from infra.local.processes.process import ProcessIdentity
from infra.local.processes.stack_options import StackOptions, options_from_json
from infra.local.processes.state_folder import StateFolder
from infra.local.stack import Stack
from shared.errors import ConfigurationError, VedetteError
from shared.log_lines import line_handler
from shared.retry import Backoff, FaultLog

log = logging.getLogger(__name__)

_CHECK_INTERVAL_S = 0.05
_LONGEST_PAUSE_S = 5.0
_ROTATION_INTERVAL_S = 1.0


class Supervisor:
    """Holds the state folder's lock; starts, supervises and stops the stack."""

    def __init__(self, *, state: StateFolder, options: StackOptions) -> None:
        self._state = state
        self._umask = 0
        self._faults = FaultLog(log)
        self._rotation_due_s = 0.0
        self.stack = Stack(state=state, options=options)

    def __enter__(self) -> Supervisor:
        self._umask = os.umask(0o077)  # events, snapshots and logs are readable by the owner only
        self._state.prepare()
        if not self._state.lock():
            os.umask(self._umask)
            raise ConfigurationError(f"another vedette-local is already running in {self._state.path}")
        identity = ProcessIdentity.of(os.getpid())
        if identity is not None:
            self._state.supervisor.write(identity)
        return self

    def __exit__(self, *_: object) -> None:
        _on_signals(signal.SIG_IGN)  # a second Ctrl-C must not interrupt stopping
        self.stack.stop()
        self._state.supervisor.remove()
        self._state.unlock()
        os.umask(self._umask)

    def run_until(self, stopped: threading.Event, also: Callable[[], None] = lambda: None) -> None:
        """Check the stack periodically and call ``also`` each time, until ``stopped`` is set.

        Raises ConfigurationError if the state folder was removed, and any VedetteError that ``also`` raises.
        """
        backoff = Backoff(min_s=_CHECK_INTERVAL_S, max_s=_LONGEST_PAUSE_S)
        while not stopped.wait(_CHECK_INTERVAL_S):
            try:
                self.check()
                also()
            except VedetteError:
                raise
            except Exception as error:  # the stack keeps running, and is checked again
                self._faults.log(error, "checking the stack failed")
                stopped.wait(backoff.failed())
            else:
                backoff.succeeded()

    def check(self) -> None:
        """Check the state folder, restart parts that have ended, and rotate logs."""
        if not self._state.is_unchanged():  # first, because a restart would create parts of the folder again
            raise ConfigurationError(
                f"the state folder {self._state.path} was removed or moved while the stack ran: everything is stopped"
            )
        self.stack.check()
        now_s = time.monotonic()
        if now_s >= self._rotation_due_s:
            self._rotation_due_s = now_s + _ROTATION_INTERVAL_S
            rotate_logs(self._state.logs)


def raise_on_signals() -> None:
    """Make SIGTERM, SIGINT and SIGHUP (a closed terminal) raise KeyboardInterrupt; used during startup."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    _on_signals(interrupt)


def stop_on_signals(stopped: threading.Event) -> None:
    """Make the same signals set ``stopped``, for an orderly stop."""
    _on_signals(lambda *_: stopped.set())


def _on_signals(handler: Callable[[int, FrameType | None], Any] | signal.Handlers) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, handler)


def main() -> int:
    """Run until a signal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--options", required=True)
    parser.add_argument("--admin-pipe", type=int, required=True, help="descriptor to write a new admin to")
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, handlers=[line_handler()])
    logging.getLogger("alembic").setLevel(logging.WARNING)
    stopped = threading.Event()
    raise_on_signals()
    try:
        options = options_from_json(chosen.options, os.environ)
        with Supervisor(state=StateFolder(chosen.state), options=options) as supervisor:
            supervisor.stack.start(logging.getLogger("stack").info)
            write_admin(supervisor.stack.first_admin, chosen.admin_pipe)
            stop_on_signals(stopped)
            supervisor.run_until(stopped)
    except VedetteError as error:
        sys.stderr.write(f"vedette-local: {error}\n")
        return 2 if isinstance(error, ConfigurationError) else 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
