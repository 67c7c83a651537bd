"""The sender: closing, waiting for the clock, and faults."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge_agent.outbox import Outbox
from edge_agent.transport.sender import Sender
from edge_agent.transport.settings import SenderSettings
from shared.clock import ManualClock
from shared.errors import TransientError
from tests.support.edge.fake_transport import FakePublisher, FakeStore
from tests.support.edge.outbox_builders import motion_event, tracking_event, with_image
from tests.support.waiting import eventually
from tests.unit.edge_agent.transport.conftest import QUICK_RETRIES, is_idle, put_images


def test_python_new_events_do_not_end_the_wait_after_a_fault(
    outbox: Outbox, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Notifications do not shorten the wait after an unexpected exception."""

    class Faulty(FakePublisher):
        accesses = 0

        @property
        def connected(self) -> bool:
            self.accesses += 1
            raise ZeroDivisionError

        @connected.setter
        def connected(self, value: bool) -> None: ...

    publisher = Faulty()
    sender = Sender(outbox=outbox, publisher=publisher, settings=SenderSettings(retry_min_s=300, retry_max_s=300))
    sender.start()
    eventually(lambda: publisher.accesses == 1)
    for _ in range(20):
        outbox.put(motion_event())
    sender.close(0.05)
    assert publisher.accesses == 1
    assert caplog.text.count("Traceback") == 1


def test_close_delivers_pending_items(outbox: Outbox) -> None:
    """Within its timeout, close delivers all events and images."""
    put_images(outbox, 20)
    store = FakeStore()
    sender = Sender(outbox=outbox, publisher=FakePublisher(), store=store, settings=QUICK_RETRIES)
    sender.start()
    sender.close(20.0)
    assert is_idle(outbox)
    assert len(store.stored) == 20


def test_close_waits_for_acknowledgements(outbox: Outbox) -> None:
    """Messages in flight when close begins are still acknowledged in the outbox."""
    outbox.put(motion_event())
    publisher = FakePublisher(ack=False)
    sender = Sender(outbox=outbox, publisher=publisher, settings=QUICK_RETRIES)
    sender.start()
    eventually(lambda: publisher.published)
    closing = threading.Thread(target=sender.close, args=[20.0])
    closing.start()
    time.sleep(0.02)
    publisher.ack_all()
    closing.join()
    assert is_idle(outbox)


def test_close_does_not_wait_for_an_unavailable_broker(outbox: Outbox) -> None:
    """Without a connection, close returns long before its timeout."""
    put_images(outbox, 1)
    store = FakeStore()
    store.error_for = lambda _: TransientError("away")
    publisher = FakePublisher(connected=False)
    sender = Sender(
        outbox=outbox, publisher=publisher, store=store, settings=SenderSettings(retry_min_s=100, retry_max_s=100)
    )
    sender.start()
    eventually(lambda: store.attempts)
    began = time.monotonic()
    sender.close(60.0)
    assert time.monotonic() - began < 30.0
    assert outbox.health().pending_events == 1


def test_close_returns_at_its_deadline(outbox: Outbox) -> None:
    """Unacknowledged events stay in the outbox."""
    outbox.put(motion_event())
    publisher = FakePublisher(ack=False)
    sender = Sender(outbox=outbox, publisher=publisher, settings=QUICK_RETRIES)
    sender.start()
    eventually(lambda: publisher.published)
    sender.close(0.05)
    assert outbox.health().pending_events == 1


def test_edge_09_nothing_is_sent_before_the_clock_is_set(tmp_path: Path) -> None:
    """With the clock in 1970, events and images are held; afterwards they are sent with the correct time."""
    clock = ManualClock(datetime(1970, 1, 1, 0, 1, tzinfo=UTC))
    outbox = Outbox(tmp_path / "own.db", clock=clock)
    outbox.put(motion_event().model_copy(update={"timestamp": clock.now()}))
    outbox.put(with_image(tracking_event()), snapshot=b"picture")
    publisher, store = FakePublisher(), FakeStore()
    sender = Sender(outbox=outbox, publisher=publisher, store=store, settings=QUICK_RETRIES)
    sender.start()
    try:
        time.sleep(0.3)
        assert (publisher.published, store.attempts) == ([], [])
        clock.step((datetime(2026, 3, 1, tzinfo=UTC) - clock.now()).total_seconds())
        outbox.put(motion_event())
        eventually(lambda: is_idle(outbox) and store.stored)
    finally:
        sender.close()
        outbox.close()
    assert b'"timestamp":"2026-03-01T00:00:00.000000Z"' in publisher.acknowledged[0]


def test_edge_09_delivery_starts_after_clock_wait_s(tmp_path: Path) -> None:
    """If the clock is never set, events are sent with the times they have."""
    outbox = Outbox(tmp_path / "own.db", clock=ManualClock(datetime(1970, 1, 1, tzinfo=UTC)))
    outbox.put(motion_event())
    publisher = FakePublisher()
    sender = Sender(outbox=outbox, publisher=publisher, settings=QUICK_RETRIES.model_copy(update={"clock_wait_s": 0.1}))
    sender.start()
    eventually(lambda: is_idle(outbox))
    sender.close()
    outbox.close()
