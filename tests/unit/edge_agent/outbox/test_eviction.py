"""What goes when there is no room, and in which order."""

from __future__ import annotations

from collections.abc import Callable

from edge_agent.outbox import Outbox
from tests.support.edge.outbox_builders import motion_event, tracking_event, with_image

IMAGE = b"i" * 4000


LIMIT = 20_000
OpenOutbox = Callable[..., Outbox]


def waiting(outbox: Outbox) -> tuple[list[int], list[int]]:
    """Sequences of waiting events, and of the events whose images wait."""
    events, images = outbox.events.take(1000), outbox.images.take(1000)
    outbox.events.release(events)
    outbox.images.release(images)
    return [item.key for item in events], [item.key // 2 for item in images]


def test_kept_events_go_first_and_nothing_is_lost(open_outbox: OpenOutbox) -> None:
    """What was already delivered makes room before anything that was not."""
    outbox = open_outbox(max_bytes=LIMIT)
    for _ in range(20):
        outbox.put(tracking_event("updated"))
    outbox.events.ack(outbox.events.take(20))
    for _ in range(4):
        outbox.put(with_image(tracking_event()), snapshot=IMAGE)
    assert waiting(outbox) == ([21, 22, 23, 24], [21, 22, 23, 24])
    assert outbox.health().dropped_events == 0
    assert outbox.health().dropped_images == 0
    assert outbox.resend(outbox.epoch, [(1, 20)]).unavailable != []


def test_edge_37_images_of_expendable_events_go_before_anything_undelivered(open_outbox: OpenOutbox) -> None:
    """The picture of an update is worth less than any event; the oldest goes first."""
    outbox = open_outbox(max_bytes=LIMIT)
    outbox.put(with_image(tracking_event("entered")), snapshot=IMAGE)
    for _ in range(2):
        outbox.put(with_image(tracking_event("updated")), snapshot=IMAGE)
    outbox.put(with_image(tracking_event("left")), snapshot=IMAGE)
    assert waiting(outbox)[1] == [1, 2, 3, 4]
    outbox.put(with_image(tracking_event("left")), snapshot=IMAGE)
    events, images = waiting(outbox)
    assert events == [1, 2, 3, 4, 5]
    assert images == [1, 4, 5]
    assert outbox.health().dropped_images == 2
    assert outbox.health().dropped_events == 0


def test_edge_37_expendable_events_go_before_the_rest(open_outbox: OpenOutbox) -> None:
    """Motion and updates go, oldest first; entered and left stay with their pictures."""
    outbox = open_outbox(max_bytes=LIMIT)
    outbox.put(with_image(tracking_event("entered")), snapshot=IMAGE * 2)
    outbox.put(motion_event())
    outbox.put(tracking_event("updated"))
    outbox.put(with_image(tracking_event("left")), snapshot=IMAGE * 2)
    assert waiting(outbox)[0] == [1, 2, 3, 4]
    free = LIMIT - outbox.health().pending_bytes
    event_bytes = len(outbox.events.take(4)[3].payload)
    outbox.put(with_image(tracking_event("left")), snapshot=b"i" * (free - event_bytes + 1))
    assert outbox.health().dropped_ranges == [(2, 2)]
    assert outbox.health().pending_images == 3


def test_at_last_the_oldest_goes_with_its_images(open_outbox: OpenOutbox) -> None:
    """With nothing expendable left, the oldest event makes room for the newest."""
    outbox = open_outbox(max_bytes=LIMIT)
    for _ in range(6):
        outbox.put(with_image(tracking_event("entered")), snapshot=IMAGE)
    events, images = waiting(outbox)
    assert events == images == [3, 4, 5, 6]
    health = outbox.health()
    assert (health.dropped_events, health.dropped_images, health.dropped_ranges) == (2, 2, [(1, 2)])


def test_the_oldest_may_be_an_image_whose_event_has_gone(open_outbox: OpenOutbox) -> None:
    """The image of a delivered event is dropped without counting the event."""
    outbox = open_outbox(max_bytes=LIMIT, keep_sent_bytes=0)
    outbox.put(with_image(tracking_event("entered")), snapshot=IMAGE)
    outbox.events.ack(outbox.events.take(1))
    for _ in range(5):
        outbox.put(with_image(tracking_event("entered")), snapshot=IMAGE)
    events, images = waiting(outbox)
    assert events == images == [3, 4, 5, 6]
    assert (outbox.health().dropped_events, outbox.health().dropped_images) == (1, 2)


def test_an_image_larger_than_the_outbox_goes_alone(open_outbox: OpenOutbox) -> None:
    """An absurd image does not sweep everything else away with it, beyond what is older."""
    outbox = open_outbox(max_bytes=LIMIT)
    outbox.put(with_image(tracking_event("updated")), snapshot=b"i" * 50_000)
    assert waiting(outbox) == ([1], [])
    assert outbox.health().dropped_images == 1


def test_counts_and_ranges_survive_a_restart(open_outbox: OpenOutbox) -> None:
    """What was dropped stays counted."""
    outbox = open_outbox(max_bytes=LIMIT)
    for _ in range(7):
        outbox.put(with_image(tracking_event("entered")), snapshot=IMAGE)
    before = outbox.health()
    outbox.close()
    again = open_outbox(max_bytes=LIMIT)
    assert again.health() == before
    assert before.dropped_ranges == [(1, 3)]


def test_only_the_latest_ranges_are_reported(open_outbox: OpenOutbox) -> None:
    """A heartbeat stays small however ragged the holes."""
    outbox = open_outbox(max_bytes=16_384, reported_ranges=3)
    for _ in range(60):
        outbox.put(tracking_event("entered"))
        outbox.put(tracking_event("updated"))
    health = outbox.health()
    assert len(health.dropped_ranges) == 3
    assert health.dropped_ranges == sorted(health.dropped_ranges)
    assert health.dropped_events + health.pending_events == 120


def test_unavailable_after_dropping_is_what_was_dropped(open_outbox: OpenOutbox) -> None:
    """A resend request for dropped events gets exactly the dropped ranges as unavailable."""
    outbox = open_outbox(max_bytes=LIMIT)
    for _ in range(9):
        outbox.put(with_image(tracking_event("entered")), snapshot=IMAGE)
    assert outbox.resend(outbox.epoch, [(1, 9)]).unavailable == outbox.health().dropped_ranges
