"""``kill -9`` of each part in mid-stream, with real processes: every event arrives exactly once."""

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


def _in_mid_stream(stack: RunningStack, device: EventProducer) -> None:
    assert stack.until(lambda: device.has_stored(COUNT // 8))
    assert len(device.taken()) < COUNT, "the stream was over before anything could be killed in the middle of it"


def test_an_undisturbed_stream_arrives_whole(producer: StartProducer) -> None:
    """With nobody killed, every event is stored once."""
    producer(count=COUNT, rate=RATE).assert_exactly_once()


def test_kill_the_device(stack: RunningStack, producer: StartProducer) -> None:
    """The device dies and starts again on the same outbox."""
    device = producer(count=COUNT, rate=RATE)
    _in_mid_stream(stack, device)
    device.process.kill()
    device.process.start()
    device.assert_exactly_once()


@pytest.mark.parametrize("part", ["ingest", "iot_rule", "postgres", "aws"])
def test_kill_a_part(stack: RunningStack, producer: StartProducer, part: str) -> None:
    """The ingest function, the IoT rule, the database or the hub is killed and restarts."""
    device = producer(count=COUNT, rate=RATE)
    _in_mid_stream(stack, device)
    os.kill(stack.pid_of(part), signal.SIGKILL)
    device.assert_exactly_once()


def test_kill_the_broker(stack: RunningStack, producer: StartProducer) -> None:
    """The broker dies and takes acknowledged messages with it: the holes are asked for and close by themselves."""
    device = producer(count=COUNT, rate=RATE)
    _in_mid_stream(stack, device)
    # Ingest stands still, so that the broker holds messages which it has acknowledged to the device.
    ingest = stack.pid_of("ingest")
    os.kill(ingest, signal.SIGSTOP)
    before = len(device.taken())
    assert stack.until(lambda: len(device.taken()) > before + 50)
    os.kill(stack.pid_of("iot_rule"), signal.SIGKILL)
    os.kill(stack.pid_of("broker"), signal.SIGKILL)
    device.assert_exactly_once()
    states = _gap_states(stack, device)
    assert states, "no hole was opened, so this test has shown nothing"
    assert stack.until(lambda: set(_gap_states(stack, device)) == {"closed"})


def _gap_states(stack: RunningStack, device: EventProducer) -> list[str]:
    with psycopg.connect(stack["database"]) as connection:
        rows = connection.execute("SELECT state FROM sequence_gaps WHERE device_id = %s", (device.name,)).fetchall()
    return [str(state) for (state,) in rows]
