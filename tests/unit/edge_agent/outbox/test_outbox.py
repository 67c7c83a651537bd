"""The public interface of the outbox."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge_agent.outbox import Outbox
from shared.clock import ManualClock
from shared.errors import ConfigurationError, ContractError, PermanentError
from shared.events import dump_event, parse_event
from tests.support.edge.outbox_builders import KEY, motion_event, tracking_event, with_image

OpenOutbox = Callable[..., Outbox]


def keys(items) -> list[int]:
    return [item.key for item in items]


def test_put_numbers_events_from_one_within_an_epoch(outbox: Outbox) -> None:
    """Sequences start at 1 and have the outbox's epoch."""
    first, second = outbox.put(tracking_event()), outbox.put(motion_event())
    assert (first.sequence, second.sequence) == (1, 2)
    assert first.sequence_epoch == second.sequence_epoch == outbox.epoch


def test_take_returns_the_stored_event(outbox: Outbox) -> None:
    """The payload is dump_event of the returned event, on the event's topic."""
    stored = outbox.put(tracking_event())
    (item,) = outbox.events.take(10)
    assert item.payload == dump_event(stored)
    assert parse_event(item.payload) == stored
    assert item.topic == "vedette/hq/gate-01/events/camera-1/tracking"


def test_epoch_and_sequence_survive_reopening(open_outbox: OpenOutbox) -> None:
    """A restart continues the numbering in the same epoch."""
    first = open_outbox()
    first.put(motion_event())
    epoch = first.epoch
    first.close()
    again = open_outbox()
    assert again.epoch == epoch
    assert again.put(motion_event()).sequence == 2


def test_a_sequence_is_not_reused_after_deletion(open_outbox: OpenOutbox) -> None:
    """The numbering continues although all rows are deleted."""
    first = open_outbox(keep_sent_bytes=0)
    first.put(motion_event())
    first.events.ack(first.events.take(1))
    first.close()
    again = open_outbox(keep_sent_bytes=0)
    assert again.put(motion_event()).sequence == 2


def test_taken_items_are_leased(outbox: Outbox) -> None:
    """Two takes never return the same event."""
    for _ in range(5):
        outbox.put(motion_event())
    assert keys(outbox.events.take(2)) == [1, 2]
    assert keys(outbox.events.take(10)) == [3, 4, 5]
    assert outbox.events.take(10) == []


def test_released_items_are_taken_again_first(outbox: Outbox) -> None:
    """After a lost connection the oldest event is taken first, without an attempt counted."""
    for _ in range(3):
        outbox.put(motion_event())
    taken = outbox.events.take(2)
    outbox.events.release(taken)
    again = outbox.events.take(3)
    assert keys(again) == [1, 2, 3]
    assert again[0].attempts == 0


def test_nacked_items_are_due_after_their_delay(outbox: Outbox, clock: ManualClock) -> None:
    """A refused item is deferred, others are taken, and its attempts are counted."""
    outbox.put(motion_event())
    outbox.put(motion_event())
    outbox.events.nack(outbox.events.take(1), delay_s=30)
    assert keys(outbox.events.take(10)) == [2]
    clock.advance(31)
    (item,) = outbox.events.take(10)
    assert (item.key, item.attempts) == (1, 1)


def test_a_due_time_of_a_wrong_clock_is_ignored(open_outbox: OpenOutbox) -> None:
    """A due time later than any possible delay was computed with a wrong clock."""
    ahead, right = ManualClock(), ManualClock()
    ahead.advance(3e8)
    outbox = open_outbox(clock=ahead)
    outbox.put(motion_event())
    outbox.events.nack(outbox.events.take(1), delay_s=30)
    outbox.close()
    outbox = open_outbox(clock=right)
    assert keys(outbox.events.take(1)) == [1]


def test_acked_events_are_not_pending(outbox: Outbox) -> None:
    """Acknowledged events are not taken again and not counted as pending."""
    outbox.put(motion_event())
    outbox.events.ack(outbox.events.take(1))
    assert outbox.events.take(1) == []
    assert outbox.health().pending_events == 0
    assert outbox.health().pending_bytes == 0


def test_images_and_events_are_acknowledged_separately(outbox: Outbox) -> None:
    """An acknowledged event leaves its images pending, and the reverse."""
    outbox.put(with_image(tracking_event()), snapshot=b"jpg", thumbnail=b"small")
    outbox.events.ack(outbox.events.take(1))
    images = outbox.images.take(5)
    assert [(image.object_key, image.body, image.content_type) for image in images] == [
        (f"snapshots/gate-01/{KEY}", b"jpg", "image/jpeg"),
        (f"thumbnails/gate-01/{KEY}", b"small", "image/jpeg"),
    ]
    outbox.images.ack(images[:1])
    assert outbox.health().pending_images == 1
    assert outbox.health().pending_bytes == len(b"small")


def test_an_image_requires_a_snapshot_reference(outbox: Outbox) -> None:
    """Without one, put raises ContractError and uses no sequence."""
    with pytest.raises(ContractError, match="snapshot"):
        outbox.put(tracking_event(), snapshot=b"jpg")
    assert outbox.put(tracking_event()).sequence == 1


@pytest.mark.parametrize(("name", "reason"), [("x" * 200, "nul_character"), ("y" * 200, "too_large")])
def test_put_rejects_events_that_the_cloud_rejects(outbox: Outbox, name: str, reason: str) -> None:
    """Too large events and NUL characters raise ContractError and affect no other event."""
    event = tracking_event()
    event.event_data.zones = [name] * 1000 if reason == "too_large" else ["a\x00b"]
    with pytest.raises(ContractError) as raised:
        outbox.put(event)
    assert raised.value.reason == reason
    assert outbox.put(tracking_event()).sequence == 1


def test_concurrent_puts_get_unique_sequences(outbox: Outbox) -> None:
    """Eight threads get consecutive sequences, and all events are stored."""
    numbers: list[int] = []

    def camera() -> None:
        numbers.extend(outbox.put(motion_event()).sequence or 0 for _ in range(25))

    threads = [threading.Thread(target=camera) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(1, 201))
    assert keys(outbox.events.take(500)) == list(range(1, 201))


def test_listeners_are_called_on_put_and_release(outbox: Outbox) -> None:
    """The sender is notified of available items."""
    calls: list[str] = []
    outbox.add_listener(lambda: calls.append("!"))
    outbox.put(motion_event())
    assert len(calls) == 1
    outbox.events.release(outbox.events.take(1))
    assert len(calls) == 2


def test_a_second_agent_on_one_outbox_gets_an_error(open_outbox: OpenOutbox) -> None:
    """The error contains the process id of the first."""
    first = open_outbox()
    with pytest.raises(ConfigurationError, match=f"in use by another agent \\(process {os.getpid()}\\)"):
        open_outbox()
    first.close()
    open_outbox().close()


@pytest.mark.parametrize("folder", ["/proc/nowhere", "a-file/below"])
def test_an_unwritable_folder_is_a_configuration_error(tmp_path: Path, folder: str) -> None:
    """The error contains the folder."""
    (tmp_path / "a-file").write_text("")
    with pytest.raises(ConfigurationError, match=folder):
        Outbox(tmp_path / folder / "outbox.db")


def test_a_file_of_another_version_is_not_changed(tmp_path: Path) -> None:
    """The outbox of a newer agent raises an error and is not quarantined."""
    path = tmp_path / "outbox.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(ConfigurationError, match="another version"):
        Outbox(path)
    assert [each.name for each in tmp_path.glob("*damaged*")] == []


def test_a_closed_outbox_stores_and_returns_nothing(outbox: Outbox) -> None:
    """After close, put raises PermanentError and the other calls do nothing."""
    outbox.put(motion_event())
    items = outbox.events.take(1)
    outbox.close()
    outbox.close()
    outbox.events.ack(items)
    outbox.expire()
    assert outbox.events.take(1) == []
    with pytest.raises(PermanentError, match="closed"):
        outbox.put(motion_event())


def test_events_older_than_max_age_are_dropped_and_counted(open_outbox: OpenOutbox, clock: ManualClock) -> None:
    """Events and images older than max_age_s are dropped, counted and reported as ranges."""
    outbox = open_outbox(max_age_s=100)
    for _ in range(3):
        outbox.put(with_image(tracking_event()), snapshot=b"jpg")
    clock.advance(60)
    outbox.put(tracking_event())
    clock.advance(60)
    outbox.expire()
    health = outbox.health()
    assert (health.dropped_events, health.dropped_ranges, health.dropped_images) == (3, [(1, 3)], 3)
    assert keys(outbox.events.take(9)) == [4]


def test_nothing_expires_before_the_clock_is_set(open_outbox: OpenOutbox) -> None:
    """The age of events stored in 1970 counts from the time at which the clock is set."""
    clock = ManualClock(datetime(1970, 1, 2, tzinfo=UTC))
    outbox = open_outbox(clock=clock, max_age_s=3600)
    outbox.put(tracking_event())
    outbox.expire()
    clock.advance(56 * 365 * 86400)
    outbox.expire()
    assert outbox.health().pending_events == 1
    clock.advance(3601)
    outbox.expire()
    assert outbox.health().dropped_events == 1


def test_resend_queues_the_exact_bytes_again(outbox: Outbox) -> None:
    """Stored events are sent again byte for byte; sequences that never existed are reported."""
    for _ in range(5):
        outbox.put(tracking_event())
    first_time = outbox.events.take(10)
    outbox.events.ack(first_time)
    outcome = outbox.resend(outbox.epoch, [(2, 3), (5, 9)])
    assert outcome.resent == 3
    assert outcome.unavailable == [(6, 9)]
    assert [item.payload for item in outbox.events.take(10)] == [first_time[i].payload for i in (1, 2, 4)]


def test_resend_of_another_epoch_has_nothing_available(outbox: Outbox) -> None:
    """All requested ranges are reported as unavailable."""
    outbox.put(motion_event())
    outcome = outbox.resend("another", [(5, 6), (1, 4)])
    assert (outcome.resent, outcome.unavailable) == (0, [(1, 6)])


def test_resend_of_pending_events_changes_nothing(outbox: Outbox) -> None:
    """A pending event counts as resent, not as unavailable."""
    outbox.put(motion_event())
    assert outbox.resend(outbox.epoch, [(1, 1)]).resent == 1
    assert outbox.health().pending_events == 1


def test_resend_accepts_numbers_beyond_the_integer_range(outbox: Outbox) -> None:
    """Such sequences are reported as unavailable."""
    outbox.put(motion_event())
    outcome = outbox.resend(outbox.epoch, [(1, 10**30), (10**31, 10**32), (9, 3)])
    assert outcome.unavailable == [(2, 10**30), (10**31, 10**32)]


def test_sent_events_are_deleted_by_size(open_outbox: OpenOutbox) -> None:
    """The oldest sent events beyond keep_sent_bytes are deleted and not counted as dropped."""
    size = len(dump_event(tracking_event().model_copy(update={"sequence": 1, "sequence_epoch": "0" * 16})))
    outbox = open_outbox(keep_sent_bytes=size * 3)
    for _ in range(5):
        outbox.put(tracking_event())
    outbox.events.ack(outbox.events.take(10))
    assert outbox.resend(outbox.epoch, [(1, 5)]).unavailable == [(1, 2)]
    assert outbox.health().dropped_events == 0


def test_sent_events_are_deleted_by_age(open_outbox: OpenOutbox, clock: ManualClock) -> None:
    """Sent events are deleted after keep_sent_s and not counted as dropped."""
    outbox = open_outbox(keep_sent_s=100)
    outbox.put(tracking_event())
    outbox.events.ack(outbox.events.take(1))
    clock.advance(60)
    outbox.put(tracking_event())
    outbox.events.ack(outbox.events.take(1))
    clock.advance(60)
    outbox.expire()
    assert outbox.resend(outbox.epoch, [(1, 2)]).unavailable == [(1, 1)]
    assert outbox.health().dropped_events == 0


def test_the_payload_contains_sequence_and_epoch(outbox: Outbox) -> None:
    """Both are in the published bytes."""
    outbox.put(motion_event())
    message = json.loads(outbox.events.take(1)[0].payload)
    assert (message["sequence"], message["sequence_epoch"]) == (1, outbox.epoch)
