"""Comings and goings: when an object is told, how often, and when it has left."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest

from edge_agent.events.lifecycle import TrackLifecycle
from edge_agent.events.occurrences import TrackingOccurrence
from edge_agent.events.settings import EventSettings, LineSettings, ZoneSettings
from edge_agent.track.stationary import Stationarity
from edge_agent.types import Tracks
from tests.unit.scenes import BOX, FPS, Box, frame, tracks

LABELS = ("person", "car")
STILL = BOX


def _lifecycle(settings: EventSettings | None = None) -> TrackLifecycle:
    return TrackLifecycle(
        settings=settings or EventSettings(), labels=LABELS, uid_prefix="camera-1-run", stationarity=Stationarity()
    )


def _walking(step: int, *, start_x: float = 10.0, speed_px: float = 4.0) -> Box:
    left = start_x + step * speed_px
    return (left, 60.0, left + 30.0, 120.0)


def _play(lifecycle: TrackLifecycle, script: Iterable[Tracks]) -> list[TrackingOccurrence]:
    told: list[TrackingOccurrence] = []
    for number, state in enumerate(script, 1):
        told += lifecycle.observe(frame(number), state)
    return told


def _actions(told: Sequence[TrackingOccurrence]) -> list[str]:
    return [found.action for found in told]


def _visit(frames: int, track_id: int = 1, **fields: float) -> list[Tracks]:
    return [tracks([(track_id, _walking(step))], **fields) for step in range(frames)]


def test_somebody_walks_through() -> None:
    """Entered after a few sightings, left with the dwell time from the first sighting to the last."""
    told = _play(_lifecycle(), [*_visit(30), *[tracks()] * 10, tracks(ended=[1])])
    assert _actions(told) == ["entered", "left"]
    entered, left = told
    assert (entered.track_id, entered.track_uid, entered.class_name) == (1, "camera-1-run-1", "person")
    assert entered.dwell_s is None
    assert left.dwell_s == pytest.approx(29 / FPS)
    assert left.last_seen_at == frame(30).timestamp
    assert left.first_seen_at == entered.first_seen_at == frame(1).timestamp


def test_entered_waits_for_enough_sightings() -> None:
    """`confirm_sightings` frames, and not one fewer."""
    settings = EventSettings(confirm_sightings=7)
    assert _play(_lifecycle(settings), _visit(6)) == []
    assert _actions(_play(_lifecycle(settings), _visit(7))) == ["entered"]


def test_one_noisy_frame_raises_nothing() -> None:
    """A single high score among low ones does not move the median; what was never told does not leave."""
    weak, strong = {"score": 0.35}, {"score": 0.95}
    script = [tracks([(1, _walking(step))], **(strong if step == 2 else weak)) for step in range(12)]
    assert _play(_lifecycle(), [*script, tracks(ended=[1])]) == []


def test_a_doubtful_object_is_told_once_it_becomes_sure() -> None:
    """The median is that of the latest sightings, so a far object is told when it has come near."""
    script = [tracks([(1, _walking(step))], score=0.3 if step < 10 else 0.9) for step in range(20)]
    told = _play(_lifecycle(), script)
    assert _actions(told) == ["entered"]
    assert told[0].sighting.score == pytest.approx(0.9)


def test_a_flash_is_never_told() -> None:
    """High frame rates do not make a tenth of a second a visit."""
    lifecycle = _lifecycle(EventSettings(min_visit_s=0.5))
    told = [found for number in range(1, 8) for found in lifecycle.observe(frame(number, fps=60), _visit(1)[0])]
    assert told == []


def test_updates_come_on_a_bounded_cadence() -> None:
    """One update every `update_interval_s` while it moves."""
    told = _play(_lifecycle(EventSettings(update_interval_s=2.0)), _visit(65))
    assert _actions(told) == ["entered", "updated", "updated", "updated"]


def test_an_object_that_stands_still_is_not_told_again_and_again() -> None:
    """A parked car has entered; then it is quiet until it moves on."""
    lifecycle = _lifecycle(EventSettings(update_interval_s=1.0))
    parked = [tracks([(1, STILL)], class_id=1)] * 300
    told = _play(lifecycle, parked)
    assert told[0].action == "entered"
    assert len(told) <= 5
    assert lifecycle.occupied
    assert not lifecycle.restless


def test_a_blinking_detector_does_not_make_a_parked_car_leave() -> None:
    """Lost while standing still, found again in the same place under another track: the same visit, the same id."""
    lifecycle = _lifecycle(EventSettings(return_s=20.0))
    script = [*[tracks([(1, STILL)])] * 100, tracks(ended=[1]), *[tracks()] * 50, *[tracks([(2, STILL)])] * 50]
    told = _play(lifecycle, [*script, tracks(ended=[2]), *[tracks()] * 250])
    assert _actions(told).count("entered") == 1
    assert _actions(told).count("left") == 1
    assert {found.track_id for found in told} == {1}
    assert told[-1].dwell_s == pytest.approx(20.0, abs=0.2)


def test_a_restless_box_on_a_thing_that_never_moves_is_waited_for_too() -> None:
    """A television whose box jitters is not still, but it has not gone either when the detector loses it."""
    jitter = [(100.0 + 5 * (step % 3), 60.0, 140.0 + 5 * (step % 2), 120.0) for step in range(60)]
    script = [*[tracks([(1, box)]) for box in jitter], tracks(ended=[1]), *[tracks()] * 30]
    told = _play(_lifecycle(), [*script, *[tracks([(2, box)]) for box in jitter]])
    assert [found.track_id for found in told if found.action == "entered"] == [1]
    assert "left" not in _actions(told)


def test_who_walks_away_is_not_waited_for() -> None:
    """Somebody on the move who is lost has left at once: the next one in the same place is somebody new."""
    script = [*_visit(30), tracks(ended=[1]), *[tracks([(2, _walking(29 + step))]) for step in range(30)]]
    assert _actions(_play(_lifecycle(), script)) == ["entered", "left", "entered"]


def test_patience_with_the_parked_ends() -> None:
    """After `return_s` it has left, as of when it was last seen."""
    script = [*[tracks([(1, STILL)])] * 100, tracks(ended=[1]), *[tracks()] * 60]
    told = _play(_lifecycle(EventSettings(return_s=5.0)), script)
    assert _actions(told)[-1] == "left"
    assert told[-1].last_seen_at == frame(100).timestamp
    assert told[-1].dwell_s == pytest.approx(9.9)


def test_another_kind_of_object_does_not_take_up_the_visit() -> None:
    """Where a car stood, a person is somebody new."""
    script = [*[tracks([(1, STILL)], class_id=1)] * 100, tracks(ended=[1]), *[tracks([(2, STILL)], class_id=0)] * 20]
    told = _play(_lifecycle(), script)
    assert [(found.action, found.class_name) for found in told if found.action == "entered"] == [
        ("entered", "car"),
        ("entered", "person"),
    ]


def test_every_event_shows_a_frame_of_its_own() -> None:
    """Pictures go forward: the best frame since the last event, never one already shown."""
    told = _play(_lifecycle(EventSettings(update_interval_s=1.0)), [*_visit(50), tracks(ended=[1])])
    numbers = [found.sighting.frame.number for found in told]
    assert len(told) > 4
    assert numbers == sorted(set(numbers))


def test_the_portrait_is_the_best_frame_and_its_own_box() -> None:
    """Sure and large wins over the latest; box, score and picture belong together."""
    script = _visit(5, score=0.6)
    script[2] = tracks([(1, (20.0, 20.0, 120.0, 160.0))], score=0.97)
    told = _play(_lifecycle(), script)
    assert told[0].sighting.frame.number == 3
    assert told[0].sighting.xyxy == (20.0, 20.0, 120.0, 160.0)
    assert told[0].sighting.labels[0].xyxy == told[0].sighting.xyxy


def test_an_object_cut_by_the_edge_makes_a_poor_portrait() -> None:
    """A slightly smaller whole person is better than a larger half of one."""
    script = _visit(5)
    script[1] = tracks([(1, (0.0, 60.0, 32.0, 122.0))])
    script[3] = tracks([(1, (40.0, 60.0, 70.0, 120.0))])
    assert _play(_lifecycle(), script)[0].sighting.frame.number != 2


def test_the_picture_shows_whom_it_tells_of_and_who_is_known() -> None:
    """One's own box comes first, then the others that were told; a doubtful one is not drawn."""
    lifecycle = _lifecycle(EventSettings(update_interval_s=1.0))
    script = []
    for step in range(30):
        state = tracks([(1, _walking(step)), (2, _walking(step, start_x=150.0)), (3, _walking(step, start_x=80.0))])
        state.score[2] = 0.3
        script.append(state)
    told = _play(lifecycle, script)
    assert {found.track_id for found in told} == {1, 2}
    assert [[label.track_id for label in found.sighting.labels] for found in told[-2:]] == [[1, 2], [2, 1]]


def test_the_end_of_the_source_closes_all_visits() -> None:
    """Told visits leave, waited-for ones too; untold ones vanish silently."""
    lifecycle = _lifecycle()
    script = [*[tracks([(1, STILL), (2, _walking(0))])] * 100, tracks([(2, _walking(1))], ended=[1])]
    _play(lifecycle, [*script, tracks([(2, _walking(2)), (3, _walking(30))])])
    told = lifecycle.finish([2, 3])
    assert sorted((found.action, found.track_id) for found in told) == [("left", 1), ("left", 2)]
    assert not lifecycle.occupied


def test_loitering_and_crossing_are_told_at_once() -> None:
    """No waiting for the next update; the event says what happened."""
    whole = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)]
    settings = EventSettings(
        update_interval_s=1000.0,
        zones=[ZoneSettings(name="yard", polygon=whole, loitering_s=2.0)],
        lines=[LineSettings(name="gate", start=(0.4, 0.0), end=(0.4, 1.0))],
    )
    told = _play(_lifecycle(settings), _visit(60))
    assert [(found.action, found.loitering, found.line_crossed) for found in told] == [
        ("entered", False, None),
        ("updated", True, None),
        ("updated", True, "gate"),
    ]
    assert all(found.zones == ("yard",) for found in told)


def test_objects_outside_the_required_zone_stay_untold() -> None:
    """The pavement beyond the fence is nobody's business."""
    right = [(0.6, 0.0), (1.0, 0.0), (1.0, 1.0), (0.6, 1.0)]
    settings = EventSettings(zones=[ZoneSettings(name="yard", polygon=right)], required_zones=["yard"])
    assert _play(_lifecycle(settings), _visit(30)) == []
    told = _play(_lifecycle(settings), _visit(60))
    assert told[0].action == "entered"
    assert told[0].zones == ("yard",)


def test_who_is_there_is_known_by_the_names_that_events_bear() -> None:
    """Others (plates) hang what they find on visits: the same id when a lost object is taken up under a new track."""
    lifecycle = _lifecycle(EventSettings(return_s=10.0))
    parked = [tracks([(1, STILL)], class_id=1) for _ in range(80)]
    _play(lifecycle, parked)
    followed = lifecycle.followed(parked[-1])
    assert [(each.track_id, each.track_uid, each.class_name, each.xyxy) for each in followed] == [
        (1, "camera-1-run-1", "car", STILL)
    ]
    assert (lifecycle.present, lifecycle.waited_for) == ({1}, frozenset())
    lifecycle.observe(frame(81), tracks(ended=[1]))
    assert (lifecycle.present, lifecycle.waited_for) == (frozenset(), {1})
    again = tracks([(5, STILL)], class_id=1)
    lifecycle.observe(frame(82), again)
    assert [(each.track_id, each.track_uid) for each in lifecycle.followed(again)] == [(1, "camera-1-run-1")]
    assert lifecycle.present == {1}
    assert lifecycle.followed(tracks([(77, STILL)])) == []
