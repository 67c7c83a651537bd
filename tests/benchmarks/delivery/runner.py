"""Runs one scenario: devices that send, a fault in the middle, and the wait until everything has arrived."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg

from infra.local.processes.ports import LOOPBACK
from infra.local.processes.process import Process, wait_until
from tests.benchmarks.delivery.journal import Journal
from tests.benchmarks.delivery.outcome import (
    Outcome,
    compare,
    first_receipts,
    lost_images,
    read_stored,
    time_to_heal,
)
from tests.benchmarks.delivery.scenarios import FAULTY, Fault, Scenario
from tests.benchmarks.delivery.stack import BenchStack
from tests.benchmarks.delivery.subscribers import GOOD, STREAM_SOURCE, Subscribers

FAULT_BEGINS: Final = 0.25
FAULT_LASTS: Final = 0.4
"""Shares of the time in which devices capture events."""
_START_TIMEOUT_S: Final = 60.0
"""How long the processes of the devices may take until they are connected."""
_POLL_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Load:
    """The load of each scenario."""

    devices: int
    rate: float
    """Events per second of all devices together."""
    seconds: float
    """How long the devices capture events."""
    patience_s: float
    """How long to wait after that until everything has arrived."""


class Devices:
    """The device processes of one scenario."""

    def __init__(self, *, stack: BenchStack, folder: Path, prefix: str, load: Load) -> None:
        self.names = [f"{prefix}-{number}" for number in range(load.devices)]
        self._folder = folder / prefix
        self._processes: list[Process] = []
        for name in self.names:
            own = self._folder / name
            own.mkdir(parents=True)
            command = [sys.executable, "-m", "tests.benchmarks.delivery.device", "--folder", str(own)]
            command += ["--device", name, "--broker-port", str(stack.links.broker.port)]
            command += ["--store-url", f"http://{LOOPBACK}:{stack.links.store.port}"]
            command += ["--rate", str(load.rate / load.devices)]
            credentials = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}
            self._processes.append(Process(name=name, command=command, folder=own, environment=credentials))
        self.start()

    def begin_capture(self, seconds: float) -> float:
        """Wait until all devices are connected, then let them capture; return the Unix time at which they end."""
        ready = [self._folder / name / "ready" for name in self.names]
        if not wait_until(lambda: all(path.exists() for path in ready), timeout_s=_START_TIMEOUT_S, poll_s=0.05):
            raise RuntimeError("not all devices connected to the broker")
        until_s = time.time() + seconds
        temporary = self._folder / "go.new"
        temporary.write_text(str(until_s), encoding="ascii")
        temporary.replace(self._folder / "go")
        return until_s

    def start(self) -> None:
        for process in self._processes:
            if not process.alive:
                process.begin()

    def kill(self) -> None:
        for process in self._processes:
            process.kill()

    def stop(self) -> None:
        for process in self._processes:
            process.begin_stop()
        for process in self._processes:
            process.stop()

    def dead(self) -> list[str]:
        return [process.name for process in self._processes if not process.alive]

    def journal(self) -> Journal:
        journal = Journal()
        for name in self.names:
            journal.read(self._folder / name / "journal.txt")
        return journal


class Runner:
    """Runs scenarios one after another on one stack."""

    def __init__(self, *, stack: BenchStack, subscribers: Subscribers, folder: Path, load: Load) -> None:
        self._stack = stack
        self._subscribers = subscribers
        self._folder = folder
        self._load = load

    def run(self, scenario: Scenario, say: Callable[[str], None]) -> Outcome:
        """Run a scenario and return its figures. An error of the scenario itself is in ``Outcome.error``."""
        outcome = Outcome(scenario.name)
        if scenario.webhook:
            self._subscribers.add_webhook(FAULTY)
        if scenario.websocket:
            self._subscribers.start_websocket()
        prefix = f"{scenario.name}-{int(time.time())}"
        devices = Devices(stack=self._stack, folder=self._folder, prefix=prefix, load=self._load)
        try:
            self._measure(scenario, devices, outcome, say)
        except Exception as error:  # a scenario that fails must not hide the figures of the others
            outcome.error = f"{type(error).__name__}: {error}"
        finally:
            self._stack.links.heal()
            devices.stop()
            if scenario.webhook:
                self._subscribers.remove_webhook(FAULTY)
            if scenario.websocket:
                self._subscribers.stop_websocket()
        return outcome

    def _measure(self, scenario: Scenario, devices: Devices, outcome: Outcome, say: Callable[[str], None]) -> None:
        seconds = max(self._load.seconds, scenario.least_s / FAULT_LASTS)
        until_s = devices.begin_capture(seconds)
        time.sleep(seconds * FAULT_BEGINS)
        if not devices.journal().acknowledged:
            raise RuntimeError("no event was acknowledged before the fault")
        say("fault")
        began_s = time.time()
        fault = Fault(self._stack, self._subscribers, devices, seconds * FAULT_LASTS, outcome.notes)
        scenario.run(fault)
        ended_s = time.time()
        outcome.fault_s = ended_s - began_s
        say("sending")
        time.sleep(max(until_s - time.time(), 0.0) + 0.5)
        say("healing")
        sources = [STREAM_SOURCE, GOOD, *([FAULTY] if scenario.webhook or scenario.websocket else [])]
        self._wait(devices, sources)
        self._read(outcome, devices, sources, ended_s)
        if dead := devices.dead():
            raise RuntimeError(f"these devices ended by themselves: {', '.join(dead)}")

    def _read(self, outcome: Outcome, devices: Devices, sources: list[str], ended_s: float) -> None:
        journal, stored = devices.journal(), read_stored(self._stack.url("database"), devices.names)
        found = self._subscribers.received()
        received = {source: found.get(source, {}) for source in sources}
        compare(outcome, journal, stored, received)
        outcome.images = len(journal.images)
        outcome.images_lost = lost_images(journal, self._stack.objects)
        arrived = [stored.rows, *(first_receipts(receipts, journal) for receipts in received.values())]
        if outcome.name != "calm":
            outcome.heal_s = time_to_heal(journal, arrived, ended_s)

    def _wait(self, devices: Devices, sources: list[str]) -> None:
        """Wait until everything has arrived everywhere, or the time for that has passed."""
        deadline = time.monotonic() + self._load.patience_s
        while time.monotonic() < deadline:
            journal, found = devices.journal(), self._subscribers.received()
            if all(journal.kept.keys() <= found.get(source, {}).keys() for source in sources):
                try:
                    stored = read_stored(self._stack.url("database"), devices.names)
                except psycopg.Error:
                    stored = None
                if (
                    stored is not None
                    and journal.kept.keys() <= stored.rows.keys()
                    and not stored.open_gaps
                    and not lost_images(journal, self._stack.objects)
                ):
                    return
            time.sleep(_POLL_S)
