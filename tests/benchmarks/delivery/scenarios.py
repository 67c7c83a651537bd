"""The table of scenarios: what is done to the stack while devices send events."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from tests.benchmarks.delivery.stack import BenchStack
from tests.benchmarks.delivery.subscribers import Subscribers

FAULTY: Final = "faulty"
"""The name of the subscriber that misbehaves: of the webhook, or in the log of the WebSocket reader."""
_EVERYTHING: Final = (
    "api",
    "aws",
    "broker",
    "iot_rule",
    "ingest",
    "postgres",
    "redis",
    "schedule",
    "fanout-redis",
    "fanout-webhook",
)


class DeviceProcesses(Protocol):
    """The devices of a scenario."""

    def kill(self) -> None:
        """Send SIGKILL to all of them."""
        ...

    def start(self) -> None:
        """Start those that do not run."""
        ...


@dataclass(frozen=True, slots=True)
class Fault:
    """What a fault may act on, and how long it lasts."""

    stack: BenchStack
    subscribers: Subscribers
    devices: DeviceProcesses
    seconds: float
    notes: list[str] = field(default_factory=list[str])
    """What was observed during the fault."""

    def wait(self) -> None:
        time.sleep(self.seconds)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row of the page."""

    name: str
    does: str
    """What happens, in a sentence of the page."""
    run: Callable[[Fault], None]
    """Begins the fault and ends it."""
    webhook: bool = False
    """Whether a second webhook is registered, whose receiver misbehaves."""
    websocket: bool = False
    """Whether a reader of the WebSocket is started, which misbehaves."""
    least_s: float = 0.0
    """Minimum length of the fault, in seconds."""


def _none(fault: Fault) -> None:
    fault.wait()


def _kill(*parts: str) -> Callable[[Fault], None]:
    def run(fault: Fault) -> None:
        fault.stack.kill(*parts, down_s=fault.seconds)
        fault.wait()

    return run


def _kill_repeatedly(part: str) -> Callable[[Fault], None]:
    def run(fault: Fault) -> None:
        for _ in range(3):
            fault.stack.kill(part)
            time.sleep(fault.seconds / 3)

    return run


def _freeze(part: str) -> Callable[[Fault], None]:
    def run(fault: Fault) -> None:
        with fault.stack.frozen(part):
            fault.wait()

    return run


def _refuse_broker(fault: Fault) -> None:
    fault.stack.links.broker.refuse(True)
    fault.wait()
    fault.stack.links.heal()


def _delay_broker(fault: Fault) -> None:
    fault.stack.links.broker.delay_s = 0.3
    fault.wait()
    fault.stack.links.heal()


def _half_open_broker(fault: Fault) -> None:
    fault.stack.links.broker.half_open()
    fault.wait()


def _silence_broker(fault: Fault) -> None:
    fault.stack.links.broker.silent(True)
    fault.wait()
    fault.stack.links.heal()


def _flap_broker(fault: Fault) -> None:
    for _ in range(10):
        fault.stack.links.broker.cut()
        time.sleep(fault.seconds / 10)


def _refuse_store(fault: Fault) -> None:
    fault.stack.links.store.refuse(True)
    fault.wait()
    fault.stack.links.heal()


def _refuse_hub(fault: Fault) -> None:
    fault.stack.links.hub.refuse(True)
    fault.wait()
    fault.stack.links.heal()


def _kill_devices(fault: Fault) -> None:
    fault.devices.kill()
    fault.wait()
    fault.devices.start()


def _power_cut(fault: Fault) -> None:
    fault.devices.kill()
    fault.stack.kill(*_EVERYTHING, down_s=fault.seconds)
    fault.wait()
    fault.devices.start()


def _misbehave(behaviour: str) -> Callable[[Fault], None]:
    def run(fault: Fault) -> None:
        fault.subscribers.behave(FAULTY, behaviour)
        fault.wait()
        failures = fault.subscribers.failures(FAULTY)
        counts = ", ".join(f"{count} × `{error}`" for error, count in sorted(failures.items()))
        fault.notes.append(f"errors in the log of deliveries at the end of the fault: {counts or 'none'}")
        fault.subscribers.behave(FAULTY, "ok")

    return run


def _stall_websocket(fault: Fault) -> None:
    fault.subscribers.stall_websocket(True)
    fault.wait()
    fault.subscribers.stall_websocket(False)


SCENARIOS: Final = (
    Scenario("calm", "No fault.", _none),
    Scenario(
        "device-killed", "`kill -9` of every device; started again with the same outbox.", _kill_devices, least_s=6
    ),
    Scenario("broker-killed", "`kill -9` of the broker; started again.", _kill("broker")),
    Scenario("network-down", "The devices' connections to the broker are reset, and new ones refused.", _refuse_broker),
    Scenario("network-slow", "300 ms delay in each direction between devices and broker.", _delay_broker),
    Scenario(
        "network-half-open",
        "The broker's side of each connection is reset; the devices are not notified, and get no more answers.",
        _half_open_broker,
    ),
    Scenario(
        "network-black-hole",
        "Connections to the broker stay open, but nothing passes in either direction.",
        _silence_broker,
    ),
    Scenario("network-flapping", "All connections to the broker are reset ten times.", _flap_broker),
    Scenario("database-killed", "`kill -9` of PostgreSQL; started again.", _kill("postgres")),
    Scenario("database-frozen", "`SIGSTOP` of PostgreSQL with all its processes, then `SIGCONT`.", _freeze("postgres")),
    Scenario("redis-killed", "`kill -9` of Redis; started again, empty.", _kill("redis")),
    Scenario("redis-frozen", "`SIGSTOP` of Redis, then `SIGCONT`.", _freeze("redis")),
    Scenario("sns-down", "Connections from ingest to SNS are refused.", _refuse_hub),
    Scenario("store-down", "Connections from the devices to the object store are refused.", _refuse_store),
    Scenario(
        "aws-killed", "`kill -9` of the process with object store, SNS, SQS and fan-out; started again.", _kill("aws")
    ),
    Scenario("ingest-killed", "`kill -9` of the ingest function, three times.", _kill_repeatedly("ingest")),
    Scenario("rule-killed", "`kill -9` of the IoT rule; started again.", _kill("iot_rule")),
    Scenario(
        "power-cut", "`kill -9` of every device and every part at once; all are started again.", _power_cut, least_s=6
    ),
    Scenario(
        "webhook-hangs",
        "The receiver of one of two webhooks does not answer.",
        _misbehave("hang"),
        webhook=True,
        least_s=18,
    ),
    Scenario("webhook-500", "The receiver of one of two webhooks answers 500.", _misbehave("500"), webhook=True),
    Scenario(
        "webhook-redirect",
        "The receiver of one of two webhooks redirects to `http://169.254.169.254/`.",
        _misbehave("redirect"),
        webhook=True,
    ),
    Scenario(
        "websocket-stalled", "A WebSocket client stops reading, and reads again.", _stall_websocket, websocket=True
    ),
)
