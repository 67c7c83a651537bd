"""Stays that a crash left open are closed once by the next start, with the last known data."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from edge_agent.outbox import Outbox
from edge_agent.outbox.open_stays import motion_stay_key
from shared.clock import ManualClock
from shared.events import Event, MotionEvent, RuleData, RuleEvent, TrackingEvent, parse_event
from tests.support.edge.outbox_builders import WHEN, mint_id, motion_event, tracking_event

OpenOutbox = Callable[..., Outbox]


def stay_event(action: str, uid: str = "yard-1-7", **data: object) -> TrackingEvent:
    """Return an event of a track's stay."""
    event = tracking_event("entered")
    changes = {"tracking_action": action, "track_uid": uid, "first_seen_at": WHEN, "last_seen_at": WHEN, **data}
    return event.model_copy(update={"event_data": event.event_data.model_copy(update=changes)})


def new_events(outbox: Outbox, after: int) -> list[Event]:
    return [parse_event(item.payload) for item in outbox.events.take(1000) if item.key > after]


def test_edge_50_an_open_track_is_closed_with_its_last_known_data(open_outbox: OpenOutbox, clock: ManualClock) -> None:
    """``left`` has the last-seen time, dwell time, class, zones and box, and no snapshot."""
    outbox = open_outbox()
    outbox.put(stay_event("entered", class_name="dog"))
    clock.advance(30)
    seen_at = WHEN + timedelta(seconds=30)
    latest = stay_event("updated", zones=["gate"], last_seen_at=seen_at, line_crossed="in", dwell_time_seconds=30.0)
    outbox.put(latest)
    clock.advance(12)
    outbox.update_last_seen(["yard-1-7"])
    clock.advance(600)
    outbox.close()
    outbox = open_outbox()
    assert outbox.close_open_stays(mint_id) == 1
    (left,) = new_events(outbox, 2)
    assert isinstance(left, TrackingEvent)
    data = left.event_data
    assert (data.tracking_action, data.track_uid, data.zones) == ("left", "yard-1-7", ["gate"])
    assert (data.last_seen_at, data.dwell_time_seconds) == (WHEN + timedelta(seconds=42), 42.0)
    assert (data.bounding_box, data.line_crossed) == (latest.event_data.bounding_box, None)
    assert (left.timestamp, left.snapshot, left.sequence) == (data.last_seen_at, None, 3)
    assert left.event_id != latest.event_id


def test_edge_50_a_stay_is_closed_once(open_outbox: OpenOutbox) -> None:
    """A second start closes nothing, in the same process or in the next."""
    outbox = open_outbox()
    outbox.put(stay_event("entered"))
    outbox.close()
    for expected in (1, 0, 0):
        outbox = open_outbox()
        assert outbox.close_open_stays(mint_id) == expected
        assert outbox.close_open_stays(mint_id) == 0
        outbox.close()


def test_edge_50_closed_stays_are_not_closed_again(open_outbox: OpenOutbox) -> None:
    """After ``left`` and the end of a motion episode nothing is open."""
    outbox = open_outbox()
    for event in (stay_event("entered"), stay_event("updated"), stay_event("left"), motion_event(), _ended()):
        outbox.put(event)
    assert outbox.close_open_stays(mint_id) == 0


def _ended() -> MotionEvent:
    event = motion_event()
    return event.model_copy(update={"event_data": event.event_data.model_copy(update={"duration_seconds": 4.0})})


def test_edge_50_an_open_motion_episode_is_closed(open_outbox: OpenOutbox, clock: ManualClock) -> None:
    """The episode lasts until motion was last seen."""
    outbox = open_outbox()
    outbox.put(motion_event())
    clock.advance(7)
    outbox.update_last_seen([motion_stay_key("camera-1")])
    outbox.close()
    outbox = open_outbox()
    outbox.close_open_stays(mint_id)
    (ended,) = new_events(outbox, 1)
    assert isinstance(ended, MotionEvent)
    assert (ended.event_data.duration_seconds, ended.timestamp) == (7.0, WHEN + timedelta(seconds=7))


def test_edge_50_a_stay_in_a_zone_is_closed_with_its_track(open_outbox: OpenOutbox, clock: ManualClock) -> None:
    """``zone_entered`` is followed by one ``zone_left`` with the time at which the object was last seen."""
    outbox = open_outbox()
    outbox.put(stay_event("entered"))
    for zone in ("drive", "gate"):
        outbox.put(_in_zone(zone, "zone_entered"))
    outbox.put(_in_zone("drive", "zone_left"))
    outbox.put(_in_zone("gate", "zone_entered", track_uid="yard-1-70"))
    clock.advance(20)
    outbox.update_last_seen(["yard-1-7"])
    outbox.close()
    outbox = open_outbox()
    assert outbox.close_open_stays(mint_id) == 3
    left = [event for event in new_events(outbox, 5) if isinstance(event, RuleEvent)]
    zone_stays = {(e.event_data.track_uid, e.event_data.name, e.event_data.rule, e.event_data.dwell_s) for e in left}
    assert zone_stays == {("yard-1-7", "gate", "zone_left", 20.0), ("yard-1-70", "gate", "zone_left", 0.0)}
    assert {e.timestamp for e in left} == {WHEN, WHEN + timedelta(seconds=20)}
    assert outbox.close_open_stays(mint_id) == 0


def _in_zone(zone: str, rule: str, track_uid: str = "yard-1-7") -> RuleEvent:
    data = RuleData(rule=rule, name=zone, zone=zone, since=WHEN, track_uid=track_uid, class_name="car")
    return RuleEvent(
        event_id=mint_id(), site_id="hq", device_id="gate-01", camera_id="camera-1", timestamp=WHEN, event_data=data
    )


def test_edge_50_stays_of_one_camera_can_be_closed_alone(open_outbox: OpenOutbox) -> None:
    """After a fault in one camera's pipeline only that camera's stays are closed."""
    outbox = open_outbox()
    outbox.put(stay_event("entered", "a"))
    outbox.put(stay_event("entered", "b").model_copy(update={"camera_id": "camera-2"}))
    assert outbox.close_open_stays(mint_id, camera_id="camera-2") == 1
    (left,) = new_events(outbox, 2)
    assert left.camera_id == "camera-2"
    assert outbox.close_open_stays(mint_id) == 1


def test_edge_50_the_time_of_a_closing_event_is_corrected(open_outbox: OpenOutbox) -> None:
    """If the clock is set after the restart, the closing event is corrected with the others."""
    clock = ManualClock(WHEN)
    outbox = open_outbox(clock=clock)
    outbox.put(stay_event("entered").model_copy(update={"timestamp": WHEN}))
    outbox.close()
    outbox = open_outbox(clock=clock)
    outbox.close_open_stays(mint_id)
    clock.step(86_400)
    entered, left = new_events(outbox, 0)
    assert entered.timestamp == left.timestamp == WHEN + timedelta(days=1)


def test_edge_50_a_stay_that_cannot_be_parsed_is_discarded(
    open_outbox: OpenOutbox, caplog: pytest.LogCaptureFixture
) -> None:
    """A row of another version prevents neither the start nor the closing of other stays."""
    outbox = open_outbox()
    outbox.put(stay_event("entered", "a"))
    outbox.put(stay_event("entered", "b"))
    with outbox._state.database.transaction(durable=False) as connection:
        connection.execute("UPDATE open_visits SET payload = X'7B7D' WHERE visit = 'a'")
    assert outbox.close_open_stays(mint_id) == 1
    assert "discarding the open stay a" in caplog.text
    assert outbox.close_open_stays(mint_id) == 0


def test_edge_50_an_outbox_of_an_earlier_release_is_continued(open_outbox: OpenOutbox) -> None:
    """Its file lacks the new tables and has wall times: pending events are sent, and none expires."""
    outbox = open_outbox(max_age_s=1000, keep_sent_s=1000)
    outbox.put(stay_event("entered"))
    outbox.put(motion_event())
    outbox.events.ack(outbox.events.take(1))
    with outbox._state.database.transaction(durable=True) as connection:
        connection.execute("UPDATE events SET put_at_s = 1767225600, sent_at_s = sent_at_s + 1767225600")
        connection.execute("ALTER TABLE events DROP COLUMN clock")
        for table in ("open_visits", "clocks", "boots"):
            connection.execute(f"DROP TABLE {table}")
    outbox._state.clock_history = outbox._state.clock_history.unwritten(outbox._state.reader, ManualClock())
    outbox.close()
    outbox = open_outbox(max_age_s=1000, keep_sent_s=1000)
    outbox.expire()
    assert outbox.health().pending_events == 1
    assert outbox.resend(outbox.epoch, [(1, 1)]).resent == 1
    assert len(new_events(outbox, 0)) == 2
