"""The order of eviction."""

from __future__ import annotations

from collections.abc import Callable

from edge_agent.outbox import Outbox
from tests.support.edge.outbox_builders import motion_event, tracking_event, with_image

IMAGE = b"i" * 4000


LIMIT = 20_000
OpenOutbox = Callable[..., Outbox]


def pending(outbox: Outbox) -> tuple[list[int], list[int]]:
    """Return the sequences of pending events, and those of events with pending images."""
    events, images = outbox.events.take(1000), outbox.images.take(1000)
    outbox.events.release(events)
    outbox.images.release(images)
    return [item.key for item in events], [item.key // 2 for item in images]


def test_sent_events_are_evicted_first(open_outbox: OpenOutbox) -> None:
    """Events kept for a resend are deleted before any pending data."""
    outbox = open_outbox(max_bytes=LIMIT)
    for _ in range(20):
        outbox.put(tracking_event("updated"))
    outbox.events.ack(outbox.events.take(20))
    for _ in range(4):
        outbox.put(with_image(tracking_event()), snapshot=IMAGE)
    assert pending(outbox) == ([21, 22, 23, 24], [21, 22, 23, 24])
    assert outbox.health().dropped_events == 0
    assert outbox.health().dropped_images == 0
    assert outbox.resend(outbox.epoch, [(1, 20)]).unavailable != []


def test_edge_37_images_of_expendable_events_are_dropped_before_events(open_outbox: OpenOutbox) -> None:
    """The oldest image of an ``updated`` event is dropped first."""
    outbox = open_outbox(max_bytes=LIMIT)
    outbox.put(with_image(tracking_event("entered")), snapshot=IMAGE)
    for _ in range(2):
        outbox.put(with_image(tracking_event("updated")), snapshot=IMAGE)
    outbox.put(with_image(tracking_event("left")), snapshot=IMAGE)
    assert pending(outbox)[1] == [1, 2, 3, 4]
    outbox.put(with_image(tracking_event("left")), snapshot=IMAGE)
    events, images = pending(outbox)
    assert events == [1, 2, 3, 4, 5]
    assert images == [1, 4, 5]
    assert outbox.health().dropped_images == 2
    assert outbox.health().dropped_events == 0


def test_edge_37_expendable_events_are_dropped_before_others(open_outbox: OpenOutbox) -> None:
    """Motion and ``updated`` events are dropped, oldest first; ``entered`` and ``left`` keep their images."""
    outbox = open_outbox(max_bytes=LIMIT)
    outbox.put(with_image(tracking_event("entered")), snapshot=IMAGE * 2)
    outbox.put(motion_event())
    outbox.put(tracking_event("updated"))
    outbox.put(with_image(tracking_event("left")), snapshot=IMAGE * 2)
    assert pending(outbox)[0] == [1, 2, 3, 4]
    free = LIMIT - outbox.health().pending_bytes
    event_bytes = len(outbox.events.take(4)[3].payload)
    outbox.put(with_image(tracking_event("left")), snapshot=b"i" * (free - event_bytes + 1))
    assert outbox.health().dropped_ranges == [(2, 2)]
    assert outbox.health().pending_images == 3


def test_the_oldest_event_is_dropped_last_with_its_images(open_outbox: OpenOutbox) -> None:
    """Without expendable data, the oldest event is dropped for the newest."""
    outbox = open_outbox(max_bytes=LIMIT)
    for _ in range(6):
        outbox.put(with_image(tracking_event("entered")), snapshot=IMAGE)
    events, images = pending(outbox)
    assert events == images == [3, 4, 5, 6]
    health = outbox.health()
    assert (health.dropped_events, health.dropped_images, health.dropped_ranges) == (2, 2, [(1, 2)])


def test_the_image_of_a_sent_event_is_dropped_alone(open_outbox: OpenOutbox) -> None:
    """Dropping the image of a delivered event does not count the event as dropped."""
    outbox = open_outbox(max_bytes=LIMIT, keep_sent_bytes=0)
    outbox.put(with_image(tracking_event("entered")), snapshot=IMAGE)
    outbox.events.ack(outbox.events.take(1))
    for _ in range(5):
        outbox.put(with_image(tracking_event("entered")), snapshot=IMAGE)
    events, images = pending(outbox)
    assert events == images == [3, 4, 5, 6]
    assert (outbox.health().dropped_events, outbox.health().dropped_images) == (1, 2)


def test_an_image_larger_than_the_outbox_is_dropped_alone(open_outbox: OpenOutbox) -> None:
    """A very large image evicts only itself and older data."""
    outbox = open_outbox(max_bytes=LIMIT)
    outbox.put(with_image(tracking_event("updated")), snapshot=b"i" * 50_000)
    assert pending(outbox) == ([1], [])
    assert outbox.health().dropped_images == 1


def test_drop_counts_survive_a_restart(open_outbox: OpenOutbox) -> None:
    """Counts and ranges of dropped events are the same after a restart."""
    outbox = open_outbox(max_bytes=LIMIT)
    for _ in range(7):
        outbox.put(with_image(tracking_event("entered")), snapshot=IMAGE)
    before = outbox.health()
    outbox.close()
    again = open_outbox(max_bytes=LIMIT)
    assert again.health() == before
    assert before.dropped_ranges == [(1, 3)]


def test_only_the_latest_ranges_are_reported(open_outbox: OpenOutbox) -> None:
    """A heartbeat contains at most reported_ranges ranges."""
    outbox = open_outbox(max_bytes=16_384, reported_ranges=3)
    for _ in range(60):
        outbox.put(tracking_event("entered"))
        outbox.put(tracking_event("updated"))
    health = outbox.health()
    assert len(health.dropped_ranges) == 3
    assert health.dropped_ranges == sorted(health.dropped_ranges)
    assert health.dropped_events + health.pending_events == 120


def test_resend_reports_dropped_ranges_as_unavailable(open_outbox: OpenOutbox) -> None:
    """The unavailable ranges equal the dropped ranges."""
    outbox = open_outbox(max_bytes=LIMIT)
    for _ in range(9):
        outbox.put(with_image(tracking_event("entered")), snapshot=IMAGE)
    assert outbox.resend(outbox.epoch, [(1, 9)]).unavailable == outbox.health().dropped_ranges
