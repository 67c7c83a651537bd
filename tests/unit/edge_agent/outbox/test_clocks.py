"""Event times, ages and delays when the device's clock is stepped."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from edge_agent.outbox import Outbox
from shared.clock import ManualClock, StepAwareClock
from shared.events import Event, SnapshotData, SnapshotEvent, TrackingEvent, parse_event
from shared.storage_keys import snapshot_key, thumbnail_key
from tests.support.edge.outbox_builders import mint_id, motion_event, snapshot_ref, stamped_event

OpenOutbox = Callable[..., Outbox]
DAY_S = 86_400.0
TRUE_START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def taken_events(outbox: Outbox) -> list[Event]:
    return [parse_event(item.payload) for item in outbox.events.take(1000)]


@pytest.mark.parametrize("wrong_s", [-29 * DAY_S, 29 * DAY_S, -56 * 365 * DAY_S, -90.0])
def test_edge_08_a_clock_step_corrects_pending_events(open_outbox: OpenOutbox, wrong_s: float) -> None:
    """All times of pending events are corrected, for clocks that were slow, fast or in 1970, and none expires."""
    clock = ManualClock(TRUE_START + timedelta(seconds=wrong_s))
    outbox = open_outbox(clock=clock, max_age_s=7 * DAY_S)
    for _ in range(15):
        clock.advance(1)
        outbox.put(stamped_event(clock))
    outbox.expire()
    clock.step(-wrong_s)
    outbox.expire()
    events = taken_events(outbox)
    assert [event.timestamp for event in events] == [TRUE_START + timedelta(seconds=n) for n in range(1, 16)]
    for event in events:
        assert isinstance(event, TrackingEvent)
        assert event.event_data.last_seen_at == event.timestamp
        assert event.event_data.first_seen_at == event.timestamp - timedelta(seconds=9)
    assert outbox.health().dropped_events == 0


def test_edge_08_age_does_not_depend_on_clock_steps(open_outbox: OpenOutbox) -> None:
    """Steps forward and back do not change when an event expires."""
    clock = ManualClock(TRUE_START)
    outbox = open_outbox(clock=clock, max_age_s=1000)
    outbox.put(stamped_event(clock))
    clock.step(-500_000)
    clock.advance(900)
    outbox.expire()
    clock.step(900_000)
    outbox.expire()
    assert outbox.health().dropped_events == 0
    clock.advance(101)
    outbox.expire()
    assert outbox.health().dropped_events == 1


def test_edge_08_a_clock_step_does_not_shorten_keep_sent(open_outbox: OpenOutbox) -> None:
    """After a step, sent events are resent with the same bytes."""
    clock = ManualClock(TRUE_START)
    outbox = open_outbox(clock=clock, keep_sent_s=1000)
    outbox.put(stamped_event(clock))
    sent = outbox.events.take(1)
    outbox.events.ack(sent)
    clock.step(29 * DAY_S)
    outbox.expire()
    assert outbox.resend(outbox.epoch, [(1, 1)]).resent == 1
    assert [item.payload for item in outbox.events.take(1)] == [sent[0].payload]


def test_edge_08_a_clock_step_does_not_change_a_delay(open_outbox: OpenOutbox) -> None:
    """An event deferred by 30 seconds is due after 30 seconds, although the clock was set back by an hour."""
    clock = ManualClock(TRUE_START)
    outbox = open_outbox(clock=clock)
    outbox.put(stamped_event(clock))
    outbox.events.nack(outbox.events.take(1), delay_s=30)
    clock.step(-3600)
    clock.advance(29)
    assert taken_events(outbox) == []
    clock.advance(2)
    assert len(taken_events(outbox)) == 1


def test_edge_09_image_keys_are_corrected_with_their_event(open_outbox: OpenOutbox) -> None:
    """The keys of images that were not taken yet, and the thumbnail key in the event, follow the corrected time."""
    clock = ManualClock(datetime(1970, 1, 1, 0, 1, tzinfo=UTC))
    outbox = open_outbox(clock=clock)
    key = snapshot_key(camera_id="camera-1", event_type="snapshot", timestamp=clock.now(), extension="jpg")
    outbox.put(stamped_event(clock, picture=True), snapshot=b"picture", thumbnail=b"small")
    answer = SnapshotEvent(
        event_id=mint_id(),
        site_id="hq",
        device_id="gate-01",
        camera_id="camera-1",
        timestamp=clock.now(),
        snapshot=snapshot_ref(key),
        event_data=SnapshotData(snapshot_id="s-1", thumbnail_key=thumbnail_key(key)),
    )
    outbox.put(answer, snapshot=b"requested", thumbnail=b"small")
    clock.step((TRUE_START - clock.now()).total_seconds())
    objects = [(image.object_key, image.body) for image in outbox.images.take(9)]
    first, second = taken_events(outbox)
    assert first.snapshot is not None
    assert second.snapshot is not None
    assert first.timestamp == TRUE_START
    assert first.snapshot.key == "camera-1/2026-03-01/tracking_120000_000000.jpg"
    assert second.event_data.thumbnail_key == second.snapshot.key == "camera-1/2026-03-01/snapshot_120000_000000.jpg"
    keys = [first.snapshot.key, second.snapshot.key]
    assert [key for key, _ in objects] == [
        f"{kind}/gate-01/{key}" for key in keys for kind in ("snapshots", "thumbnails")
    ]


@pytest.mark.parametrize("left", ["stored", "on its way"])
def test_edge_09_a_taken_image_keeps_its_key(open_outbox: OpenOutbox, left: str) -> None:
    """The event's time is corrected; its snapshot key stays that of the stored image."""
    clock = ManualClock(TRUE_START - timedelta(days=29))
    outbox = open_outbox(clock=clock)
    before = outbox.put(stamped_event(clock, picture=True), snapshot=b"picture", thumbnail=b"small")
    images = outbox.images.take(1)
    if left == "stored":
        outbox.images.ack(images)
    clock.step(29 * DAY_S)
    (event,) = taken_events(outbox)
    assert event.timestamp == TRUE_START
    assert event.snapshot == before.snapshot
    assert before.snapshot is not None
    assert [image.object_key for image in outbox.images.take(9)] == [f"thumbnails/gate-01/{before.snapshot.key}"]


def test_edge_08_a_published_event_lists_its_superseded_timestamps(open_outbox: OpenOutbox) -> None:
    """An event that was published and not acknowledged keeps its id and lists its earlier time."""
    clock = ManualClock(TRUE_START - timedelta(days=29))
    outbox = open_outbox(clock=clock)
    before = outbox.put(stamped_event(clock, picture=True), snapshot=b"picture")
    outbox.events.release(outbox.events.take(1))
    clock.step(29 * DAY_S)
    (event,) = taken_events(outbox)
    assert event.event_id == before.event_id
    assert (event.timestamp, event.snapshot) == (TRUE_START, before.snapshot)
    assert (event.model_extra or {})["superseded_timestamps"] == ["2026-01-31T12:00:00.000000Z"]


def test_edge_08_the_correction_survives_a_restart_of_the_agent(open_outbox: OpenOutbox) -> None:
    """Another process of the same boot corrects the event once."""
    clock = ManualClock(TRUE_START - timedelta(days=29))
    outbox = open_outbox(clock=clock)
    outbox.put(stamped_event(clock))
    outbox.close()
    clock.step(29 * DAY_S)
    for _ in range(2):
        outbox = open_outbox(clock=clock)
        assert [event.timestamp for event in taken_events(outbox)] == [TRUE_START]
        outbox.close()


def test_edge_08_a_step_before_a_reboot_still_applies_after_it(open_outbox: OpenOutbox) -> None:
    """Events of the earlier boot follow that boot's last clock setting, not a step of the next boot."""
    first = ManualClock(TRUE_START - timedelta(days=29))
    outbox = open_outbox(clock=first)
    outbox.put(stamped_event(first))
    first.step(29 * DAY_S)
    outbox.expire()
    outbox.put(stamped_event(first))
    outbox.close()
    second = ManualClock(TRUE_START - timedelta(days=3))
    outbox = open_outbox(clock=second)
    second.step(4 * DAY_S)
    outbox.expire()
    assert [event.timestamp for event in taken_events(outbox)] == [TRUE_START, TRUE_START]


def test_edge_09_a_boot_without_a_set_clock_ends_at_the_next_boot(open_outbox: OpenOutbox) -> None:
    """Events stamped in 1970 before a power cut get times just before the start of the next boot."""
    first = ManualClock(datetime(1970, 1, 1, tzinfo=UTC))
    outbox = open_outbox(clock=first)
    first.advance(100)
    outbox.put(stamped_event(first))
    first.advance(200)
    outbox.put(stamped_event(first))
    outbox.close()
    second = ManualClock(datetime(1970, 1, 1, tzinfo=UTC))
    outbox = open_outbox(clock=second)
    second.advance(60)
    outbox.expire()
    assert [event.timestamp.year for event in taken_events(outbox)] == [1970, 1970]
    outbox.close()
    outbox = open_outbox(clock=second)
    second.step((TRUE_START - second.now()).total_seconds())
    times = [event.timestamp for event in taken_events(outbox)]
    assert times == [TRUE_START - timedelta(seconds=260), TRUE_START - timedelta(seconds=60)]


def test_edge_08_age_continues_after_a_reboot(open_outbox: OpenOutbox) -> None:
    """The time before and after the reboot adds up, although monotonic time restarts at 0."""
    first, second = ManualClock(TRUE_START), ManualClock(TRUE_START + timedelta(days=40))
    outbox = open_outbox(clock=first, max_age_s=1000)
    outbox.put(stamped_event(first))
    first.advance(600)
    outbox.close()
    outbox = open_outbox(clock=second, max_age_s=1000)
    outbox.expire()
    assert outbox.health().dropped_events == 0
    second.advance(401)
    outbox.expire()
    assert outbox.health().dropped_events == 1


def test_edge_09_times_taken_before_a_step_are_corrected_when_stored(open_outbox: OpenOutbox) -> None:
    """A StepAwareClock corrects the times of an event that is stored after the step."""
    clock = ManualClock(datetime(1970, 1, 1, tzinfo=UTC))
    step_aware = StepAwareClock(clock)
    outbox = open_outbox(clock=clock)
    event = stamped_event(step_aware, picture=True)
    clock.step((TRUE_START - clock.now()).total_seconds())
    clock.advance(5)
    late = stamped_event(step_aware)
    stored = outbox.put(event, snapshot=b"picture", timestamp_clock=step_aware)
    outbox.put(late, timestamp_clock=step_aware)
    assert stored.snapshot is not None
    assert stored.snapshot.key == "camera-1/2026-03-01/tracking_120000_000000.jpg"
    assert [e.timestamp for e in taken_events(outbox)] == [TRUE_START, TRUE_START + timedelta(seconds=5)]
    assert outbox.images.take(1)[0].object_key == f"snapshots/gate-01/{stored.snapshot.key}"
    assert step_aware.corrected(step_aware.now()) == clock.now()


@pytest.mark.parametrize("wrong_s", [-29 * DAY_S, 29 * DAY_S, -56 * 365 * DAY_S])
def test_edge_09_each_time_of_a_stay_is_corrected_separately(open_outbox: OpenOutbox, wrong_s: float) -> None:
    """A stay that begins before the step and ends after it has correct times throughout."""
    clock = ManualClock(TRUE_START + timedelta(seconds=wrong_s))
    step_aware = StepAwareClock(clock)
    outbox = open_outbox(clock=clock)
    first_seen_at = step_aware.now()
    clock.advance(10)
    clock.step(-wrong_s)
    clock.advance(10)
    event = stamped_event(step_aware)
    data = event.event_data.model_copy(update={"first_seen_at": first_seen_at})
    outbox.put(event.model_copy(update={"event_data": data}), timestamp_clock=step_aware)
    (event,) = taken_events(outbox)
    assert isinstance(event, TrackingEvent)
    assert event.event_data.first_seen_at == TRUE_START
    assert event.timestamp == event.event_data.last_seen_at == TRUE_START + timedelta(seconds=20)


@pytest.mark.parametrize("wrong_s", [-29 * DAY_S, 29 * DAY_S])
def test_edge_09_a_recording_opened_before_a_step_is_corrected(open_outbox: OpenOutbox, wrong_s: float) -> None:
    """Its times count from its opening; they are corrected an hour after the step too."""
    clock = ManualClock(TRUE_START + timedelta(seconds=wrong_s))
    step_aware = StepAwareClock(clock)
    outbox = open_outbox(clock=clock)
    opened_at = step_aware.now()
    clock.step(-wrong_s)
    step_aware.now()
    clock.advance(3600)
    event = stamped_event(step_aware).model_copy(update={"timestamp": opened_at + timedelta(seconds=3600)})
    assert outbox.put(event, timestamp_clock=step_aware).timestamp == clock.now()


def test_edge_08_a_step_is_logged_once(open_outbox: OpenOutbox, caplog: pytest.LogCaptureFixture) -> None:
    """One line contains the direction and the size."""
    clock = ManualClock(TRUE_START)
    outbox = open_outbox(clock=clock)
    outbox.put(motion_event())
    clock.step(90)
    for _ in range(3):
        outbox.put(motion_event())
        outbox.expire()
    assert caplog.text.count("the device's clock was set forward by 90.0 s") == 1
