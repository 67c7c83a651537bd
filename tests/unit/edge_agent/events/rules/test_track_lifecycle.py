"""The lifecycle of tracks: when events are emitted, how often, and when an object has left."""

from __future__ import annotations

import pytest

from edge_agent.events.settings import EventSettings
from tests.support.edge.builders import BOX, FPS, frame, tracks
from tests.support.edge.lifecycle_harness import (
    GATE,
    actions_of,
    lifecycle_of,
    names_of,
    play,
    play_all,
    walk,
    walking,
)


def test_person_walking_through_enters_and_leaves() -> None:
    """``entered`` after a few detections; ``left`` with the dwell time from the first detection to the last."""
    emitted = play(lifecycle_of(), [*walk(30), *[tracks()] * 10, tracks(ended=[1])])
    assert actions_of(emitted) == ["entered", "left"]
    entered, left = emitted
    assert (entered.track_id, entered.track_uid, entered.class_name) == (1, "camera-1-run-1", "person")
    assert entered.dwell_s is None
    assert left.dwell_s == pytest.approx(29 / FPS)
    assert left.last_seen_at == frame(30).timestamp
    assert left.first_seen_at == entered.first_seen_at == frame(1).timestamp


def test_entered_is_emitted_after_confirm_s() -> None:
    """`entered` is emitted in the first frame at `confirm_s` and not one frame earlier."""
    settings = EventSettings(confirm_s=0.6)
    assert play(lifecycle_of(settings), walk(6)) == []
    assert actions_of(play(lifecycle_of(settings), walk(7))) == ["entered"]


def test_one_noisy_frame_emits_nothing() -> None:
    """One high score among low ones does not change the median, and a track that never entered does not leave."""
    weak, strong = {"score": 0.35}, {"score": 0.95}
    script = [tracks([(1, walking(step))], **(strong if step == 2 else weak)) for step in range(12)]
    assert play(lifecycle_of(), [*script, tracks(ended=[1])]) == []


def test_uncertain_object_is_announced_when_its_scores_rise() -> None:
    """The median is that of the latest detections, so a distant object is announced when it comes close."""
    script = [tracks([(1, walking(step))], score=0.3 if step < 10 else 0.9) for step in range(20)]
    emitted = play(lifecycle_of(), script)
    assert actions_of(emitted) == ["entered"]
    assert emitted[0].observation.score == pytest.approx(0.9)


def test_very_short_track_is_not_announced() -> None:
    """A track of a tenth of a second is not announced, even at a high frame rate."""
    lifecycle = lifecycle_of(EventSettings(confirm_s=0.5))
    emitted = [found for number in range(1, 8) for found in lifecycle.observe(frame(number, fps=60), walk(1)[0])]
    assert emitted == []


def test_updates_are_emitted_once_per_interval() -> None:
    """A moving object emits one update per `update_interval_s`."""
    emitted = play(lifecycle_of(EventSettings(update_interval_s=2.0)), walk(65))
    assert actions_of(emitted) == ["entered", "updated", "updated", "updated"]


def test_edge_22_stationary_object_emits_no_updates() -> None:
    """A parked car emits `entered`, and nothing else until it moves."""
    lifecycle = lifecycle_of(EventSettings(update_interval_s=1.0))
    parked = [tracks([(1, BOX)], class_id=1)] * 300
    emitted = play(lifecycle, parked)
    assert emitted[0].action == "entered"
    assert len(emitted) <= 5
    assert lifecycle.has_objects
    assert not lifecycle.has_moving_objects


def test_edge_22_parked_car_does_not_leave_while_the_detector_misses_it() -> None:
    """A new track at the position of a lost stationary object continues it, with the same id."""
    lifecycle = lifecycle_of(EventSettings(return_s=20.0))
    script = [*[tracks([(1, BOX)])] * 100, tracks(ended=[1]), *[tracks()] * 50, *[tracks([(2, BOX)])] * 50]
    emitted = play(lifecycle, [*script, tracks(ended=[2]), *[tracks()] * 250])
    assert actions_of(emitted).count("entered") == 1
    assert actions_of(emitted).count("left") == 1
    assert {found.track_id for found in emitted} == {1}
    assert emitted[-1].dwell_s == pytest.approx(20.0, abs=0.2)


def test_static_object_with_a_jittering_box_may_return() -> None:
    """A television whose box jitters is not stationary, but it has not moved, so it may return."""
    jitter = [(100.0 + 5 * (step % 3), 60.0, 140.0 + 5 * (step % 2), 120.0) for step in range(60)]
    script = [*[tracks([(1, box)]) for box in jitter], tracks(ended=[1]), *[tracks()] * 30]
    emitted = play(lifecycle_of(), [*script, *[tracks([(2, box)]) for box in jitter]])
    assert [found.track_id for found in emitted if found.action == "entered"] == [1]
    assert "left" not in actions_of(emitted)


def test_lost_moving_object_leaves_at_once() -> None:
    """A lost object that was moving leaves, and the next object at that position is a new one."""
    script = [*walk(30), tracks(ended=[1]), *[tracks([(2, walking(29 + step))]) for step in range(30)]]
    assert actions_of(play(lifecycle_of(), script)) == ["entered", "left", "entered"]


def test_lost_stationary_object_leaves_after_return_s() -> None:
    """It leaves after `return_s`, and its dwell time ends at its last detection."""
    script = [*[tracks([(1, BOX)])] * 100, tracks(ended=[1]), *[tracks()] * 60]
    emitted = play(lifecycle_of(EventSettings(return_s=5.0)), script)
    assert actions_of(emitted)[-1] == "left"
    assert emitted[-1].last_seen_at == frame(100).timestamp
    assert emitted[-1].dwell_s == pytest.approx(9.9)


def test_object_of_another_class_does_not_continue_the_track() -> None:
    """A person at the position of a lost car is a new object."""
    script = [*[tracks([(1, BOX)], class_id=1)] * 100, tracks(ended=[1]), *[tracks([(2, BOX)], class_id=0)] * 20]
    emitted = play(lifecycle_of(), script)
    assert [(found.action, found.class_name) for found in emitted if found.action == "entered"] == [
        ("entered", "car"),
        ("entered", "person"),
    ]


def test_end_of_the_source_ends_all_tracks() -> None:
    """Announced objects leave, also those awaiting return; unannounced ones emit nothing."""
    lifecycle = lifecycle_of()
    script = [*[tracks([(1, BOX), (2, walking(0))])] * 100, tracks([(2, walking(1))], ended=[1])]
    play(lifecycle, [*script, tracks([(2, walking(2)), (3, walking(30))])])
    emitted = lifecycle.finish([2, 3])
    assert sorted((found.action, found.track_id) for found in emitted) == [("left", 1), ("left", 2)]
    assert not lifecycle.has_objects


def test_objects_are_uncertain_until_announced_and_while_not_detected() -> None:
    """They are uncertain in the scene, and a frame without a detector run does not change that."""
    lifecycle = lifecycle_of()
    uncertain: list[set[int]] = []
    for number, state in enumerate([*walk(20), tracks(), *walk(22)[21:]], 1):
        lifecycle.observe(frame(number), state)
        lifecycle.expire(frame(number))
        uncertain.append(set(lifecycle.uncertain))
    assert uncertain[0] == {1}
    assert uncertain[-3:] == [set(), {1}, set()]


def test_tracked_objects_have_the_ids_of_their_events() -> None:
    """A lost object that a new track continues keeps its id, which plate reads refer to."""
    lifecycle = lifecycle_of(EventSettings(return_s=10.0))
    parked = [tracks([(1, BOX)], class_id=1) for _ in range(80)]
    play(lifecycle, parked)
    tracked = lifecycle.tracked_objects(parked[-1])
    assert [(each.track_id, each.track_uid, each.class_name, each.xyxy) for each in tracked] == [
        (1, "camera-1-run-1", "car", BOX)
    ]
    assert (lifecycle.present, lifecycle.awaiting_return) == ({1}, frozenset())
    lifecycle.observe(frame(81), tracks(ended=[1]))
    assert (lifecycle.present, lifecycle.awaiting_return) == (frozenset(), {1})
    again = tracks([(5, BOX)], class_id=1)
    lifecycle.observe(frame(82), again)
    assert [(each.track_id, each.track_uid) for each in lifecycle.tracked_objects(again)] == [(1, "camera-1-run-1")]
    assert lifecycle.present == {1}
    assert lifecycle.tracked_objects(tracks([(77, BOX)])) == []


def test_edge_04_fast_object_is_announced_after_three_frames() -> None:
    """An object that crosses a quarter of the picture needs three frames; three boxes in one place are not enough."""
    fast = [tracks([(1, (20.0 + 60 * step, 60.0, 50.0 + 60 * step, 120.0))]) for step in range(3)]
    lifecycle = lifecycle_of(EventSettings(lines=[GATE]))
    assert names_of([*play_all(lifecycle, fast), *lifecycle.finish([1])]) == ["entered", "line_crossed", "left"]
    assert play_all(lifecycle_of(), walk(3)) == []


@pytest.mark.parametrize(("fps", "frames"), [(1.0, 3), (2.0, 3), (5.0, 4), (10.0, 6), (30.0, 14)])
def test_edge_30_time_until_announced_does_not_depend_on_the_frame_rate(fps: float, frames: int) -> None:
    """An object in every frame is announced after the same time, within one frame."""
    occurrences = play(lifecycle_of(), [tracks([(1, BOX)])] * frames, fps=fps)
    assert actions_of(occurrences) == ["entered"]
    first = next(n for n in range(1, frames + 1) if play(lifecycle_of(), [tracks([(1, BOX)])] * n, fps=fps))
    assert first - 1 >= 0.4 * fps - 1e-6
    assert (first - 2) / fps <= max(0.4, 1 / fps)


def test_edge_30_intermittently_detected_object_needs_five_detections() -> None:
    """An object that is detected in every third run is announced after five detections."""
    script = [tracks([(1, BOX)]) if step % 3 == 0 else tracks() for step in range(30)]
    assert play(lifecycle_of(), script[:12]) == []
    assert actions_of(play(lifecycle_of(), script)) == ["entered"]


def test_left_carries_the_path() -> None:
    """The path goes from the first position of the anchor to the last, with times, and only `left` has one."""
    *others, left = play(lifecycle_of(), [*walk(60), tracks(ended=[1])])
    assert all(not each.path for each in others)
    first, last = left.path[0], left.path[-1]
    assert (first.time_s, first.x, first.y) == pytest.approx((0.0, 25 / 320, 120 / 180))
    assert (last.time_s, last.x, last.y) == pytest.approx((5.9, (25 + 59 * 4) / 320, 120 / 180))
