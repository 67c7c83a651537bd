"""The process that keeps the stack: started by ``vedette-local up``, ended by ``vedette-local down`` or any signal."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from pathlib import Path

from infra.local.process import ProcessIdentity
from infra.local.stack import Stack, StackOptions, options_from_json
from infra.local.state_folder import StateFolder
from shared.errors import ConfigurationError, VedetteError

_TEND_EVERY_S = 0.05


class Supervisor:
    """Owns the state folder's lock, starts the stack, tends it until told to stop, stops it."""

    def __init__(self, *, state: StateFolder, options: StackOptions) -> None:
        self._state = state
        self.stack = Stack(state=state, options=options)

    def __enter__(self) -> Supervisor:
        self._state.prepare()
        if not self._state.lock():
            raise ConfigurationError(f"another vedette-local already runs on {self._state.path}")
        identity = ProcessIdentity.of(os.getpid())
        if identity is not None:
            self._state.supervisor.write(identity)
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.stop()
        self._state.supervisor.remove()
        self._state.unlock()

    def tend_until(self, stopped: threading.Event) -> None:
        """Look after the stack until told to stop."""
        while not stopped.wait(_TEND_EVERY_S):
            self.stack.tend()


def stop_on_signals(stopped: threading.Event) -> None:
    """Let SIGTERM, SIGINT and SIGHUP (the terminal was closed) end things in order."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stopped.set())


def main() -> int:
    """Run until a signal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--options", required=True)
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    stopped = threading.Event()
    stop_on_signals(stopped)
    try:
        options = options_from_json(chosen.options, os.environ)
        with Supervisor(state=StateFolder(chosen.state), options=options) as supervisor:
            supervisor.stack.start(logging.getLogger("stack").info)
            supervisor.tend_until(stopped)
    except VedetteError as error:
        sys.stderr.write(f"vedette-local: {error}\n")
        return 2 if isinstance(error, ConfigurationError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
