"""Uploading the images of the outbox."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from edge_agent.outbox import Outbox
from edge_agent.transport.settings import SenderSettings
from shared.clock import ManualClock
from shared.errors import PermanentError, TransientError
from tests.support.edge.fake_transport import FakePublisher, FakeStore
from tests.support.edge.outbox_builders import motion_event
from tests.support.waiting import eventually
from tests.unit.edge_agent.transport.conftest import MakeSender, put_images


def raise_fault(_: object) -> None:
    raise ZeroDivisionError


def test_images_are_stored_under_their_keys(outbox: Outbox, run_sender: MakeSender) -> None:
    """Each image is stored once and removed from the outbox."""
    keys = put_images(outbox, 12)
    store = FakeStore()
    run_sender(FakePublisher(), store)
    eventually(lambda: outbox.health().pending_images == 0)
    assert set(store.stored) == set(keys)
    assert sorted(store.attempts) == sorted(keys)


def test_images_are_uploaded_without_a_broker(outbox: Outbox, run_sender: MakeSender) -> None:
    """Events and images are delivered independently."""
    put_images(outbox, 3)
    store = FakeStore()
    run_sender(FakePublisher(connected=False), store)
    eventually(lambda: len(store.stored) == 3)
    assert outbox.health().pending_events == 3


def test_an_unavailable_store_pauses_all_uploads(outbox: Outbox, run_sender: MakeSender) -> None:
    """All threads back off, and no image is lost."""
    keys = put_images(outbox, 6)
    store = FakeStore()
    store.error_for = lambda _: TransientError("away")
    began_s = time.monotonic()
    run_sender(FakePublisher(), store, SenderSettings(retry_min_s=0.05, retry_max_s=0.05))
    eventually(lambda: len(store.attempts) >= 4)
    attempts, elapsed_s = len(store.attempts), time.monotonic() - began_s
    assert attempts <= 2 * (1 + elapsed_s / 0.025)  # two threads; a pause is at least half of retry_min_s
    store.error_for = lambda _: None
    eventually(lambda: set(store.stored) == set(keys))


def test_python_an_unexpected_store_error_is_retried_and_logged_once(
    outbox: Outbox, clock: ManualClock, run_sender: MakeSender, caplog: pytest.LogCaptureFixture
) -> None:
    """The threads continue, with one traceback in the log."""
    keys = put_images(outbox, 2)
    store = FakeStore()
    store.error_for = raise_fault
    run_sender(FakePublisher(), store)

    def as_time_passes(condition: Callable[[], bool]) -> Callable[[], bool]:
        def check() -> bool:
            if condition():
                return True
            clock.advance(65)  # repeatedly, because a failure may be recorded later
            outbox.put(motion_event())
            return False

        return check

    eventually(as_time_passes(lambda: len(store.attempts) >= 6))
    store.error_for = lambda _: None
    eventually(as_time_passes(lambda: set(store.stored) == set(keys)))
    assert caplog.text.count("Traceback") == 1
    assert "storing an image failed unexpectedly" in caplog.text


def test_python_an_image_that_always_fails_unexpectedly_does_not_block_the_others(
    outbox: Outbox, run_sender: MakeSender
) -> None:
    """It is deferred like a refused image."""
    keys = put_images(outbox, 5)
    store = FakeStore()
    store.error_for = lambda key: raise_fault(key) if key == keys[0] else None
    run_sender(FakePublisher(), store, SenderSettings(retry_min_s=0.01, retry_max_s=0.05, upload_threads=1))
    eventually(lambda: set(store.stored) == set(keys[1:]))


def test_a_refused_image_does_not_block_the_others(outbox: Outbox, clock: ManualClock, run_sender: MakeSender) -> None:
    """An image that the store refuses is retried later; the others are stored."""
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


def test_edge_36_store_problems_are_logged_once_per_cause(
    outbox: Outbox, run_sender: MakeSender, caplog: pytest.LogCaptureFixture
) -> None:
    """One line for many images and attempts, one when the cause changes, and one when it is resolved."""
    caplog.set_level("INFO")
    keys = put_images(outbox, 6)
    store = FakeStore()
    store.error_for = lambda key: TransientError(f"cannot store s3://bucket/{key} now: there are no AWS credentials")
    run_sender(FakePublisher(), store)
    eventually(lambda: len(store.attempts) >= 5)
    store.error_for = lambda key: TransientError(f"cannot store s3://bucket/{key} now: the credentials have expired")
    attempts = len(store.attempts)
    eventually(lambda: len(store.attempts) >= attempts + 5)
    store.error_for = lambda _: None
    eventually(lambda: set(store.stored) == set(keys))
    lines = [r.getMessage() for r in caplog.records if "image store" in r.getMessage()]
    assert [line.rpartition(": ")[2] for line in lines] == [
        "there are no AWS credentials",
        "the credentials have expired",
        "uploads work again",
    ]
