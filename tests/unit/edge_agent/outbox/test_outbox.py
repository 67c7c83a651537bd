"""The outbox's promises, one by one."""

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
    """Sequences count from 1 and carry the outbox's epoch."""
    first, second = outbox.put(tracking_event()), outbox.put(motion_event())
    assert (first.sequence, second.sequence) == (1, 2)
    assert first.sequence_epoch == second.sequence_epoch == outbox.epoch


def test_what_is_taken_is_the_very_event_put(outbox: Outbox) -> None:
    """The stored bytes are what dump_event gives for the returned event, on the event's own topic."""
    stored = outbox.put(tracking_event())
    (item,) = outbox.events.take(10)
    assert item.payload == dump_event(stored)
    assert parse_event(item.payload) == stored
    assert item.topic == "vedette/hq/gate-01/events/camera-1/tracking"


def test_epoch_and_count_survive_reopening(open_outbox: OpenOutbox) -> None:
    """A restart goes on counting where it stopped, in the same epoch."""
    first = open_outbox()
    first.put(motion_event())
    epoch = first.epoch
    first.close()
    again = open_outbox()
    assert again.epoch == epoch
    assert again.put(motion_event()).sequence == 2


def test_a_sequence_is_never_used_twice_even_when_all_is_forgotten(open_outbox: OpenOutbox) -> None:
    """Rows gone, the count goes on: a hole must never be filled by another event."""
    first = open_outbox(keep_sent_bytes=0)
    first.put(motion_event())
    first.events.ack(first.events.take(1))
    first.close()
    again = open_outbox(keep_sent_bytes=0)
    assert again.put(motion_event()).sequence == 2


def test_taken_items_are_not_handed_out_twice(outbox: Outbox) -> None:
    """Two takers never hold the same event."""
    for _ in range(5):
        outbox.put(motion_event())
    assert keys(outbox.events.take(2)) == [1, 2]
    assert keys(outbox.events.take(10)) == [3, 4, 5]
    assert outbox.events.take(10) == []


def test_released_items_come_again_at_once_and_first(outbox: Outbox) -> None:
    """After a lost connection the oldest goes first again, with no attempt counted."""
    for _ in range(3):
        outbox.put(motion_event())
    taken = outbox.events.take(2)
    outbox.events.release(taken)
    again = outbox.events.take(3)
    assert keys(again) == [1, 2, 3]
    assert again[0].attempts == 0


def test_nacked_items_wait_their_time(outbox: Outbox, clock: ManualClock) -> None:
    """A refused item is held back, others pass, and its attempts are counted."""
    outbox.put(motion_event())
    outbox.put(motion_event())
    outbox.events.nack(outbox.events.take(1), delay_s=30)
    assert keys(outbox.events.take(10)) == [2]
    clock.advance(31)
    (item,) = outbox.events.take(10)
    assert (item.key, item.attempts) == (1, 1)


def test_a_clock_put_back_does_not_hold_items_for_years(open_outbox: OpenOutbox) -> None:
    """A not-before time further ahead than any delay was written by a wrong clock, and is not obeyed."""
    ahead, right = ManualClock(), ManualClock()
    ahead.advance(3e8)
    outbox = open_outbox(clock=ahead)
    outbox.put(motion_event())
    outbox.events.nack(outbox.events.take(1), delay_s=30)
    outbox.close()
    outbox = open_outbox(clock=right)
    assert keys(outbox.events.take(1)) == [1]


def test_acked_events_are_gone_from_the_waiting(outbox: Outbox) -> None:
    """What was acknowledged is not sent again, and no longer counts as pending."""
    outbox.put(motion_event())
    outbox.events.ack(outbox.events.take(1))
    assert outbox.events.take(1) == []
    assert outbox.health().pending_events == 0
    assert outbox.health().pending_bytes == 0


def test_image_and_event_leave_each_on_its_own(outbox: Outbox) -> None:
    """An acknowledged event leaves its images waiting, and the other way round."""
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


def test_an_image_needs_a_reference(outbox: Outbox) -> None:
    """Without a snapshot reference nobody could find the image: refused, and no sequence is spent."""
    with pytest.raises(ContractError, match="snapshot"):
        outbox.put(tracking_event(), snapshot=b"jpg")
    assert outbox.put(tracking_event()).sequence == 1


@pytest.mark.parametrize(("name", "reason"), [("x" * 200, "nul_character"), ("y" * 200, "too_large")])
def test_what_the_cloud_would_refuse_is_refused_here(outbox: Outbox, name: str, reason: str) -> None:
    """Too large or unstorable events are contract errors for the one who puts them, and harm no other."""
    event = tracking_event()
    event.event_data.zones = [name] * 1000 if reason == "too_large" else ["a\x00b"]
    with pytest.raises(ContractError) as caught:
        outbox.put(event)
    assert caught.value.reason == reason
    assert outbox.put(tracking_event()).sequence == 1


def test_many_threads_put_without_holes_or_doubles(outbox: Outbox) -> None:
    """Eight cameras at once: every put gets a number of its own and all are there."""
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


def test_listeners_hear_of_puts_and_releases(outbox: Outbox) -> None:
    """The sender is woken by what it can take."""
    heard: list[str] = []
    outbox.add_listener(lambda: heard.append("!"))
    outbox.put(motion_event())
    assert len(heard) == 1
    outbox.events.release(outbox.events.take(1))
    assert len(heard) == 2


def test_a_second_agent_on_one_outbox_is_refused(open_outbox: OpenOutbox) -> None:
    """Two agents on one file is an error that names the other process."""
    first = open_outbox()
    with pytest.raises(ConfigurationError, match=f"in use by another agent \\(process {os.getpid()}\\)"):
        open_outbox()
    first.close()
    open_outbox().close()


@pytest.mark.parametrize("folder", ["/proc/nowhere", "a-file/below"])
def test_an_unwritable_folder_is_named(tmp_path: Path, folder: str) -> None:
    """A folder nobody can write is a configuration error with its name."""
    (tmp_path / "a-file").write_text("")
    with pytest.raises(ConfigurationError, match=folder):
        Outbox(tmp_path / folder / "outbox.db")


def test_a_file_of_another_version_is_left_alone(tmp_path: Path) -> None:
    """A newer agent's outbox is neither misread nor set aside."""
    path = tmp_path / "outbox.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(ConfigurationError, match="another version"):
        Outbox(path)
    assert [each.name for each in tmp_path.glob("*damaged*")] == []


def test_closed_means_closed(outbox: Outbox) -> None:
    """After close nothing is taken in or given out, and nothing crashes."""
    outbox.put(motion_event())
    items = outbox.events.take(1)
    outbox.close()
    outbox.close()
    outbox.events.ack(items)
    outbox.expire()
    assert outbox.events.take(1) == []
    with pytest.raises(PermanentError, match="closed"):
        outbox.put(motion_event())


def test_waiting_too_long_is_counted_as_dropped(open_outbox: OpenOutbox, clock: ManualClock) -> None:
    """Beyond max_age_s events and images are given up, counted, and named by range."""
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


def test_a_clock_set_late_drops_nothing(open_outbox: OpenOutbox) -> None:
    """Events put in 1970, before the device knew the time, count their age from when it does."""
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


def test_resend_brings_back_the_exact_bytes(outbox: Outbox) -> None:
    """Kept events come again byte for byte; what was never there is named."""
    for _ in range(5):
        outbox.put(tracking_event())
    first_time = outbox.events.take(10)
    outbox.events.ack(first_time)
    outcome = outbox.resend(outbox.epoch, [(2, 3), (5, 9)])
    assert outcome.resent == 3
    assert outcome.unavailable == [(6, 9)]
    assert [item.payload for item in outbox.events.take(10)] == [first_time[i].payload for i in (1, 2, 4)]


def test_resend_of_another_epoch_has_nothing(outbox: Outbox) -> None:
    """After the outbox was recreated, no sequence of the old epoch is available, and the reply says so."""
    outbox.put(motion_event())
    outcome = outbox.resend("another", [(5, 6), (1, 4)])
    assert (outcome.resent, outcome.unavailable) == (0, [(1, 6)])


def test_resend_of_waiting_events_changes_nothing(outbox: Outbox) -> None:
    """An event that has not gone yet is counted as coming, not as missing."""
    outbox.put(motion_event())
    assert outbox.resend(outbox.epoch, [(1, 1)]).resent == 1
    assert outbox.health().pending_events == 1


def test_resend_survives_absurd_numbers(outbox: Outbox) -> None:
    """Numbers beyond any integer the database knows are simply not held."""
    outbox.put(motion_event())
    outcome = outbox.resend(outbox.epoch, [(1, 10**30), (10**31, 10**32), (9, 3)])
    assert outcome.unavailable == [(2, 10**30), (10**31, 10**32)]


def test_sent_events_are_forgotten_by_size(open_outbox: OpenOutbox) -> None:
    """Of what is kept for resend the oldest goes when there is too much; nothing is counted as dropped."""
    size = len(dump_event(tracking_event().model_copy(update={"sequence": 1, "sequence_epoch": "0" * 16})))
    outbox = open_outbox(keep_sent_bytes=size * 3)
    for _ in range(5):
        outbox.put(tracking_event())
    outbox.events.ack(outbox.events.take(10))
    assert outbox.resend(outbox.epoch, [(1, 5)]).unavailable == [(1, 2)]
    assert outbox.health().dropped_events == 0


def test_sent_events_are_forgotten_by_age(open_outbox: OpenOutbox, clock: ManualClock) -> None:
    """Kept for keep_sent_s, then no more."""
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


def test_payload_is_json_with_the_sequence(outbox: Outbox) -> None:
    """Sequence and epoch are in the bytes that travel, not only in the table."""
    outbox.put(motion_event())
    message = json.loads(outbox.events.take(1)[0].payload)
    assert (message["sequence"], message["sequence_epoch"]) == (1, outbox.epoch)
