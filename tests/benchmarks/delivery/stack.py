"""A one-machine stack in a folder of its own, and the faults of its parts."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from infra.local.processes.first_admin import FirstAdmin
from infra.local.processes.ports import LOOPBACK, answers
from infra.local.processes.process import PidFile, wait_until
from infra.local.processes.stack_options import StackOptions
from infra.local.processes.state_folder import StateFolder
from infra.local.stack import Stack
from tests.benchmarks.delivery.link import Link
from tests.support.ports import reserve_port

STREAM: Final = "bench-events"
_CHECK_S: Final = 0.05
_START_TIMEOUT_S: Final = 180.0


@dataclass(frozen=True, slots=True)
class Links:
    """The networks that faults act on: from devices to the broker and to the object store, and from ingest to SNS."""

    broker: Link
    store: Link
    hub: Link

    def heal(self) -> None:
        for link in (self.broker, self.store, self.hub):
            link.heal()

    def close(self) -> None:
        for link in (self.broker, self.store, self.hub):
            link.close()


class BenchStack:
    """The stack, supervised by a thread of its own: parts that end are started again, as under ``vedette-local``."""

    def __init__(self, folder: Path) -> None:
        self.state = StateFolder(folder)
        self.state.prepare()
        ports = {name: reserve_port() for name in ("postgres", "redis", "broker", "aws", "data_plane")}
        (folder / "ports.json").write_text(json.dumps(ports), encoding="utf-8")
        self.links = Links(
            broker=Link(target=ports["broker"]), store=Link(target=ports["aws"]), hub=Link(target=ports["aws"])
        )
        os.environ["AWS_ENDPOINT_URL_SNS"] = f"http://{LOOPBACK}:{self.links.hub.port}"
        os.environ["REDIS_STREAM"] = STREAM
        self._stack = Stack(state=self.state, options=StackOptions(api_port=reserve_port()))
        self._stopped, self._started = threading.Event(), threading.Event()
        self._error: BaseException | None = None
        # A part ends with the thread that started it, so one thread starts and restarts all of them.
        self._thread = threading.Thread(target=self._supervise, name="supervisor", daemon=True)
        self._thread.start()
        if not self._started.wait(_START_TIMEOUT_S) or self._error is not None:
            raise RuntimeError(f"the stack did not start: {self._error}")

    @property
    def admin(self) -> FirstAdmin:
        admin = self._stack.first_admin
        if admin is None:
            raise RuntimeError("the stack's database had users already")
        return admin

    @property
    def objects(self) -> Path:
        return self.state.objects

    @property
    def parts(self) -> list[str]:
        """The parts and the functions that run now."""
        return sorted(name for name, pid_file in self.state.leftovers() if (found := pid_file.read()) and found.alive)

    def url(self, name: str) -> str:
        """Return the URL of ``api``, ``aws``, ``broker``, ``database`` or ``redis``."""
        return self._stack.urls[name]

    def pid_of(self, part: str) -> int | None:
        """Return the process id of a part or of one of its functions; None while it does not run."""
        identity = PidFile(self.state.run / f"{part}.pid").read()
        return identity.pid if identity is not None and identity.alive else None

    def kill(self, *parts: str, down_s: float = 0.0) -> None:
        """Send SIGKILL; the supervisor starts the parts again, after ``down_s`` seconds at the earliest.

        Functions (``ingest``, ``fanout-redis``) are started again by the part that invokes them.
        """
        for part in self._stack.parts:
            if part.process.name in parts and down_s:
                part.due_s = time.monotonic() + down_s
        for name in parts:
            if (pid := self.pid_of(name)) is not None:
                os.kill(pid, signal.SIGKILL)

    @contextmanager
    def frozen(self, part: str) -> Generator[None]:
        """Stop a part and its child processes with SIGSTOP: connections stay open, and nothing answers."""
        pids = [pid for pid in (self.pid_of(part),) if pid is not None]
        pids += [child for pid in pids for child in children_of(pid)]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def wait_ready(self, timeout_s: float = 60.0) -> bool:
        """Wait until all parts run and serve; return whether they do."""
        ports = [port_of(self.url(name)) for name in ("api", "aws", "broker", "redis")]
        return wait_until(
            lambda: all(part.process.alive for part in self._stack.parts) and all(map(answers, ports)),
            timeout_s=timeout_s,
            poll_s=0.1,
        )

    def stop(self) -> None:
        self.links.heal()
        self._stopped.set()
        self._thread.join()
        self.links.close()

    def _supervise(self) -> None:
        try:
            self._stack.start()
        except BaseException as error:
            self._error = error
            return
        finally:
            self._started.set()
        while not self._stopped.wait(_CHECK_S):
            self._stack.check()
        self._stack.stop()


@contextmanager
def bench_stack(keep: Path | None = None, say: Callable[[str], None] = lambda _: None) -> Generator[BenchStack]:
    """Yield a new stack; its folder is removed afterwards, unless it is ``keep``."""
    folder = keep or Path(tempfile.mkdtemp(prefix="vedette-delivery-"))
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)  # PostgreSQL runs as another user
    say(f"starting a stack in {folder}")
    stack = BenchStack(folder / "state")
    try:
        yield stack
    finally:
        stack.stop()
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)


def children_of(pid: int) -> list[int]:
    """Return the process ids of a process's children."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]
    except OSError:
        return []


def port_of(url: str) -> int:
    """Return the port of a URL; raise ValueError if it has none."""
    port = urlsplit(url).port
    if port is None:
        raise ValueError(f"{url} has no port")
    return port
