"""``make bench-delivery ARGS="load …"``: hundreds of agents with cameras on one stack, for minutes.

The cameras are registered through the API. The agents speak their protocol from coroutines (``agents.py``); a
subscriber reads the Redis stream. Reported are lost events, duplicate rows, the time from capture to the subscriber,
and memory and queues over time. Exit status: 0 if every event arrived once, 1 otherwise.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infra.local.processes.process import Process, wait_until
from tests.benchmarks.delivery.journal import Journal
from tests.benchmarks.delivery.outcome import Outcome, compare, read_stored
from tests.benchmarks.delivery.samples import Sample, Sampler
from tests.benchmarks.delivery.stack import STREAM, BenchStack, port_of
from tests.benchmarks.delivery.subscribers import STREAM_SOURCE, checked, logged_in, read_receipts

_START_TIMEOUT_S: Final = 180.0
_IMPORTED_AT_ONCE: Final = 200
_POLL_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class FleetLoad:
    """The load of the test."""

    agents: int
    cameras: int
    rate: float
    seconds: float
    patience_s: float
    sample_s: float


@dataclass(frozen=True, slots=True)
class FleetResult:
    """What came of it."""

    outcome: Outcome
    samples: list[Sample]
    reconnects: int
    connected_s: float
    """From the start of the agents until all were connected and had their configuration."""
    captured_per_s: float
    drained_s: float
    """From the last event's capture until everything had arrived."""


class FleetTest:
    """One run of the load test on a stack."""

    def __init__(self, *, stack: BenchStack, folder: Path, load: FleetLoad) -> None:
        self._stack = stack
        self._folder = folder
        self._load = load
        self._log = folder / "redis.log"
        (folder / "agents").mkdir()
        self._fleet = {
            f"agent-{agent:04d}": [f"camera-{camera:04d}" for camera in range(agent, load.cameras, load.agents)]
            for agent in range(load.agents)
        }

    def run(self, say: Callable[[str], None]) -> FleetResult:
        """Register the cameras, connect the agents, let them send, and compare."""
        say("registering cameras")
        self._register()
        module = "tests.benchmarks.delivery"
        reader = [sys.executable, "-m", f"{module}.subscriber", "redis", "--log", str(self._log)]
        reader += ["--url", self._stack.url("redis"), "--stream", STREAM]
        (self._folder / "agents" / "fleet.json").write_text(json.dumps(self._fleet), encoding="utf-8")
        agents = [sys.executable, "-m", f"{module}.agents", "--folder", str(self._folder / "agents")]
        agents += ["--broker-port", str(port_of(self._stack.url("broker"))), "--rate", str(self._load.rate)]
        processes = {
            "subscriber": Process(name="subscriber", command=reader, folder=self._folder),
            "agents": Process(name="agents", command=agents, folder=self._folder),
        }
        try:
            for process in processes.values():
                process.start()
            return self._measure(processes, say)
        finally:
            for process in processes.values():
                process.stop()

    def _register(self) -> None:
        """Import the cameras through the API, as an administrator with a file of cameras would."""
        rows = [
            {"name": f"Camera {camera}", "slug": camera, "device_id": device, "rtsp_url": f"rtsp://10.0.0.1/{camera}"}
            for device, cameras in self._fleet.items()
            for camera in cameras
        ]
        with logged_in(self._stack) as api:
            for first in range(0, len(rows), _IMPORTED_AT_ONCE):
                data = b64encode(json.dumps(rows[first : first + _IMPORTED_AT_ONCE]).encode()).decode()
                checked(api.post("/api/v1/cameras/import", json={"format": "json", "data": data}))
            total = checked(api.get("/api/v1/cameras", params={"page_size": 1})).json()["meta"]["total"]
        if total != len(rows):
            raise RuntimeError(f"the API lists {total} of {len(rows)} cameras")

    def _measure(self, processes: dict[str, Process], say: Callable[[str], None]) -> FleetResult:
        folder, load = self._folder / "agents", self._load
        say("connecting")
        began_s = time.monotonic()
        if not wait_until((folder / "ready").exists, timeout_s=_START_TIMEOUT_S, poll_s=0.1):
            raise RuntimeError(f"not all agents were connected and configured:\n{processes['agents'].last_log_lines()}")
        connected_s = time.monotonic() - began_s
        until_s = time.time() + load.seconds
        (folder / "go.new").write_text(str(until_s), encoding="ascii")
        (folder / "go.new").replace(folder / "go")
        extra = {name: process.pid or 0 for name, process in processes.items()}
        sampler = Sampler(stack=self._stack, extra=extra, agents_state=folder / "agents.json", every_s=load.sample_s)
        while (left_s := until_s - time.time()) > 0:
            say(f"sending, {left_s:.0f} s left")
            time.sleep(min(left_s, 1.0))
        say("draining")
        journal, drained_s = self._drain(until_s)
        samples = sampler.stop()
        outcome = Outcome("load")
        compare(outcome, journal, read_stored(self._stack.url("database"), self._fleet), self._received())
        state = json.loads((folder / "agents.json").read_text(encoding="ascii"))
        if state["connected"] != load.agents:
            outcome.error = f"only {state['connected']} of {load.agents} agents were connected at the end"
        per_s = len(journal.captured) / load.seconds
        return FleetResult(outcome, samples, state["reconnects"], connected_s, per_s, drained_s)

    def _drain(self, until_s: float) -> tuple[Journal, float]:
        """Wait until everything has arrived, or the time is over; return the journal and how long it took."""
        deadline = time.monotonic() + self._load.patience_s
        while True:
            journal = Journal()
            journal.read(self._folder / "agents" / "journal.txt")
            received = self._received()[STREAM_SOURCE]
            if journal.kept.keys() <= received.keys() or time.monotonic() > deadline:
                latest = max((times[0] for times in received.values()), default=until_s)
                return journal, max(latest - until_s, 0.0)
            time.sleep(_POLL_S)

    def _received(self) -> dict[str, dict[str, list[float]]]:
        return {STREAM_SOURCE: read_receipts([self._log]).get(STREAM_SOURCE, {})}


def build_parser() -> argparse.ArgumentParser:
    """Return the argument parser."""
    parser = argparse.ArgumentParser(prog='make bench-delivery ARGS="load …"', description=__doc__)
    parser.add_argument("--agents", type=int, default=200, help="default: %(default)s")
    parser.add_argument("--cameras", type=int, default=1000, help="of all agents (default: %(default)s)")
    parser.add_argument(
        "--rate", type=float, default=500, help="events per second of all agents (default: %(default)s)"
    )
    parser.add_argument("--seconds", type=float, default=300, help="default: %(default)s")
    parser.add_argument(
        "--patience",
        type=float,
        default=120,
        metavar="SECONDS",
        help="wait at most so long after the last event (default: %(default)s)",
    )
    parser.add_argument(
        "--sample",
        type=float,
        default=5,
        metavar="SECONDS",
        help="time between samples of memory (default: %(default)s)",
    )
    parser.add_argument("--out", type=Path, help="page whose section about the load test is replaced (default: none)")
    parser.add_argument("--folder", type=Path, help="keep stack, journal and logs in this new folder")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the load test and return the exit status."""
    from rich.console import Console

    from tests.benchmarks.delivery.load_page import FleetRun, replace_section, table
    from tests.benchmarks.delivery.stack import bench_stack

    parser = build_parser()
    options = parser.parse_args(arguments)
    if not 1 <= options.agents <= options.cameras:
        parser.error("--agents must be at least 1 and at most --cameras")
    if options.rate <= 0 or options.seconds <= 0:
        parser.error("--rate and --seconds must be more than 0")
    load = FleetLoad(options.agents, options.cameras, options.rate, options.seconds, options.patience, options.sample)
    console = Console()
    with bench_stack(options.folder, console.print) as stack, console.status("starting") as status:
        result = FleetTest(stack=stack, folder=stack.state.path.parent, load=load).run(status.update)
    run = FleetRun(load=load, result=result, arguments=list(arguments))
    for each in table(run):
        console.print(each)
    if options.out is not None:
        replace_section(options.out, run)
        console.print(f"written to {options.out}")
    if result.outcome.failed:
        console.print("[red]failed[/red]")
    return 1 if result.outcome.failed else 0
