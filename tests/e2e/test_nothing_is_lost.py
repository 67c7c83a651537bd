"""``kill -9`` of each part during a stream of events, with real processes: every event is stored exactly once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import psycopg
import pytest

from tests.e2e.conftest import EventProducer, RunningStack

COUNT = 400
RATE = 200.0

StartProducer = Callable[..., EventProducer]

pytestmark = pytest.mark.xdist_group("stack")


def _wait_for_mid_stream(stack: RunningStack, device: EventProducer) -> None:
    assert stack.until(lambda: device.has_stored(COUNT // 8))
    assert len(device.accepted()) < COUNT, "the device sent all events before the test could kill a part"


def test_undisturbed_stream_is_stored_once(producer: StartProducer) -> None:
    """Without any failure, every event is stored once."""
    producer(count=COUNT, rate=RATE).assert_exactly_once()


def test_killed_device_loses_no_event(stack: RunningStack, producer: StartProducer) -> None:
    """The device is killed and started again with the same outbox."""
    device = producer(count=COUNT, rate=RATE)
    _wait_for_mid_stream(stack, device)
    device.process.kill()
    device.process.start()
    device.assert_exactly_once()


@pytest.mark.parametrize("part", ["ingest", "iot_rule", "postgres", "aws"])
def test_killed_part_loses_no_event(stack: RunningStack, producer: StartProducer, part: str) -> None:
    """The ingest function, the IoT rule, the database or the hub is killed, and the supervisor restarts it."""
    device = producer(count=COUNT, rate=RATE)
    _wait_for_mid_stream(stack, device)
    os.kill(stack.pid_of(part), signal.SIGKILL)
    device.assert_exactly_once()


def test_killed_broker_leaves_gaps_that_close(stack: RunningStack, producer: StartProducer) -> None:
    """A killed broker loses messages that it acknowledged; ingest requests the missing events and the gaps close."""
    device = producer(count=COUNT, rate=RATE)
    _wait_for_mid_stream(stack, device)
    # Ingest is stopped, so that the broker holds messages that it has acknowledged to the device.
    ingest = stack.pid_of("ingest")
    os.kill(ingest, signal.SIGSTOP)
    before = len(device.accepted())
    assert stack.until(lambda: len(device.accepted()) > before + 50)
    os.kill(stack.pid_of("iot_rule"), signal.SIGKILL)
    os.kill(stack.pid_of("broker"), signal.SIGKILL)
    device.assert_exactly_once()
    states = _gap_states(stack, device)
    assert states, "the broker lost no message, so there was no gap to close"
    assert stack.until(lambda: set(_gap_states(stack, device)) == {"closed"})


def _gap_states(stack: RunningStack, device: EventProducer) -> list[str]:
    with psycopg.connect(stack["database"]) as connection:
        rows = connection.execute("SELECT state FROM sequence_gaps WHERE device_id = %s", (device.name,)).fetchall()
    return [str(state) for (state,) in rows]
