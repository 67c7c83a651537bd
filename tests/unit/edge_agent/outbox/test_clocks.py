"""A device's clock is set while events wait: each arrives once, with the right time, and none is given up for it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from edge_agent.outbox import Outbox, OutboxSettings, WaitingEvent
from shared.clock import ManualClock, StepAwareClock
from shared.events import Event, SnapshotData, SnapshotEvent, TrackingEvent, parse_event
from shared.storage_keys import snapshot_key, thumbnail_key
from tests.support.edge.outbox_builders import mint_id, motion_event, snapshot_ref, tracking_event
from tests.unit.edge_agent.outbox.test_model import MEMORY

OpenOutbox = Callable[..., Outbox]
DAY_S = 86_400.0
TRUE_START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def stamped(clock: ManualClock | StepAwareClock, *, picture: bool = False) -> Event:
    """A tracking event of this moment, by this clock, with a picture named after it."""
    now = clock.now()
    event = tracking_event().model_copy(update={"timestamp": now})
    data = event.event_data.model_copy(update={"first_seen_at": now - timedelta(seconds=9), "last_seen_at": now})
    key = snapshot_key(camera_id="camera-1", event_type="tracking", timestamp=now, extension="jpg")
    return event.model_copy(update={"event_data": data, "snapshot": snapshot_ref(key) if picture else None})


def taken(outbox: Outbox) -> list[Event]:
    return [parse_event(item.payload) for item in outbox.events.take(1000)]


@pytest.mark.parametrize("wrong_s", [-29 * DAY_S, 29 * DAY_S, -56 * 365 * DAY_S, -90.0])
def test_edge_08_a_clock_that_is_set_late_corrects_what_waits(open_outbox: OpenOutbox, wrong_s: float) -> None:
    """Behind, ahead, or in 1970: every time in what waits is right once the clock is, and nothing is too old."""
    clock = ManualClock(TRUE_START + timedelta(seconds=wrong_s))
    outbox = open_outbox(clock=clock, max_age_s=7 * DAY_S)
    for _ in range(15):
        clock.advance(1)
        outbox.put(stamped(clock))
    outbox.expire()
    clock.step(-wrong_s)
    outbox.expire()
    events = taken(outbox)
    assert [event.timestamp for event in events] == [TRUE_START + timedelta(seconds=n) for n in range(1, 16)]
    for event in events:
        assert isinstance(event, TrackingEvent)
        assert event.event_data.last_seen_at == event.timestamp
        assert event.event_data.first_seen_at == event.timestamp - timedelta(seconds=9)
    assert outbox.health().dropped_events == 0


def test_edge_08_age_is_what_has_passed_whatever_the_clock_says(open_outbox: OpenOutbox) -> None:
    """A clock set back keeps nothing longer, one set forward gives nothing up; only time that passes does."""
    clock = ManualClock(TRUE_START)
    outbox = open_outbox(clock=clock, max_age_s=1000)
    outbox.put(stamped(clock))
    clock.step(-500_000)
    clock.advance(900)
    outbox.expire()
    clock.step(900_000)
    outbox.expire()
    assert outbox.health().dropped_events == 0
    clock.advance(101)
    outbox.expire()
    assert outbox.health().dropped_events == 1


def test_edge_08_what_was_sent_is_kept_for_resend_when_the_clock_is_set(open_outbox: OpenOutbox) -> None:
    """The time for which sent events can be had again is not used up by a step, and they come as they went."""
    clock = ManualClock(TRUE_START)
    outbox = open_outbox(clock=clock, keep_sent_s=1000)
    outbox.put(stamped(clock))
    sent = outbox.events.take(1)
    outbox.events.ack(sent)
    clock.step(29 * DAY_S)
    outbox.expire()
    assert outbox.resend(outbox.epoch, [(1, 1)]).resent == 1
    assert [item.payload for item in outbox.events.take(1)] == [sent[0].payload]


def test_edge_08_a_delay_is_not_changed_by_a_step(open_outbox: OpenOutbox) -> None:
    """What was put off for half a minute comes after half a minute, though the clock was set back by an hour."""
    clock = ManualClock(TRUE_START)
    outbox = open_outbox(clock=clock)
    outbox.put(stamped(clock))
    outbox.events.nack(outbox.events.take(1), delay_s=30)
    clock.step(-3600)
    clock.advance(29)
    assert taken(outbox) == []
    clock.advance(2)
    assert len(taken(outbox)) == 1


def test_edge_09_a_picture_follows_its_event(open_outbox: OpenOutbox) -> None:
    """Event and images, still all here, get the key of the right time; a snapshot's thumbnail key too."""
    clock = ManualClock(datetime(1970, 1, 1, 0, 1, tzinfo=UTC))
    outbox = open_outbox(clock=clock)
    key = snapshot_key(camera_id="camera-1", event_type="snapshot", timestamp=clock.now(), extension="jpg")
    outbox.put(stamped(clock, picture=True), snapshot=b"picture", thumbnail=b"small")
    answer = SnapshotEvent(
        event_id=mint_id(),
        site_id="hq",
        device_id="gate-01",
        camera_id="camera-1",
        timestamp=clock.now(),
        snapshot=snapshot_ref(key),
        event_data=SnapshotData(snapshot_id="s-1", thumbnail_key=thumbnail_key(key)),
    )
    outbox.put(answer, snapshot=b"asked for", thumbnail=b"small")
    clock.step((TRUE_START - clock.now()).total_seconds())
    objects = [(image.object_key, image.body) for image in outbox.images.take(9)]
    moved, asked = taken(outbox)
    assert moved.snapshot is not None
    assert asked.snapshot is not None
    assert moved.timestamp == TRUE_START
    assert moved.snapshot.key == "camera-1/2026-03-01/tracking_120000_000000.jpg"
    assert asked.event_data.thumbnail_key == asked.snapshot.key == "camera-1/2026-03-01/snapshot_120000_000000.jpg"
    keys = [moved.snapshot.key, asked.snapshot.key]
    assert [key for key, _ in objects] == [
        f"{kind}/gate-01/{key}" for key in keys for kind in ("snapshots", "thumbnails")
    ]


@pytest.mark.parametrize("left", ["stored", "on its way"])
def test_edge_09_a_picture_that_has_left_keeps_its_key(open_outbox: OpenOutbox, left: str) -> None:
    """The event's time is put right, and it names the key under which its picture lies."""
    clock = ManualClock(TRUE_START - timedelta(days=29))
    outbox = open_outbox(clock=clock)
    before = outbox.put(stamped(clock, picture=True), snapshot=b"picture", thumbnail=b"small")
    images = outbox.images.take(1)
    if left == "stored":
        outbox.images.ack(images)
    clock.step(29 * DAY_S)
    (event,) = taken(outbox)
    assert event.timestamp == TRUE_START
    assert event.snapshot == before.snapshot
    assert before.snapshot is not None
    assert [image.object_key for image in outbox.images.take(9)] == [f"thumbnails/gate-01/{before.snapshot.key}"]


def test_edge_08_what_may_have_been_received_says_what_it_replaces(open_outbox: OpenOutbox) -> None:
    """Published and not acknowledged: the same event id, the right time, and the time under which it may be known."""
    clock = ManualClock(TRUE_START - timedelta(days=29))
    outbox = open_outbox(clock=clock)
    before = outbox.put(stamped(clock, picture=True), snapshot=b"picture")
    outbox.events.release(outbox.events.take(1))
    clock.step(29 * DAY_S)
    (event,) = taken(outbox)
    assert event.event_id == before.event_id
    assert (event.timestamp, event.snapshot) == (TRUE_START, before.snapshot)
    assert (event.model_extra or {})["superseded_timestamps"] == ["2026-01-31T12:00:00.000000Z"]


def test_edge_08_the_correction_survives_a_restart_of_the_agent(open_outbox: OpenOutbox) -> None:
    """Put by one process, corrected by the next, of the same boot; and corrected once."""
    clock = ManualClock(TRUE_START - timedelta(days=29))
    outbox = open_outbox(clock=clock)
    outbox.put(stamped(clock))
    outbox.close()
    clock.step(29 * DAY_S)
    for _ in range(2):
        outbox = open_outbox(clock=clock)
        assert [event.timestamp for event in taken(outbox)] == [TRUE_START]
        outbox.close()


def test_edge_08_a_step_before_a_reboot_is_known_after_it(open_outbox: OpenOutbox) -> None:
    """Steady time begins anew; what the earlier boot knew of its clock still holds, and a later step is not its own."""
    first = ManualClock(TRUE_START - timedelta(days=29))
    outbox = open_outbox(clock=first)
    outbox.put(stamped(first))
    first.step(29 * DAY_S)
    outbox.expire()
    outbox.put(stamped(first))
    outbox.close()
    second = ManualClock(TRUE_START - timedelta(days=3))
    outbox = open_outbox(clock=second)
    second.step(4 * DAY_S)
    outbox.expire()
    assert [event.timestamp for event in taken(outbox)] == [TRUE_START, TRUE_START]


def test_edge_09_a_boot_whose_clock_was_never_set_ends_where_the_next_begins(open_outbox: OpenOutbox) -> None:
    """Recorded in 1970, then a power cut: the best that can be said is that it was just before the device came back."""
    first = ManualClock(datetime(1970, 1, 1, tzinfo=UTC))
    outbox = open_outbox(clock=first)
    first.advance(100)
    outbox.put(stamped(first))
    first.advance(200)
    outbox.put(stamped(first))
    outbox.close()
    second = ManualClock(datetime(1970, 1, 1, tzinfo=UTC))
    outbox = open_outbox(clock=second)
    second.advance(60)
    outbox.expire()
    assert [event.timestamp.year for event in taken(outbox)] == [1970, 1970]
    outbox.close()
    outbox = open_outbox(clock=second)
    second.step((TRUE_START - second.now()).total_seconds())
    times = [event.timestamp for event in taken(outbox)]
    assert times == [TRUE_START - timedelta(seconds=260), TRUE_START - timedelta(seconds=60)]


def test_edge_08_age_goes_on_after_a_reboot(open_outbox: OpenOutbox) -> None:
    """What waited before the reboot and what waits after it count together, though steady time begins at 0 again."""
    first, second = ManualClock(TRUE_START), ManualClock(TRUE_START + timedelta(days=40))
    outbox = open_outbox(clock=first, max_age_s=1000)
    outbox.put(stamped(first))
    first.advance(600)
    outbox.close()
    outbox = open_outbox(clock=second, max_age_s=1000)
    outbox.expire()
    assert outbox.health().dropped_events == 0
    second.advance(401)
    outbox.expire()
    assert outbox.health().dropped_events == 1


def test_edge_09_times_taken_before_the_step_and_put_after_it_are_right(open_outbox: OpenOutbox) -> None:
    """A recording that plays at its own pace, or a frame in hand: stamped by a traced clock and put right when put."""
    clock = ManualClock(datetime(1970, 1, 1, tzinfo=UTC))
    traced = StepAwareClock(clock)
    outbox = open_outbox(clock=clock)
    event = stamped(traced, picture=True)
    clock.step((TRUE_START - clock.now()).total_seconds())
    clock.advance(5)
    late = stamped(traced)
    stored = outbox.put(event, snapshot=b"picture", timestamp_clock=traced)
    outbox.put(late, timestamp_clock=traced)
    assert stored.snapshot is not None
    assert stored.snapshot.key == "camera-1/2026-03-01/tracking_120000_000000.jpg"
    assert [e.timestamp for e in taken(outbox)] == [TRUE_START, TRUE_START + timedelta(seconds=5)]
    assert outbox.images.take(1)[0].object_key == f"snapshots/gate-01/{stored.snapshot.key}"
    assert traced.corrected(traced.now()) == clock.now()


@pytest.mark.parametrize("wrong_s", [-29 * DAY_S, 29 * DAY_S, -56 * 365 * DAY_S])
def test_edge_09_a_visit_that_the_step_falls_into_has_right_times_throughout(
    open_outbox: OpenOutbox, wrong_s: float
) -> None:
    """It began by the wrong clock and goes on by the right one: each of its times is put right by itself."""
    clock = ManualClock(TRUE_START + timedelta(seconds=wrong_s))
    traced = StepAwareClock(clock)
    outbox = open_outbox(clock=clock)
    first_seen_at = traced.now()
    clock.advance(10)
    clock.step(-wrong_s)
    clock.advance(10)
    event = stamped(traced)
    data = event.event_data.model_copy(update={"first_seen_at": first_seen_at})
    outbox.put(event.model_copy(update={"event_data": data}), timestamp_clock=traced)
    (event,) = taken(outbox)
    assert isinstance(event, TrackingEvent)
    assert event.event_data.first_seen_at == TRUE_START
    assert event.timestamp == event.event_data.last_seen_at == TRUE_START + timedelta(seconds=20)


@pytest.mark.parametrize("wrong_s", [-29 * DAY_S, 29 * DAY_S])
def test_edge_09_a_recording_that_goes_on_counting_from_a_wrong_start_is_put_right(
    open_outbox: OpenOutbox, wrong_s: float
) -> None:
    """Its times follow from the moment it was opened: an hour after the clock was set they are still understood."""
    clock = ManualClock(TRUE_START + timedelta(seconds=wrong_s))
    traced = StepAwareClock(clock)
    outbox = open_outbox(clock=clock)
    opened_at = traced.now()
    clock.step(-wrong_s)
    traced.now()
    clock.advance(3600)
    event = stamped(traced).model_copy(update={"timestamp": opened_at + timedelta(seconds=3600)})
    assert outbox.put(event, timestamp_clock=traced).timestamp == clock.now()


def test_edge_08_a_step_is_said_once(open_outbox: OpenOutbox, caplog: pytest.LogCaptureFixture) -> None:
    """One line names the direction and the size."""
    clock = ManualClock(TRUE_START)
    outbox = open_outbox(clock=clock)
    outbox.put(motion_event())
    clock.step(90)
    for _ in range(3):
        outbox.put(motion_event())
        outbox.expire()
    assert caplog.text.count("the device's clock was set forward by 90.0 s") == 1


class ClockMachine(RuleBasedStateMachine):
    """Any sequence of steps, puts, takes, acknowledgements and restarts: once the clock is right, all times are."""

    @initialize(wrong_s=st.sampled_from([0.0, -29 * DAY_S, 400 * DAY_S, -56 * 365 * DAY_S]))
    def open_first(self, wrong_s: float) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
        self.clock = ManualClock(TRUE_START + timedelta(seconds=wrong_s))
        self.wrong_s = wrong_s
        self.traced = StepAwareClock(self.clock)
        self.true_times: dict[str, datetime] = {}
        self.acknowledged: dict[str, bytes] = {}
        self.objects: dict[bytes, str] = {}
        self.held: list[WaitingEvent] = []
        self._open()

    def _open(self) -> None:
        configured = OutboxSettings(reserve_bytes=0, max_age_s=30 * DAY_S)
        self.outbox = Outbox(self.folder / "outbox.db", settings=configured, clock=self.clock)

    def teardown(self) -> None:
        if not hasattr(self, "outbox"):
            return
        self._set_right()
        while items := self.outbox.events.take(100) or self._released():
            self._acknowledge(items, right=True)
        assert set(self.acknowledged) == set(self.true_times)
        assert self.outbox.health().dropped_events == 0
        self._store_images(1000)
        for event_id, payload in self.acknowledged.items():
            event = parse_event(payload)
            if event.snapshot is not None:
                assert self.objects[event_id.encode()] == f"snapshots/gate-01/{event.snapshot.key}"
        self.outbox.close()
        shutil.rmtree(self.folder)

    def _released(self) -> list[WaitingEvent]:
        items, self.held = self.held, []
        self.outbox.events.release(items)
        return self.outbox.events.take(100)

    def _set_right(self) -> None:
        self.clock.step(-self.wrong_s)
        self.wrong_s = 0.0

    def _acknowledge(self, items: list[WaitingEvent], *, right: bool = False) -> None:
        self.outbox.events.ack(items)
        for item in items:
            event = parse_event(item.payload)
            assert str(event.event_id) not in self.acknowledged
            self.acknowledged[str(event.event_id)] = item.payload
            if right:
                assert abs(event.timestamp - self.true_times[str(event.event_id)]) < timedelta(milliseconds=1)

    def _store_images(self, limit: int) -> None:
        items = self.outbox.images.take(limit)
        self.objects |= {item.body: item.object_key for item in items}
        self.outbox.images.ack(items)

    @rule(picture=st.booleans(), traced=st.booleans())
    def put(self, picture: bool, traced: bool) -> None:
        event = stamped(self.traced if traced else self.clock, picture=picture)
        self.true_times[str(event.event_id)] = self.clock.now() - timedelta(seconds=self.wrong_s)
        self.outbox.put(
            event,
            snapshot=str(event.event_id).encode() if picture else None,
            timestamp_clock=self.traced if traced else None,
        )
        self.clock.advance(1)

    @rule(step_s=st.sampled_from([-3600.0, 29 * DAY_S, -29 * DAY_S, 0.5]))
    def step(self, step_s: float) -> None:
        self.clock.step(step_s)
        self.wrong_s += step_s

    @rule()
    def clock_is_set_right(self) -> None:
        self._set_right()

    @rule(seconds=st.integers(1, 3600))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)
        self.outbox.expire()

    @rule(limit=st.integers(1, 4))
    def take(self, limit: int) -> None:
        self.held += self.outbox.events.take(limit)

    @rule()
    def acknowledge(self) -> None:
        items, self.held = self.held, []
        self._acknowledge(items)

    @rule()
    def release(self) -> None:
        self.outbox.events.release(self.held)
        self.held = []

    @rule(limit=st.integers(1, 3))
    def store_images(self, limit: int) -> None:
        self._store_images(limit)

    @rule()
    def restart(self) -> None:
        self.outbox.close()
        self.held = []
        self._open()


TestClocks = ClockMachine.TestCase
TestClocks.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
