"""The lifecycle of tracks: when events are emitted, how often, and when an object has left."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest

from edge_agent.events.occurrences import RuleOccurrence, TrackingOccurrence
from edge_agent.events.rules.stationary import Stationarity
from edge_agent.events.rules.track_lifecycle import TrackLifecycle
from edge_agent.events.settings import EventSettings
from edge_agent.types import EarlierDetection, Tracks
from shared.zones import LineSettings, OccupancySettings, ZoneSettings
from tests.support.edge.builders import BOX, FPS, Box, frame, tracks

LABELS = ("person", "car")
STILL = BOX


def _lifecycle(settings: EventSettings | None = None) -> TrackLifecycle:
    return TrackLifecycle(
        settings=settings or EventSettings(), labels=LABELS, uid_prefix="camera-1-run", stationarity=Stationarity()
    )


def _walking(step: int, *, start_x: float = 10.0, speed_px: float = 4.0) -> Box:
    left = start_x + step * speed_px
    return (left, 60.0, left + 30.0, 120.0)


def _play_all(
    lifecycle: TrackLifecycle, script: Iterable[Tracks], *, fps: float = FPS
) -> list[TrackingOccurrence | RuleOccurrence]:
    happened: list[TrackingOccurrence | RuleOccurrence] = []
    for number, state in enumerate(script, 1):
        happened += lifecycle.observe(frame(number, fps=fps), state)
    return happened


def _play(lifecycle: TrackLifecycle, script: Iterable[Tracks], *, fps: float = FPS) -> list[TrackingOccurrence]:
    return [each for each in _play_all(lifecycle, script, fps=fps) if isinstance(each, TrackingOccurrence)]


def _short(happened: Iterable[TrackingOccurrence | RuleOccurrence]) -> list[str]:
    return [each.action if isinstance(each, TrackingOccurrence) else each.transition.rule for each in happened]


def _actions(emitted: Sequence[TrackingOccurrence]) -> list[str]:
    return [found.action for found in emitted]


def _visit(frames: int, track_id: int = 1, **fields: float) -> list[Tracks]:
    return [tracks([(track_id, _walking(step))], **fields) for step in range(frames)]


def test_somebody_walks_through() -> None:
    """``entered`` after a few detections; ``left`` with the dwell time from the first detection to the last."""
    emitted = _play(_lifecycle(), [*_visit(30), *[tracks()] * 10, tracks(ended=[1])])
    assert _actions(emitted) == ["entered", "left"]
    entered, left = emitted
    assert (entered.track_id, entered.track_uid, entered.class_name) == (1, "camera-1-run-1", "person")
    assert entered.dwell_s is None
    assert left.dwell_s == pytest.approx(29 / FPS)
    assert left.last_seen_at == frame(30).timestamp
    assert left.first_seen_at == entered.first_seen_at == frame(1).timestamp


def test_entered_waits_for_enough_time() -> None:
    """`confirm_s` seconds, and not one frame fewer."""
    settings = EventSettings(confirm_s=0.6)
    assert _play(_lifecycle(settings), _visit(6)) == []
    assert _actions(_play(_lifecycle(settings), _visit(7))) == ["entered"]


def test_one_noisy_frame_raises_nothing() -> None:
    """A single high score among low ones does not move the median; what was never emitted does not leave."""
    weak, strong = {"score": 0.35}, {"score": 0.95}
    script = [tracks([(1, _walking(step))], **(strong if step == 2 else weak)) for step in range(12)]
    assert _play(_lifecycle(), [*script, tracks(ended=[1])]) == []


def test_an_uncertain_object_is_announced_once_its_scores_rise() -> None:
    """The median is that of the latest detections, so a distant object is announced when it comes close."""
    script = [tracks([(1, _walking(step))], score=0.3 if step < 10 else 0.9) for step in range(20)]
    emitted = _play(_lifecycle(), script)
    assert _actions(emitted) == ["entered"]
    assert emitted[0].observation.score == pytest.approx(0.9)


def test_a_flash_is_never_announced() -> None:
    """High frame rates do not make a tenth of a second a visit."""
    lifecycle = _lifecycle(EventSettings(confirm_s=0.5))
    emitted = [found for number in range(1, 8) for found in lifecycle.observe(frame(number, fps=60), _visit(1)[0])]
    assert emitted == []


def test_updates_come_on_a_bounded_cadence() -> None:
    """One update every `update_interval_s` while it moves."""
    emitted = _play(_lifecycle(EventSettings(update_interval_s=2.0)), _visit(65))
    assert _actions(emitted) == ["entered", "updated", "updated", "updated"]


def test_edge_22_a_stationary_object_emits_no_repeated_updates() -> None:
    """A parked car has entered; then it is quiet until it moves on."""
    lifecycle = _lifecycle(EventSettings(update_interval_s=1.0))
    parked = [tracks([(1, STILL)], class_id=1)] * 300
    emitted = _play(lifecycle, parked)
    assert emitted[0].action == "entered"
    assert len(emitted) <= 5
    assert lifecycle.has_objects
    assert not lifecycle.has_moving_objects


def test_edge_22_a_blinking_detector_does_not_make_a_parked_car_leave() -> None:
    """Lost while standing still, found again in the same place under another track: the same visit, the same id."""
    lifecycle = _lifecycle(EventSettings(return_s=20.0))
    script = [*[tracks([(1, STILL)])] * 100, tracks(ended=[1]), *[tracks()] * 50, *[tracks([(2, STILL)])] * 50]
    emitted = _play(lifecycle, [*script, tracks(ended=[2]), *[tracks()] * 250])
    assert _actions(emitted).count("entered") == 1
    assert _actions(emitted).count("left") == 1
    assert {found.track_id for found in emitted} == {1}
    assert emitted[-1].dwell_s == pytest.approx(20.0, abs=0.2)


def test_a_jittering_box_on_a_static_object_may_return_too() -> None:
    """A television whose box jitters is not still, but it has not gone either when the detector loses it."""
    jitter = [(100.0 + 5 * (step % 3), 60.0, 140.0 + 5 * (step % 2), 120.0) for step in range(60)]
    script = [*[tracks([(1, box)]) for box in jitter], tracks(ended=[1]), *[tracks()] * 30]
    emitted = _play(_lifecycle(), [*script, *[tracks([(2, box)]) for box in jitter]])
    assert [found.track_id for found in emitted if found.action == "entered"] == [1]
    assert "left" not in _actions(emitted)


def test_who_walks_away_is_not_waited_for() -> None:
    """Somebody on the move who is lost has left at once: the next one in the same place is somebody new."""
    script = [*_visit(30), tracks(ended=[1]), *[tracks([(2, _walking(29 + step))]) for step in range(30)]]
    assert _actions(_play(_lifecycle(), script)) == ["entered", "left", "entered"]


def test_patience_with_the_parked_ends() -> None:
    """After `return_s` it has left, as of when it was last seen."""
    script = [*[tracks([(1, STILL)])] * 100, tracks(ended=[1]), *[tracks()] * 60]
    emitted = _play(_lifecycle(EventSettings(return_s=5.0)), script)
    assert _actions(emitted)[-1] == "left"
    assert emitted[-1].last_seen_at == frame(100).timestamp
    assert emitted[-1].dwell_s == pytest.approx(9.9)


def test_another_kind_of_object_does_not_take_up_the_visit() -> None:
    """Where a car stood, a person is somebody new."""
    script = [*[tracks([(1, STILL)], class_id=1)] * 100, tracks(ended=[1]), *[tracks([(2, STILL)], class_id=0)] * 20]
    emitted = _play(_lifecycle(), script)
    assert [(found.action, found.class_name) for found in emitted if found.action == "entered"] == [
        ("entered", "car"),
        ("entered", "person"),
    ]


def test_every_event_shows_a_frame_of_its_own() -> None:
    """Pictures go forward: the best frame since the last event, never one already shown."""
    emitted = _play(_lifecycle(EventSettings(update_interval_s=1.0)), [*_visit(50), tracks(ended=[1])])
    numbers = [found.observation.frame.number for found in emitted]
    assert len(emitted) > 4
    assert numbers == sorted(set(numbers))


def test_the_best_snapshot_is_the_best_frame_with_its_own_box() -> None:
    """Sure and large wins over the latest; box, score and picture belong together."""
    script = _visit(5, score=0.6)
    script[2] = tracks([(1, (20.0, 20.0, 120.0, 160.0))], score=0.97)
    emitted = _play(_lifecycle(), script)
    assert emitted[0].observation.frame.number == 3
    assert emitted[0].observation.xyxy == (20.0, 20.0, 120.0, 160.0)
    assert emitted[0].observation.labels[0].xyxy == emitted[0].observation.xyxy


def test_an_object_truncated_by_the_edge_has_low_quality() -> None:
    """A slightly smaller whole person is better than a larger half of one."""
    script = _visit(5)
    script[1] = tracks([(1, (0.0, 60.0, 32.0, 122.0))])
    script[3] = tracks([(1, (40.0, 60.0, 70.0, 120.0))])
    assert _play(_lifecycle(), script)[0].observation.frame.number != 2


def test_the_snapshot_shows_the_object_and_other_announced_ones() -> None:
    """The object's own box comes first, then those of other announced objects; an unannounced one is not drawn."""
    lifecycle = _lifecycle(EventSettings(update_interval_s=1.0))
    script = []
    for step in range(30):
        state = tracks([(1, _walking(step)), (2, _walking(step, start_x=150.0)), (3, _walking(step, start_x=80.0))])
        state.score[2] = 0.3
        script.append(state)
    emitted = _play(lifecycle, script)
    assert {found.track_id for found in emitted} == {1, 2}
    assert [[label.track_id for label in found.observation.labels] for found in emitted[-2:]] == [[1, 2], [2, 1]]


def test_the_end_of_the_source_closes_all_visits() -> None:
    """Announced objects leave, also those awaiting return; unannounced ones emit nothing."""
    lifecycle = _lifecycle()
    script = [*[tracks([(1, STILL), (2, _walking(0))])] * 100, tracks([(2, _walking(1))], ended=[1])]
    _play(lifecycle, [*script, tracks([(2, _walking(2)), (3, _walking(30))])])
    emitted = lifecycle.finish([2, 3])
    assert sorted((found.action, found.track_id) for found in emitted) == [("left", 1), ("left", 2)]
    assert not lifecycle.has_objects


def test_loitering_and_crossings_are_emitted_at_once() -> None:
    """No waiting for the next update; the event says what happened."""
    whole = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)]
    settings = EventSettings(
        update_interval_s=1000.0,
        zones=[ZoneSettings(name="yard", polygon=whole, loitering_s=2.0)],
        lines=[LineSettings(name="gate", start=(0.4, 0.0), end=(0.4, 1.0))],
    )
    emitted = _play(_lifecycle(settings), _visit(60))
    assert [(found.action, found.loitering, found.line_crossed) for found in emitted] == [
        ("entered", False, None),
        ("updated", True, None),
        ("updated", True, "gate"),
    ]
    assert all(found.zones == ("yard",) for found in emitted)


def test_objects_outside_the_required_zone_are_not_announced() -> None:
    """The pavement beyond the fence is nobody's business; having been inside is enough."""
    right = [(0.6, 0.0), (1.0, 0.0), (1.0, 1.0), (0.6, 1.0)]
    settings = EventSettings(zones=[ZoneSettings(name="yard", polygon=right)], required_zones=["yard"])
    assert _play(_lifecycle(settings), _visit(30)) == []
    emitted = _play(_lifecycle(settings), _visit(60))
    assert emitted[0].action == "entered"
    assert emitted[0].zones == ("yard",)


def test_objects_are_uncertain_until_announced_and_while_not_detected() -> None:
    """They are marked as uncertain in the scene; a frame without a detector run changes nothing."""
    lifecycle = _lifecycle()
    uncertain: list[set[int]] = []
    for number, state in enumerate([*_visit(20), tracks(), *_visit(22)[21:]], 1):
        lifecycle.observe(frame(number), state)
        lifecycle.expire(frame(number))
        uncertain.append(set(lifecycle.uncertain))
    assert uncertain[0] == {1}
    assert uncertain[-3:] == [set(), {1}, set()]


def test_who_is_there_is_known_by_the_names_that_events_bear() -> None:
    """Others (plates) hang what they find on visits: the same id when a lost object is taken up under a new track."""
    lifecycle = _lifecycle(EventSettings(return_s=10.0))
    parked = [tracks([(1, STILL)], class_id=1) for _ in range(80)]
    _play(lifecycle, parked)
    tracked = lifecycle.tracked_objects(parked[-1])
    assert [(each.track_id, each.track_uid, each.class_name, each.xyxy) for each in tracked] == [
        (1, "camera-1-run-1", "car", STILL)
    ]
    assert (lifecycle.present, lifecycle.awaiting_return) == ({1}, frozenset())
    lifecycle.observe(frame(81), tracks(ended=[1]))
    assert (lifecycle.present, lifecycle.awaiting_return) == (frozenset(), {1})
    again = tracks([(5, STILL)], class_id=1)
    lifecycle.observe(frame(82), again)
    assert [(each.track_id, each.track_uid) for each in lifecycle.tracked_objects(again)] == [(1, "camera-1-run-1")]
    assert lifecycle.present == {1}
    assert lifecycle.tracked_objects(tracks([(77, STILL)])) == []


WHOLE = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)]
YARD = ZoneSettings.model_validate({"name": "yard", "polygon": WHOLE, "loitering_s": 2.0})
GATE = LineSettings(name="gate", start=(0.4, 1.0), end=(0.4, 0.0))


def test_edge_04_what_happens_before_an_object_is_announced_is_emitted_with_it() -> None:
    """Entered the zone, crossed the line and loitered while nobody believed in it: all of it, after `entered`."""
    settings = EventSettings(zones=[YARD], lines=[GATE], confirm_s=4.0, update_interval_s=1000.0)
    happened = _play_all(_lifecycle(settings), _visit(60))
    assert _short(happened) == ["entered", "zone_entered", "loitering", "line_crossed"]
    entered = happened[0]
    assert isinstance(entered, TrackingOccurrence)
    assert (entered.line_crossed, entered.loitering, entered.zones) == ("gate", True, ("yard",))


def test_edge_04_detections_from_before_the_tracker_confirmed_count_too() -> None:
    """The line lies between two detections that only the tracker had seen."""
    past = tuple(
        EarlierDetection(1, time_s, (left, 60.0, left + 30.0, 120.0), 0.9)
        for time_s, left in ((0.0, 10.0), (0.1, 90.0))
    )
    later = [tracks([(1, (170.0 + 20 * step, 60.0, 200.0 + 20 * step, 120.0))]) for step in range(6)]
    script = [tracks(), tracks(), replace(later[0], earlier=past), *later[1:]]
    happened = _play_all(_lifecycle(EventSettings(lines=[GATE])), script)
    assert _short(happened) == ["entered", "line_crossed"]
    crossing = happened[1]
    assert isinstance(crossing, RuleOccurrence)
    assert crossing.crossed_at is not None
    assert frame(2).timestamp <= crossing.crossed_at <= frame(3).timestamp
    assert happened[0].first_seen_at == frame(1).timestamp  # type: ignore[union-attr]


def test_edge_04_every_line_of_one_step_is_crossed() -> None:
    """Three lines between two frames: `line_crossed` names the first, and each has its own event, in order."""
    lines = [LineSettings(name=f"line-{x}", start=(x / 100, 1.0), end=(x / 100, 0.0)) for x in (60, 64, 62)]
    boxes = [(10.0 + 2 * step, 60.0, 40.0 + 2 * step, 120.0) for step in range(10)]
    boxes += [(220.0 + 2 * step, 60.0, 250.0 + 2 * step, 120.0) for step in range(5)]
    happened = _play_all(_lifecycle(EventSettings(lines=lines)), [tracks([(1, box)]) for box in boxes])
    assert _short(happened) == ["entered", "updated", "line_crossed", "line_crossed", "line_crossed"]
    updated, *crossings = happened[1:]
    assert isinstance(updated, TrackingOccurrence)
    assert updated.line_crossed == "line-60"
    names = [each.transition.name for each in crossings if isinstance(each, RuleOccurrence)]
    assert names == ["line-60", "line-62", "line-64"]


def test_edge_04_three_frames_are_enough_for_what_crosses_a_quarter_of_the_picture() -> None:
    """Too fast to be confirmed by time; three noisy boxes on the spot are not enough."""
    fast = [tracks([(1, (20.0 + 60 * step, 60.0, 50.0 + 60 * step, 120.0))]) for step in range(3)]
    lifecycle = _lifecycle(EventSettings(lines=[GATE]))
    assert _short([*_play_all(lifecycle, fast), *lifecycle.finish([1])]) == ["entered", "line_crossed", "left"]
    assert _play_all(_lifecycle(), _visit(3)) == []


def test_edge_04_two_frames_are_enough_for_what_crosses_a_line() -> None:
    """At five frames a second a car is seen twice; without a line between, two boxes raise nothing."""
    twice = [tracks([(1, (20.0, 60.0, 80.0, 120.0))]), tracks([(1, (180.0, 60.0, 240.0, 120.0))])]
    lifecycle = _lifecycle(EventSettings(lines=[GATE]))
    assert _short([*_play_all(lifecycle, [*twice, tracks(ended=[1])], fps=5)]) == ["entered", "line_crossed", "left"]
    assert _play_all(_lifecycle(), [*twice, tracks(ended=[1])], fps=5) == []


@pytest.mark.parametrize(("fps", "frames"), [(1.0, 3), (2.0, 3), (5.0, 4), (10.0, 6), (30.0, 14)])
def test_edge_30_an_object_in_every_frame_is_announced_at_any_rate(fps: float, frames: int) -> None:
    """After the same time, give or take a frame; at one frame a second the second one does."""
    happened = _play(_lifecycle(), [tracks([(1, STILL)])] * frames, fps=fps)
    assert _actions(happened) == ["entered"]
    first = next(n for n in range(1, frames + 1) if _play(_lifecycle(), [tracks([(1, STILL)])] * n, fps=fps))
    assert first - 1 >= 0.4 * fps - 1e-6
    assert (first - 2) / fps <= max(0.4, 1 / fps)


def test_edge_30_a_box_that_flickers_needs_more_than_time() -> None:
    """Detected in every third run only: five detections are needed."""
    script = [tracks([(1, STILL)]) if step % 3 == 0 else tracks() for step in range(30)]
    assert _play(_lifecycle(), script[:12]) == []
    assert _actions(_play(_lifecycle(), script)) == ["entered"]


def test_rules_of_an_object_bear_its_name_and_its_picture() -> None:
    """The zone, since when, how long; the box is that of the frame."""
    settings = EventSettings(zones=[YARD])
    happened = _play_all(_lifecycle(settings), [*_visit(30), tracks(ended=[1])])
    assert _short(happened) == ["entered", "zone_entered", "updated", "loitering", "zone_left", "left"]
    left = happened[4]
    assert isinstance(left, RuleOccurrence)
    assert (left.track_id, left.track_uid, left.class_name) == (1, "camera-1-run-1", "person")
    assert left.transition.dwell_s == pytest.approx(29 / FPS)
    assert left.since_at == frame(1).timestamp
    assert (left.frame.number, left.xyxy) == (30, _walking(29))
    assert left.labels[0].xyxy == left.xyxy


def test_who_is_waited_for_is_still_in_the_zone() -> None:
    """A parked car that the detector loses leaves its zone when it is given up, not before."""
    settings = EventSettings(zones=[YARD], return_s=5.0)
    script = [*[tracks([(1, STILL)])] * 100, tracks(ended=[1]), *[tracks()] * 20, *[tracks([(2, STILL)])] * 30]
    happened = _play_all(_lifecycle(settings), [*script, tracks(ended=[2]), *[tracks()] * 60])
    assert _short(happened).count("zone_entered") == 1
    assert _short(happened).count("loitering") == 1
    assert _short(happened)[-2:] == ["zone_left", "left"]


def test_what_a_continued_object_does_before_its_new_track_is_confirmed_is_emitted_at_once() -> None:
    """It has been announced under its old track: leaving the zone is not lost with the new one."""
    half = ZoneSettings.model_validate(
        {"name": "half", "polygon": [(0, 0), (0.4, 0), (0.4, 1), (0, 1)], "exit_s": 0.1, "enter_s": 0.1}
    )
    past = tuple(EarlierDetection(2, 20.0 + k / 10, (114.0, 60.0, 154.0, 120.0), 0.9) for k in range(3))
    script = [*[tracks([(1, STILL)])] * 100, tracks(ended=[1]), *[tracks()] * 102]
    moved = (114.0, 60.0, 154.0, 120.0)
    script += [replace(tracks([(2, moved)]), earlier=past), *[tracks([(2, moved)])] * 5]
    happened = _play_all(_lifecycle(EventSettings(zones=[half])), script)
    assert _short(happened) == ["entered", "zone_entered", "updated", "zone_left"]


def test_crossings_are_counted_when_they_are_emitted() -> None:
    """Two cross, a third is never believed in: one, two."""
    lifecycle = _lifecycle(EventSettings(lines=[GATE]))
    weak = _visit(60, 3, score=0.3)
    script = [*_visit(60), *weak, tracks(ended=[1, 3]), *_visit(60, 2), tracks(ended=[2])]
    crossings = [each for each in _play_all(lifecycle, script) if isinstance(each, RuleOccurrence)]
    assert [each.transition.count for each in crossings] == [1, 2]


def test_occupancy_counts_announced_objects_without_a_detector_run() -> None:
    """Two stand there, one of them doubtful; the debounce ends at a frame that the detector never saw."""
    zone = YARD.model_copy(update={"loitering_s": None, "occupancy": OccupancySettings(over=0, debounce_s=2.0)})
    lifecycle = _lifecycle(EventSettings(zones=[zone]))
    state = tracks([(1, STILL), (2, (200.0, 60.0, 240.0, 120.0))])
    state.score[1] = 0.3
    _play_all(lifecycle, [state] * 10)
    happened = [each for number in range(11, 60) for each in lifecycle.expire(frame(number))]
    assert _short(happened) == ["occupancy"]
    assert isinstance(happened[0], RuleOccurrence)
    assert (happened[0].transition.count, happened[0].track_id) == (1, None)


def test_the_way_of_an_object_comes_with_left() -> None:
    """From where its feet were first to where they were last, with times, and in no other event."""
    *others, left = _play(_lifecycle(), [*_visit(60), tracks(ended=[1])])
    assert all(not each.path for each in others)
    first, last = left.path[0], left.path[-1]
    assert (first.time_s, first.x, first.y) == pytest.approx((0.0, 25 / 320, 120 / 180))
    assert (last.time_s, last.x, last.y) == pytest.approx((5.9, (25 + 59 * 4) / 320, 120 / 180))
