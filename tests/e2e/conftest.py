"""A complete one-machine stack for end-to-end tests, and a device that sends events to it."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from infra.local.processes.process import Process, wait_until
from infra.local.processes.stack_options import StackOptions
from infra.local.processes.state_folder import StateFolder
from infra.local.stack import Stack
from tests.support.ports import reserve_port

ARRIVAL_TIMEOUT_S = 60.0


class RunningStack:
    """A stack that the test supervises: parts that a test kills are restarted as under ``vedette-local``."""

    def __init__(self, folder: Path) -> None:
        self.state = StateFolder(folder)
        self.state.prepare()
        self.stack = Stack(state=self.state, options=StackOptions(api_port=reserve_port()))
        self.stack.start()

    def __getitem__(self, url: str) -> str:
        return self.stack.urls[url]

    def pid_of(self, part: str) -> int:
        """Return the pid of a part or of one of its functions (``ingest``, ``fanout-redis``)."""
        from infra.local.processes.process import PidFile

        identity = PidFile(self.state.run / f"{part}.pid").read()
        assert identity is not None
        assert identity.alive
        return identity.pid

    def until(self, condition: Callable[[], bool], *, timeout_s: float = ARRIVAL_TIMEOUT_S) -> bool:
        """Supervise the stack until the condition is true; return False after ``timeout_s`` seconds."""

        def check() -> bool:
            self.stack.check()
            return condition()

        return wait_until(check, timeout_s=timeout_s, poll_s=0.05)


@contextmanager
def running_stack() -> Generator[RunningStack]:
    """A stack of its own, in a new folder that is removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="vedette-stack-"))
    folder.chmod(0o755)
    running = RunningStack(folder / "state")
    yield running
    running.stack.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def _session_stack() -> Iterator[RunningStack]:
    with running_stack() as running:
        yield running


@pytest.fixture
def stack(_session_stack: RunningStack) -> RunningStack:
    """The session's stack, with all parts running."""
    assert _session_stack.until(lambda: all(part.process.alive for part in _session_stack.stack.parts), timeout_s=20)
    return _session_stack


class EventProducer:
    """A device that runs in its own process."""

    def __init__(self, *, folder: Path, stack: RunningStack, device: str, count: int, rate: float) -> None:
        self._stack = stack
        self.name = device
        self._folder = folder
        self.count = count
        folder.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable,
            "-m",
            "tests.support.edge.event_producer",
            "--folder",
            str(folder),
            "--device",
            device,
        ]
        command += ["--broker-port", stack["broker"].rsplit(":", 1)[1], "--count", str(count), "--rate", str(rate)]
        self.process = Process(name="producer", command=command, folder=folder, ready=lambda: True)

    def accepted(self) -> set[str]:
        """Return the ids of the events that the outbox has stored."""
        ledger = self._folder / "ledger.txt"
        return set(ledger.read_text(encoding="ascii").split()) if ledger.is_file() else set()

    def stored(self) -> list[tuple[str, int]]:
        """Return (event id, sequence) of each stored event of this device; empty while the database is unavailable."""
        try:
            with psycopg.connect(self._stack["database"], connect_timeout=2) as connection:
                rows = connection.execute(
                    "SELECT event_id::text, sequence FROM events WHERE device_id = %s", (self.name,)
                ).fetchall()
        except psycopg.Error:
            return []
        return [(str(event_id), int(sequence)) for event_id, sequence in rows]

    def has_stored(self, least: int) -> bool:
        return len(self.stored()) >= least

    def assert_exactly_once(self) -> None:
        """Wait until all events are stored, then compare the database with the ledger and the sequence."""
        self._stack.until(lambda: len(self.accepted()) >= self.count - 1 and self.has_stored(self.count))
        stored = self.stored()
        assert sorted(sequence for _, sequence in stored) == list(range(1, self.count + 1))
        assert len({event_id for event_id, _ in stored}) == self.count
        assert self.accepted() <= {event_id for event_id, _ in stored}


@pytest.fixture
def producer(
    stack: RunningStack, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[..., EventProducer]]:
    """Return a function that starts a device: ``producer(count=…, rate=…)``."""
    started: list[EventProducer] = []

    def start(*, count: int, rate: float) -> EventProducer:
        name = re.sub(r"\W", "-", f"{request.node.name.removeprefix('test_')[:80]}-{len(started)}")
        device = EventProducer(folder=tmp_path / name, stack=stack, device=name, count=count, rate=rate)
        started.append(device)
        device.process.start()
        return device

    yield start
    for device in started:
        device.process.stop()
