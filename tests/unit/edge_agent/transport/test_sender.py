"""The sender drains the outbox through every kind of trouble, without haste and without loss."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge_agent.outbox import Outbox
from edge_agent.transport.sender import Sender
from edge_agent.transport.settings import SenderSettings
from shared.clock import ManualClock
from shared.errors import PermanentError, TransientError
from tests.support.edge.fake_transport import FakePublisher, FakeStore
from tests.support.edge.outbox_builders import motion_event, tracking_event, with_image
from tests.support.waiting import eventually

QUICK = SenderSettings(retry_min_s=0.01, retry_max_s=0.05)
MakeSender = Callable[..., Sender]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def outbox(tmp_path: Path, clock: ManualClock) -> Iterator[Outbox]:
    outbox = Outbox(tmp_path / "outbox.db", clock=clock)
    yield outbox
    outbox.close()


@pytest.fixture
def run_sender(outbox: Outbox) -> Iterator[MakeSender]:
    """Starts a sender and closes it at the end."""
    running: list[Sender] = []

    def run(publisher: FakePublisher, store: FakeStore | None = None, settings: SenderSettings = QUICK) -> Sender:
        sender = Sender(outbox=outbox, publisher=publisher, store=store, settings=settings)
        sender.start()
        running.append(sender)
        return sender

    yield run
    for sender in running:
        sender.close(0.0)


def put_images(outbox: Outbox, count: int) -> list[str]:
    keys = [f"camera-1/2026-01-01/tracking_103045_{number:06d}.jpg" for number in range(count)]
    for key in keys:
        outbox.put(with_image(tracking_event(), key), snapshot=key.encode())
    return [f"snapshots/gate-01/{key}" for key in keys]


def idle(outbox: Outbox) -> bool:
    return outbox.health().pending_events == 0


def test_what_waits_and_what_comes_is_sent_in_order(outbox: Outbox, run_sender: MakeSender) -> None:
    """Events put before and after the start all go, on their topics, in sequence."""
    first = [outbox.put(motion_event()) for _ in range(25)]
    publisher = FakePublisher()
    run_sender(publisher)
    eventually(lambda: idle(outbox))
    last = outbox.put(motion_event())
    eventually(lambda: idle(outbox))
    numbers = [int(payload.split(b'"sequence":')[1].split(b",")[0]) for _, payload in publisher.published]
    assert numbers == [event.sequence for event in [*first, last]]
    assert {topic for topic, _ in publisher.published} == {"vedette/hq/gate-01/events/camera-1/motion"}


def test_no_more_than_the_window_is_on_its_way(outbox: Outbox, run_sender: MakeSender) -> None:
    """The broker's limit of unacknowledged messages is kept."""
    for _ in range(30):
        outbox.put(motion_event())
    publisher = FakePublisher(max_in_flight=8, ack=False)
    run_sender(publisher)
    eventually(lambda: len(publisher.published) == 8)
    time.sleep(0.05)
    assert len(publisher.published) == 8
    publisher.ack = True
    publisher.ack_all()
    eventually(lambda: idle(outbox))


def test_nothing_counts_as_sent_before_the_acknowledgement(outbox: Outbox, run_sender: MakeSender) -> None:
    """Published is not delivered: until PUBACK the outbox holds it."""
    outbox.put(motion_event())
    publisher = FakePublisher(ack=False)
    run_sender(publisher)
    eventually(lambda: publisher.published)
    assert outbox.health().pending_events == 1
    publisher.ack_all()
    eventually(lambda: idle(outbox))


def test_nothing_is_tried_while_disconnected(outbox: Outbox, run_sender: MakeSender) -> None:
    """The sender waits for the publisher, and goes on the moment it is there."""
    outbox.put(motion_event())
    publisher = FakePublisher(connected=False)
    run_sender(publisher)
    time.sleep(0.05)
    assert publisher.published == []
    publisher.set_connected(True)
    eventually(lambda: idle(outbox))


def test_what_was_on_its_way_goes_again_after_a_lost_connection(outbox: Outbox, run_sender: MakeSender) -> None:
    """All unacknowledged events come again; none is missing."""
    for _ in range(10):
        outbox.put(motion_event())
    publisher = FakePublisher(ack=False)
    run_sender(publisher)
    eventually(lambda: len(publisher.published) == 10)
    publisher.ack = True
    publisher.lose()
    eventually(lambda: idle(outbox))
    assert len(set(publisher.acknowledged)) == 10


def test_a_message_the_broker_hangs_up_on_harms_only_itself(
    outbox: Outbox, clock: ManualClock, run_sender: MakeSender
) -> None:
    """One event that ends the connection every time is put off alone; its neighbours arrive."""
    for number in range(30):
        outbox.put(tracking_event(class_name="poison" if number == 7 else "car"))
    publisher = FakePublisher(max_in_flight=100, ack=False)
    publisher.poison = lambda payload: b"poison" in payload
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
    eventually(lambda: idle(outbox))


def test_a_refused_event_is_put_off_and_others_pass(outbox: Outbox, run_sender: MakeSender) -> None:
    """A permanent refusal of one is no reason to hold the others back."""
    outbox.put(motion_event())
    publisher = FakePublisher()
    publisher.fail_with = PermanentError("no")
    run_sender(publisher)
    eventually(lambda: publisher.published)
    publisher.fail_with = None
    outbox.put(motion_event())
    eventually(lambda: outbox.health().pending_events == 1)
    assert len(publisher.acknowledged) == 1


def test_a_link_that_refuses_for_now_is_not_hammered(outbox: Outbox, run_sender: MakeSender) -> None:
    """Failing while connected backs off instead of spinning."""
    outbox.put(motion_event())
    publisher = FakePublisher()
    publisher.fail_with = TransientError("queue full")
    began_s = time.monotonic()
    run_sender(publisher, settings=SenderSettings(retry_min_s=0.05, retry_max_s=0.05))
    eventually(lambda: publisher.published)
    time.sleep(0.2)
    tries, passed_s = len(publisher.published), time.monotonic() - began_s
    assert tries <= 1 + passed_s / 0.025  # a pause is at least half of retry_min_s


def test_images_arrive_under_their_keys(outbox: Outbox, run_sender: MakeSender) -> None:
    """Each image goes to its object; the outbox forgets it."""
    keys = put_images(outbox, 12)
    store = FakeStore()
    run_sender(FakePublisher(), store)
    eventually(lambda: outbox.health().pending_images == 0)
    assert set(store.stored) == set(keys)
    assert sorted(store.attempts) == sorted(keys)


def test_images_do_not_wait_for_the_broker_nor_events_for_the_store(outbox: Outbox, run_sender: MakeSender) -> None:
    """Each lane is on its own."""
    put_images(outbox, 3)
    store = FakeStore()
    run_sender(FakePublisher(connected=False), store)
    eventually(lambda: len(store.stored) == 3)
    assert outbox.health().pending_events == 3


def test_a_store_that_is_away_pauses_all_and_then_gets_all(outbox: Outbox, run_sender: MakeSender) -> None:
    """Transient trouble backs off for every thread, and nothing is lost."""
    keys = put_images(outbox, 6)
    store = FakeStore()
    store.error_for = lambda _: TransientError("away")
    began_s = time.monotonic()
    run_sender(FakePublisher(), store, SenderSettings(retry_min_s=0.05, retry_max_s=0.05))
    eventually(lambda: len(store.attempts) >= 4)
    tries, passed_s = len(store.attempts), time.monotonic() - began_s
    assert tries <= 2 * (1 + passed_s / 0.025)  # two threads; a pause is at least half of retry_min_s
    store.error_for = lambda _: None
    eventually(lambda: set(store.stored) == set(keys))


def test_python_an_unexpected_error_of_the_store_is_survived_and_logged_once(
    outbox: Outbox, clock: ManualClock, run_sender: MakeSender, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault in the store is treated as trouble that may pass; the threads live on, with one traceback in the log."""
    keys = put_images(outbox, 2)
    store = FakeStore()
    store.error_for = broken
    run_sender(FakePublisher(), store)

    def as_time_passes(condition: Callable[[], bool]) -> Callable[[], bool]:
        def check() -> bool:
            if condition():
                return True
            clock.advance(65)  # again and again: a failure may be noted after the first time
            outbox.put(motion_event())
            return False

        return check

    eventually(as_time_passes(lambda: len(store.attempts) >= 6))
    store.error_for = lambda _: None
    eventually(as_time_passes(lambda: set(store.stored) == set(keys)))
    assert caplog.text.count("Traceback") == 1
    assert "storing an image failed unexpectedly" in caplog.text


def broken(_: object) -> None:
    raise ZeroDivisionError


def test_python_an_image_that_always_fails_unexpectedly_does_not_block_the_others(
    outbox: Outbox, run_sender: MakeSender
) -> None:
    """It waits alone, as a refused one does."""
    keys = put_images(outbox, 5)
    store = FakeStore()
    store.error_for = lambda key: broken(key) if key == keys[0] else None
    run_sender(FakePublisher(), store, SenderSettings(retry_min_s=0.01, retry_max_s=0.05, upload_threads=1))
    eventually(lambda: set(store.stored) == set(keys[1:]))


def test_python_a_fault_of_the_outbox_backs_off_however_often_it_is_woken(
    outbox: Outbox, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """New events wake the sending threads, but not out of the wait after an unexpected exception."""

    class Faulty(FakePublisher):
        asked = 0

        @property
        def connected(self) -> bool:
            self.asked += 1
            raise ZeroDivisionError

        @connected.setter
        def connected(self, value: bool) -> None: ...

    publisher = Faulty()
    sender = Sender(outbox=outbox, publisher=publisher, settings=SenderSettings(retry_min_s=300, retry_max_s=300))
    sender.start()
    eventually(lambda: publisher.asked == 1)
    for _ in range(20):
        outbox.put(motion_event())
    sender.close(0.05)
    assert publisher.asked == 1
    assert caplog.text.count("Traceback") == 1


def test_a_refused_image_does_not_block_the_others(outbox: Outbox, clock: ManualClock, run_sender: MakeSender) -> None:
    """Access denied for one key: the rest arrives, the one is tried again later."""
    keys = put_images(outbox, 5)
    store = FakeStore()
    store.error_for = lambda key: PermanentError("denied") if key == keys[0] else None
    run_sender(FakePublisher(), store)
    eventually(lambda: set(store.stored) == set(keys[1:]))
    assert store.attempts.count(keys[0]) == 1
    store.error_for = lambda _: None
    clock.advance(61)
    outbox.put(motion_event())
    eventually(lambda: set(store.stored) == set(keys))


def test_close_sends_what_it_can(outbox: Outbox) -> None:
    """Closing drains both lanes within its time."""
    put_images(outbox, 20)
    store = FakeStore()
    sender = Sender(outbox=outbox, publisher=FakePublisher(), store=store, settings=QUICK)
    sender.start()
    sender.close(20.0)
    assert idle(outbox)
    assert len(store.stored) == 20


def test_close_waits_for_acknowledgements(outbox: Outbox) -> None:
    """What is on its way when closing begins is still acknowledged into the outbox."""
    outbox.put(motion_event())
    publisher = FakePublisher(ack=False)
    sender = Sender(outbox=outbox, publisher=publisher, settings=QUICK)
    sender.start()
    eventually(lambda: publisher.published)
    closing = threading.Thread(target=sender.close, args=[20.0])
    closing.start()
    time.sleep(0.02)
    publisher.ack_all()
    closing.join()
    assert idle(outbox)


def test_close_does_not_wait_for_a_broker_that_is_away(outbox: Outbox) -> None:
    """With nobody there, closing ends long before its time."""
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


def test_close_gives_up_at_its_deadline(outbox: Outbox) -> None:
    """A broker that never answers does not keep the agent from stopping; what was sent stays in the outbox."""
    outbox.put(motion_event())
    publisher = FakePublisher(ack=False)
    sender = Sender(outbox=outbox, publisher=publisher, settings=QUICK)
    sender.start()
    eventually(lambda: publisher.published)
    sender.close(0.05)
    assert outbox.health().pending_events == 1


def test_the_sender_survives_a_link_that_raises(outbox: Outbox, run_sender: MakeSender) -> None:
    """An error from below is logged and the event tried again: neither thread nor event is lost."""

    class Moody(FakePublisher):
        calls = 0

        def publish(self, topic: str, payload: bytes, *, retain: bool = False):
            self.calls += 1
            if self.calls == 1:
                raise ZeroDivisionError
            return super().publish(topic, payload, retain=retain)

    publisher = Moody()
    run_sender(publisher)
    outbox.put(motion_event())
    eventually(lambda: idle(outbox))
    assert publisher.calls == 2


def test_python_a_link_that_always_raises_is_not_asked_for_every_event(
    outbox: Outbox, run_sender: MakeSender, caplog: pytest.LogCaptureFixture
) -> None:
    """A hundred waiting events meet an unexpected exception: a pause after each loss, and one traceback in the log."""

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


def test_edge_36_trouble_with_the_store_is_said_once_for_each_cause(
    outbox: Outbox, run_sender: MakeSender, caplog: pytest.LogCaptureFixture
) -> None:
    """One line however many images and attempts; another when the cause changes; and one when it is over."""
    caplog.set_level("INFO")
    keys = put_images(outbox, 6)
    store = FakeStore()
    store.error_for = lambda key: TransientError(f"cannot store s3://bucket/{key} now: there are no AWS credentials")
    run_sender(FakePublisher(), store)
    eventually(lambda: len(store.attempts) >= 5)
    store.error_for = lambda key: TransientError(f"cannot store s3://bucket/{key} now: the credentials have expired")
    tried = len(store.attempts)
    eventually(lambda: len(store.attempts) >= tried + 5)
    store.error_for = lambda _: None
    eventually(lambda: set(store.stored) == set(keys))
    lines = [r.getMessage() for r in caplog.records if "image store" in r.getMessage()]
    assert [line.rpartition(": ")[2] for line in lines] == [
        "there are no AWS credentials",
        "the credentials have expired",
        "uploads work again",
    ]


def test_edge_09_nothing_is_sent_before_the_clock_is_set(tmp_path: Path) -> None:
    """In 1970 events and pictures wait, broker and store at hand; then they go with the right time."""
    clock = ManualClock(datetime(1970, 1, 1, 0, 1, tzinfo=UTC))
    outbox = Outbox(tmp_path / "own.db", clock=clock)
    outbox.put(motion_event().model_copy(update={"timestamp": clock.now()}))
    outbox.put(with_image(tracking_event()), snapshot=b"picture")
    publisher, store = FakePublisher(), FakeStore()
    sender = Sender(outbox=outbox, publisher=publisher, store=store, settings=QUICK)
    sender.start()
    try:
        time.sleep(0.3)
        assert (publisher.published, store.attempts) == ([], [])
        clock.step((datetime(2026, 3, 1, tzinfo=UTC) - clock.now()).total_seconds())
        outbox.put(motion_event())
        eventually(lambda: idle(outbox) and store.stored)
    finally:
        sender.close()
        outbox.close()
    assert b'"timestamp":"2026-03-01T00:00:00.000000Z"' in publisher.acknowledged[0]


def test_edge_09_a_clock_that_nobody_sets_holds_nothing_for_ever(tmp_path: Path) -> None:
    """After clock_wait_s events go with the times they have."""
    outbox = Outbox(tmp_path / "own.db", clock=ManualClock(datetime(1970, 1, 1, tzinfo=UTC)))
    outbox.put(motion_event())
    publisher = FakePublisher()
    sender = Sender(outbox=outbox, publisher=publisher, settings=QUICK.model_copy(update={"clock_wait_s": 0.1}))
    sender.start()
    eventually(lambda: idle(outbox))
    sender.close()
    outbox.close()
