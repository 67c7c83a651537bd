"""Publishing the events of the outbox."""

from __future__ import annotations

import time

import pytest

from edge_agent.outbox import Outbox
from edge_agent.transport.settings import SenderSettings
from shared.clock import ManualClock
from shared.errors import PermanentError, TransientError
from tests.support.edge.fake_transport import FakePublisher
from tests.support.edge.outbox_builders import motion_event, tracking_event
from tests.support.waiting import eventually
from tests.unit.edge_agent.transport.conftest import MakeSender, is_idle


def test_events_are_published_in_sequence(outbox: Outbox, run_sender: MakeSender) -> None:
    """Events stored before and after the start are published on their topics, in order."""
    first = [outbox.put(motion_event()) for _ in range(25)]
    publisher = FakePublisher()
    run_sender(publisher)
    eventually(lambda: is_idle(outbox))
    last = outbox.put(motion_event())
    eventually(lambda: is_idle(outbox))
    numbers = [int(payload.split(b'"sequence":')[1].split(b",")[0]) for _, payload in publisher.published]
    assert numbers == [event.sequence for event in [*first, last]]
    assert {topic for topic, _ in publisher.published} == {"vedette/hq/gate-01/events/camera-1/motion"}


def test_unacknowledged_events_are_limited_by_the_window(outbox: Outbox, run_sender: MakeSender) -> None:
    """The broker's limit of unacknowledged messages is respected."""
    for _ in range(30):
        outbox.put(motion_event())
    publisher = FakePublisher(max_in_flight=8, ack=False)
    run_sender(publisher)
    eventually(lambda: len(publisher.published) == 8)
    time.sleep(0.05)
    assert len(publisher.published) == 8
    publisher.ack = True
    publisher.ack_all()
    eventually(lambda: is_idle(outbox))


def test_an_event_is_pending_until_it_is_acknowledged(outbox: Outbox, run_sender: MakeSender) -> None:
    """A published event stays in the outbox until PUBACK."""
    outbox.put(motion_event())
    publisher = FakePublisher(ack=False)
    run_sender(publisher)
    eventually(lambda: publisher.published)
    assert outbox.health().pending_events == 1
    publisher.ack_all()
    eventually(lambda: is_idle(outbox))


def test_nothing_is_published_while_disconnected(outbox: Outbox, run_sender: MakeSender) -> None:
    """The sender continues as soon as the publisher is connected."""
    outbox.put(motion_event())
    publisher = FakePublisher(connected=False)
    run_sender(publisher)
    time.sleep(0.05)
    assert publisher.published == []
    publisher.set_connected(True)
    eventually(lambda: is_idle(outbox))


def test_unacknowledged_events_are_published_again_after_a_lost_connection(
    outbox: Outbox, run_sender: MakeSender
) -> None:
    """None is missing."""
    for _ in range(10):
        outbox.put(motion_event())
    publisher = FakePublisher(ack=False)
    run_sender(publisher)
    eventually(lambda: len(publisher.published) == 10)
    publisher.ack = True
    publisher.lose()
    eventually(lambda: is_idle(outbox))
    assert len(set(publisher.acknowledged)) == 10


def test_an_event_that_ends_the_connection_is_deferred_alone(
    outbox: Outbox, clock: ManualClock, run_sender: MakeSender
) -> None:
    """The other events are delivered."""
    for number in range(30):
        outbox.put(tracking_event(class_name="rejected" if number == 7 else "car"))
    publisher = FakePublisher(max_in_flight=100, ack=False)
    publisher.poison = lambda payload: b"rejected" in payload
    run_sender(publisher)

    def arrived() -> bool:
        publisher.ack_all()
        return len(set(publisher.acknowledged)) == 29

    eventually(arrived)
    eventually(lambda: outbox.health().pending_events == 1)
    publisher.poison = lambda _: False
    publisher.ack = True
    clock.advance(3600)
    outbox.put(motion_event())
    eventually(lambda: is_idle(outbox))


def test_a_refused_event_is_deferred_and_others_are_sent(outbox: Outbox, run_sender: MakeSender) -> None:
    """A permanent refusal of one event does not block the others."""
    outbox.put(motion_event())
    publisher = FakePublisher()
    publisher.fail_with = PermanentError("no")
    run_sender(publisher)
    eventually(lambda: publisher.published)
    publisher.fail_with = None
    outbox.put(motion_event())
    eventually(lambda: outbox.health().pending_events == 1)
    assert len(publisher.acknowledged) == 1


def test_transient_errors_while_connected_back_off(outbox: Outbox, run_sender: MakeSender) -> None:
    """The sender pauses between attempts."""
    outbox.put(motion_event())
    publisher = FakePublisher()
    publisher.fail_with = TransientError("queue full")
    began_s = time.monotonic()
    run_sender(publisher, settings=SenderSettings(retry_min_s=0.05, retry_max_s=0.05))
    eventually(lambda: publisher.published)
    time.sleep(0.2)
    attempts, elapsed_s = len(publisher.published), time.monotonic() - began_s
    assert attempts <= 1 + elapsed_s / 0.025  # a pause is at least half of retry_min_s


def test_an_exception_of_the_publisher_is_retried(outbox: Outbox, run_sender: MakeSender) -> None:
    """Neither the thread nor the event is lost."""

    class FailsOnce(FakePublisher):
        calls = 0

        def publish(self, topic: str, payload: bytes, *, retain: bool = False):
            self.calls += 1
            if self.calls == 1:
                raise ZeroDivisionError
            return super().publish(topic, payload, retain=retain)

    publisher = FailsOnce()
    run_sender(publisher)
    outbox.put(motion_event())
    eventually(lambda: is_idle(outbox))
    assert publisher.calls == 2


def test_python_a_publisher_that_always_raises_is_called_once_per_pause(
    outbox: Outbox, run_sender: MakeSender, caplog: pytest.LogCaptureFixture
) -> None:
    """One hundred pending events cause one call and one traceback."""

    class Broken(FakePublisher):
        calls = 0

        def publish(self, topic: str, payload: bytes, *, retain: bool = False):
            self.calls += 1
            raise ZeroDivisionError

    for _ in range(100):
        outbox.put(motion_event())
    publisher = Broken(max_in_flight=1)
    run_sender(publisher, settings=SenderSettings(retry_min_s=300, retry_max_s=300))
    eventually(lambda: publisher.calls == 1 and "deferring event" in caplog.text)
    outbox.put(motion_event())
    time.sleep(0.1)
    assert publisher.calls == 1
    assert caplog.text.count("Traceback") == 1
